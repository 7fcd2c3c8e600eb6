/* SPDX-License-Identifier: Apache-2.0 */
#include "node/peers.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "rpc/channel.h"
#include "rpc/endpoint.h"
#include "rpc/server.h"
#include "schema/raft.pb-c.h"

#define DRAIN_MS 100

struct peer {
    struct peers *peers;
    uint64_t raft_id;
    struct rpc_channel *channel;
};

struct peers {
    struct alloc *alloc;
    struct clock *clock;
    struct intake_queue *intake;
    uint64_t self;
    struct rpc_loop *loop;
    struct rpc_server *server;
    struct peer others[MEMBERS_MAX];
    unsigned other_count;
};

static void on_step(void *context, struct rpc_server_call *call, const ProtobufCMessage *request)
{
    struct peers *peers = context;
    const Estreat__V1__RaftMessage *wire = (const Estreat__V1__RaftMessage *)request;
    if (wire->to == peers->self) { /* else it is of another cluster, or of none */
        struct peer_message *message = peer_message_new(peers->alloc, wire);
        if (message != NULL) { /* else it counts as lost on the way */
            intake_push(peers->intake, &message->intake, INTAKE_MESSAGE);
        }
    }
    rpc_call_finish(call);
}

static void on_state(void *context, bool connected)
{
    const struct peer *peer = context;
    struct peers *peers = peer->peers;
    if (connected) {
        return;
    }
    struct peer_lost *lost = alloc_new(peers->alloc, sizeof *lost);
    if (lost != NULL) { /* it only saves time */
        *lost = (struct peer_lost){.alloc = peers->alloc, .peer = peer->raft_id};
        intake_push(peers->intake, &lost->intake, INTAKE_UNREACHABLE);
    }
}

/* A wrong address, or one of another cluster: nothing else would tell it. */
static void on_refused(void *context, const char *text)
{
    char quoted[ERROR_TEXT_BYTES];
    (void)context;
    log_write("peers", LOG_WARN, "a member's address refuses this node", "error=%s",
              log_quote(quoted, sizeof quoted, text));
}

static enum status listen_for_peers(struct peers *peers, const struct config *config,
                                    struct error *err)
{
    const struct config_member *self = &config->members[config_self(config)];
    char url[RPC_URL_BYTES_MAX];
    enum status status = rpc_endpoint_url(self->peer, 0, url, err);
    if (status != STATUS_OK) {
        return status;
    }
    const struct rpc_server_options options = {
        .url = url,
        .frame_bytes_max = PEER_FRAME_BYTES_MAX,
        .cluster_id = config->cluster,
        .node_id = config->node_id,
    };
    status = rpc_server_open(peers->loop, &options, &peers->server, err);
    if (status != STATUS_OK) {
        return error_wrap(err, "peer port %s", self->peer);
    }
    const rpc_handler_fn handlers[] = {on_step};
    status =
        rpc_server_register(peers->server, &estreat__v1__raft__descriptor, handlers, peers, err);
    if (status == STATUS_OK) {
        rpc_server_start(peers->server);
    }
    return status;
}

static enum status connect_to(struct peers *peers, const struct config *config, unsigned member,
                              struct error *err)
{
    struct peer *peer = &peers->others[peers->other_count];
    char url[RPC_URL_BYTES_MAX];
    peer->peers = peers;
    peer->raft_id = config_raft_id(config, member);
    enum status status = rpc_endpoint_url(config->members[member].peer, 0, url, err);
    if (status != STATUS_OK) {
        return status;
    }
    const struct rpc_channel_options options = {
        .url = url,
        .frame_bytes_max = PEER_FRAME_BYTES_MAX,
        .cluster_id = config->cluster,
        .peer_id = config->node_id,
        .on_state = on_state,
        .on_refused = on_refused,
        .context = peer,
    };
    status = rpc_channel_open(peers->loop, &options, &peer->channel, err);
    if (status == STATUS_OK) {
        peers->other_count++;
    }
    return status;
}

enum status peers_open(const struct peers_options *options, struct peers **out, struct error *err)
{
    const struct config *config = options->config;
    struct peers *peers = alloc_zeroed(options->alloc, 1, sizeof *peers);
    if (peers == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the peers");
    }
    peers->alloc = options->alloc;
    peers->clock = options->clock;
    peers->intake = options->intake;
    unsigned self = config_self(config);
    peers->self = config_raft_id(config, self);
    peers->loop = options->loop;
    enum status status = listen_for_peers(peers, config, err);
    for (unsigned i = 0; i < config->member_count && status == STATUS_OK; i++) {
        if (i != self) {
            status = connect_to(peers, config, i, err);
        }
    }
    if (status != STATUS_OK) {
        peers_close(peers);
        return status;
    }
    *out = peers;
    return STATUS_OK;
}

void peers_close(struct peers *peers)
{
    if (peers == NULL) {
        return;
    }
    rpc_server_close(peers->server, DRAIN_MS);
    for (unsigned i = 0; i < peers->other_count; i++) {
        rpc_channel_close(peers->others[i].channel);
    }
    alloc_free(peers->alloc, peers);
}

uint16_t peers_port(const struct peers *peers)
{
    return rpc_server_port(peers->server);
}

static bool send_wire(void *context, const Estreat__V1__RaftMessage *wire)
{
    return rpc_channel_send(context, &estreat__v1__raft__descriptor, 0, &wire->base);
}

bool peers_send(struct peers *peers, const struct raft_message *message)
{
    struct rpc_channel *channel = NULL;
    for (unsigned i = 0; i < peers->other_count; i++) {
        if (peers->others[i].raft_id == message->to) {
            channel = peers->others[i].channel;
        }
    }
    return channel != NULL && rpc_channel_connected(channel) &&
           peer_wire(message, clock_realtime_ns(peers->clock), peers->alloc, send_wire, channel);
}
