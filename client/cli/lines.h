/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines: the lines of a file as events of one key. Only the LF is removed: CR, NUL
 * and empty lines stay, and the last line may lack its LF.
 *
 * The reader keeps what it has read and not yet given out in one buffer. Events
 * that lines_take() gives point into it and are valid until lines_fill(). One owner.
 */
#ifndef ESTREAT_CLI_LINES_H
#define ESTREAT_CLI_LINES_H

#include "base/buf.h"
#include "base/status.h"
#include "client/estreat.h"

/* What a batch may hold in keys and payloads, as long as it has more than one event. */
#define LINES_BATCH_BYTES_MAX (512UL * 1024UL)

struct lines {
    const char *name; /* for errors; borrowed */
    int fd;           /* borrowed */
    struct buf buf;
    size_t begin;         /* of what was not given out */
    size_t searched;      /* no LF in [begin, searched) */
    uint64_t line;        /* of the next event, from 1 */
    uint64_t bytes_given; /* of the file, with their LFs */
    bool at_end;          /* of the file */
};

void lines_init(struct lines *lines, const char *name, int fd);
void lines_release(struct lines *lines);

/* From the beginning of the file once more. */
enum status lines_rewind(struct lines *lines, struct error *err) MUST_USE;

/* True while it is worth to read more ahead of what is taken. */
bool lines_want_more(const struct lines *lines);

/* True if a read would not block. */
bool lines_readable(const struct lines *lines);

/* Reads once; may block. At the end sets `at_end`. */
enum status lines_fill(struct lines *lines, struct error *err) MUST_USE;

/* Gives out the next lines as events of `key`, at most `max` (at least 1) and as many as fit a
 * request. `*count` is 0 if there is no whole line yet. INVALID_ARGUMENT, naming file and line,
 * if the next line is longer than a payload may be. */
enum status lines_take(struct lines *lines, struct estreat_bytes key,
                       struct estreat_new_event *events, size_t max, size_t *count,
                       struct error *err) MUST_USE;

/* Everything was given out. */
bool lines_done(const struct lines *lines);

#endif
