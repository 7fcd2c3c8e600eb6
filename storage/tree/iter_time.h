/* SPDX-License-Identifier: Apache-2.0
 *
 * Time iterator: the entries of one table that may have a time in a range, through the interface of
 * table/iter.h. It goes from run to run (table/times.h) and reads no other blocks; within a run it
 * yields all entries, whatever their times: who asks looks at those. A table that does not know its
 * times is yielded whole.
 */
#ifndef ESTREAT_STORAGE_TREE_ITER_TIME_H
#define ESTREAT_STORAGE_TREE_ITER_TIME_H

#include "storage/table/table_reader.h"

/* Holds a reference to the table, as table_iter_new(); copies `options` and `range`. Returns
 * owned. */
enum status iter_time_new(struct alloc *alloc, struct table *table,
                          const struct table_read_options *options, const struct time_range *range,
                          struct iter **out, struct error *err) MUST_USE;

#endif
