/* SPDX-License-Identifier: Apache-2.0
 *
 * Model: the one log that a history speaks of: each event's place, and since when
 * it is visible. Made of all lines together; what contradicts itself already here
 * is a violation.
 */
#ifndef ESTREAT_HISTORY_MODEL_H
#define ESTREAT_HISTORY_MODEL_H

#include "check.h"

/* One id. */
struct event {
    struct history_text id;
    size_t line; /* of its first append; 0: nobody appended it */
    uint32_t key;
    enum history_result result; /* OK if one of its appends was acknowledged, FAIL if all failed */
    uint64_t invoke_ns;         /* of its first append */
    bool placed;
    uint64_t position;
    size_t place_line;   /* that says so first: an acknowledgement, if there is one */
    uint64_t visible_ns; /* UINT64_MAX: not */
    size_t visible_line;
};

struct model {
    const struct history *history; /* borrowed */
    struct event *events;          /* owned, by number of the id */
    uint32_t event_count;
    uint32_t *log; /* owned: numbers of the placed events, by position */
    size_t log_count;
    struct violation *violation; /* borrowed: what is found goes there */
};

/* False: `violation` is filled. model_release() in either case. */
bool model_init(struct model *model, const struct history *history, struct violation *violation);
void model_release(struct model *model);

/* Fills model->violation. Returns false, so that a rule can return it. */
bool model_break(const struct model *model, const char *rule, size_t line, size_t other,
                 const char *format, ...) PRINTF_LIKE(5, 6);

/* The event's id for messages: at most 64 bytes of it. Valid until the fourth call from now. */
const char *model_name(const struct model *model, uint32_t event);

#endif
