/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "scenario.h"

#define WITHIN_NS (10 * NS_PER_S)
#define KEYS 40U

/* --- words ----------------------------------------------------------------------------------- */

static bool parse_count(const char *text, uint64_t *out)
{
    char *end = NULL;
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return false;
    }
    *out = strtoull(text, &end, 10);
    return *end == '\0';
}

/* "15ms", "3s", "10y", "200us". */
static bool parse_duration(const char *text, uint64_t *out)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"us", 1000}, {"ms", NS_PER_MS}, {"s", NS_PER_S}, {"y", 365 * 86400 * NS_PER_S}};
    char *end = NULL;
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return false;
    }
    uint64_t count = strtoull(text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].name) == 0) {
            *out = count * units[i].ns;
            return true;
        }
    }
    return false;
}

/* The value of "name=value" among the words; NULL if it is not there. */
static const char *option(const struct scenario_line *line, const char *name)
{
    size_t length = strlen(name);
    for (unsigned i = 1; i < line->count; i++) {
        if (strncmp(line->words[i], name, length) == 0 && line->words[i][length] == '=') {
            return line->words[i] + length + 1;
        }
    }
    return NULL;
}

static bool is(const char *word, const char *text)
{
    return word != NULL && strcmp(word, text) == 0;
}

static bool refuse(struct scenario *scenario, const char *problem)
{
    scenario->problem = problem;
    return false;
}

struct sim_node *scenario_node(struct scenario *scenario, const char *word)
{
    struct sim *sim = &scenario->sim;
    uint64_t number = 0;
    if (is(word, "leader")) {
        struct sim_node *newest = NULL;
        for (unsigned i = 0; i < sim->node_count; i++) {
            struct sim_node *node = &sim->nodes[i];
            if (node->running && node->leads && (newest == NULL || node->term > newest->term)) {
                newest = node;
            }
        }
        return newest;
    }
    if (word == NULL || word[0] != 'n' || !parse_count(word + 1, &number) || number == 0 ||
        number > sim->node_count) {
        return NULL;
    }
    return &sim->nodes[number - 1];
}

struct sim_op *scenario_op(struct scenario *scenario, const char *name)
{
    struct sim *sim = &scenario->sim;
    for (uint64_t i = 0; i < sim->ops_begun; i++) {
        if (sim->ops[i].name != NULL && is(name, sim->ops[i].name)) {
            return &sim->ops[i];
        }
    }
    return NULL;
}

/* --- the cluster ----------------------------------------------------------------------------- */

static bool set_duration(const struct scenario_line *line, const char *name, uint64_t *out)
{
    const char *value = option(line, name);
    return value == NULL || parse_duration(value, out);
}

static bool set_count(const struct scenario_line *line, const char *name, uint64_t *out)
{
    const char *value = option(line, name);
    return value == NULL || parse_count(value, out);
}

/* cluster N [seed= first= delay= disk= election= segment_kib= memtable_kib=] */
static bool do_cluster(struct scenario *scenario, const struct scenario_line *line)
{
    struct sim *sim = &scenario->sim;
    uint64_t nodes = 0;
    uint64_t seed = 1;
    uint64_t election_ns = 200 * NS_PER_MS;
    uint64_t segment_kib = 64;
    uint64_t memtable_kib = 256;
    struct weather weather = {.delay_max_ns = 1 * NS_PER_MS,
                              .disk_max_ns = 1 * NS_PER_MS,
                              .job_max_ns = 1 * NS_PER_MS,
                              .exact = true};
    if (scenario->begun || !parse_count(line->words[1], &nodes) || nodes < 3 ||
        nodes > MEMBERS_MAX || !set_count(line, "seed", &seed) ||
        !set_duration(line, "delay", &weather.delay_max_ns) ||
        !set_duration(line, "disk", &weather.disk_max_ns) ||
        !set_duration(line, "election", &election_ns) ||
        !set_count(line, "segment_kib", &segment_kib) ||
        !set_count(line, "memtable_kib", &memtable_kib)) {
        return refuse(scenario, "cluster N [seed=N] [first=nX] [delay=T] [disk=T] [election=T] "
                                "[segment_kib=N] [memtable_kib=N], once");
    }
    const struct sim_options options = {.seed = seed,
                                        .nodes = (unsigned)nodes,
                                        .ops = SCENARIO_OPS_MAX,
                                        .tracing = sim->world.tracing};
    sim->scripted = true;
    sim_init(sim, &options);
    scenario->begun = true;
    sim->op_count = 0;
    sim->healed = true; /* nothing strikes by itself */
    sim->weather = weather;
    const struct sim_node *first = scenario_node(scenario, option(line, "first"));
    for (unsigned i = 0; i < nodes; i++) {
        struct config *config = &sim->nodes[i].config;
        bool waits = first != NULL && &sim->nodes[i] != first;
        config->election_ms = (uint32_t)(election_ns / NS_PER_MS) * (waits ? 3 : 1);
        config->segment_bytes = segment_kib * KIB;
        config->memtable_bytes = memtable_kib * KIB;
    }
    for (unsigned i = 0; i < nodes; i++) {
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
    if (!parse_duration(line->words[1], &ns)) {
        return refuse(scenario, "run T");
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
    bool known = set_duration(line, "within", &ns);
    uint64_t end_ns = world->now_ns + ns;
    bool holds = known && scenario_holds(scenario, line, 1, &known);
    while (known && !holds && world_step_before(world, end_ns)) {
        holds = scenario_holds(scenario, line, 1, &known);
    }
    return known ? check(scenario, line, holds) : refuse(scenario, "until CONDITION [within=T]");
}

/* expect CONDITION */
static bool do_expect(struct scenario *scenario, const struct scenario_line *line)
{
    bool known = true;
    bool holds = scenario_holds(scenario, line, 1, &known);
    return known ? check(scenario, line, holds) : refuse(scenario, "there is no such condition");
}

/* --- clients --------------------------------------------------------------------------------- */

/* append NAME [at=nX] [events=N] [key=N] [once] */
static bool do_append(struct scenario *scenario, const struct scenario_line *line)
{
    struct sim *sim = &scenario->sim;
    uint64_t events = 1;
    uint64_t key = 0;
    const char *at = option(line, "at");
    struct sim_node *node = scenario_node(scenario, at == NULL ? "n1" : at);
    if (line->count < 2 || scenario_op(scenario, line->words[1]) != NULL || node == NULL ||
        !set_count(line, "events", &events) || events == 0 || events > SIM_EVENTS_PER_OP_MAX ||
        !set_count(line, "key", &key) || key >= KEYS || sim->op_count == SCENARIO_OPS_MAX) {
        return refuse(scenario, "append NAME [at=nX] [events=1..3] [key=0..39] [once], a new name");
    }
    sim->op_count++;
    uint64_t op = clients_append(sim, (unsigned)(sim->ops_begun % SIM_CLIENTS), node->number,
                                 (unsigned)events, (unsigned)key);
    sim->ops[op].name = strdup(line->words[1]);
    sim->ops[op].once = is(line->words[line->count - 1], "once");
    clients_attempt(sim, op);
    return true;
}

/* load N */
static bool do_load(struct scenario *scenario, const struct scenario_line *line)
{
    struct sim *sim = &scenario->sim;
    uint64_t count = 0;
    if (!parse_count(line->words[1], &count) || count > SCENARIO_OPS_MAX - sim->op_count) {
        return refuse(scenario, "load N");
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
        return refuse(scenario, "it does not run");
    }
    node_read(node);
    return true;
}

/* --- the network ----------------------------------------------------------------------------- */

/* cut nX, cut nX>nY; join likewise */
static bool set_cut(struct scenario *scenario, const struct scenario_line *line, bool cut)
{
    struct sim *sim = &scenario->sim;
    char *arrow = line->count == 2 ? strchr(line->words[1], '>') : NULL;
    if (arrow != NULL) {
        *arrow = '\0';
        const struct sim_node *from = scenario_node(scenario, line->words[1]);
        const struct sim_node *to = scenario_node(scenario, arrow + 1);
        if (from == NULL || to == NULL) {
            return refuse(scenario, "nX>nY");
        }
        sim->cut[from->number][to->number] = cut;
        return true;
    }
    const struct sim_node *node = scenario_node(scenario, line->words[1]);
    if (node == NULL) {
        return refuse(scenario, "nX or nX>nY");
    }
    for (unsigned i = 0; i < sim->node_count; i++) {
        sim->cut[node->number][i] = cut && i != node->number;
        sim->cut[i][node->number] = cut && i != node->number;
    }
    return true;
}

static bool do_cut(struct scenario *scenario, const struct scenario_line *line)
{
    return set_cut(scenario, line, true);
}

static bool do_join(struct scenario *scenario, const struct scenario_line *line)
{
    return set_cut(scenario, line, false);
}

/* clog nX>nY T */
static bool do_clog(struct scenario *scenario, const struct scenario_line *line)
{
    struct sim *sim = &scenario->sim;
    uint64_t ns = 0;
    char *arrow = line->count == 3 ? strchr(line->words[1], '>') : NULL;
    if (arrow == NULL || !parse_duration(line->words[2], &ns)) {
        return refuse(scenario, "clog nX>nY T");
    }
    *arrow = '\0';
    const struct sim_node *from = scenario_node(scenario, line->words[1]);
    const struct sim_node *to = scenario_node(scenario, arrow + 1);
    if (from == NULL || to == NULL) {
        return refuse(scenario, "clog nX>nY T");
    }
    sim->clog_until_ns[from->number][to->number] = sim->world.now_ns + ns;
    return true;
}

/* --- nodes ----------------------------------------------------------------------------------- */

/* crash nX [torn | killed] [at=N] */
static bool do_crash(struct scenario *scenario, struct sim_node *node,
                     const struct scenario_line *line)
{
    struct sim *sim = &scenario->sim;
    uint64_t at = 0;
    sim->crash_loses = is(line->words[2], "torn")     ? SIM_LOSES_BY_SEED
                       : is(line->words[2], "killed") ? SIM_LOSES_NOTHING
                                                      : SIM_LOSES_ALL;
    if (!node->running || !set_count(line, "at", &at)) {
        return refuse(scenario, "crash nX [torn | killed] [at=N], of one that runs");
    }
    if (option(line, "at") != NULL) {
        fs_crash_stop_at(node->disk, at);
    } else {
        node_crash(node, 0);
    }
    return true;
}

/* start nX */
static bool do_start(struct scenario *scenario, struct sim_node *node,
                     const struct scenario_line *line)
{
    (void)line;
    if (node->running) {
        return refuse(scenario, "it runs");
    }
    node->out = false;
    node_boot(node);
    if (node->running) {
        scenario_say(scenario, "n%u starts with a log of %lu entries", node->number + 1,
                     (unsigned long)node->replica->recovered.last_index);
    }
    return true;
}

/* pause nX, resume nX */
static bool do_pause(struct scenario *scenario, struct sim_node *node,
                     const struct scenario_line *line)
{
    (void)line;
    node->paused_until_ns = scenario->sim.world.now_ns + 3600 * NS_PER_S;
    return true;
}

static bool do_resume(struct scenario *scenario, struct sim_node *node,
                      const struct scenario_line *line)
{
    (void)scenario;
    (void)line;
    node->paused_until_ns = 0;
    return true;
}

/* clock nX +T, clock nX -T */
static bool do_clock(struct scenario *scenario, struct sim_node *node,
                     const struct scenario_line *line)
{
    uint64_t ns = 0;
    const char *word = line->words[2];
    if (word == NULL || (word[0] != '+' && word[0] != '-') || !parse_duration(word + 1, &ns)) {
        return refuse(scenario, "clock nX +T, or -T");
    }
    node->clock.offset_ns = word[0] == '+' ? (int64_t)ns : -(int64_t)ns;
    return true;
}

/* --- disks and memory ------------------------------------------------------------------------ */

static bool disk_fail(struct sim_node *node, const struct scenario_line *line)
{
    static const struct {
        const char *name;
        enum fs_call call;
    } calls[] = {{"sync", FS_CALL_SYNC},     {"write", FS_CALL_WRITE},
                 {"read", FS_CALL_READ},     {"open", FS_CALL_OPEN},
                 {"rename", FS_CALL_RENAME}, {"sync_dir", FS_CALL_SYNC_DIR}};
    uint64_t at = 0;
    if (!set_count(line, "at", &at)) {
        return false;
    }
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (is(line->words[3], calls[i].name)) {
            node_fail_io(node, calls[i].call, at);
            return true;
        }
    }
    return false;
}

static bool disk_damage(struct scenario *scenario, struct sim_node *node,
                        const struct scenario_line *line)
{
    static const struct {
        const char *name;
        const char *files;
        bool is_log;
    } kinds[] = {{"log", ".wal", true}, {"table", ".sst", false}, {"manifest", "MANIFEST-", true}};
    uint64_t seed = 1;
    enum crash_damage_kind kind = is(line->words[2], "flip")   ? CRASH_FLIP
                                  : is(line->words[2], "lose") ? CRASH_LOSE_WRITE
                                                               : CRASH_MISDIRECT_WRITE;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && set_count(line, "seed", &seed); i++) {
        if (is(line->words[3], kinds[i].name) && !node->damaged) {
            node->damaged = true;
            node->is_log_damage = kinds[i].is_log;
            if (!fs_crash_damage(node->disk, kind, kinds[i].files, kinds[i].is_log, seed)) {
                scenario_say(scenario, "there is nothing to spoil yet");
            }
            return true;
        }
    }
    return false;
}

/* disk nX slow T | fail CALL [at=N] | full [N] | free | flip, lose, misdirect WHAT [seed=N] */
static bool do_disk(struct scenario *scenario, struct sim_node *node,
                    const struct scenario_line *line)
{
    const char *what = line->words[2];
    uint64_t bytes = 0;
    bool ok = false;
    if (is(what, "slow")) {
        ok = parse_duration(line->words[3], &node->disk_ns);
    } else if (is(what, "fail")) {
        ok = disk_fail(node, line);
    } else if (is(what, "full")) {
        ok = line->count == 3 || parse_count(line->words[3], &bytes);
        node_fill_disk(node, bytes, 3600 * NS_PER_S);
    } else if (is(what, "free")) {
        node_free_disk(node);
        ok = true;
    } else if (is(what, "flip") || is(what, "lose") || is(what, "misdirect")) {
        ok = disk_damage(scenario, node, line);
    }
    return ok || refuse(scenario, "disk nX slow T | fail CALL [at=N] | full [BYTES] | free | "
                                  "flip|lose|misdirect log|table|manifest [seed=N], one damage a "
                                  "disk");
}

/* memory nX fail=N [after=N] */
static bool do_memory(struct scenario *scenario, struct sim_node *node,
                      const struct scenario_line *line)
{
    if (!set_count(line, "fail", &node->memory.fail) ||
        !set_count(line, "after", &node->memory.pass)) {
        return refuse(scenario, "memory nX fail=N [after=N]");
    }
    return true;
}

/* audit nX */
static bool do_audit(struct scenario *scenario, struct sim_node *node,
                     const struct scenario_line *line)
{
    (void)line;
    if (!node->running) {
        return refuse(scenario, "it does not run");
    }
    scenario_say(scenario, "n%u is %s", node->number + 1, damage_audit(node) ? "sound" : "damaged");
    return true;
}

/* flush nX */
static bool do_flush(struct scenario *scenario, struct sim_node *node,
                     const struct scenario_line *line)
{
    struct sim *sim = &scenario->sim;
    (void)line;
    if (!node->running || node->flush.waits) {
        return refuse(scenario, "it does not run, or flushes already");
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
        {"cluster", do_cluster, NULL}, {"run", do_run, NULL},       {"until", do_until, NULL},
        {"expect", do_expect, NULL},   {"append", do_append, NULL}, {"load", do_load, NULL},
        {"read", NULL, do_read},       {"cut", do_cut, NULL},       {"join", do_join, NULL},
        {"clog", do_clog, NULL},       {"crash", NULL, do_crash},   {"start", NULL, do_start},
        {"pause", NULL, do_pause},     {"resume", NULL, do_resume}, {"clock", NULL, do_clock},
        {"disk", NULL, do_disk},       {"memory", NULL, do_memory}, {"audit", NULL, do_audit},
        {"flush", NULL, do_flush},     {"end", do_end, NULL},
    };
    if (!scenario->begun && !is(line->words[0], "cluster")) {
        return refuse(scenario, "there is no cluster yet");
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (!is(line->words[0], commands[i].name)) {
            continue;
        }
        if (commands[i].run != NULL) {
            return commands[i].run(scenario, line);
        }
        struct sim_node *node = scenario_node(scenario, line->words[1]);
        return node == NULL ? refuse(scenario, "there is no such node")
                            : commands[i].run_at(scenario, node, line);
    }
    return refuse(scenario, "there is no such command");
}
