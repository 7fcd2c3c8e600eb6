/* SPDX-License-Identifier: Apache-2.0
 *
 * Reply_batch: the answers to all appends of one group, on their way from the
 * applier to the replier.
 */
#ifndef ESTREAT_NODE_REPLY_BATCH_H
#define ESTREAT_NODE_REPLY_BATCH_H

#include "base/alloc.h"
#include "base/slice.h"
#include "rpc/loop.h"
#include "schema/log.pb-c.h"

struct append_call; /* replier.h */

struct append_reply {
    struct append_call *call;
    uint64_t position; /* of the first event */
    uint64_t time_ns;
    uint32_t count;
    bool repeated;
    size_t versions_begin; /* index of the first of `count` numbers; none if repeated */
};

struct reply_batch {
    struct rpc_event event; /* first; the replier's */
    struct alloc *alloc;
    uint64_t *versions; /* behind the replies */
    size_t count;
    struct append_reply replies[];
};

/* Room for `capacity` replies and a copy of `versions` (uint64_t each). NULL without memory. */
struct reply_batch *reply_batch_new(struct alloc *alloc, size_t capacity, struct slice versions);

/* The i-th reply as a message, which points into the batch. */
Estreat__V1__AppendResponse reply_batch_response(const struct reply_batch *batch, size_t i);

void reply_batch_free(struct reply_batch *batch);

#endif
