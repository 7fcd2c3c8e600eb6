/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "sim.h"

static void strike(void *context, uint64_t argument);

void weather_draw(struct sim *sim)
{
    struct world *world = &sim->world;
    static const uint64_t delays_ms[] = {1, 2, 5, 15};
    static const uint64_t disks_ms[] = {1, 2, 10};
    sim->weather = (struct weather){
        .loss_permille = (unsigned)(world_chance(world, 500) ? 0 : world_draw(world, 50)),
        .repeat_permille = (unsigned)(world_chance(world, 500) ? 0 : world_draw(world, 50)),
        .delay_max_ns = delays_ms[world_draw(world, 4)] * NS_PER_MS,
        .disk_max_ns = disks_ms[world_draw(world, 3)] * NS_PER_MS,
        .job_max_ns = (1 + world_draw(world, 5)) * NS_PER_MS,
        .fault_max_ns = (40 + world_draw(world, 200)) * NS_PER_MS,
    };
}

static struct sim_node *any_node(struct sim *sim)
{
    return &sim->nodes[world_draw(&sim->world, sim->node_count)];
}

static void power_failure(struct sim *sim, struct sim_node *node)
{
    if (!node->running) {
        return;
    }
    if (world_chance(&sim->world, 500)) {
        /* In the middle of what it does next. */
        fs_crash_stop_at(node->disk, world_draw(&sim->world, 12));
    } else {
        node_crash(node, weather_down_ns(sim));
    }
}

/* Often short: it comes back while what it was part of goes on. */
uint64_t weather_down_ns(struct sim *sim)
{
    bool quick = world_chance(&sim->world, 500);
    return world_draw(&sim->world, (quick ? 15 : 500) * NS_PER_MS);
}

void weather_election(struct sim *sim)
{
    if (!sim->healed && world_chance(&sim->world, 150)) {
        struct sim_node *node = any_node(sim);
        if (node->running) {
            sim->faults++;
            world_note(&sim->world, "fault at an election", node->number, 0);
            fs_crash_stop_at(node->disk, world_draw(&sim->world, 6));
        }
    }
}

static void cut_off(struct sim *sim)
{
    memset(sim->cut, 0, sizeof sim->cut);
    if (world_chance(&sim->world, 300)) {
        return; /* all hear each other again */
    }
    for (unsigned i = 0; i < sim->node_count; i++) {
        bool side = world_chance(&sim->world, 400);
        for (unsigned j = 0; j < sim->node_count; j++) {
            if (i != j && side) {
                sim->cut[i][j] = true;                           /* it is not heard */
                sim->cut[j][i] = world_chance(&sim->world, 600); /* as a rule it does not hear */
            }
        }
    }
}

static void strike(void *context, uint64_t argument)
{
    struct sim *sim = context;
    struct world *world = &sim->world;
    (void)argument;
    if (sim->healed) {
        return;
    }
    uint64_t what = world_draw(world, 100);
    world_note(world, "fault", what, 0);
    sim->faults++;
    if (what < 6) {
        /* A sync fails, once: the node must stop there and then. */
        node_fail_sync(any_node(sim), world_draw(world, 20));
    } else if (what < 30) {
        power_failure(sim, any_node(sim));
    } else if (what < 35) {
        for (unsigned i = 0; i < sim->node_count; i++) {
            power_failure(sim, &sim->nodes[i]);
        }
    } else if (what < 65) {
        cut_off(sim);
    } else if (what < 85) {
        any_node(sim)->paused_until_ns = world->now_ns + world_draw(world, 600 * NS_PER_MS);
    } else if (what < 95) {
        /* A clock that is wrong by up to ten years, either way. */
        any_node(sim)->clock.offset_ns =
            (int64_t)world_draw(world, 20ULL * 365 * 86400 * NS_PER_S) -
            (int64_t)(10ULL * 365 * 86400 * NS_PER_S);
    } else {
        weather_draw(sim);
    }
    world_post(world, world_draw(world, sim->weather.fault_max_ns), strike, sim, 0);
}

void weather_begin(struct sim *sim)
{
    world_post(&sim->world, world_draw(&sim->world, 500 * NS_PER_MS), strike, sim, 0);
}

void weather_heal(struct sim *sim)
{
    sim->healed = true;
    memset(sim->cut, 0, sizeof sim->cut);
    sim->weather.loss_permille = 0;
    sim->weather.repeat_permille = 0;
    sim->weather.delay_max_ns = 1 * NS_PER_MS;
    sim->weather.disk_max_ns = 1 * NS_PER_MS;
    for (unsigned i = 0; i < sim->node_count; i++) {
        sim->nodes[i].paused_until_ns = 0;
        fs_crash_stop_at(sim->nodes[i].disk, UINT64_MAX);
        node_fail_sync(&sim->nodes[i], UINT64_MAX);
    }
}
