/* SPDX-License-Identifier: Apache-2.0
 *
 * Codec pool: decompressors of zstd that nobody uses at the moment. A lookup needs one for a block
 * or two; to make one anew, some 100 KiB, takes longer than what it is made for.
 *
 * Owned by the block cache, which all readers of a store share. Any thread; without a lock. What
 * is taken belongs to the taker.
 */
#ifndef ESTREAT_STORAGE_TABLE_CODEC_POOL_H
#define ESTREAT_STORAGE_TABLE_CODEC_POOL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/status.h"

/* As many idle ones as are kept: of more readers at once some make their own. */
#define CODEC_POOL_SLOTS 4U

/* Zeroed memory is an empty pool. */
struct codec_pool {
    _Atomic(void *) slots[CODEC_POOL_SLOTS];
};

/* Returns owned, or NULL if there is none. */
void *codec_pool_take(struct codec_pool *pool);

/* Takes `decompressor`; false: there is no room, and it stays the caller's. */
bool codec_pool_give(struct codec_pool *pool, void *decompressor) MUST_USE;

/* Frees all that it holds. */
void codec_pool_release(struct codec_pool *pool);

#endif
