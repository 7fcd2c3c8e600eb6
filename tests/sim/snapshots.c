/* SPDX-License-Identifier: Apache-2.0
 *
 * A node's way to the snapshots of others, in the place of node/snapshot_link.h.
 */
#include "base/check.h"
#include "schema/snapshot.pb-c.h"
#include "sim.h"

#define PATIENCE_NS (2 * NS_PER_S)

struct asked {
    snapshot_answer_fn done;
    void *context;
};

static void on_result(void *context, const struct rpc_result *result)
{
    const struct asked *asked = context;
    const struct snapshot_answer answer = {
        .status = result->status, .text = result->text, .message = result->message};
    asked->done(asked->context, &answer);
}

static bool ask(struct snapshot_link *link, uint64_t member, enum snapshot_method method,
                const ProtobufCMessage *request, snapshot_answer_fn done, void *context)
{
    struct sim_node *node = ((struct sim_link *)link)->node;
    struct sim *sim = node->sim;
    unsigned to = 0;
    if (node->dying) {
        return false;
    }
    while (raft_id_of(sim->nodes[to].config.node_id) != member) {
        to++;
        CHECK(to < sim->node_count);
    }
    node->source = to + 1;
    const struct asked asked = {.done = done, .context = context};
    calls_ask(sim, &(struct sim_asking){.from = node->number,
                                        .to = to,
                                        .service = &estreat__v1__snapshot__descriptor,
                                        .method = method,
                                        .request = request,
                                        .patience_ns = PATIENCE_NS,
                                        .done = on_result,
                                        .context = &asked,
                                        .context_bytes = sizeof asked});
    return true;
}

void snapshots_init(struct sim_node *node)
{
    node->link = (struct sim_link){.link = {.ask = ask}, .node = node};
}
