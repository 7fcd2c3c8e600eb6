/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "node/fault.h"
#include "scenario.h"

/* leader nX | any | none */
static bool leader_is(struct scenario *scenario, const char *word, bool *known)
{
    const struct sim_node *leader = scenario_node(scenario, "leader");
    if (word_is(word, "none") || word_is(word, "any")) {
        return (leader != NULL) == word_is(word, "any");
    }
    const struct sim_node *node = scenario_node(scenario, word);
    *known = node != NULL;
    return *known && leader == node;
}

/* Every name that follows. */
static bool ops_are(struct scenario *scenario, const struct scenario_line *line, unsigned at,
                    bool done, bool *known)
{
    bool so = true;
    *known = at < line->count;
    for (; at < line->count && strchr(line->words[at], '=') == NULL; at++) {
        const struct sim_op *op = scenario_op(scenario, line->words[at]);
        *known = *known && op != NULL;
        so = so && op != NULL && op->done == done;
    }
    return so;
}

/* No append waits for its answer for longer, or has. */
static bool is_prompt(const struct sim *sim, uint64_t within_ns)
{
    bool so = true;
    for (uint64_t i = 0; i < sim->ops_begun; i++) {
        const struct sim_op *op = &sim->ops[i];
        uint64_t end_ns = op->done ? op->ended_ns : sim->world.now_ns;
        so = so && end_ns - op->began_ns <= within_ns;
    }
    return so;
}

/* Its events have the time at which it was answered, as far as a minute goes. */
static bool is_timely(const struct sim_op *op)
{
    uint64_t time_ns = SIM_EPOCH_NS + op->ended_ns;
    uint64_t off_ns = op->time_ns > time_ns ? op->time_ns - time_ns : time_ns - op->time_ns;
    return op->done && off_ns < 60 * NS_PER_S;
}

static bool role_is(const struct sim_node *node, const char *role)
{
    struct driver_status status;
    if (!node->running) {
        return word_is(role, "down");
    }
    driver_status(node->replica->driver, &status);
    return word_is(role, raft_role_name(status.raft.role));
}

/* The node's vote in its term, as it has it now, is for `other`. */
static bool vote_is(const struct sim_node *node, const struct sim_node *other)
{
    struct driver_status status;
    if (!node->running) {
        return false;
    }
    driver_status(node->replica->driver, &status);
    return status.raft.hard_state.vote == config_raft_id(&node->config, other->number);
}

bool scenario_holds(struct scenario *scenario, const struct scenario_line *line, unsigned at,
                    bool *known)
{
    const char *what = line->words[at];
    *known = true;
    if (word_is(what, "leader")) {
        return leader_is(scenario, line->words[at + 1], known);
    }
    if (word_is(what, "acknowledged") || word_is(what, "pending")) {
        return ops_are(scenario, line, at + 1, word_is(what, "acknowledged"), known);
    }
    if (word_is(what, "answered")) {
        return scenario->sim.ops_done == scenario->sim.op_count;
    }
    if (word_is(what, "loading")) {
        return scenario->sim.ops_done < scenario->sim.op_count;
    }
    if (word_is(what, "prompt")) {
        uint64_t within_ns = 0;
        *known = word_duration(line->words[at + 1], &within_ns);
        return is_prompt(&scenario->sim, within_ns);
    }
    if (word_is(what, "timely")) {
        const struct sim_op *op = scenario_op(scenario, line->words[at + 1]);
        *known = op != NULL;
        return *known && is_timely(op);
    }
    if (word_is(what, "alike")) {
        return ending_converged(&scenario->sim);
    }
    struct sim_node *node = what == NULL ? NULL : scenario_node(scenario, line->words[at + 1]);
    const char *value = node == NULL ? NULL : line->words[at + 2];
    uint64_t number = 0;
    bool is_number = word_count(value, &number);
    *known = node != NULL;
    if (node == NULL) {
        return false;
    }
    if (word_is(what, "runs") || word_is(what, "down")) {
        return node->running == word_is(what, "runs");
    }
    if (word_is(what, "faulty") || word_is(what, "sound")) {
        return node->running && fault_get(&node->replica->fault, NULL) == word_is(what, "faulty");
    }
    if (word_is(what, "refilling")) {
        return node->running && node->refilling;
    }
    if (word_is(what, "voter") || word_is(what, "learner") || word_is(what, "outsider")) {
        enum sim_standing wanted = word_is(what, "voter")     ? SIM_VOTER
                                   : word_is(what, "learner") ? SIM_LEARNER
                                                              : SIM_OUTSIDER;
        return membership_of(&scenario->sim, node) == wanted;
    }
    if (word_is(what, "pulling")) {
        struct snapshot_progress progress;
        return node->running && snapshot_pull_progress(node->replica->pull, &progress) &&
               (!is_number || progress.verifying || progress.percent >= number);
    }
    if (word_is(what, "purged")) {
        return node->running && wal_first_index(node->replica->wal) > 1;
    }
    *known = value != NULL;
    if (word_is(what, "vote")) {
        const struct sim_node *other = scenario_node(scenario, value);
        *known = other != NULL;
        return *known && vote_is(node, other);
    }
    if (word_is(what, "source")) {
        const struct sim_node *other = scenario_node(scenario, value);
        *known = other != NULL;
        return *known && node->source == other->number + 1;
    }
    if (word_is(what, "role")) {
        return value != NULL && role_is(node, value);
    }
    *known = is_number;
    if (word_is(what, "size")) {
        return node->running && node->applied_size == number;
    }
    if (word_is(what, "snapshots")) {
        return node->installed == number;
    }
    if (word_is(what, "stored")) {
        return node->running && node->stored_index >= number;
    }
    *known = false;
    return false;
}
