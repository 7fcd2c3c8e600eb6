/* SPDX-License-Identifier: Apache-2.0
 *
 * Timers: a pairing heap of embedded nodes, so that setting a timer never
 * allocates and costs a comparison. One owner; not thread-safe.
 */
#ifndef ESTREAT_RPC_TIMERS_H
#define ESTREAT_RPC_TIMERS_H

#include "rpc/loop.h"

struct rpc_timers {
    struct rpc_timer *root; /* the earliest */
};

/* The timer must not be set. */
void rpc_timers_insert(struct rpc_timers *timers, struct rpc_timer *timer);

/* The timer must be set. */
void rpc_timers_remove(struct rpc_timers *timers, struct rpc_timer *timer);

#endif
