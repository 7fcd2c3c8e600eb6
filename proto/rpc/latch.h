/* SPDX-License-Identifier: Apache-2.0
 *
 * Latch: one thread waits until another has done something, once.
 */
#ifndef ESTREAT_RPC_LATCH_H
#define ESTREAT_RPC_LATCH_H

#include "base/sync.h"

struct rpc_latch {
    struct mutex mutex;
    struct condition condition;
    bool open;
};

static inline void rpc_latch_init(struct rpc_latch *latch)
{
    mutex_init(&latch->mutex);
    condition_init(&latch->condition);
    latch->open = false;
}

/* The latch may be gone when this returns. */
static inline void rpc_latch_open(struct rpc_latch *latch)
{
    mutex_lock(&latch->mutex);
    latch->open = true;
    condition_signal(&latch->condition);
    mutex_unlock(&latch->mutex);
}

/* Waits, and releases the latch. */
static inline void rpc_latch_wait(struct rpc_latch *latch)
{
    mutex_lock(&latch->mutex);
    while (!latch->open) {
        condition_wait(&latch->condition, &latch->mutex);
    }
    mutex_unlock(&latch->mutex);
    condition_release(&latch->condition);
    mutex_release(&latch->mutex);
}

#endif
