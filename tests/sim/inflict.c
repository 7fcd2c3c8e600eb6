/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "scenario.h"

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
            return scenario_refuse(scenario, "nX>nY");
        }
        sim->cut[from->number][to->number] = cut;
        return true;
    }
    const struct sim_node *node = scenario_node(scenario, line->words[1]);
    if (node == NULL) {
        return scenario_refuse(scenario, "nX or nX>nY");
    }
    for (unsigned i = 0; i < sim->node_count; i++) {
        sim->cut[node->number][i] = cut && i != node->number;
        sim->cut[i][node->number] = cut && i != node->number;
    }
    return true;
}

bool scenario_cut(struct scenario *scenario, const struct scenario_line *line)
{
    return set_cut(scenario, line, true);
}

bool scenario_join(struct scenario *scenario, const struct scenario_line *line)
{
    return set_cut(scenario, line, false);
}

/* clog nX>nY T */
bool scenario_clog(struct scenario *scenario, const struct scenario_line *line)
{
    struct sim *sim = &scenario->sim;
    uint64_t ns = 0;
    char *arrow = line->count == 3 ? strchr(line->words[1], '>') : NULL;
    if (arrow == NULL || !word_duration(line->words[2], &ns)) {
        return scenario_refuse(scenario, "clog nX>nY T");
    }
    *arrow = '\0';
    const struct sim_node *from = scenario_node(scenario, line->words[1]);
    const struct sim_node *to = scenario_node(scenario, arrow + 1);
    if (from == NULL || to == NULL) {
        return scenario_refuse(scenario, "clog nX>nY T");
    }
    sim->clog_until_ns[from->number][to->number] = sim->world.now_ns + ns;
    return true;
}

/* --- nodes ----------------------------------------------------------------------------------- */

/* crash nX [torn | killed] [at=N] */
bool scenario_crash(struct scenario *scenario, struct sim_node *node,
                    const struct scenario_line *line)
{
    uint64_t at = 0;
    node->loses = word_is(line->words[2], "torn")     ? SIM_LOSES_BY_SEED
                  : word_is(line->words[2], "killed") ? SIM_LOSES_NOTHING
                                                      : SIM_LOSES_ALL;
    if (!node->running ||
        !word_options(line, node->loses == SIM_LOSES_ALL ? 2 : 3, line->count, "at") ||
        !word_set_count(line, "at", &at)) {
        return scenario_refuse(scenario, "crash nX [torn | killed] [at=N], of one that runs");
    }
    if (word_option(line, "at") != NULL) {
        fs_crash_stop_at(node->disk, at);
    } else {
        node_crash(node, 0);
    }
    return true;
}

/* start nX */
bool scenario_start(struct scenario *scenario, struct sim_node *node,
                    const struct scenario_line *line)
{
    (void)line;
    if (node->running) {
        return scenario_refuse(scenario, "it runs");
    }
    node->out = false;
    node_boot(node);
    if (node->running) {
        scenario_say(scenario, "n%u starts with a log of %lu entries%s", node->number + 1,
                     (unsigned long)node->replica->recovered.last_index,
                     node->replica->recovered.cut_bytes > 0 ? ", and cuts an unfinished write"
                                                            : "");
    }
    return true;
}

/* pause nX, resume nX */
bool scenario_pause(struct scenario *scenario, struct sim_node *node,
                    const struct scenario_line *line)
{
    (void)line;
    node->paused_until_ns = scenario->sim.world.now_ns + 3600 * NS_PER_S;
    return true;
}

bool scenario_resume(struct scenario *scenario, struct sim_node *node,
                     const struct scenario_line *line)
{
    (void)scenario;
    (void)line;
    node->paused_until_ns = 0;
    return true;
}

/* applier nX stop | go */
bool scenario_applier(struct scenario *scenario, struct sim_node *node,
                      const struct scenario_line *line)
{
    if (!word_is(line->words[2], "stop") && !word_is(line->words[2], "go")) {
        return scenario_refuse(scenario, "applier nX stop | go");
    }
    node->applies_nothing = word_is(line->words[2], "stop");
    if (node->running) {
        node_settle(node);
    }
    return true;
}

/* clock nX +T, clock nX -T */
bool scenario_clock(struct scenario *scenario, struct sim_node *node,
                    const struct scenario_line *line)
{
    uint64_t ns = 0;
    const char *word = line->words[2];
    if (word == NULL || (word[0] != '+' && word[0] != '-') || !word_duration(word + 1, &ns)) {
        return scenario_refuse(scenario, "clock nX +T, or -T");
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
    if (!word_options(line, 4, line->count, "at") || !word_set_count(line, "at", &at)) {
        return false;
    }
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (word_is(line->words[3], calls[i].name)) {
            node_fail_io(node, calls[i].call, at, false);
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
    enum crash_damage_kind kind = word_is(line->words[2], "flip")   ? CRASH_FLIP
                                  : word_is(line->words[2], "lose") ? CRASH_LOSE_WRITE
                                                                    : CRASH_MISDIRECT_WRITE;
    if (!word_options(line, 4, line->count, "seed") || !word_set_count(line, "seed", &seed)) {
        return false;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (word_is(line->words[3], kinds[i].name) && !node->damaged) {
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
bool scenario_disk(struct scenario *scenario, struct sim_node *node,
                   const struct scenario_line *line)
{
    const char *what = line->words[2];
    uint64_t bytes = 0;
    bool ok = false;
    if (word_is(what, "slow")) {
        ok = word_duration(line->words[3], &node->disk_ns);
    } else if (word_is(what, "fail")) {
        ok = disk_fail(node, line);
    } else if (word_is(what, "full")) {
        ok = line->count == 3 || word_count(line->words[3], &bytes);
        node_fill_disk(node, bytes, 3600 * NS_PER_S);
    } else if (word_is(what, "free")) {
        node_free_disk(node);
        ok = true;
    } else if (word_is(what, "flip") || word_is(what, "lose") || word_is(what, "misdirect")) {
        ok = disk_damage(scenario, node, line);
    }
    return ok || scenario_refuse(scenario,
                                 "disk nX slow T | fail CALL [at=N] | full [BYTES] | free | "
                                 "flip|lose|misdirect log|table|manifest [seed=N], one damage a "
                                 "disk");
}

/* memory nX fail=N [after=N] */
bool scenario_memory(struct scenario *scenario, struct sim_node *node,
                     const struct scenario_line *line)
{
    if (!word_options(line, 2, line->count, "fail after") ||
        !word_set_count(line, "fail", &node->memory.fail) ||
        !word_set_count(line, "after", &node->memory.pass)) {
        return scenario_refuse(scenario, "memory nX fail=N [after=N]");
    }
    return true;
}

/* audit nX */
bool scenario_audit(struct scenario *scenario, struct sim_node *node,
                    const struct scenario_line *line)
{
    (void)line;
    if (!node->running) {
        return scenario_refuse(scenario, "it does not run");
    }
    scenario_say(scenario, "n%u is %s", node->number + 1, damage_audit(node) ? "sound" : "damaged");
    return true;
}
