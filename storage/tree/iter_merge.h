/* SPDX-License-Identifier: Apache-2.0
 *
 * Merging iterator: the entries of several iterators in one order, through the
 * interface of table/iter.h. Internal keys differ between the children, since
 * sequences are never used twice; so all versions of a key come out, newest first.
 *
 * A binary heap orders the children: a step costs one move and log2(n) compares.
 * The direction may change at any step; the others are then placed anew.
 */
#ifndef ESTREAT_STORAGE_TREE_ITER_MERGE_H
#define ESTREAT_STORAGE_TREE_ITER_MERGE_H

#include "base/alloc.h"
#include "storage/table/iter.h"

/* Takes the children, also if it fails (RESOURCE_EXHAUSTED: they are closed). One child is
 * returned as it is. `count` may be 0: an iterator over nothing. Returns owned. */
enum status iter_merge_new(struct alloc *alloc, struct iter **children, size_t count,
                           struct iter **out, struct error *err) MUST_USE;

#endif
