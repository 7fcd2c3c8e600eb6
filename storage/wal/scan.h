/* SPDX-License-Identifier: Apache-2.0
 *
 * Scan: reads a log directory through and rebuilds what the owner keeps in memory.
 *
 * Where neither a group nor a link of the chain is sound there are three cases:
 * - the next segment begins with a group that says that the log was durable up to
 *   exactly here, or that goes on with the chain from exactly here: the segment ended here;
 * - some later group says that the log was durable beyond: damage, CORRUPT;
 * - else it is a write that did not end: the log ends here.
 */
#ifndef ESTREAT_STORAGE_WAL_SCAN_H
#define ESTREAT_STORAGE_WAL_SCAN_H

#include "storage/wal/group.h"
#include "storage/wal/index.h"
#include "storage/wal/terms.h"

struct wal_scan {
    /* set by the caller, borrowed */
    struct fs *fs;
    struct alloc *alloc;
    const char *dir;
    struct slice identity;
    bool any_identity; /* instead of `identity`: that of the first head, for tools */
    /* results; owned by the caller, also after an error */
    struct wal_index index; /* the newest segment has its file open */
    struct wal_terms terms;
    struct wal_state state;
    struct wal_segment *next; /* a segment that was made ahead, file open; may be NULL */
    struct wal_segment *gone; /* files that are not part of the log, to be removed */
    struct wal_position end;  /* where the next group goes */
    bool existed;             /* there were segments; the rest is set only then */
    bool fresh;               /* the next entry does not follow the last one on disk */
    bool headless;            /* nothing is left of a log that was not synced */
    bool attested;            /* the end says itself that the log is durable */
    uint64_t salt;
    uint64_t cut_bytes;
    struct wal_head head; /* with any_identity: the first one */
};

/* Fills the results and makes durable what it found. Removes temporary files. */
enum status wal_scan_run(struct wal_scan *scan, struct error *err) MUST_USE;

/* Frees what the caller did not take over. */
void wal_scan_release(struct wal_scan *scan);

#endif
