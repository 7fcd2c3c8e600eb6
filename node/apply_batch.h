/* SPDX-License-Identifier: Apache-2.0
 *
 * Apply_batch: a run of committed entries on its way from the driver to the
 * applier and, done, back through the driver's intake, which frees it.
 *
 * `entries` holds [begin, end) if the core still had them in memory; if
 * `entry_count` is 0, the applier reads the range from the WAL.
 */
#ifndef ESTREAT_NODE_APPLY_BATCH_H
#define ESTREAT_NODE_APPLY_BATCH_H

#include "node/intake.h"
#include "raft/entry.h"

#define APPLY_BATCH_ENTRIES 256U

/* What reaches the applier's queue. */
enum applier_item_kind { APPLIER_BATCH, APPLIER_FLUSH, APPLIER_STOP };

struct applier_item {
    struct mpsc_node node; /* first */
    enum applier_item_kind kind;
};

struct apply_batch {
    struct intake intake;     /* on the way back; first */
    struct applier_item item; /* on the way there */
    struct apply_batch *next; /* the applier's: done, not yet given back */
    uint64_t begin;
    uint64_t end;
    uint64_t bytes;
    size_t entry_count;
    struct raft_entry *entries[APPLY_BATCH_ENTRIES];
};

#endif
