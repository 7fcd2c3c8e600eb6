/* SPDX-License-Identifier: Apache-2.0
 *
 * Level iterator: the tables [begin, end) of a level below 0, which are disjoint,
 * as one run, through the interface of table/iter.h. A table is opened when it is
 * reached.
 */
#ifndef ESTREAT_STORAGE_TREE_ITER_LEVEL_H
#define ESTREAT_STORAGE_TREE_ITER_LEVEL_H

#include "storage/tree/catalog.h"

/* Borrows the version; copies `options`. Returns owned. */
enum status iter_level_new(struct alloc *alloc, const struct version *version, unsigned keyspace,
                           unsigned level, size_t begin, size_t end,
                           const struct table_read_options *options, struct iter **out,
                           struct error *err) MUST_USE;

/* From now on, before the first seek: only tables whose times may be in the range, and of these
 * only what may be (tree/iter_time.h). */
void iter_level_set_times(struct iter *iter, const struct time_range *range);

#endif
