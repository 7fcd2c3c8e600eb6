/* SPDX-License-Identifier: Apache-2.0
 *
 * Compaction: merges the tables of a pick into new ones of the level below, a step
 * at a time, and fills the edit that swaps them; or rewrites tables there, or drops them. From half
 * of their size on tables end where one of the level below them does. What to
 * compact is decided in tree/pick.h; making the edit durable is the caller's part. One thread at a
 * time.
 */
#ifndef ESTREAT_STORAGE_TREE_COMPACT_H
#define ESTREAT_STORAGE_TREE_COMPACT_H

#include "storage/tree/output.h"
#include "storage/tree/pick.h"
#include "storage/tree/retain.h"

struct compact {
    struct version *version; /* referenced: keeps the inputs */
    struct pick pick;
    struct edit *edit;
    struct retain retain;
    struct output output;
    struct iter *iter; /* NULL for a move */
    bool positioned;
    struct compact_below {
        size_t at; /* of the level, the first table that does not end before the key */
        const struct table_file *file; /* that one, once it was looked up */
    } below[TREE_LEVELS];
    size_t last_at; /* of the level below the output, as the last key written had it */
    uint64_t read;  /* bytes of entries */
};

/* Takes a reference to the version; borrows the rest until release. Nothing is held after an
 * error. The edit must be empty. */
enum status compact_init(struct compact *compact, const struct output_place *place,
                         const struct keyspace_options *keyspaces, struct version *version,
                         const struct pick *pick, const uint64_t *snapshots, size_t snapshot_count,
                         struct edit *edit, struct error *err) MUST_USE;

/* Moves about `bytes` and sets *done at the end. After an error only release. */
enum status compact_step(struct compact *compact, size_t bytes, bool *done,
                         struct error *err) MUST_USE;

/* Removes a table that is not finished; finished ones: output_discard(edit). */
void compact_release(struct compact *compact);

#endif
