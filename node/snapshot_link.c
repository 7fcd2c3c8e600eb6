/* SPDX-License-Identifier: Apache-2.0 */
#include "node/snapshot_link.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/sync.h"
#include "rpc/channel.h"
#include "rpc/endpoint.h"
#include "schema/snapshot.pb-c.h"

/* A piece is half a megabyte: what takes longer is a line that does not work. */
#define DEADLINE_MS 10000

struct way {
    uint64_t raft_id;
    char endpoint[ENDPOINT_BYTES_MAX + 1];
    struct rpc_channel *channel; /* NULL until it is first asked */
};

struct snapshot_link_rpc {
    struct snapshot_link link; /* first */
    struct alloc *alloc;
    const struct config *config;
    struct rpc_loop *loop;
    const char *instance;
    struct mutex mutex; /* guards what follows */
    struct way ways[PEERS_KNOWN_MAX];
    unsigned count;
};

struct asked {
    struct alloc *alloc;
    snapshot_answer_fn done;
    void *context;
};

static void on_result(void *context, const struct rpc_result *result)
{
    struct asked *asked = context;
    const struct snapshot_answer answer = {
        .status = result->status, .text = result->text, .message = result->message};
    asked->done(asked->context, &answer);
    alloc_free(asked->alloc, asked);
}

static void open_way(struct snapshot_link_rpc *rpc, struct way *way)
{
    struct error err = ERROR_INIT;
    char url[RPC_URL_BYTES_MAX];
    const struct rpc_channel_options options = {
        .url = url,
        .frame_bytes_max = PEER_FRAME_BYTES_MAX,
        .cluster_id = rpc->config->cluster,
        .peer_id = rpc->config->node_id,
        .instance = rpc->instance,
    };
    enum status status = rpc_endpoint_url(way->endpoint, 0, url, &err);
    if (status == STATUS_OK) {
        status = rpc_channel_open(rpc->loop, &options, &way->channel, &err);
    }
    if (status != STATUS_OK) {
        char text[ERROR_TEXT_BYTES];
        log_write("snapshot", LOG_WARN, "no connection", "to=%s error=%s", way->endpoint,
                  log_quote(text, sizeof text, err.text));
    }
}

static struct rpc_channel *channel_to(struct snapshot_link_rpc *rpc, uint64_t member)
{
    struct rpc_channel *channel = NULL;
    mutex_lock(&rpc->mutex);
    for (unsigned i = 0; i < rpc->count && rpc->loop != NULL; i++) {
        struct way *way = &rpc->ways[i];
        if (way->raft_id == member) {
            if (way->channel == NULL) {
                open_way(rpc, way);
            }
            channel = way->channel;
        }
    }
    mutex_unlock(&rpc->mutex);
    return channel;
}

void snapshot_link_rpc_know(struct snapshot_link_rpc *rpc, uint64_t raft_id, const char *endpoint)
{
    mutex_lock(&rpc->mutex);
    unsigned at = 0;
    while (at < rpc->count && rpc->ways[at].raft_id != raft_id) {
        at++;
    }
    if (at == rpc->count && rpc->count < PEERS_KNOWN_MAX) {
        rpc->ways[rpc->count].raft_id = raft_id;
        (void)snprintf(rpc->ways[rpc->count++].endpoint, sizeof rpc->ways[0].endpoint, "%s",
                       endpoint);
    }
    mutex_unlock(&rpc->mutex);
}

static bool ask(struct snapshot_link *link, uint64_t member, enum snapshot_method method,
                const ProtobufCMessage *request, snapshot_answer_fn done, void *context)
{
    struct snapshot_link_rpc *rpc = (struct snapshot_link_rpc *)link;
    const struct rpc_call_options options = {.deadline_ms = DEADLINE_MS};
    struct rpc_channel *channel = channel_to(rpc, member);
    struct asked *asked = channel == NULL ? NULL : alloc_new(rpc->alloc, sizeof *asked);
    if (asked == NULL) {
        return false;
    }
    *asked = (struct asked){.alloc = rpc->alloc, .done = done, .context = context};
    (void)rpc_channel_call(channel, &estreat__v1__snapshot__descriptor, method, request, &options,
                           on_result, asked);
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
    mutex_init(&rpc->mutex);
    *out = rpc;
    *link = &rpc->link;
    return STATUS_OK;
}

void snapshot_link_rpc_use(struct snapshot_link_rpc *rpc, struct rpc_loop *loop,
                           const char *instance)
{
    mutex_lock(&rpc->mutex);
    rpc->loop = loop;
    rpc->instance = instance;
    mutex_unlock(&rpc->mutex);
}

void snapshot_link_rpc_close(struct snapshot_link_rpc *rpc)
{
    if (rpc == NULL) {
        return;
    }
    mutex_lock(&rpc->mutex);
    rpc->loop = NULL; /* nothing is opened any more */
    mutex_unlock(&rpc->mutex);
    for (unsigned i = 0; i < rpc->count; i++) {
        rpc_channel_close(rpc->ways[i].channel);
        rpc->ways[i].channel = NULL;
    }
}

void snapshot_link_rpc_free(struct snapshot_link_rpc *rpc)
{
    if (rpc != NULL) {
        mutex_release(&rpc->mutex);
        alloc_free(rpc->alloc, rpc);
    }
}
