/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

/* Faults go on until half of the operations have begun, at least and at most this long. */
#define STORM_MIN_NS (3 * NS_PER_S)
#define STORM_MAX_NS (8 * NS_PER_S)
#define PATIENCE_NS (60 * NS_PER_S)

bool sim_run_until(struct sim *sim, bool (*done)(const struct sim *sim), uint64_t limit_ns)
{
    uint64_t end_ns = sim->world.now_ns + limit_ns;
    while (sim->world.broken == NULL && !done(sim)) {
        if (!world_step_before(&sim->world, end_ns)) {
            return false;
        }
    }
    return sim->world.broken == NULL;
}

static bool storm_is_over(const struct sim *sim)
{
    uint64_t now_ns = sim->world.now_ns;
    bool long_enough =
        now_ns >= STORM_MAX_NS || (now_ns >= STORM_MIN_NS && sim->ops_begun * 2 >= sim->op_count);
    return long_enough && sim->faults >= 10 && sim->crashes >= 1;
}

static bool all_is_answered(const struct sim *sim)
{
    return clients_are_done(sim) && ending_converged(sim);
}

static void end(struct sim *sim)
{
    if (!sim_run_until(sim, storm_is_over, 10 * PATIENCE_NS)) {
        world_break(&sim->world, "the cluster goes on under faults",
                    "%" PRIu64 " of %" PRIu64 " operations after %" PRIu64 " s", sim->ops_done,
                    sim->op_count, (uint64_t)(sim->world.now_ns / NS_PER_S));
        return;
    }
    weather_heal(sim);
    if (!sim_run_until(sim, all_is_answered, PATIENCE_NS)) {
        world_break(&sim->world, "all is answered and alike once faults have ended",
                    "%" PRIu64 " of %" PRIu64 " operations", sim->ops_done, sim->op_count);
        return;
    }
    ending_flush(sim);
    if (!sim_run_until(sim, ending_flushed, PATIENCE_NS)) {
        world_break(&sim->world, "all can be flushed", "after %" PRIu64 " s",
                    (uint64_t)(PATIENCE_NS / NS_PER_S));
        return;
    }
    ending_check(sim);
    damage_at_end(sim);
}

static uint64_t memory_most(const struct sim *sim)
{
    uint64_t most = 0;
    for (unsigned i = 0; i < sim->node_count; i++) {
        uint64_t bytes = sim->nodes[i].memory.bytes_most;
        most = bytes > most ? bytes : most;
    }
    return most;
}

void sim_tell(struct sim *sim, const char *format, ...)
{
    char line[400];
    if (sim->tell == NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    sim->tell(sim->tell_context, line);
}

void sim_init(struct sim *sim, const struct sim_options *options)
{
    world_init(&sim->world, options->seed, options->tracing);
    membership_draw(sim, options->nodes);
    sim->read_count = sim->scripted ? 0 : options->ops / 2;
    sim->op_count = options->ops - sim->read_count;
    sim->unsettled = !sim->scripted && options->seed % 5 == 2;
    weather_draw(sim);
    checks_init(sim);
    clients_init(sim);
    for (unsigned i = 0; i < sim->node_count; i++) {
        node_init(sim, i);
    }
}

void sim_release(struct sim *sim)
{
    for (unsigned i = 0; i < sim->node_count; i++) {
        node_release(&sim->nodes[i]);
    }
    calls_release(sim);
    checks_release(sim);
    pool_release(&sim->pool);
    for (uint64_t i = 0; i < sim->ops_begun; i++) {
        free(sim->ops[i].name);
    }
    free(sim->ops);
    world_release(&sim->world);
}

void sim_run(const struct sim_options *options, struct sim_result *result)
{
    struct sim *sim = calloc(1, sizeof *sim);
    CHECK(sim != NULL);
    sim_init(sim, options);
    for (unsigned i = 0; i < sim->node_count; i++) {
        node_boot(&sim->nodes[i]);
    }
    clients_begin(sim);
    weather_begin(sim);
    membership_begin(sim);
    end(sim);
    *result = (struct sim_result){.broken = sim->world.broken,
                                  .trace = sim->world.trace,
                                  .ops = sim->ops_done + sim->reads,
                                  .faults = sim->faults,
                                  .crashes = sim->crashes,
                                  .repeats = sim->repeats,
                                  .reads = sim->reads,
                                  .damaged = sim->damaged,
                                  .noticed = sim->noticed,
                                  .salvaged = sim->salvaged,
                                  .snapshots = sim->snapshots,
                                  .changes = sim->changes,
                                  .compared = sim->compared,
                                  .memory_most = memory_most(sim),
                                  .events = sim->world.events_run,
                                  .seconds = (double)sim->world.now_ns / 1e9};
    memcpy(result->text, sim->world.broken_text, sizeof result->text);
    sim_release(sim);
    free(sim);
}
