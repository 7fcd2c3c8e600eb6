/* SPDX-License-Identifier: Apache-2.0
 *
 * A node's turns are events: the driver's when something was pushed to it or is due,
 * the applier's, a step of a background job, the end of a write. What is left to do is
 * looked for after each of them (settle).
 */
#include <stdio.h>

#include "base/check.h"
#include "sim.h"

#define IDLE_NS (200 * NS_PER_MS)

/* What one wait of somebody who would sleep takes. */
#define WAIT_NS (5 * NS_PER_MS)

static void restart(struct sim_node *node);
static void on_turn(void *context, uint64_t life);

/* --- clock ---------------------------------------------------------------------------------- */

static uint64_t monotonic_ns(struct clock *clock)
{
    const struct sim_clock *sim_clock = (const struct sim_clock *)clock;
    uint64_t now_ns = sim_clock->world->now_ns;
    return NS_PER_S + (sim_clock->ahead_ns > now_ns ? sim_clock->ahead_ns : now_ns);
}

static uint64_t realtime_ns(struct clock *clock)
{
    const struct sim_clock *sim_clock = (const struct sim_clock *)clock;
    return (uint64_t)((int64_t)(SIM_EPOCH_NS + sim_clock->world->now_ns) + sim_clock->offset_ns);
}

/* --- faults of the disk ---------------------------------------------------------------------- */

void node_fail_io(struct sim_node *node, enum fs_call call, uint64_t at, bool half)
{
    node->io_failed += fs_faulty_hit(&node->faulty);
    node->sim->faults += fs_faulty_hit(&node->faulty);
    fs_faulty_arm(&node->faulty, (struct fs_fault){.call = call, .at = at, .half = half});
}

static bool has_io_failed(struct sim_node *node)
{
    return node->io_failed + fs_faulty_hit(&node->faulty) > 0;
}

void node_free_disk(struct sim_node *node)
{
    node->full_until_ns = 0;
    fs_crash_set_capacity(node->disk, UINT64_MAX);
}

static void free_disk_when_due(struct sim_node *node)
{
    if (node->full_until_ns != 0 && monotonic_ns(&node->clock.clock) >= node->full_until_ns) {
        node_free_disk(node);
    }
}

static void on_disk_free(void *context, uint64_t argument)
{
    (void)argument;
    free_disk_when_due(context);
}

void node_fill_disk(struct sim_node *node, uint64_t bytes, uint64_t for_ns)
{
    fs_crash_set_capacity(node->disk, fs_crash_used(node->disk) + bytes);
    node->full_until_ns = monotonic_ns(&node->clock.clock) + for_ns;
    world_post(&node->sim->world, node->full_until_ns - NS_PER_S - node->sim->world.now_ns,
               on_disk_free, node, 0);
}

/* --- turns ---------------------------------------------------------------------------------- */

uint64_t node_paused_ns(const struct sim_node *node)
{
    uint64_t now_ns = node->sim->world.now_ns;
    uint64_t left_ns = node->paused_until_ns > now_ns ? node->paused_until_ns - now_ns : 0;
    /* A script may resume it at any time. */
    return node->sim->scripted && left_ns > NS_PER_MS ? NS_PER_MS : left_ns;
}

/* Whether an event of `life` may run now; a paused node's events wait. */
static bool may_run(struct sim_node *node, uint64_t life, void (*run)(void *context, uint64_t life))
{
    struct world *world = &node->sim->world;
    if (life != node->life || !node->running) {
        return false;
    }
    uint64_t paused_ns = node_paused_ns(node);
    if (paused_ns > 0) {
        world_post(world, paused_ns, run, node, life);
        return false;
    }
    return true;
}

static void on_call(void *context)
{
    struct sim_node *node = context;
    if (!node->dying) {
        world_post(&node->sim->world, weather_takes(node->sim, node->sim->weather.turn_max_ns),
                   on_turn, node, node->life);
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
    node_settle(node);
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

static void applier_takes_turn(struct sim_node *node)
{
    if (node->applies_nothing) {
        return;
    }
    bool goes_on = applier_turn(node->replica->applier);
    CHECK(goes_on);
    checks_after_applier(node);
    node_settle(node);
}

static void on_apply(void *context, uint64_t life)
{
    struct sim_node *node = context;
    if (may_run(node, life, on_apply)) {
        node->apply_posted = false;
        applier_takes_turn(node);
    }
}

/* Now and then it looks after the engine though there is nothing to apply. */
static void on_idle(void *context, uint64_t life)
{
    struct sim_node *node = context;
    if (may_run(node, life, on_idle)) {
        world_post(&node->sim->world, IDLE_NS, on_idle, node, life);
        applier_takes_turn(node);
    }
}

static void on_engine(void *context, uint64_t life)
{
    struct sim_node *node = context;
    if (may_run(node, life, on_engine)) {
        node->engine_posted = false;
        (void)executor_manual_step(&node->engine);
        node_settle(node);
    }
}

static void on_loads(void *context, uint64_t life)
{
    struct sim_node *node = context;
    if (may_run(node, life, on_loads)) {
        node->loads_posted = false;
        (void)executor_manual_step(&node->loads);
        node_settle(node);
    }
}

static void on_snapshots(void *context, uint64_t life)
{
    struct sim_node *node = context;
    if (may_run(node, life, on_snapshots)) {
        node->snapshots_posted = false;
        (void)executor_manual_step(&node->snapshots);
        node_settle(node);
    }
}

static void on_readers(void *context, uint64_t life)
{
    struct sim_node *node = context;
    if (may_run(node, life, on_readers)) {
        node->readers_posted = false;
        (void)executor_manual_step(&node->readers);
        node_settle(node);
    }
}

static void on_io(void *context, uint64_t life)
{
    struct sim_node *node = context;
    if (may_run(node, life, on_io)) {
        node->io_posted = false;
        world_note(&node->sim->world, "durable", node->number, 0);
        (void)io_queue_manual_complete(&node->io);
        node_settle(node);
    }
}

static void post_once(struct sim_node *node, bool *posted, bool wanted, uint64_t max_ns,
                      void (*run)(void *context, uint64_t life))
{
    if (wanted && !*posted) {
        *posted = true;
        world_post(&node->sim->world, weather_takes(node->sim, max_ns), run, node, node->life);
    }
}

/* A call that failed and want of memory are excuses, but none for finding damage. */
static bool may_stop(struct sim_node *node)
{
    return node->damaged || ((has_io_failed(node) || node->memory.failed) &&
                             node->fatal_error.status != STATUS_DATA_LOSS);
}

void node_settle(struct sim_node *node)
{
    const struct weather *weather = &node->sim->weather;
    if (fs_crash_stopped(node->disk) || node->fatal) {
        if (node->fatal && !fs_crash_stopped(node->disk)) {
            if (!may_stop(node)) {
                world_break(&node->sim->world, "a node stops only for a fault of its disk",
                            "node %u: %s", node->number + 1, node->fatal_error.text);
            }
            node->damage_stops += node->damaged;
            sim_tell(node->sim, "n%u stops: %s", node->number + 1, node->fatal_error.text);
        } else {
            sim_tell(node->sim, "n%u: the power fails", node->number + 1);
        }
        node_crash(node, weather_down_ns(node));
        return;
    }
    if (node->restart) {
        restart(node);
        return;
    }
    if (node->memory.bytes_most > SIM_NODE_BYTES_MAX + 4 * node->config.memtable_bytes) {
        world_break(&node->sim->world, "a node keeps to its memory", "node %u: %lu bytes",
                    node->number + 1, (unsigned long)node->memory.bytes_most);
    }
    char fault[FAULT_TEXT_BYTES];
    if (!node->damaged && fault_get(&node->replica->fault, fault)) {
        world_break(&node->sim->world, "a node is faulty only if its disk is", "node %u: %s",
                    node->number + 1, fault);
    }
    if (node->clock.ahead_ns > node->sim->world.now_ns &&
        node->clock.ahead_ns > node->paused_until_ns) {
        node->paused_until_ns = node->clock.ahead_ns; /* it slept */
    }
    post_once(node, &node->apply_posted,
              !node->applies_nothing && !applier_is_idle(node->replica->applier),
              weather->turn_max_ns, on_apply);
    post_once(node, &node->engine_posted, executor_manual_queued(&node->engine) > 0,
              weather->job_max_ns, on_engine);
    post_once(node, &node->loads_posted, executor_manual_queued(&node->loads) > 0,
              weather->job_max_ns, on_loads);
    post_once(node, &node->snapshots_posted, executor_manual_queued(&node->snapshots) > 0,
              weather->job_max_ns, on_snapshots);
    post_once(node, &node->readers_posted, executor_manual_queued(&node->readers) > 0,
              weather->turn_max_ns, on_readers);
    post_once(node, &node->io_posted, io_queue_manual_pending(&node->io) > 0,
              node->disk_ns > 0 ? node->disk_ns : weather->disk_max_ns, on_io);
}

/* Somebody would sleep: the node's other work goes on meanwhile, and its clock. The rest of the
 * world sees it pause (node_settle). */
static void on_wait(void *context)
{
    struct sim_node *node = context;
    uint64_t now_ns = monotonic_ns(&node->clock.clock) - NS_PER_S;
    node->clock.ahead_ns = now_ns + WAIT_NS;
    free_disk_when_due(node);
    (void)executor_manual_step(&node->engine);
    (void)io_queue_manual_complete(&node->io);
}

/* --- life ------------------------------------------------------------------------------------ */

static bool on_send(void *context, const struct raft_message *message, const struct peer_news *news)
{
    const struct sim_node *node = context;
    return node->dying || network_send(node->sim, node->number, message, news);
}

static void on_fatal(void *context, const struct error *err)
{
    struct sim_node *node = context;
    node->fatal = true;
    node->fatal_error = *err;
}

static void on_restart(void *context)
{
    struct sim_node *node = context;
    node->restart = true;
}

static void on_boot(void *context, uint64_t life);

/* What was not synced is kept or lost, but if the process alone ended; the disk works again. */
static void comes_back(struct sim_node *node, bool process_alone, uint64_t down_ns)
{
    struct sim *sim = node->sim;
    bool returns = damage_may_return(node);
    uint64_t seed = world_draw(&sim->world, UINT64_MAX);
    if (process_alone || node->loses == SIM_LOSES_NOTHING) {
        fs_crash_now_losing_nothing(node->disk);
    } else if (node->loses == SIM_LOSES_ALL) {
        fs_crash_now_losing_all(node->disk);
    } else {
        fs_crash_now(node->disk, seed);
    }
    fs_crash_stop_at(node->disk, UINT64_MAX);
    node_fail_io(node, FS_CALL_ANY, UINT64_MAX, false);
    node->io_failed = 0;
    node->memory.fail = 0;
    node->memory.failed = false;
    node->clock.ahead_ns = 0;
    if (returns && !sim->scripted) {
        world_post(&sim->world, down_ns, on_boot, node, node->life);
    }
}

/* It does not start. That may pass, or be right. */
static void boot_failed(struct sim_node *node, enum status status, const struct error *err)
{
    struct sim *sim = node->sim;
    sim_tell(sim, "n%u does not start: %s", node->number + 1, err->text);
    /* The power may fail in the start that follows an installed snapshot, too. */
    bool passes = fs_crash_stopped(node->disk) || has_io_failed(node) || node->memory.failed ||
                  (status == STATUS_RESOURCE_EXHAUSTED && node->full_until_ns != 0);
    if (!passes && !damage_explains(node, status)) {
        world_break(&sim->world, "a node comes back after a crash", "node %u: %s: %s",
                    node->number + 1, status_name(status), err->text);
        return;
    }
    comes_back(node, !fs_crash_stopped(node->disk), weather_down_ns(node));
}

void node_boot(struct sim_node *node)
{
    struct sim *sim = node->sim;
    struct error err = ERROR_INIT;
    CHECK(!node->running);
    node->life++;
    node->dying = false;
    node->fatal = false;
    node->restart = false;
    node->snapshots_posted = false;
    node->readers_posted = false;
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
    uint64_t order = world_draw(&sim->world, UINT64_MAX); /* of the jobs' steps */
    executor_manual_init(&node->engine, order);
    executor_manual_init(&node->loads, world_draw(&sim->world, UINT64_MAX));
    executor_manual_init(&node->snapshots, order + 1);
    executor_manual_init(&node->readers, order + 2);
    const struct replica_options options = {
        .config = &node->config,
        .alloc = &node->memory.alloc,
        .clock = &node->clock.clock,
        .rng = &node->rng.rng,
        .fs = &node->faulty.fs,
        .io = &node->io.queue,
        .engine = &node->engine.executor,
        .loads = &node->loads.executor,
        .snapshots = &node->snapshots.executor,
        .link = &node->link.link,
        .replier = &node->replier.replier,
        .send = on_send,
        .on_fatal = on_fatal,
        .on_restart = on_restart,
        .on_wait = on_wait,
        .context = node,
    };
    enum status status = replica_open(&options, &node->replica, &err);
    if (status != STATUS_OK) {
        boot_failed(node, status, &err);
        return;
    }
    node->running = true;
    node->server = server_open(node);
    world_note(&sim->world, "boot", node->number, node->replica->recovered.last_index);
    if (node->replica->installed) {
        sim->snapshots++;
        node->installed++;
        world_note(&sim->world, "snapshot", node->number, node->replica->seal.index);
        sim_tell(sim, "n%u installed a snapshot of %lu events", node->number + 1,
                 (unsigned long)node->replica->seal.size);
    }
    const struct refill *refill = &node->replica->refill;
    node->refilling = refill->index != 0;
    if (refill->salvaged) {
        sim->salvaged++;
        sim->noticed += node->damaged;
        world_note(&sim->world, "salvaged", node->number, refill->salvage.last_index);
        sim_tell(sim, "n%u cuts its damaged log after entry %lu, and refills it up to %lu",
                 node->number + 1, (unsigned long)refill->salvage.last_index,
                 (unsigned long)refill->index);
    }
    intake_open(&node->replica->intake, on_call, node);
    node->stored_index = node->replica->recovered.last_index;
    node->matched_index = 0; /* what a recovery makes of a log is looked at as a whole */
    node->matched_term = 0;
    checks_after_applier(node);
    world_post(&sim->world, IDLE_NS, on_idle, node, node->life);
    node_settle(node);
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
    replica_stop_pull(node->replica);
    replica_end_snapshots(node->replica);
    applier_ask_to_stop(node->replica->applier);
    while (applier_turn(node->replica->applier)) {
    }
    replica_end_applier(node->replica);
    while (executor_manual_step(&node->readers)) {
    }
    server_close(node->server);
    node->server = NULL;
    replica_close(node->replica);
    node->replica = NULL;
    CHECK(node->memory.bytes == 0);
}

void node_crash(struct sim_node *node, uint64_t down_ns)
{
    struct sim *sim = node->sim;
    CHECK(node->running);
    world_note(&sim->world, "crash", node->number, 0);
    sim->crashes++;
    bool process_alone = node->fatal && !fs_crash_stopped(node->disk);
    fs_crash_stop(node->disk);
    node->memory.fail = 0;
    bury(node);
    node->running = false;
    comes_back(node, process_alone, down_ns);
}

/* A snapshot is staged: the process closes the replica and opens it again. */
static void restart(struct sim_node *node)
{
    struct sim *sim = node->sim;
    world_note(&sim->world, "restart", node->number, 0);
    bury(node);
    node->running = false;
    if (fs_crash_stopped(node->disk) || node->fatal) {
        sim_tell(sim, "n%u: the power fails as it goes down", node->number + 1);
        comes_back(node, !fs_crash_stopped(node->disk), weather_down_ns(node));
        return;
    }
    node_boot(node);
}

void node_init(struct sim *sim, unsigned number)
{
    struct sim_node *node = &sim->nodes[number];
    *node = (struct sim_node){.sim = sim, .number = number};
    node->disk = fs_crash_new();
    fs_faulty_init(&node->faulty, fs_crash_fs(node->disk));
    node->faulty.sync_failed = fs_crash_sync_failed;
    node->clock = (struct sim_clock){
        .clock = {.monotonic_ns = monotonic_ns, .realtime_ns = realtime_ns}, .world = &sim->world};
    rng_seeded_init(&node->rng, world_draw(&sim->world, UINT64_MAX));
    memory_init(&node->memory, &sim->pool);
    replier_rpc_init(&node->replier, NULL);
    snapshots_init(node);
    struct config *config = &node->config;
    (void)snprintf(config->node_id, sizeof config->node_id, "n%u", number + 1);
    (void)snprintf(config->data, sizeof config->data, "data");
    (void)snprintf(config->cluster, sizeof config->cluster, "sim");
    (void)snprintf(config->origin, sizeof config->origin, "sim");
    config->join = number >= sim->first_members;
    for (unsigned i = 0; i < sim->node_count; i++) {
        if (config->join ? i != number : i >= sim->first_members) {
            continue;
        }
        struct config_member *member = &config->members[config->member_count++];
        (void)snprintf(member->id, sizeof member->id, "n%u", i + 1);
        (void)snprintf(member->client, sizeof member->client, "n%u:8970", i + 1);
        (void)snprintf(member->peer, sizeof member->peer, "n%u:8971", i + 1);
    }
    /* Short ones let two campaign at the same time more often. */
    config->election_ms = sim->unsettled ? 60 : sim->world.seed % 2 == 0 ? 100 : 200;
    config->heartbeat_ms = sim->unsettled ? 20 : 40;
    /* Two or three entries: what a new leader found in its log arrives before what it adds. */
    config->append_bytes = sim->unsettled ? 500 : RAFT_MESSAGE_BYTES_DEFAULT;
    /* At times less than what clients have under way: slow peers are fed from the disk. */
    config->inflight_bytes =
        sim->scripted ? RAFT_INFLIGHT_BYTES_DEFAULT : KIB << sim->world.seed % 7;
    config->entry_cache_bytes =
        sim->scripted ? RAFT_CACHE_BYTES_DEFAULT : (16 * KIB) << world_draw(&sim->world, 4);
    /* Small ones seal, flush and merge often, large ones replay much at a start. */
    config->memtable_bytes = (64 * KIB) << world_draw(&sim->world, 3);
    config->block_cache_bytes = 1 * MIB;
    config->segment_bytes = (64 * KIB) << world_draw(&sim->world, 2);
    /* With little log kept, who was away for long needs a snapshot. */
    config->retain_bytes = sim->world.seed % 3 == 0 ? 160 * KIB : 1024 * MIB;
    config->reserve_bytes = 0;
    config->salt = true;
}

void node_release(struct sim_node *node)
{
    if (node->running) {
        fs_crash_stop(node->disk);
        node->memory.fail = 0;
        bury(node);
        node->running = false;
    }
    fs_faulty_release(&node->faulty);
    fs_crash_free(node->disk);
}
