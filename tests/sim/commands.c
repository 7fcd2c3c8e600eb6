/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "scenario.h"

#define WITHIN_NS (10 * NS_PER_S)

/* --- the cluster ----------------------------------------------------------------------------- */

/* cluster N [spare= seed= first= delay= disk= election= segment_kib= memtable_kib=] */
static bool do_cluster(struct scenario *scenario, const struct scenario_line *line)
{
    struct sim *sim = &scenario->sim;
    uint64_t nodes = 0;
    uint64_t spare = 0;
    uint64_t seed = 1;
    uint64_t election_ns = 200 * NS_PER_MS;
    uint64_t segment_kib = 64;
    uint64_t memtable_kib = 256;
    struct weather weather = {.delay_max_ns = 1 * NS_PER_MS,
                              .disk_max_ns = 1 * NS_PER_MS,
                              .turn_max_ns = 20000,
                              .job_max_ns = 1 * NS_PER_MS,
                              .exact = true};
    if (scenario->begun || !word_count(line->words[1], &nodes) || nodes < 3 ||
        nodes > MEMBERS_MAX ||
        !word_options(line, 2, line->count,
                      "spare seed first delay disk election segment_kib memtable_kib") ||
        !word_set_count(line, "spare", &spare) || spare > MEMBERS_MAX - nodes ||
        !word_set_count(line, "seed", &seed) ||
        !word_set_duration(line, "delay", &weather.delay_max_ns) ||
        !word_set_duration(line, "disk", &weather.disk_max_ns) ||
        !word_set_duration(line, "election", &election_ns) ||
        !word_set_count(line, "segment_kib", &segment_kib) ||
        !word_set_count(line, "memtable_kib", &memtable_kib)) {
        return scenario_refuse(scenario,
                               "cluster 3..7 [spare=N] [seed=N] [first=nX] [delay=T] [disk=T] "
                               "[election=T] [segment_kib=N] [memtable_kib=N], once");
    }
    const struct sim_options options = {.seed = seed,
                                        .nodes = (unsigned)nodes,
                                        .ops = SCENARIO_OPS_MAX,
                                        .tracing = sim->world.tracing};
    sim->scripted = true;
    sim->spare = (unsigned)spare;
    sim_init(sim, &options);
    scenario->begun = true;
    sim->op_count = 0;
    sim->healed = true; /* nothing strikes by itself */
    sim->weather = weather;
    const struct sim_node *first = scenario_node(scenario, word_option(line, "first"));
    for (unsigned i = 0; i < sim->node_count; i++) {
        struct config *config = &sim->nodes[i].config;
        bool waits = first != NULL && &sim->nodes[i] != first;
        config->election_ms = (uint32_t)(election_ns / NS_PER_MS) * (waits ? 3 : 1);
        config->segment_bytes = segment_kib * KIB;
        config->memtable_bytes = memtable_kib * KIB;
    }
    for (unsigned i = 0; i < sim->node_count; i++) {
        node_boot(&sim->nodes[i]);
    }
    return true;
}

/* --- time ------------------------------------------------------------------------------------ */

static bool never(const struct sim *sim)
{
    (void)sim;
    return false;
}

/* run T */
static bool do_run(struct scenario *scenario, const struct scenario_line *line)
{
    uint64_t ns = 0;
    if (!word_duration(line->words[1], &ns)) {
        return scenario_refuse(scenario, "run T");
    }
    (void)sim_run_until(&scenario->sim, never, ns);
    return true;
}

static bool check(struct scenario *scenario, const struct scenario_line *line, bool holds)
{
    if (!holds && scenario->sim.world.broken == NULL) {
        scenario_say(scenario, "NOT SO");
        scenario->failed = true;
    }
    (void)line;
    return true;
}

/* until CONDITION [within=T] */
static bool do_until(struct scenario *scenario, const struct scenario_line *line)
{
    struct world *world = &scenario->sim.world;
    uint64_t ns = WITHIN_NS;
    bool known = word_set_duration(line, "within", &ns);
    uint64_t end_ns = world->now_ns + ns;
    bool holds = known && scenario_holds(scenario, line, 1, &known);
    while (known && !holds && world_step_before(world, end_ns)) {
        holds = scenario_holds(scenario, line, 1, &known);
    }
    return known ? check(scenario, line, holds)
                 : scenario_refuse(scenario, "until CONDITION [within=T]");
}

/* expect CONDITION */
static bool do_expect(struct scenario *scenario, const struct scenario_line *line)
{
    bool known = true;
    bool holds = scenario_holds(scenario, line, 1, &known);
    return known ? check(scenario, line, holds)
                 : scenario_refuse(scenario, "there is no such condition");
}

/* --- clients --------------------------------------------------------------------------------- */

/* append NAME [at=nX] [events=N] [key=N] [once] */
static bool do_append(struct scenario *scenario, const struct scenario_line *line)
{
    struct sim *sim = &scenario->sim;
    uint64_t events = 1;
    uint64_t key = 0;
    const char *at = word_option(line, "at");
    struct sim_node *node = scenario_node(scenario, at == NULL ? "n1" : at);
    bool once = line->count > 2 && word_is(line->words[line->count - 1], "once");
    if (line->count < 2 || !word_options(line, 2, line->count - once, "at events key") ||
        scenario_op(scenario, line->words[1]) != NULL || node == NULL ||
        !word_set_count(line, "events", &events) || events == 0 || events > SIM_EVENTS_PER_OP_MAX ||
        !word_set_count(line, "key", &key) || key >= SIM_KEYS ||
        sim->op_count == SCENARIO_OPS_MAX) {
        return scenario_refuse(scenario,
                               "append NAME [at=nX] [events=1..3] [key=0..39] [once], a new name");
    }
    sim->op_count++;
    uint64_t op = clients_append(sim, (unsigned)(sim->ops_begun % SIM_CLIENTS), node->number,
                                 (unsigned)events, (unsigned)key);
    sim->ops[op].name = strdup(line->words[1]);
    sim->ops[op].once = once;
    clients_attempt(sim, op);
    return true;
}

/* load N */
static bool do_load(struct scenario *scenario, const struct scenario_line *line)
{
    struct sim *sim = &scenario->sim;
    uint64_t count = 0;
    if (!word_count(line->words[1], &count) || count > SCENARIO_OPS_MAX - sim->op_count) {
        return scenario_refuse(scenario, "load N");
    }
    sim->op_count += count;
    clients_go_on(sim);
    return true;
}

/* read nX */
static bool do_read(struct scenario *scenario, struct sim_node *node,
                    const struct scenario_line *line)
{
    (void)line;
    if (!node->running) {
        return scenario_refuse(scenario, "it does not run");
    }
    clients_read(node, SIM_READ_LINEARIZABLE);
    return true;
}

/* flush nX */
static bool do_flush(struct scenario *scenario, struct sim_node *node,
                     const struct scenario_line *line)
{
    struct sim *sim = &scenario->sim;
    (void)line;
    if (!node->running || node->flush.waits) {
        return scenario_refuse(scenario, "it does not run, or flushes already");
    }
    ending_flush_node(node);
    while (node->flush.waits && world_step_before(&sim->world, sim->world.now_ns + NS_PER_S)) {
    }
    return check(scenario, line, node->flush.done);
}

/* --- the end --------------------------------------------------------------------------------- */

static bool all_is_answered(const struct sim *sim)
{
    return sim->ops_done == sim->op_count && ending_converged(sim);
}

/* end: those that are down and can start do, the network heals, and all is compared. */
static bool do_end(struct scenario *scenario, const struct scenario_line *line)
{
    struct sim *sim = &scenario->sim;
    weather_heal(sim);
    sim->weather.exact = true;
    for (unsigned i = 0; i < sim->node_count; i++) {
        node_free_disk(&sim->nodes[i]);
        sim->nodes[i].disk_ns = 0;
        sim->nodes[i].applies_nothing = false;
        if (!sim->nodes[i].running && !sim->nodes[i].out) {
            node_boot(&sim->nodes[i]);
        }
    }
    for (uint64_t i = 0; i < sim->ops_begun; i++) {
        if (!sim->ops[i].done && sim->ops[i].once) {
            sim->ops[i].once = false; /* its client asks again */
            clients_attempt(sim, i);
        }
    }
    bool alike = sim_run_until(sim, all_is_answered, 6 * WITHIN_NS);
    if (alike) {
        ending_flush(sim);
        alike = sim_run_until(sim, ending_flushed, WITHIN_NS);
    }
    if (alike) {
        ending_check(sim);
        scenario_say(scenario, "all are alike, with %lu events",
                     (unsigned long)sim->checks.acknowledged_end);
    }
    return check(scenario, line, alike);
}

/* --- all of them ----------------------------------------------------------------------------- */

bool scenario_command(struct scenario *scenario, const struct scenario_line *line)
{
    static const struct {
        const char *name;
        bool (*run)(struct scenario *scenario, const struct scenario_line *line);
        bool (*run_at)(struct scenario *scenario, struct sim_node *node,
                       const struct scenario_line *line);
    } commands[] = {
        {"cluster", do_cluster, NULL},
        {"run", do_run, NULL},
        {"until", do_until, NULL},
        {"expect", do_expect, NULL},
        {"append", do_append, NULL},
        {"load", do_load, NULL},
        {"read", NULL, do_read},
        {"cut", scenario_cut, NULL},
        {"join", scenario_join, NULL},
        {"clog", scenario_clog, NULL},
        {"crash", NULL, scenario_crash},
        {"start", NULL, scenario_start},
        {"pause", NULL, scenario_pause},
        {"resume", NULL, scenario_resume},
        {"clock", NULL, scenario_clock},
        {"disk", NULL, scenario_disk},
        {"memory", NULL, scenario_memory},
        {"member", scenario_member, NULL},
        {"transfer", NULL, scenario_transfer},
        {"audit", NULL, scenario_audit},
        {"flush", NULL, do_flush},
        {"applier", NULL, scenario_applier},
        {"end", do_end, NULL},
    };
    if (!scenario->begun && !word_is(line->words[0], "cluster")) {
        return scenario_refuse(scenario, "there is no cluster yet");
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (!word_is(line->words[0], commands[i].name)) {
            continue;
        }
        if (commands[i].run != NULL) {
            return commands[i].run(scenario, line);
        }
        struct sim_node *node = scenario_node(scenario, line->words[1]);
        return node == NULL ? scenario_refuse(scenario, "there is no such node")
                            : commands[i].run_at(scenario, node, line);
    }
    return scenario_refuse(scenario, "there is no such command");
}
