/* SPDX-License-Identifier: Apache-2.0
 *
 * Reply_batch: the answers to all appends of one group, on their way from the
 * applier to the clients' loop as one event: they leave in one turn of the loop,
 * so in one write a connection, and wake its thread once.
 */
#ifndef ESTREAT_NODE_REPLY_BATCH_H
#define ESTREAT_NODE_REPLY_BATCH_H

#include "base/alloc.h"
#include "base/slice.h"
#include "rpc/loop.h"

struct rpc_server_call;

struct append_reply {
    struct rpc_server_call *call;
    uint64_t position; /* of the first event */
    uint64_t time_ns;
    uint32_t count;
    bool repeated;
    size_t versions_begin; /* index of the first of `count` numbers; none if repeated */
};

struct reply_batch {
    struct rpc_event event; /* first */
    struct alloc *alloc;
    uint64_t *versions; /* behind the replies */
    size_t count;
    struct append_reply replies[];
};

/* Room for `capacity` replies and a copy of `versions` (uint64_t each). NULL without memory. */
struct reply_batch *reply_batch_new(struct alloc *alloc, size_t capacity, struct slice versions);

/* Hands the batch to the loop, which answers the calls and frees it. Takes the batch. */
void reply_batch_send(struct reply_batch *batch, struct rpc_loop *loop);

#endif
