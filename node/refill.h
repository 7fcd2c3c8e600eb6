/* SPDX-License-Identifier: Apache-2.0
 *
 * Refill: what a node whose log was damaged owes the cluster before it takes part in
 * elections again (design 7, "log fault"; raft/DESIGN.md). It is kept in DATA/refill, which is
 * there before anything of the log is changed and goes when the log is whole again, so that a crash
 * or a restart in between changes nothing.
 *
 * One line: the words below, then "cutting" while the log may not be opened yet, or "refilling",
 * and a CRC-32C of all before it.
 *
 * Opening thread, but for refill_end.
 */
#ifndef ESTREAT_NODE_REFILL_H
#define ESTREAT_NODE_REFILL_H

#include "base/fs.h"
#include "base/job.h"
#include "storage/wal/salvage.h"

struct refill {
    struct job job; /* first */
    struct fs *fs;
    const char *dir;
    char path[PATH_BYTES_MAX];
    uint64_t index;             /* the log is refilled up to here, or */
    uint64_t term;              /* with an entry of a later term; 0, 0: it is whole */
    bool cutting;               /* `salvage` is to be carried out */
    struct wal_salvage salvage; /* then */
    bool on_disk;
    bool salvaged; /* the log was cut just now */
};

/* Takes up what DATA/refill says. Borrows fs and dir. CORRUPT if that is damaged. */
enum status refill_load(struct refill *refill, struct fs *fs, const char *dir,
                        struct error *err) MUST_USE;

/* wal_open(), which refuses a damaged log; if `others` have the entries, the log is then made to
 * end before the damage, and *refill says what it lacks. */
enum status refill_open_wal(struct refill *refill, const struct wal_options *options, bool others,
                            uint64_t snapshot_index, uint64_t snapshot_term,
                            struct wal_recovered *recovered, struct wal **out,
                            struct error *err) MUST_USE;

/* Nothing is lacking any more: DATA/refill goes, as a job on the executor, which is closed before
 * *refill is freed. If that fails the node refills once more after its next start. */
void refill_end(struct refill *refill, struct executor *executor);

#endif
