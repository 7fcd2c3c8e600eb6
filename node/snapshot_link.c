/* SPDX-License-Identifier: Apache-2.0 */
#include "node/snapshot_link.h"

#include "base/alloc.h"
#include "node/ways.h"
#include "schema/snapshot.pb-c.h"

/* A piece is half a megabyte: what takes longer is a line that does not work. */
#define DEADLINE_MS 10000

struct snapshot_link_rpc {
    struct snapshot_link link; /* first */
    struct alloc *alloc;
    const struct config *config;
    struct ways *ways; /* NULL until there is a loop, and from the close on */
};

struct asked {
    struct alloc *alloc;
    snapshot_answer_fn done;
    void *context;
};

struct asking {
    enum snapshot_method method;
    const ProtobufCMessage *request;
    struct asked *asked;
};

static void on_result(void *context, const struct rpc_result *result)
{
    struct asked *asked = context;
    const struct snapshot_answer answer = {
        .status = result->status, .text = result->text, .message = result->message};
    asked->done(asked->context, &answer);
    alloc_free(asked->alloc, asked);
}

static bool ask_on(void *context, struct rpc_channel *channel)
{
    const struct asking *asking = context;
    const struct rpc_call_options options = {.deadline_ms = DEADLINE_MS};
    (void)rpc_channel_call(channel, &estreat__v1__snapshot__descriptor, asking->method,
                           asking->request, &options, on_result, asking->asked);
    return true;
}

static bool ask(struct snapshot_link *link, uint64_t member, enum snapshot_method method,
                const ProtobufCMessage *request, snapshot_answer_fn done, void *context)
{
    struct snapshot_link_rpc *rpc = (struct snapshot_link_rpc *)link;
    struct asked *asked = rpc->ways == NULL ? NULL : alloc_new(rpc->alloc, sizeof *asked);
    if (asked == NULL) {
        return false;
    }
    *asked = (struct asked){.alloc = rpc->alloc, .done = done, .context = context};
    struct asking asking = {.method = method, .request = request, .asked = asked};
    if (!ways_use(rpc->ways, member, ask_on, &asking)) {
        alloc_free(rpc->alloc, asked);
        return false;
    }
    return true;
}

enum status snapshot_link_rpc_new(struct alloc *alloc, const struct config *config,
                                  struct snapshot_link_rpc **out, struct snapshot_link **link,
                                  struct error *err)
{
    struct snapshot_link_rpc *rpc = alloc_zeroed(alloc, 1, sizeof *rpc);
    if (rpc == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the snapshots' link");
    }
    rpc->link.ask = ask;
    rpc->alloc = alloc;
    rpc->config = config;
    *out = rpc;
    *link = &rpc->link;
    return STATUS_OK;
}

enum status snapshot_link_rpc_use(struct snapshot_link_rpc *rpc, struct rpc_loop *loop,
                                  const char *instance, struct error *err)
{
    const struct config *config = rpc->config;
    const struct ways_options options = {
        .alloc = rpc->alloc,
        .loop = loop,
        .self = config_raft_id(config, config_self(config)),
        .channel = {.frame_bytes_max = PEER_FRAME_BYTES_MAX,
                    .cluster_id = config->cluster,
                    .peer_id = config->node_id,
                    .instance = instance},
    };
    return ways_open(&options, &rpc->ways, err);
}

void snapshot_link_rpc_set(struct snapshot_link_rpc *rpc, const struct members *members)
{
    ways_set(rpc->ways, members);
}

void snapshot_link_rpc_meet(struct snapshot_link_rpc *rpc, uint64_t raft_id, const char *endpoint)
{
    ways_meet(rpc->ways, raft_id, endpoint);
}

void snapshot_link_rpc_close(struct snapshot_link_rpc *rpc)
{
    if (rpc != NULL) {
        ways_close(rpc->ways);
        rpc->ways = NULL;
    }
}

void snapshot_link_rpc_free(struct snapshot_link_rpc *rpc)
{
    if (rpc != NULL) {
        alloc_free(rpc->alloc, rpc);
    }
}
