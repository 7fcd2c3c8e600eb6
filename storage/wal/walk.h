/* SPDX-License-Identifier: Apache-2.0
 *
 * Walk: all of a log directory, record by record, for tools. Nothing is changed, and
 * damage does not end it: it is told, and the walk goes on with the next sound group.
 *
 * What is damage, and what the torn tail of a write that did not end, is the scan's rule
 * (scan.h). Behind damage the walk takes any sound group of this log for a part of it; so
 * what an older write left behind the log's end may be told as a second fault there.
 *
 * One thread; the log may be open elsewhere for nothing but reading.
 */
#ifndef ESTREAT_STORAGE_WAL_WALK_H
#define ESTREAT_STORAGE_WAL_WALK_H

#include "storage/wal/format.h"

struct wal_walk_options {
    struct fs *fs; /* borrowed, as all below */
    struct alloc *alloc;
    const char *dir;
    uint64_t only; /* the number of the one segment to be walked; 0: all */
    /* Each may be NULL. The first three return OK to go on. */
    enum status (*on_segment)(void *context, const struct wal_head *head, uint64_t bytes,
                              struct error *err);
    enum status (*on_group)(void *context, struct wal_position place,
                            const struct wal_group_content *group, struct error *err);
    enum status (*on_record)(void *context, struct wal_position place,
                             const struct wal_record *record, struct error *err);
    /* After the records of a group, or of what follows a chain without gap: what was written at
     * once. */
    void (*on_write)(void *context, uint64_t bytes, uint64_t records);
    /* CORRUPT: file, offset, cause. */
    void (*on_fault)(void *context, const struct error *fault);
    void *context;
};

struct wal_walk {
    uint64_t segments;
    uint64_t bytes;  /* of the files */
    uint64_t stale;  /* segments before a gap: a purge was removing them; not walked */
    uint64_t groups; /* sound ones */
    uint64_t entries;
    uint64_t entry_bytes; /* of their data, removed ones included */
    uint64_t faults;
    uint64_t first_index; /* of what the log holds in the end; last + 1 if nothing */
    uint64_t last_index;
    uint64_t last_term;
    uint64_t term; /* the hard state */
    uint64_t vote;
    struct wal_position end; /* where the next group would go */
    uint64_t torn_bytes;     /* of a write that did not end, from there on (about) */
    bool attested;           /* the log says of its last group that it is durable */
};

/* Errors are those of reading, of the callbacks, and FAILED_PRECONDITION for a newer format. */
enum status wal_walk(const struct wal_walk_options *options, struct wal_walk *out,
                     struct error *err) MUST_USE;

#endif
