/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

static bool ask(struct scenario *scenario, enum admin_kind kind, const struct sim_node *about)
{
    struct sim_node *by = membership_leader(&scenario->sim);
    if (by == NULL || node_paused_ns(by) > 0) {
        return scenario_refuse(scenario, "there is no leader to ask");
    }
    membership_ask(by, kind, about);
    return true;
}

/* member add|promote|remove nX */
bool scenario_member(struct scenario *scenario, const struct scenario_line *line)
{
    static const struct {
        const char *name;
        enum admin_kind kind;
    } kinds[] = {{"add", ADMIN_ADD}, {"promote", ADMIN_PROMOTE}, {"remove", ADMIN_REMOVE}};
    const struct sim_node *about =
        line->count == 3 ? scenario_node(scenario, line->words[2]) : NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (about != NULL && word_is(line->words[1], kinds[i].name)) {
            return ask(scenario, kinds[i].kind, about);
        }
    }
    return scenario_refuse(scenario, "member add|promote|remove nX");
}

/* transfer nX */
bool scenario_transfer(struct scenario *scenario, struct sim_node *node,
                       const struct scenario_line *line)
{
    (void)line;
    return ask(scenario, ADMIN_TRANSFER, node);
}
