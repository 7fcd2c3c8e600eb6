/* SPDX-License-Identifier: Apache-2.0 */
#include "node/peers.h"

#include <stdio.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "node/service_snapshot.h"
#include "node/ways.h"
#include "rpc/endpoint.h"
#include "rpc/server.h"
#include "schema/raft.pb-c.h"

#define DRAIN_MS 100
/* A node that lost its power and comes back is refused while its old connection counts as open
 * (incarnation.h), so a dead one is to be found out soon. */
#define KEEPALIVE_MS 1000U
#define DEAD_MS 5000U

struct peers {
    struct alloc *alloc;
    struct intake_queue *intake;
    const struct config *config;
    struct incarnations *incarnations;
    void (*on_met)(void *context, uint64_t raft_id, const char *endpoint);
    void *context;
    uint64_t self;
    char self_endpoint[ENDPOINT_BYTES_MAX + 1];
    struct rpc_loop *loop;
    struct rpc_server *server;
    struct ways *ways; /* for what this node sends */
};

static void on_state(void *context, bool connected)
{
    const struct way *way = context;
    struct peers *peers = way->context;
    if (connected) {
        return;
    }
    struct peer_lost *lost = alloc_new(peers->alloc, sizeof *lost);
    if (lost != NULL) { /* it only saves time */
        *lost = (struct peer_lost){.alloc = peers->alloc, .peer = way->raft_id};
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

/* Who listens at a member's address must be that member. */
static enum status accept_server(void *context, const struct rpc_hello *server, struct error *err)
{
    const struct way *way = context;
    struct peers *peers = way->context;
    if (raft_id_of(server->peer_id) != way->raft_id) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "node %.64s is at %.200s, another member's", server->peer_id,
                         way->endpoint);
    }
    return incarnations_accept(peers->incarnations, server->peer_id, server->instance, err);
}

static enum status accept_client(void *context, const struct rpc_hello *client, struct error *err)
{
    struct peers *peers = context;
    return incarnations_arrive(peers->incarnations, client->peer_id, client->instance, err);
}

static void on_client_gone(void *context, const struct rpc_hello *client)
{
    struct peers *peers = context;
    incarnations_leave(peers->incarnations, client->peer_id);
}

/* A member that this node has not heard of tells where it is to be answered: the leader that adds
 * this node, or one that was added while this node was away. */
static void get_acquainted(struct peers *peers, const Estreat__V1__RaftMessage *wire)
{
    if (wire->sender_endpoint[0] != '\0') {
        ways_meet(peers->ways, wire->from, wire->sender_endpoint);
        peers->on_met(peers->context, wire->from, wire->sender_endpoint);
    }
}

static void on_step(void *context, struct rpc_server_call *call, const ProtobufCMessage *request)
{
    struct peers *peers = context;
    const Estreat__V1__RaftMessage *wire = (const Estreat__V1__RaftMessage *)request;
    if (wire->to == peers->self) { /* else it is of another cluster, or of none */
        get_acquainted(peers, wire);
        struct peer_message *message = peer_message_new(peers->alloc, wire);
        if (message != NULL) { /* else it counts as lost on the way */
            intake_push(peers->intake, &message->intake, INTAKE_MESSAGE);
        }
    }
    rpc_call_finish(call);
}

static enum status open_ways(struct peers *peers, struct error *err)
{
    const struct ways_options options = {
        .alloc = peers->alloc,
        .loop = peers->loop,
        .self = peers->self,
        .channel = {.frame_bytes_max = PEER_FRAME_BYTES_MAX,
                    .cluster_id = peers->config->cluster,
                    .peer_id = peers->config->node_id,
                    .instance = incarnations_own(peers->incarnations),
                    .accept_peer = accept_server,
                    .on_state = on_state,
                    .on_refused = on_refused},
        .at_once = true,
        .context = peers,
    };
    return ways_open(&options, &peers->ways, err);
}

static enum status listen_for_peers(struct peers *peers, const struct config *config,
                                    struct snapshot_source *snapshots, struct error *err)
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
        .instance = incarnations_own(peers->incarnations),
        .keepalive_ms = KEEPALIVE_MS,
        .idle_ms = DEAD_MS,
        .accept_peer = accept_client,
        .on_peer_gone = on_client_gone,
        .context = peers,
    };
    status = rpc_server_open(peers->loop, &options, &peers->server, err);
    if (status != STATUS_OK) {
        return error_wrap(err, "peer port %s", self->peer);
    }
    const rpc_handler_fn handlers[] = {on_step};
    status =
        rpc_server_register(peers->server, &estreat__v1__raft__descriptor, handlers, peers, err);
    if (status == STATUS_OK) {
        status = service_snapshot_register(snapshots, peers->server, err);
    }
    if (status == STATUS_OK) {
        rpc_server_start(peers->server);
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
    peers->intake = options->intake;
    unsigned self = config_self(config);
    peers->self = config_raft_id(config, self);
    peers->loop = options->loop;
    peers->config = config;
    peers->incarnations = options->incarnations;
    peers->on_met = options->on_met;
    peers->context = options->context;
    memcpy(peers->self_endpoint, config->members[self].peer, sizeof peers->self_endpoint);
    enum status status = open_ways(peers, err);
    if (status == STATUS_OK) {
        status = listen_for_peers(peers, config, options->snapshots, err);
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
    ways_close(peers->ways);
    alloc_free(peers->alloc, peers);
}

uint16_t peers_port(const struct peers *peers)
{
    return rpc_server_port(peers->server);
}

void peers_set(struct peers *peers, const struct members *members)
{
    ways_set(peers->ways, members);
}

struct sending {
    const struct peers *peers;
    const struct raft_message *message;
    const struct peer_news *news;
    struct rpc_channel *channel;
};

/* Who is added must learn where to answer. Entries follow questions, so those need not say it. */
static bool send_wire(void *context, const Estreat__V1__RaftMessage *wire)
{
    const struct sending *sending = context;
    Estreat__V1__RaftMessage message = *wire;
    if (message.n_entries == 0) {
        message.sender_endpoint = (char *)(uintptr_t)sending->peers->self_endpoint;
    }
    return rpc_channel_send(sending->channel, &estreat__v1__raft__descriptor, 0, &message.base);
}

static bool send_on(void *context, struct rpc_channel *channel)
{
    struct sending *sending = context;
    const struct peers *peers = sending->peers;
    sending->channel = channel;
    return rpc_channel_connected(channel) &&
           peer_wire(sending->message, sending->news, peers->alloc, send_wire, sending);
}

bool peers_send(struct peers *peers, const struct raft_message *message,
                const struct peer_news *news)
{
    struct sending sending = {.peers = peers, .message = message, .news = news};
    return ways_use(peers->ways, message->to, send_on, &sending);
}
