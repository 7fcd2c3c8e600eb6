/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "sim.h"

static void strike(void *context, uint64_t argument);

void weather_draw(struct sim *sim)
{
    struct world *world = &sim->world;
    static const uint64_t delays_ms[] = {1, 2, 5, 15};
    static const uint64_t turns_us[] = {20, 200, 1000, 2000};
    static const uint64_t disks_ms[] = {1, 2, 10};
    sim->weather = (struct weather){
        .loss_permille = (unsigned)(world_chance(world, 500) ? 0 : world_draw(world, 50)),
        .repeat_permille = (unsigned)(world_chance(world, 500) ? 0 : world_draw(world, 50)),
        .delay_max_ns = delays_ms[world_draw(world, 4)] * NS_PER_MS,
        .disk_max_ns = disks_ms[world_draw(world, 3)] * NS_PER_MS,
        .turn_max_ns = turns_us[world_draw(world, 4)] * NS_PER_MS / 1000,
        .job_max_ns = (1 + world_draw(world, 5)) * NS_PER_MS,
        .fault_max_ns = (40 + world_draw(world, 200)) * NS_PER_MS,
    };
}

static struct sim_node *any_node(struct sim *sim)
{
    return &sim->nodes[world_draw(&sim->world, sim->node_count)];
}

static bool power_failure(struct sim *sim, struct sim_node *node)
{
    if (!node->running) {
        return false;
    }
    if (world_chance(&sim->world, 500)) {
        /* In the middle of what it does next. */
        fs_crash_stop_at(node->disk, world_draw(&sim->world, 12));
    } else {
        node_crash(node, weather_down_ns(node));
    }
    return true;
}

uint64_t weather_takes(struct sim *sim, uint64_t max_ns)
{
    return sim->weather.exact ? max_ns : world_draw(&sim->world, max_ns + 1);
}

/* Often short: it comes back while what it was part of goes on. */
uint64_t weather_down_ns(struct sim_node *node)
{
    struct world *world = &node->sim->world;
    bool quick = world_chance(world, 500) || node->returns_quickly;
    node->returns_quickly = false;
    return world_draw(world, (quick ? 15 : 500) * NS_PER_MS);
}

/* Somebody's vote is on its way to the disk. Power fails now or soon after, for a moment, and some
 * links are held up: what was asked before is heard after. */
void weather_election(struct sim_node *node)
{
    struct sim *sim = node->sim;
    struct world *world = &sim->world;
    if (sim->healed || !node->running || !world_chance(world, 300)) {
        return;
    }
    struct sim_node *victim = world_chance(world, 700) ? node : any_node(sim);
    sim->faults++;
    world_note(world, "fault at an election", victim->number, 0);
    for (unsigned from = 0; from < sim->node_count; from++) {
        for (unsigned to = 0; to < sim->node_count; to++) {
            if (world_chance(world, 400)) {
                sim->clog_until_ns[from][to] = world->now_ns + world_draw(world, 80 * NS_PER_MS);
            }
        }
    }
    if (victim->running) {
        fs_crash_stop_at(victim->disk, world_draw(world, 4));
        victim->returns_quickly = true;
    }
}

static void on_voter_fails(void *context, uint64_t life)
{
    struct sim_node *node = context;
    if (node->running && node->life == life) {
        node_crash(node, weather_down_ns(node));
    }
}

/* The power fails as the vote has left; who else campaigns is heard only after the return, and has
 * not heard of whom the vote was for. */
void weather_voted(struct sim_node *node, unsigned for_whom)
{
    struct sim *sim = node->sim;
    struct world *world = &sim->world;
    if (sim->healed || !sim->unsettled || !world_chance(world, 300)) {
        return;
    }
    sim->faults++;
    world_note(world, "fault after a vote", node->number, for_whom);
    for (unsigned i = 0; i < sim->node_count; i++) {
        if (i != for_whom && i != node->number) {
            sim->clog_until_ns[i][node->number] = world->now_ns + world_draw(world, 40 * NS_PER_MS);
            sim->clog_until_ns[for_whom][i] = world->now_ns + world_draw(world, 80 * NS_PER_MS);
        }
    }
    node->returns_quickly = true;
    world_post(world, world_draw(world, NS_PER_MS), on_voter_fails, node, node->life);
}

/* It has just been elected: its first messages reach few, or its power fails soon. */
void weather_elected(struct sim_node *node)
{
    struct sim *sim = node->sim;
    struct world *world = &sim->world;
    if (sim->healed || !sim->unsettled || !world_chance(world, 600)) {
        return;
    }
    sim->faults++;
    world_note(world, "fault after an election", node->number, 0);
    for (unsigned to = 0; to < sim->node_count; to++) {
        if (world_chance(world, 600)) {
            sim->clog_until_ns[node->number][to] =
                world->now_ns + world_draw(world, 200 * NS_PER_MS);
        }
    }
    fs_crash_stop_at(node->disk, world_draw(world, 16));
    node->returns_quickly = true;
}

/* It has been asked to change the members, and few hear of it: others may elect one of theirs, who
 * is asked for another change. */
void weather_change(struct sim_node *node)
{
    struct sim *sim = node->sim;
    struct world *world = &sim->world;
    if (sim->healed || !world_chance(world, 200)) {
        return;
    }
    sim->faults++;
    world_note(world, "fault at a change", node->number, 0);
    uint64_t until_ns = world->now_ns + world_draw(world, 600 * NS_PER_MS);
    for (unsigned to = 0; to < sim->node_count; to++) {
        if (world_chance(world, 800)) {
            sim->clog_until_ns[node->number][to] = until_ns;
        }
    }
}

/* Two do not hear each other, or one not the other; all others hear both. */
static bool cut_link(struct sim *sim)
{
    uint64_t one = world_draw(&sim->world, sim->node_count);
    uint64_t other = (one + 1 + world_draw(&sim->world, sim->node_count - 1)) % sim->node_count;
    sim->cut[one][other] = true;
    sim->cut[other][one] = world_chance(&sim->world, 500);
    return true;
}

static bool cut_off(struct sim *sim)
{
    bool any = false;
    memset(sim->cut, 0, sizeof sim->cut);
    if (world_chance(&sim->world, 300)) {
        return false; /* all hear each other again */
    }
    /* Where members change, sides that know nothing of each other show more. */
    if (!sim->changing && world_chance(&sim->world, 200)) {
        return cut_link(sim);
    }
    for (unsigned i = 0; i < sim->node_count; i++) {
        bool side = world_chance(&sim->world, 400);
        bool mute = sim->changing || world_chance(&sim->world, 750);
        for (unsigned j = 0; j < sim->node_count; j++) {
            if (i != j && side) {
                sim->cut[i][j] = mute;                                    /* it is not heard */
                sim->cut[j][i] = !mute || world_chance(&sim->world, 600); /* nor does it hear */
                any = true;
            }
        }
    }
    return any;
}

/* What a link carries arrives much later. */
static void hold_up(struct sim *sim)
{
    uint64_t from = world_draw(&sim->world, sim->node_count);
    uint64_t until_ns = sim->world.now_ns + world_draw(&sim->world, 300 * NS_PER_MS);
    for (unsigned to = 0; to < sim->node_count; to++) {
        if (world_chance(&sim->world, 500)) {
            sim->clog_until_ns[from][to] = until_ns;
        }
    }
}

static void fail_io(struct sim *sim, struct sim_node *node)
{
    static const enum fs_call calls[] = {FS_CALL_SYNC,   FS_CALL_SYNC,     FS_CALL_WRITE,
                                         FS_CALL_READ,   FS_CALL_READ,     FS_CALL_SYNC_DIR,
                                         FS_CALL_RENAME, FS_CALL_TRUNCATE, FS_CALL_OPEN,
                                         FS_CALL_UNLINK, FS_CALL_ALLOCATE, FS_CALL_ANY};
    size_t n = world_draw(&sim->world, sizeof calls / sizeof calls[0]);
    uint64_t at = world_draw(&sim->world, 20);
    node_fail_io(node, calls[n], at, world_chance(&sim->world, 500));
}

static void refuse_memory(struct sim *sim, struct sim_node *node)
{
    node->memory.pass = world_draw(&sim->world, 200);
    node->memory.fail = 1 + world_draw(&sim->world, 8);
}

static void any_time_of_day(struct sim *sim, struct sim_node *node)
{
    const uint64_t years_ns = 10ULL * 365 * 86400 * NS_PER_S;
    sim->clocks_wrong |= 1U << node->number;
    node->clock.offset_ns =
        (int64_t)world_draw(&sim->world, 2 * years_ns) - (int64_t)years_ns; /* either way */
}

/* Whether anything was done. An I/O error is counted when it is met (node_fail_io). */
static bool strike_node(struct sim *sim, struct sim_node *node, uint64_t what)
{
    struct world *world = &sim->world;
    if (what < 6) {
        fail_io(sim, node);
        return false;
    }
    if (what < 10) {
        node_fill_disk(node, world_draw(world, 128 * KIB), world_draw(world, 600 * NS_PER_MS));
    } else if (what < 13) {
        refuse_memory(sim, node);
    } else if (what < 16) {
        return damage_strike(node);
    } else if (what < 38) {
        return power_failure(sim, node);
    } else if (what < 53) {
        node->paused_until_ns = world->now_ns + world_draw(world, 600 * NS_PER_MS);
    } else {
        any_time_of_day(sim, node);
    }
    return node->running;
}

static bool strike_all(struct sim *sim)
{
    bool any = false;
    for (unsigned i = 0; i < sim->node_count; i++) {
        any = power_failure(sim, &sim->nodes[i]) || any;
    }
    return any;
}

static void strike(void *context, uint64_t argument)
{
    struct sim *sim = context;
    struct world *world = &sim->world;
    bool struck = true;
    (void)argument;
    if (sim->healed) {
        return;
    }
    uint64_t what = world_draw(world, 100);
    world_note(world, "fault", what, 0);
    if (what < 60) {
        struck = strike_node(sim, any_node(sim), what);
    } else if (what < 64) {
        struck = strike_all(sim);
    } else if (what < 90) {
        struck = cut_off(sim);
    } else if (what < 96) {
        hold_up(sim);
    } else {
        weather_draw(sim);
        struck = false;
    }
    sim->faults += struck ? 1 : 0;
    world_post(world, world_draw(world, sim->weather.fault_max_ns), strike, sim, 0);
}

void weather_begin(struct sim *sim)
{
    world_post(&sim->world, world_draw(&sim->world, 500 * NS_PER_MS), strike, sim, 0);
}

void weather_heal(struct sim *sim)
{
    sim->healed = true;
    sim->weather.exact = true; /* packets keep their order, as those of a connection do */
    memset(sim->cut, 0, sizeof sim->cut);
    memset(sim->clog_until_ns, 0, sizeof sim->clog_until_ns);
    sim->weather.loss_permille = 0;
    sim->weather.repeat_permille = 0;
    sim->weather.delay_max_ns = 1 * NS_PER_MS;
    sim->weather.disk_max_ns = 1 * NS_PER_MS;
    for (unsigned i = 0; i < sim->node_count; i++) {
        struct sim_node *node = &sim->nodes[i];
        node->paused_until_ns = 0;
        node->memory.fail = 0;
        fs_crash_stop_at(node->disk, UINT64_MAX);
        node_fail_io(node, FS_CALL_ANY, UINT64_MAX, false);
        node_free_disk(node);
    }
}
