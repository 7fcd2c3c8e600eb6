/* SPDX-License-Identifier: Apache-2.0
 *
 * A node's turns are events: the driver's when something was pushed to it or is due,
 * the applier's, a step of a background job, the end of a write. What is left to do is
 * looked for after each of them (settle).
 */
#include "node/proposals.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim.h"

#define TURN_DELAY_MAX_NS 20000U

static void settle(struct sim_node *node);
static void on_turn(void *context, uint64_t life);

static struct sim_node *node_of(struct replier *replier)
{
    return ((struct sim_replier *)replier)->node;
}

/* --- clock ---------------------------------------------------------------------------------- */

static uint64_t monotonic_ns(struct clock *clock)
{
    const struct sim_clock *sim_clock = (const struct sim_clock *)clock;
    return NS_PER_S + sim_clock->world->now_ns;
}

static uint64_t realtime_ns(struct clock *clock)
{
    const struct sim_clock *sim_clock = (const struct sim_clock *)clock;
    return (uint64_t)((int64_t)(1700000000 * NS_PER_S + sim_clock->world->now_ns) +
                      sim_clock->offset_ns);
}

/* --- answers -------------------------------------------------------------------------------- */

static void call_unlink(struct sim_call *call)
{
    *call->link = call->next;
    if (call->next != NULL) {
        call->next->link = call->link;
    }
}

static void tell(struct sim_node *node, struct append_call *opaque,
                 const struct append_outcome *outcome)
{
    struct sim_call *call = (struct sim_call *)(void *)opaque;
    call_unlink(call);
    if (node->dying) {
        free(call);
        return;
    }
    clients_answer(node->sim, call, outcome);
}

static void on_refuse(struct replier *replier, struct append_call *call,
                      const struct append_failure *failure)
{
    struct sim_node *node = node_of(replier);
    struct append_outcome outcome = {.status = failure->status, .leader = UINT_MAX};
    for (unsigned i = 0; failure->leader_endpoint != NULL && i < node->sim->node_count; i++) {
        if (strcmp(node->config.members[i].client, failure->leader_endpoint) == 0) {
            outcome.leader = i;
        }
    }
    tell(node, call, &outcome);
}

static void on_answer(struct replier *replier, struct reply_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct append_reply *reply = &batch->replies[i];
        const struct append_outcome outcome = {.ok = true,
                                               .repeated = reply->repeated,
                                               .position = reply->position,
                                               .time_ns = reply->time_ns,
                                               .count = reply->count,
                                               .leader = UINT_MAX};
        tell(node_of(replier), reply->call, &outcome);
    }
    reply_batch_free(batch);
}

void node_append(struct sim_node *node, struct slice request, struct sim_call *call)
{
    Estreat__V1__AppendRequest *message =
        estreat__v1__append_request__unpack(NULL, request.length, request.data);
    struct proposal *proposal = NULL;
    struct error err = ERROR_INIT;
    CHECK(message != NULL);
    enum status status = proposal_new(alloc_default(), message, node->config.salt, &node->rng.rng,
                                      (struct append_call *)(void *)call, &proposal, &err);
    CHECK(status == STATUS_OK);
    estreat__v1__append_request__free_unpacked(message, NULL);
    call->next = node->calls;
    call->link = &node->calls;
    if (call->next != NULL) {
        call->next->link = &call->next;
    }
    node->calls = call;
    driver_propose(node->replica->driver, proposal);
}

/* --- reads ---------------------------------------------------------------------------------- */

struct sim_read {
    struct read_barrier barrier; /* first */
    struct sim_node *node;
    uint64_t floor; /* events that were acknowledged when it began */
};

static void on_read_ready(struct read_barrier *barrier, enum status status, const char *text)
{
    struct sim_read *read = (struct sim_read *)barrier;
    struct sim_node *node = read->node;
    (void)text;
    if (status == STATUS_OK && !node->dying) {
        uint64_t size = applied_get(&node->replica->applied).size;
        node->sim->reads++;
        if (size < read->floor) {
            world_break(&node->sim->world, "a linearizable read sees what was acknowledged before",
                        "n%u: %" PRIu64 " of %" PRIu64, node->number + 1, size, read->floor);
        }
    }
    free(read);
}

void node_read(struct sim_node *node)
{
    struct sim_read *read = calloc(1, sizeof *read);
    CHECK(read != NULL);
    *read = (struct sim_read){
        .barrier = {.deadline_ns = monotonic_ns(&node->clock.clock) + 500 * NS_PER_MS,
                    .ready = on_read_ready},
        .node = node,
        .floor = node->sim->checks.acknowledged_end};
    driver_read(node->replica->driver, &read->barrier);
}

/* --- faults of the disk ---------------------------------------------------------------------- */

void node_fail_sync(struct sim_node *node, uint64_t at)
{
    node->syncs_failed += fs_faulty_hit(&node->faulty);
    fs_faulty_arm(&node->faulty, (struct fs_fault){.call = FS_CALL_SYNC, .at = at});
}

static bool has_sync_failed(struct sim_node *node)
{
    return node->syncs_failed + fs_faulty_hit(&node->faulty) > 0;
}

/* --- turns ---------------------------------------------------------------------------------- */

/* Whether an event of `life` may run now; a paused node's events wait. */
static bool may_run(struct sim_node *node, uint64_t life, void (*run)(void *context, uint64_t life))
{
    struct world *world = &node->sim->world;
    if (life != node->life || !node->running) {
        return false;
    }
    if (node->paused_until_ns > world->now_ns) {
        world_post(world, node->paused_until_ns - world->now_ns, run, node, life);
        return false;
    }
    return true;
}

static void on_call(void *context)
{
    struct sim_node *node = context;
    if (!node->dying) {
        world_post(&node->sim->world, world_draw(&node->sim->world, TURN_DELAY_MAX_NS), on_turn,
                   node, node->life);
    }
}

static void on_timer(void *context, uint64_t life);

static void driver_takes_turn(struct sim_node *node)
{
    struct world *world = &node->sim->world;
    uint64_t due_ns = 0;
    bool goes_on = driver_turn(node->replica->driver, &due_ns);
    CHECK(goes_on);
    checks_after_driver(node);
    if (due_ns != UINT64_MAX && (!node->timer_posted || due_ns < node->timer_at_ns)) {
        uint64_t now_ns = monotonic_ns(&node->clock.clock);
        node->timer_posted = true;
        node->timer_at_ns = due_ns;
        world_post(world, due_ns > now_ns ? due_ns - now_ns : 0, on_timer, node, node->life);
    }
    settle(node);
}

static void on_turn(void *context, uint64_t life)
{
    struct sim_node *node = context;
    if (may_run(node, life, on_turn)) {
        driver_takes_turn(node);
    }
}

static void on_timer(void *context, uint64_t life)
{
    struct sim_node *node = context;
    if (may_run(node, life, on_timer) && node->timer_posted &&
        node->timer_at_ns <= monotonic_ns(&node->clock.clock)) {
        node->timer_posted = false;
        driver_takes_turn(node);
    }
}

static void on_apply(void *context, uint64_t life)
{
    struct sim_node *node = context;
    if (may_run(node, life, on_apply)) {
        node->apply_posted = false;
        bool goes_on = applier_turn(node->replica->applier);
        CHECK(goes_on);
        checks_after_applier(node);
        settle(node);
    }
}

static void on_engine(void *context, uint64_t life)
{
    struct sim_node *node = context;
    if (may_run(node, life, on_engine)) {
        node->engine_posted = false;
        (void)executor_manual_step(&node->engine);
        settle(node);
    }
}

static void on_loads(void *context, uint64_t life)
{
    struct sim_node *node = context;
    if (may_run(node, life, on_loads)) {
        node->loads_posted = false;
        (void)executor_manual_step(&node->loads);
        settle(node);
    }
}

static void on_io(void *context, uint64_t life)
{
    struct sim_node *node = context;
    if (may_run(node, life, on_io)) {
        node->io_posted = false;
        world_note(&node->sim->world, "durable", node->number, 0);
        (void)io_queue_manual_complete(&node->io);
        settle(node);
    }
}

static void post_once(struct sim_node *node, bool *posted, bool wanted, uint64_t max_ns,
                      void (*run)(void *context, uint64_t life))
{
    if (wanted && !*posted) {
        *posted = true;
        world_post(&node->sim->world, world_draw(&node->sim->world, max_ns + 1), run, node,
                   node->life);
    }
}

/* After each event of the node: what is there to do next? */
static void settle(struct sim_node *node)
{
    const struct weather *weather = &node->sim->weather;
    if (fs_crash_stopped(node->disk) || node->fatal) {
        if (node->fatal && !fs_crash_stopped(node->disk) && !has_sync_failed(node)) {
            world_break(&node->sim->world, "a node stops only for a fault of its disk",
                        "node %u: %s", node->number, node->fatal_error.text);
        }
        node_crash(node, weather_down_ns(node->sim));
        return;
    }
    post_once(node, &node->apply_posted, !applier_is_idle(node->replica->applier),
              TURN_DELAY_MAX_NS, on_apply);
    post_once(node, &node->engine_posted, executor_manual_queued(&node->engine) > 0,
              weather->job_max_ns, on_engine);
    post_once(node, &node->loads_posted, executor_manual_queued(&node->loads) > 0,
              weather->job_max_ns, on_loads);
    post_once(node, &node->io_posted, io_queue_manual_pending(&node->io) > 0, weather->disk_max_ns,
              on_io);
}

/* Somebody would sleep: others' work goes on meanwhile. */
static void on_wait(void *context)
{
    struct sim_node *node = context;
    (void)executor_manual_step(&node->engine);
    (void)io_queue_manual_complete(&node->io);
}

/* --- life ------------------------------------------------------------------------------------ */

static bool on_send(void *context, const struct raft_message *message)
{
    const struct sim_node *node = context;
    return node->dying || network_send(node->sim, node->number, message);
}

static void on_fatal(void *context, const struct error *err)
{
    struct sim_node *node = context;
    node->fatal = true;
    node->fatal_error = *err;
}

static void on_boot(void *context, uint64_t life);

/* What was not synced is kept or lost; the disk works again. */
static void power_returns(struct sim_node *node, uint64_t down_ns)
{
    struct sim *sim = node->sim;
    fs_crash_now(node->disk, world_draw(&sim->world, UINT64_MAX));
    fs_crash_stop_at(node->disk, UINT64_MAX);
    node_fail_sync(node, UINT64_MAX);
    node->syncs_failed = 0;
    world_post(&sim->world, down_ns, on_boot, node, node->life);
}

void node_boot(struct sim_node *node)
{
    struct sim *sim = node->sim;
    struct error err = ERROR_INIT;
    CHECK(!node->running);
    node->life++;
    node->dying = false;
    node->fatal = false;
    node->apply_posted = false;
    node->engine_posted = false;
    node->loads_posted = false;
    node->io_posted = false;
    node->timer_posted = false;
    node->applied_index = 0;
    node->applied_size = 0;
    node->stored_index = 0;
    node->commit = 0;
    node->term = 0;
    io_queue_manual_init(&node->io, &node->clock.clock);
    executor_manual_init(&node->engine, world_draw(&sim->world, UINT64_MAX));
    executor_manual_init(&node->loads, world_draw(&sim->world, UINT64_MAX));
    const struct replica_options options = {
        .config = &node->config,
        .alloc = alloc_default(),
        .clock = &node->clock.clock,
        .rng = &node->rng.rng,
        .fs = &node->faulty.fs,
        .io = &node->io.queue,
        .engine = &node->engine.executor,
        .loads = &node->loads.executor,
        .replier = &node->replier.replier,
        .send = on_send,
        .on_fatal = on_fatal,
        .on_wait = on_wait,
        .context = node,
    };
    enum status status = replica_open(&options, &node->replica, &err);
    if (status != STATUS_OK && has_sync_failed(node)) {
        power_returns(node, weather_down_ns(sim)); /* and it is started once more */
        return;
    }
    if (status != STATUS_OK) {
        world_break(&sim->world, "a node comes back after a crash", "node %u: %s: %s", node->number,
                    status_name(status), err.text);
        return;
    }
    node->running = true;
    world_note(&sim->world, "boot", node->number, node->replica->recovered.last_index);
    intake_open(&node->replica->intake, on_call, node);
    node->stored_index = node->replica->recovered.last_index;
    checks_after_applier(node);
    settle(node);
}

static void on_boot(void *context, uint64_t life)
{
    struct sim_node *node = context;
    if (!node->running && life == node->life) {
        node_boot(node);
    }
}

/* Ends the replica whose disk answers nothing any more: a process that is gone leaves no work
 * behind, and none of this reaches the disk. */
static void bury(struct sim_node *node)
{
    node->dying = true;
    replica_end_driver(node->replica);
    applier_ask_to_stop(node->replica->applier);
    while (applier_turn(node->replica->applier)) {
    }
    replica_end_applier(node->replica);
    replica_close(node->replica);
    node->replica = NULL;
    while (node->calls != NULL) {
        struct sim_call *call = node->calls;
        call_unlink(call);
        free(call);
    }
}

void node_crash(struct sim_node *node, uint64_t down_ns)
{
    struct sim *sim = node->sim;
    CHECK(node->running);
    world_note(&sim->world, "crash", node->number, 0);
    sim->crashes++;
    fs_crash_stop(node->disk);
    bury(node);
    node->running = false;
    power_returns(node, down_ns);
}

void node_init(struct sim *sim, unsigned number)
{
    struct sim_node *node = &sim->nodes[number];
    *node = (struct sim_node){.sim = sim, .number = number};
    node->disk = fs_crash_new();
    fs_faulty_init(&node->faulty, fs_crash_fs(node->disk));
    node->clock = (struct sim_clock){
        .clock = {.monotonic_ns = monotonic_ns, .realtime_ns = realtime_ns}, .world = &sim->world};
    rng_seeded_init(&node->rng, world_draw(&sim->world, UINT64_MAX));
    node->replier =
        (struct sim_replier){.replier = {.refuse = on_refuse, .answer = on_answer}, .node = node};
    struct config *config = &node->config;
    (void)snprintf(config->node_id, sizeof config->node_id, "n%u", number + 1);
    (void)snprintf(config->data, sizeof config->data, "data");
    (void)snprintf(config->cluster, sizeof config->cluster, "sim");
    (void)snprintf(config->origin, sizeof config->origin, "sim");
    config->member_count = sim->node_count;
    for (unsigned i = 0; i < sim->node_count; i++) {
        struct config_member *member = &config->members[i];
        (void)snprintf(member->id, sizeof member->id, "n%u", i + 1);
        (void)snprintf(member->client, sizeof member->client, "n%u:8970", i + 1);
        (void)snprintf(member->peer, sizeof member->peer, "n%u:8971", i + 1);
    }
    config->heartbeat_ms = 40;
    config->election_ms = 200;
    config->memtable_bytes = 64 * KIB;
    config->block_cache_bytes = 1 * MIB;
    config->segment_bytes = 64 * KIB;
    config->retain_bytes = 1024 * MIB;
    config->reserve_bytes = 0;
    config->salt = true;
}

void node_release(struct sim_node *node)
{
    if (node->running) {
        fs_crash_stop(node->disk);
        bury(node);
        node->running = false;
    }
    fs_faulty_release(&node->faulty);
    fs_crash_free(node->disk);
}
