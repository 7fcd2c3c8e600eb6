/* SPDX-License-Identifier: Apache-2.0 */
#include "node/peers.h"

#include "base/check.h"
#include "base/limits.h"
#include "rpc/channel.h"
#include "rpc/endpoint.h"
#include "rpc/server.h"
#include "schema/raft.pb-c.h"

/* The entries of one message: the driver's bound in bytes, divided by the least entry. */
#define ENTRIES_PER_MESSAGE_MAX 65536U
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

void peer_message_free(struct peer_message *message)
{
    for (size_t i = 0; i < message->message.entry_count; i++) {
        raft_entry_unref(message->entries[i]);
    }
    alloc_free(message->alloc, message);
}

static struct raft_message message_of(const Estreat__V1__RaftMessage *wire)
{
    return (struct raft_message){
        .type = (enum raft_message_type)wire->type,
        .reject = wire->reject,
        .from = wire->from,
        .to = wire->to,
        .term = wire->term,
        .index = wire->index,
        .log_term = wire->log_term,
        .commit = wire->commit,
        .hint_index = wire->hint_index,
        .hint_term = wire->hint_term,
        .context = wire->context,
        .applied = wire->applied,
        .retain_index = wire->retain_index,
    };
}

static bool take_entries(struct peer_message *message, const Estreat__V1__RaftMessage *wire)
{
    for (size_t i = 0; i < wire->n_entries; i++) {
        const Estreat__V1__RaftEntry *from = wire->entries[i];
        struct raft_entry *entry = raft_entry_new(message->alloc, wire->index + 1 + i, from->term,
                                                  from->type, (uint32_t)from->data.len);
        if (entry == NULL) {
            return false;
        }
        if (from->data.len > 0) {
            memcpy(entry->data, from->data.data, from->data.len);
        }
        message->entries[i] = entry;
        message->message.entry_count++;
    }
    message->message.entries = message->entries;
    return true;
}

static void on_step(void *context, struct rpc_server_call *call, const ProtobufCMessage *request)
{
    struct peers *peers = context;
    const Estreat__V1__RaftMessage *wire = (const Estreat__V1__RaftMessage *)request;
    if (wire->to != peers->self || wire->n_entries > ENTRIES_PER_MESSAGE_MAX) {
        goto done; /* of another cluster, or of none */
    }
    struct peer_message *message =
        alloc_new(peers->alloc, sizeof *message + wire->n_entries * sizeof(struct raft_entry *));
    if (message == NULL) {
        goto done; /* as if it was lost on the way */
    }
    *message = (struct peer_message){
        .alloc = peers->alloc,
        .message = message_of(wire),
        .clock_ns = wire->clock_ns,
    };
    if (!take_entries(message, wire)) {
        peer_message_free(message);
        goto done;
    }
    intake_push(peers->intake, &message->intake, INTAKE_MESSAGE);
done:
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

/* The envelopes of a message's entries; most messages have few, so they fit the stack. */
#define ENVELOPES_ON_STACK 64U

static bool send_wire(struct peers *peers, struct rpc_channel *channel,
                      const struct raft_message *message, Estreat__V1__RaftEntry *envelopes,
                      Estreat__V1__RaftEntry **pointers)
{
    Estreat__V1__RaftMessage wire = ESTREAT__V1__RAFT_MESSAGE__INIT;
    wire.type = (Estreat__V1__RaftMessageType)message->type;
    wire.reject = message->reject;
    wire.from = message->from;
    wire.to = message->to;
    wire.term = message->term;
    wire.index = message->index;
    wire.log_term = message->log_term;
    wire.commit = message->commit;
    wire.hint_index = message->hint_index;
    wire.hint_term = message->hint_term;
    wire.context = message->context;
    wire.applied = message->applied;
    wire.retain_index = message->retain_index;
    wire.clock_ns = clock_realtime_ns(peers->clock);
    for (size_t i = 0; i < message->entry_count; i++) {
        struct raft_entry *entry = message->entries[i];
        estreat__v1__raft_entry__init(&envelopes[i]);
        envelopes[i].term = entry->term;
        envelopes[i].type = entry->type;
        envelopes[i].data.data = entry->data;
        envelopes[i].data.len = entry->length;
        pointers[i] = &envelopes[i];
    }
    wire.entries = pointers;
    wire.n_entries = message->entry_count;
    return rpc_channel_send(channel, &estreat__v1__raft__descriptor, 0, &wire.base);
}

bool peers_send(struct peers *peers, const struct raft_message *message)
{
    struct rpc_channel *channel = NULL;
    for (unsigned i = 0; i < peers->other_count; i++) {
        if (peers->others[i].raft_id == message->to) {
            channel = peers->others[i].channel;
        }
    }
    if (channel == NULL || !rpc_channel_connected(channel)) {
        return false;
    }
    if (message->entry_count <= ENVELOPES_ON_STACK) {
        Estreat__V1__RaftEntry envelopes[ENVELOPES_ON_STACK];
        Estreat__V1__RaftEntry *pointers[ENVELOPES_ON_STACK];
        return send_wire(peers, channel, message, envelopes, pointers);
    }
    const size_t each = sizeof(Estreat__V1__RaftEntry) + sizeof(Estreat__V1__RaftEntry *);
    Estreat__V1__RaftEntry *envelopes = alloc_zeroed(peers->alloc, message->entry_count, each);
    if (envelopes == NULL) {
        return false;
    }
    Estreat__V1__RaftEntry **pointers = (void *)(envelopes + message->entry_count);
    bool sent = send_wire(peers, channel, message, envelopes, pointers);
    alloc_free(peers->alloc, envelopes);
    return sent;
}
