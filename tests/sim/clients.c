/* SPDX-License-Identifier: Apache-2.0
 *
 * A client has operations in flight, each with a number of its session; it repeats one
 * that got no answer, at the node that it takes for the leader, until it has one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/coding.h"
#include "schema/log.pb-c.h"
#include "sim.h"

#define PATIENCE_NS (300 * NS_PER_MS)
#define PAUSE_MAX_NS (20 * NS_PER_MS)
#define THINK_MAX_NS (8 * NS_PER_MS)
#define AHEAD_MAX_NS (2 * NS_PER_S)  /* twice what a clock may differ and count */
#define READ_MAX_NS (20 * NS_PER_MS) /* while faults strike; often in vain */
#define READ_HEALED_MAX_NS (2 * NS_PER_MS)

enum { LOG_APPEND = 0 };

static void begin_next(void *context, uint64_t client);

size_t op_payload(const struct sim *sim, uint64_t op, unsigned i, uint8_t out[128])
{
    size_t length = 16 + (op * 31 + i * 7) % 100;
    memset(out, (int)(op & 0xff), length);
    put_le64(out, op);
    put_le64(out + 8, sim->world.seed + i);
    return length;
}

size_t key_of(unsigned number, uint8_t out[32])
{
    return (size_t)snprintf((char *)out, 32, "key-%u", number % SIM_KEYS);
}

size_t op_key(const struct sim *sim, uint64_t op, unsigned i, uint8_t out[32])
{
    return key_of(sim->ops[op].key + i, out);
}

/* --- requests -------------------------------------------------------------------------------- */

struct attempt {
    struct sim *sim;
    uint64_t op;
    unsigned number;
};

static void on_answer(void *context, const struct rpc_result *result);

static void ask(struct sim *sim, uint64_t op)
{
    struct sim_op *of = &sim->ops[op];
    struct sim_client *client = &sim->clients[of->client];
    uint8_t payloads[SIM_EVENTS_PER_OP_MAX][128];
    uint8_t keys[SIM_EVENTS_PER_OP_MAX][32];
    Estreat__V1__NewEvent events[SIM_EVENTS_PER_OP_MAX];
    Estreat__V1__NewEvent *pointers[SIM_EVENTS_PER_OP_MAX];
    Estreat__V1__AppendRequest message = ESTREAT__V1__APPEND_REQUEST__INIT;
    for (unsigned i = 0; i < of->events; i++) {
        estreat__v1__new_event__init(&events[i]);
        events[i].key.data = keys[i];
        events[i].key.len = op_key(sim, op, i, keys[i]);
        events[i].payload.data = payloads[i];
        events[i].payload.len = op_payload(sim, op, i, payloads[i]);
        pointers[i] = &events[i];
    }
    message.client_id.data = client->session.client_id;
    message.client_id.len = CLIENT_ID_BYTES;
    message.sequence = of->sequence;
    message.acknowledged_below = client->session.low;
    message.first_attempt_ns = of->first_attempt_ns;
    message.events = pointers;
    message.n_events = of->events;
    const struct attempt attempt = {.sim = sim, .op = op, .number = of->attempt};
    calls_ask(sim, &(struct sim_asking){.from = SIM_CLIENT,
                                        .to = client->leader_guess,
                                        .service = &estreat__v1__log__descriptor,
                                        .method = LOG_APPEND,
                                        .request = &message.base,
                                        .patience_ns = of->once ? UINT64_MAX : PATIENCE_NS,
                                        .done = on_answer,
                                        .context = &attempt,
                                        .context_bytes = sizeof attempt});
}

static void attempt(void *context, uint64_t op)
{
    struct sim *sim = context;
    struct sim_op *of = &sim->ops[op];
    if (of->done) {
        return;
    }
    of->attempt++;
    ask(sim, op);
    if (of->first_attempt_ns == 0) {
        uint64_t log_time_ns = sim->clients[of->client].session.log_time_ns;
        of->first_attempt_ns = log_time_ns > 0 ? log_time_ns : 1;
    }
}

/* --- answers --------------------------------------------------------------------------------- */

/* One wrong clock moves no event's time ahead. */
static void check_time(struct sim *sim, uint64_t op, uint64_t time_ns)
{
    bool at_most_one = (sim->clocks_wrong & (sim->clocks_wrong - 1)) == 0;
    uint64_t now_ns = SIM_EPOCH_NS + sim->world.now_ns;
    if (at_most_one && !sim->scripted && time_ns > now_ns + AHEAD_MAX_NS) {
        world_break(&sim->world, "one wrong clock does not run ahead",
                    "op %" PRIu64 " is %" PRIu64 " s ahead", op,
                    (uint64_t)((time_ns - now_ns) / NS_PER_S));
    }
}

static void take_response(struct sim *sim, uint64_t number,
                          const Estreat__V1__AppendResponse *response)
{
    struct sim_op *op = &sim->ops[number];
    struct sim_client *client = &sim->clients[op->client];
    bool repeated = response->repeated_request != 0;
    world_note(&sim->world, repeated ? "repeated" : "acknowledged", number, response->position);
    checks_acknowledged(sim, number, response->position,
                        (uint32_t)(response->size - response->position));
    check_time(sim, number, response->time_ns);
    session_saw_time(&client->session, response->time_ns);
    if (response->n_versions != (repeated ? 0 : op->events)) {
        world_break(&sim->world, "each event of an append gets a version", "op %" PRIu64 ": %zu",
                    number, response->n_versions);
        return;
    }
    for (size_t i = 0; i < response->n_versions; i++) {
        op->versions[i] = response->versions[i] + 1;
    }
    if (!op->done) {
        op->done = true;
        op->ended_ns = sim->world.now_ns;
        op->time_ns = response->time_ns;
        op->position = response->position;
        session_end(&client->session, op->sequence);
        client->in_flight--;
        sim->ops_done++;
        sim->repeats += repeated;
        if (op->name != NULL) {
            sim_tell(sim, "%s is at %" PRIu64, op->name, op->position);
        }
        world_post(&sim->world, world_draw(&sim->world, THINK_MAX_NS), begin_next, sim, op->client);
    }
}

/* Whom the answer names, or any. */
static unsigned whom_to_ask(struct sim *sim, struct rpc_metadata_list metadata)
{
    struct slice endpoint;
    bool told = rpc_metadata_get(metadata, RPC_METADATA_LEADER_ENDPOINT, &endpoint);
    for (unsigned i = 0; told && i < sim->node_count; i++) {
        const struct config *config = &sim->nodes[i].config;
        if (slice_equal(endpoint, slice_of_string(config->members[config_self(config)].client))) {
            return i;
        }
    }
    return (unsigned)world_draw(&sim->world, sim->node_count);
}

static void on_answer(void *context, const struct rpc_result *result)
{
    const struct attempt *of = context;
    struct sim *sim = of->sim;
    struct sim_op *op = &sim->ops[of->op];
    if (result->status == STATUS_OK) {
        take_response(sim, of->op, (const Estreat__V1__AppendResponse *)result->message);
        return;
    }
    if (op->done || op->attempt != of->number) {
        return;
    }
    bool silent = result->status == STATUS_DEADLINE_EXCEEDED;
    if (!silent && result->status != STATUS_UNAVAILABLE &&
        result->status != STATUS_RESOURCE_EXHAUSTED) {
        world_break(&sim->world, "an append is refused only for a while", "op %" PRIu64 ": %s",
                    of->op, status_name(result->status));
    }
    if (op->once) {
        op->refused = result->status;
        sim_tell(sim, "%s is refused: %s", op->name, status_name(result->status));
        return;
    }
    sim->clients[op->client].leader_guess = whom_to_ask(sim, result->metadata);
    world_post(&sim->world, silent ? 0 : world_draw(&sim->world, PAUSE_MAX_NS), attempt, sim,
               of->op);
}

/* --- life ------------------------------------------------------------------------------------ */

bool clients_are_done(const struct sim *sim)
{
    return sim->ops_done == sim->op_count && sim->reads >= sim->read_count &&
           clients_were_served(sim);
}

static void read_now(void *context, uint64_t argument)
{
    struct sim *sim = context;
    struct sim_node *node = &sim->nodes[world_draw(&sim->world, sim->node_count)];
    (void)argument;
    if (node->running) {
        uint64_t drawn = world_draw(&sim->world, 8);
        clients_read(node, drawn == 0   ? SIM_READ_LOCAL
                           : drawn <= 2 ? SIM_READ_AT_LEAST
                                        : SIM_READ_LINEARIZABLE);
    }
    if (!clients_are_done(sim)) {
        uint64_t max_ns = sim->healed ? READ_HEALED_MAX_NS : READ_MAX_NS;
        world_post(&sim->world, world_draw(&sim->world, max_ns), read_now, sim, 0);
    }
}

/* Mostly one: events cost the most, and it is operations that count. */
static unsigned events_of_one(struct sim *sim)
{
    uint64_t drawn = world_draw(&sim->world, 8);
    return drawn < SIM_EVENTS_PER_OP_MAX ? 1 + (unsigned)drawn : 1;
}

void clients_attempt(struct sim *sim, uint64_t op)
{
    attempt(sim, op);
}

uint64_t clients_append(struct sim *sim, unsigned client, unsigned node, unsigned events,
                        unsigned key)
{
    struct sim_client *from = &sim->clients[client];
    CHECK(sim->ops_begun < sim->op_count);
    CHECK(session_has_room(&from->session));
    uint64_t op = sim->ops_begun++;
    sim->ops[op] = (struct sim_op){.sequence = session_begin(&from->session),
                                   .began_ns = sim->world.now_ns,
                                   .floor = sim->checks.acknowledged_end,
                                   .client = client,
                                   .key = key,
                                   .events = events};
    from->in_flight++;
    from->leader_guess = node;
    return op;
}

static void begin_next(void *context, uint64_t number)
{
    struct sim *sim = context;
    struct sim_client *client = &sim->clients[number];
    while (client->in_flight < SIM_IN_FLIGHT && sim->ops_begun < sim->op_count &&
           session_has_room(&client->session)) {
        unsigned key = (unsigned)world_draw(&sim->world, SIM_KEYS);
        attempt(sim,
                clients_append(sim, client->number, client->leader_guess, events_of_one(sim), key));
    }
}

void clients_go_on(struct sim *sim)
{
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        world_post(&sim->world, world_draw(&sim->world, 50 * NS_PER_MS), begin_next, sim, i);
    }
}

void clients_init(struct sim *sim)
{
    sim->ops = calloc(sim->op_count, sizeof *sim->ops);
    CHECK(sim->ops != NULL);
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        sim->clients[i] = (struct sim_client){.number = i};
        session_init(&sim->clients[i].session, &sim->world.rng.rng);
    }
}

void clients_begin(struct sim *sim)
{
    world_post(&sim->world, world_draw(&sim->world, READ_MAX_NS), read_now, sim, 0);
    clients_go_on(sim);
}
