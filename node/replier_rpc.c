/* SPDX-License-Identifier: Apache-2.0 */
#include "node/replier_rpc.h"

#include <stdio.h>

#include "base/check.h"
#include "rpc/loop.h"
#include "schema/log.pb-c.h"

static struct rpc_server_call *rpc_of(struct append_call *call)
{
    return (struct rpc_server_call *)(void *)call;
}

static void refuse(struct replier *replier, struct append_call *call,
                   const struct append_failure *failure)
{
    struct rpc_metadata pairs[2];
    size_t count = 0;
    char after[16];
    (void)replier;
    if (failure->leader_endpoint != NULL) {
        pairs[count++] = (struct rpc_metadata){.name = RPC_METADATA_LEADER_ENDPOINT,
                                               .value = slice_of_string(failure->leader_endpoint)};
    }
    if (failure->retry_after_ms > 0) {
        (void)snprintf(after, sizeof after, "%u", failure->retry_after_ms);
        pairs[count++] = (struct rpc_metadata){.name = RPC_METADATA_RETRY_AFTER_MS,
                                               .value = slice_of_string(after)};
    }
    rpc_call_fail_with(rpc_of(call), failure->status, failure->text,
                       (struct rpc_metadata_list){.pairs = pairs, .count = count});
}

static void reply_all(struct rpc_event *event)
{
    struct reply_batch *batch = (struct reply_batch *)event;
    for (size_t i = 0; i < batch->count; i++) {
        const Estreat__V1__AppendResponse response = reply_batch_response(batch, i);
        rpc_call_reply(rpc_of(batch->replies[i].call), &response.base);
    }
    reply_batch_free(batch);
}

static void answer(struct replier *replier, struct reply_batch *batch)
{
    const struct replier_rpc *rpc = (const struct replier_rpc *)replier;
    batch->event.run = reply_all;
    rpc_loop_post(rpc->loop, &batch->event);
}

void replier_rpc_init(struct replier_rpc *rpc, struct rpc_loop *loop)
{
    *rpc = (struct replier_rpc){.replier = {.refuse = refuse, .answer = answer}, .loop = loop};
}
