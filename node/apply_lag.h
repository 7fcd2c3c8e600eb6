/* SPDX-License-Identifier: Apache-2.0
 *
 * Apply_lag: how many bytes of what a leader proposed somebody has not applied yet: the
 * leader itself, or a quorum as far as it knows. Admission bounds both, so that whoever
 * leads next has little to apply before it serves. Kept as marks, one at least every MARK_BYTES, so
 * the answer is exact to one of those.
 *
 * Pure; one owner.
 */
#ifndef ESTREAT_NODE_APPLY_LAG_H
#define ESTREAT_NODE_APPLY_LAG_H

#include "raft/raft.h"

#define APPLY_LAG_MARKS 256U
#define APPLY_LAG_MARK_BYTES (512UL * KIB)

struct apply_lag {
    uint64_t bytes; /* of all entries that were counted */
    size_t first;   /* of the marks, a ring */
    size_t count;
    struct {
        uint64_t index;
        uint64_t before; /* bytes of the entries before it */
    } marks[APPLY_LAG_MARKS];
};

/* Begins anew: nothing counts yet. */
void apply_lag_clear(struct apply_lag *lag);

/* An entry was proposed; indexes rise. */
void apply_lag_count(struct apply_lag *lag, uint64_t index, size_t bytes);

/* Bytes of the entries that were counted and are past `applied`; never too few by more than
 * APPLY_LAG_MARK_BYTES. */
uint64_t apply_lag_bytes(struct apply_lag *lag, uint64_t applied);

/* The largest index that a quorum of the voters has applied, with `own` for node `id`. Who applies
 * nothing any more never leads, so it counts as one that has nothing left to apply: it keeps up the
 * quorum by storing alone. */
uint64_t apply_lag_quorum(const struct raft_peer *peers, size_t count, uint64_t id, uint64_t own);

#endif
