/* SPDX-License-Identifier: Apache-2.0 */
#include "node/snapshot_link.h"

#include "base/alloc.h"
#include "base/log.h"
#include "rpc/channel.h"
#include "rpc/endpoint.h"
#include "schema/snapshot.pb-c.h"

/* A piece is half a megabyte: what takes longer is a line that does not work. */
#define DEADLINE_MS 10000

struct snapshot_link_rpc {
    struct snapshot_link link; /* first */
    struct alloc *alloc;
    const struct config *config;
    struct rpc_loop *loop;
    struct rpc_channel *channels[MEMBERS_MAX]; /* by the member's place in the configuration */
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

static struct rpc_channel *channel_to(struct snapshot_link_rpc *rpc, uint64_t member)
{
    const struct config *config = rpc->config;
    struct error err = ERROR_INIT;
    char url[RPC_URL_BYTES_MAX];
    unsigned at = 0;
    while (at < config->member_count && config_raft_id(config, at) != member) {
        at++;
    }
    if (at == config->member_count || rpc->channels[at] != NULL) {
        return at == config->member_count ? NULL : rpc->channels[at];
    }
    const struct rpc_channel_options options = {
        .url = url,
        .frame_bytes_max = PEER_FRAME_BYTES_MAX,
        .cluster_id = config->cluster,
        .peer_id = config->node_id,
    };
    enum status status = rpc_endpoint_url(config->members[at].peer, 0, url, &err);
    if (status == STATUS_OK) {
        status = rpc_channel_open(rpc->loop, &options, &rpc->channels[at], &err);
    }
    if (status != STATUS_OK) {
        char text[ERROR_TEXT_BYTES];
        log_write("snapshot", LOG_WARN, "no connection", "to=%s error=%s", config->members[at].id,
                  log_quote(text, sizeof text, err.text));
    }
    return rpc->channels[at];
}

static bool ask(struct snapshot_link *link, uint64_t member, enum snapshot_method method,
                const ProtobufCMessage *request, snapshot_answer_fn done, void *context)
{
    struct snapshot_link_rpc *rpc = (struct snapshot_link_rpc *)link;
    const struct rpc_call_options options = {.deadline_ms = DEADLINE_MS};
    struct rpc_channel *channel = rpc->loop == NULL ? NULL : channel_to(rpc, member);
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
    *out = rpc;
    *link = &rpc->link;
    return STATUS_OK;
}

void snapshot_link_rpc_use(struct snapshot_link_rpc *rpc, struct rpc_loop *loop)
{
    rpc->loop = loop;
}

void snapshot_link_rpc_close(struct snapshot_link_rpc *rpc)
{
    for (unsigned i = 0; rpc != NULL && i < MEMBERS_MAX; i++) {
        rpc_channel_close(rpc->channels[i]);
        rpc->channels[i] = NULL;
    }
}

void snapshot_link_rpc_free(struct snapshot_link_rpc *rpc)
{
    if (rpc != NULL) {
        alloc_free(rpc->alloc, rpc);
    }
}
