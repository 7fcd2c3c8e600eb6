/* SPDX-License-Identifier: Apache-2.0
 *
 * What must hold when all has come to rest.
 */
#include <inttypes.h>

#include "base/check.h"
#include "base/coding.h"
#include "node/event_log.h"
#include "node/keyspaces.h"
#include "sim.h"

/* It met its damage while it applied, and so only stores and votes. */
static bool stands(const struct sim_node *node)
{
    return node->running && node->damaged && applier_stands(node->replica->applier);
}

bool ending_converged(const struct sim *sim)
{
    const struct sim_node *first = NULL;
    for (unsigned i = 0; i < sim->node_count; i++) {
        const struct sim_node *node = &sim->nodes[i];
        if (node->out || stands(node) || !membership_has(sim, node)) {
            continue;
        }
        first = first == NULL ? node : first;
        if (!node->running || node->applied_index != first->applied_index ||
            node->commit != first->applied_index || node->refilling) {
            return false;
        }
    }
    return first != NULL && first->applied_size >= sim->checks.acknowledged_end;
}

/* --- tables of everything -------------------------------------------------------------------- */

#define AGAIN_NS (100 * NS_PER_MS)

static void flush_again(void *context, uint64_t life)
{
    struct sim_flush *flush = context;
    if (life == flush->node->life && flush->node->running) {
        applier_flush(flush->node->replica->applier, &flush->request);
        node_settle(flush->node);
    } else {
        flush->waits = false;
    }
}

static void on_flushed(struct flush_request *request, enum status status)
{
    struct sim_flush *flush = (struct sim_flush *)request;
    struct sim_node *node = flush->node;
    if (status == STATUS_RESOURCE_EXHAUSTED) {
        world_post(&node->sim->world, AGAIN_NS, flush_again, flush, node->life);
        return; /* the job that makes room backs off still */
    }
    flush->waits = false;
    flush->done = status == STATUS_OK;
    if (!flush->done && !node->damaged) {
        world_break(&node->sim->world, "what is applied can be flushed", "n%u: %s",
                    node->number + 1, status_name(status));
    }
}

void ending_flush_node(struct sim_node *node)
{
    node->flush = (struct sim_flush){.request = {.done = on_flushed}, .node = node, .waits = true};
    applier_flush(node->replica->applier, &node->flush.request);
    node_settle(node);
}

void ending_flush(struct sim *sim)
{
    for (unsigned i = 0; i < sim->node_count; i++) {
        if (sim->nodes[i].running) {
            ending_flush_node(&sim->nodes[i]);
        }
    }
}

bool ending_flushed(const struct sim *sim)
{
    for (unsigned i = 0; i < sim->node_count; i++) {
        if (sim->nodes[i].flush.waits) {
            return false;
        }
    }
    return ending_converged(sim);
}

/* --- content --------------------------------------------------------------------------------- */

static void check_row(struct sim_node *node, uint64_t n, struct slice key, struct slice value)
{
    struct sim *sim = node->sim;
    struct error err = ERROR_INIT;
    struct event_record record;
    if (sim->world.broken != NULL) {
        return;
    }
    if (key.length != POSITION_KEY_BYTES || get_be64(key.data) != n ||
        event_record_decode(n, value, &record, &err) != STATUS_OK) {
        world_break(&sim->world, "every event is there", "n%u: position %" PRIu64, node->number + 1,
                    n);
        return;
    }
    checks_event(node, n, &record);
    if (n >= sim->checks.owner_capacity || sim->checks.owner[n] == 0) {
        world_break(&sim->world, "every event was acknowledged in the end", "position %" PRIu64, n);
    }
}

/* All rows of a node as one number; the events also one by one if it is the first node. */
static bool content(struct sim_node *node, bool is_first, uint64_t *hash)
{
    static const unsigned keyspaces[] = {KEYSPACE_EVENTS, KEYSPACE_LATEST, KEYSPACE_VERSIONS,
                                         KEYSPACE_SESSIONS, KEYSPACE_TILES};
    struct error err = ERROR_INIT;
    *hash = 0;
    for (size_t k = 0; k < sizeof keyspaces / sizeof keyspaces[0]; k++) {
        bool checks = is_first && keyspaces[k] == KEYSPACE_EVENTS;
        if (content_fold(node, keyspaces[k], checks ? check_row : NULL, hash, &err) != STATUS_OK) {
            if (!node->damaged) {
                world_break(&node->sim->world, "every row can be read", "n%u: %s", node->number + 1,
                            err.text);
            }
            return false;
        }
    }
    return true;
}

void ending_check(struct sim *sim)
{
    struct sim_node *first = NULL;
    uint64_t expected = 0;
    for (unsigned i = 0; i < sim->node_count && sim->world.broken == NULL; i++) {
        struct sim_node *node = &sim->nodes[i];
        uint64_t hash = 0;
        if (!node->running || (node->damaged && !node->flush.done) || !membership_has(sim, node)) {
            continue;
        }
        if (!content(node, first == NULL, &hash)) {
            continue; /* it has noticed its damage */
        }
        if (first == NULL) {
            first = node;
            expected = hash;
        } else if (hash != expected) {
            world_break(&sim->world, "equal content of the keyspaces", "n%u and n%u",
                        first->number + 1, i + 1);
        }
    }
    if (first == NULL || first->applied_size < sim->checks.acknowledged_end) {
        world_break(&sim->world, "what was acknowledged is there", "on no node");
    }
}
