/* SPDX-License-Identifier: Apache-2.0
 *
 * Flush: writes the memtables of one seal to tables, a step at a time: one table
 * in level 0 for each leveled keyspace, and for those that only append, tables of
 * bounded size straight in level 1. Fills an edit; making it durable is the
 * caller's part. One thread at a time.
 */
#ifndef ESTREAT_STORAGE_TREE_FLUSH_H
#define ESTREAT_STORAGE_TREE_FLUSH_H

#include "storage/mem/memtable.h"
#include "storage/tree/output.h"
#include "storage/tree/retain.h"

struct flush {
    const struct output_place *place;
    const struct keyspace_options *keyspaces;
    size_t keyspace_count;
    struct memtable *const *memtables; /* one a keyspace */
    struct edit *edit;
    struct retain retain;
    struct output output;
    struct iter *iter; /* of the keyspace under way */
    unsigned keyspace;
    uint64_t written; /* bytes of finished tables */
};

/* Borrows everything, until release. `snapshots` ascend. */
void flush_init(struct flush *flush, const struct output_place *place,
                const struct keyspace_options *keyspaces, size_t keyspace_count,
                struct memtable *const *memtables, const uint64_t *snapshots, size_t snapshot_count,
                struct edit *edit);

/* Moves about `bytes` and sets *done at the end. After an error only release. */
enum status flush_step(struct flush *flush, size_t bytes, bool *done, struct error *err) MUST_USE;

/* Removes a table that is not finished; finished ones: output_discard(edit). */
void flush_release(struct flush *flush);

#endif
