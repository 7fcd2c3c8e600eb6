/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/codec_pool.h"

#include <zstd.h>

void *codec_pool_take(struct codec_pool *pool)
{
    for (size_t i = 0; i < CODEC_POOL_SLOTS; i++) {
        _Atomic(void *) *slot = &pool->slots[i];
        /* To look first costs nobody else his cache line. */
        if (atomic_load_explicit(slot, memory_order_relaxed) != NULL) {
            void *taken = atomic_exchange_explicit(slot, NULL, memory_order_acquire);
            if (taken != NULL) {
                return taken;
            }
        }
    }
    return NULL;
}

bool codec_pool_give(struct codec_pool *pool, void *decompressor)
{
    for (size_t i = 0; i < CODEC_POOL_SLOTS; i++) {
        void *empty = NULL;
        if (atomic_compare_exchange_strong_explicit(&pool->slots[i], &empty, decompressor,
                                                    memory_order_release, memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

void codec_pool_release(struct codec_pool *pool)
{
    for (void *held = codec_pool_take(pool); held != NULL; held = codec_pool_take(pool)) {
        (void)ZSTD_freeDCtx(held);
    }
}
