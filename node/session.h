/* SPDX-License-Identifier: Apache-2.0
 *
 * Session: which requests of which client were applied, and with what result,
 * so that a repeated request is answered and not applied again.
 *
 * The table is part of the replicated state: it changes only by applying
 * entries, and equal logs give equal tables. It lives in memory; rows that
 * changed are written to keyspace `sessions` with each seal, so that restart
 * loads the table as of the seal and replays the log from there.
 *
 * A client numbers its requests from 1 and says below which number it has all
 * answers; results below that are forgotten. At most SESSION_WINDOW_MAX results
 * are kept for a client, and SESSIONS_MAX clients. A forgotten client raises
 * `floor_ns`: a repeat of a request first tried before that time is refused with
 * "outcome unknown", because nobody can tell any more whether it was applied.
 *
 * One owner (the applier); not thread-safe.
 */
#ifndef ESTREAT_NODE_SESSION_H
#define ESTREAT_NODE_SESSION_H

#include "base/alloc.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/status.h"

struct session_result {
    uint64_t sequence;
    uint64_t position; /* of the first event */
    uint64_t time_ns;
    uint32_t count;
    uint32_t status; /* enum status; a refused request stays refused */
};

struct session_table;

enum session_answer {
    SESSION_NEW,     /* not applied yet: apply it, then session_record() */
    SESSION_REPEAT,  /* applied before: `result` is what was answered */
    SESSION_REFUSED, /* never to be applied; `err` says why */
};

enum status session_table_new(struct alloc *alloc, struct session_table **out,
                              struct error *err) MUST_USE;
void session_table_free(struct session_table *table);

/* Decides about a request. Does not change the table. */
enum session_answer session_check(const struct session_table *table, struct slice client_id,
                                  uint64_t sequence, uint64_t acknowledged_below,
                                  uint64_t first_attempt_ns, struct session_result *result,
                                  struct error *err);

/* Records the result of a new request and forgets those below `acknowledged_below`.
 * RESOURCE_EXHAUSTED without memory: the node must stop. */
enum status session_record(struct session_table *table, struct slice client_id,
                           uint64_t acknowledged_below, const struct session_result *result,
                           struct error *err) MUST_USE;

/* Forgets clients that were last heard of before `floor_ns`. */
void session_expire(struct session_table *table, uint64_t floor_ns);

uint64_t session_floor_ns(const struct session_table *table);
void session_set_floor_ns(struct session_table *table, uint64_t floor_ns);
size_t session_count(const struct session_table *table);

/* What the rows that session_flush() would give out take at most. */
size_t session_changed_bytes_max(const struct session_table *table);

/* `row` empty means it is gone since the last flush. */
typedef enum status (*session_row_fn)(void *context, struct slice client_id, struct slice row,
                                      struct error *err);

/* Gives out the rows of all clients, changed or not, in no order. */
enum status session_each(const struct session_table *table, session_row_fn each, void *context,
                         struct error *err) MUST_USE;

/* Gives out what changed, then counts it as unchanged. */
enum status session_flush(struct session_table *table, session_row_fn each, void *context,
                          struct error *err) MUST_USE;

/* Takes in a row that session_flush() gave. CORRUPT if it is malformed. */
enum status session_load(struct session_table *table, struct slice client_id, struct slice row,
                         struct error *err) MUST_USE;

#endif
