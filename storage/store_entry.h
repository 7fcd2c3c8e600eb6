/* SPDX-License-Identifier: Apache-2.0
 *
 * Store_entry: the bytes of a batch in a store's log (FORMAT.md, "Store"): as few as will do,
 * since each is written for each batch. Pure functions.
 */
#ifndef ESTREAT_STORAGE_STORE_ENTRY_H
#define ESTREAT_STORAGE_STORE_ENTRY_H

#include "base/status.h"
#include "storage/batch.h"

/* Appends them; never more than batch_bytes(). A failure is the buf's. */
void store_entry_encode(const struct batch *batch, struct buf *out);

/* Fills the empty batch. False if these are not the bytes of a batch of `keyspaces` keyspaces. A
 * failure (no memory) is the batch's. */
bool store_entry_decode(struct slice bytes, size_t keyspaces, struct batch *batch) MUST_USE;

#endif
