/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "rpc/unpack.h"
#include "sim.h"

struct packet {
    struct sim *sim;
    unsigned from;
    unsigned to;
    size_t length;
    uint8_t bytes[];
};

/* The simulator's own memory for the arena: its failures are not what is tried here. */
static void hand_in(struct sim_node *node, const struct packet *packet)
{
    struct error err = ERROR_INIT;
    struct rpc_arena arena;
    ProtobufCMessage *unpacked = NULL;
    rpc_arena_init(&arena, alloc_default(), 2 * packet->length + 512,
                   rpc_unpack_budget(packet->length));
    enum status status =
        rpc_unpack(&estreat__v1__raft_message__descriptor, slice_of(packet->bytes, packet->length),
                   &arena, &unpacked, &err);
    CHECK(status == STATUS_OK);
    const Estreat__V1__RaftMessage *wire = (const Estreat__V1__RaftMessage *)unpacked;
    struct peer_message *message = peer_message_new(&node->memory.alloc, wire);
    world_note(&node->sim->world, "deliver", packet->to, wire->index);
    if (message != NULL) { /* without memory it is lost */
        intake_push(&node->replica->intake, &message->intake, INTAKE_MESSAGE);
    }
    rpc_arena_release(&arena);
}

static void deliver(void *context, uint64_t argument)
{
    struct packet *packet = context;
    struct sim *sim = packet->sim;
    struct sim_node *node = &sim->nodes[packet->to];
    (void)argument;
    uint64_t clear_ns = sim->clog_until_ns[packet->from][packet->to];
    if (clear_ns > sim->world.now_ns) {
        uint64_t more_ns = weather_takes(sim, NS_PER_MS); /* one after the other, in any order */
        world_post_owned(&sim->world, clear_ns - sim->world.now_ns + more_ns, deliver, packet);
        return;
    }
    uint64_t paused_ns = node_paused_ns(node);
    if (node->running && !node->dying && paused_ns > 0) {
        world_post_owned(&sim->world, paused_ns, deliver, packet);
        return;
    }
    if (node->running && !node->dying && !sim->cut[packet->from][packet->to]) {
        hand_in(node, packet);
    }
    free(packet);
}

static void post(struct sim *sim, struct packet *packet)
{
    uint64_t delay_ns = 50000 + weather_takes(sim, sim->weather.delay_max_ns);
    world_post_owned(&sim->world, delay_ns, deliver, packet);
    sim->packets++;
}

struct sending {
    struct sim *sim;
    unsigned from;
    unsigned to;
};

static bool send_wire(void *context, const Estreat__V1__RaftMessage *wire)
{
    const struct sending *sending = context;
    struct sim *sim = sending->sim;
    size_t length = estreat__v1__raft_message__get_packed_size(wire);
    bool lost = sim->cut[sending->from][sending->to] ||
                world_chance(&sim->world, sim->weather.loss_permille);
    unsigned copies = lost ? 0 : 1 + world_chance(&sim->world, sim->weather.repeat_permille);
    for (unsigned i = 0; i < copies; i++) {
        struct packet *packet = malloc(sizeof *packet + length);
        CHECK(packet != NULL);
        *packet =
            (struct packet){.sim = sim, .from = sending->from, .to = sending->to, .length = length};
        (void)estreat__v1__raft_message__pack(wire, packet->bytes);
        post(sim, packet);
    }
    return true;
}

bool network_send(struct sim *sim, unsigned from, const struct raft_message *message,
                  const struct peer_news *news)
{
    struct sending sending = {.sim = sim, .from = from, .to = sim->node_count};
    for (unsigned i = 0; i < sim->node_count; i++) {
        if (raft_id_of(sim->nodes[i].config.node_id) == message->to) {
            sending.to = i;
        }
    }
    CHECK(sending.to < sim->node_count);
    struct sim_node *node = &sim->nodes[from];
    if (message->type == RAFT_MESSAGE_VOTE_REPLY && !message->reject) {
        weather_voted(node, sending.to);
    }
    return peer_wire(message, news, &node->memory.alloc, send_wire, &sending);
}
