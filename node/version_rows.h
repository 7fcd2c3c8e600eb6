/* SPDX-License-Identifier: Apache-2.0
 *
 * Version_rows: the rows for keyspace `versions` of one group of entries,
 * collected and put into the group's batch in ascending order: sorted inserts
 * cost the memtable a third of random ones.
 *
 * A failure (no memory) is sticky and is reported by version_rows_put().
 */
#ifndef ESTREAT_NODE_VERSION_ROWS_H
#define ESTREAT_NODE_VERSION_ROWS_H

#include "node/keyspaces.h"
#include "storage/batch.h"

struct version_rows {
    struct buf bytes;   /* keys and values, one after another */
    struct buf offsets; /* of each: struct version_row_place */
};

void version_rows_init(struct version_rows *rows, struct alloc *alloc);
void version_rows_release(struct version_rows *rows);

void version_rows_add(struct version_rows *rows, struct slice key, uint64_t version,
                      const struct version_row *row);

/* Moves all rows into `batch`. */
enum status version_rows_put(struct version_rows *rows, struct batch *batch,
                             struct error *err) MUST_USE;

#endif
