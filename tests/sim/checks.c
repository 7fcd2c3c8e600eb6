/* SPDX-License-Identifier: Apache-2.0
 *
 * What must hold, kept beside the nodes and out of their reach.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim.h"

static void *grow(void *array, size_t *capacity, size_t needed, size_t each)
{
    if (needed <= *capacity) {
        return array;
    }
    size_t more = *capacity == 0 ? 1024 : *capacity;
    while (more < needed) {
        more *= 2;
    }
    uint8_t *larger = realloc(array, more * each);
    CHECK(larger != NULL);
    memset(larger + *capacity * each, 0, (more - *capacity) * each);
    *capacity = more;
    return larger;
}

void checks_init(struct sim *sim)
{
    struct error err = ERROR_INIT;
    enum status status = hasher_init(&sim->checks.hasher, &err);
    CHECK(status == STATUS_OK);
}

void checks_release(struct sim *sim)
{
    struct checks *checks = &sim->checks;
    matching_release(&checks->matching);
    free(checks->leader_of);
    free(checks->points);
    free(checks->roots);
    free(checks->owner);
    hasher_release(&checks->hasher);
}

/* --- after every step ------------------------------------------------------------------------ */

static void one_leader_a_term(struct sim_node *node, const struct raft_status *status)
{
    struct checks *checks = &node->sim->checks;
    uint64_t term = status->hard_state.term;
    checks->leader_of = grow(checks->leader_of, &checks->leader_capacity, (size_t)term + 1,
                             sizeof *checks->leader_of);
    if (checks->leader_of[term] == 0) {
        checks->leader_of[term] = node->number + 1;
        world_note(&node->sim->world, "leads", node->number, term);
        sim_tell(node->sim, "n%u leads in term %" PRIu64, node->number + 1, term);
    } else if (checks->leader_of[term] != node->number + 1) {
        world_break(&node->sim->world, "one leader a term", "term %" PRIu64 " has n%u and n%u",
                    term, checks->leader_of[term], node->number + 1);
    }
}

/* Who begins to lead has what was applied by anybody in an earlier term, so committed in one. */
static void leader_completeness(struct sim_node *node)
{
    const struct checks *checks = &node->sim->checks;
    const struct wal *wal = node->replica->wal;
    uint64_t last = checks->point_last;
    while (last > 0 && (!checks->points[last].known || checks->points[last].seen >= node->term)) {
        last--;
    }
    uint64_t term = 0;
    if (last < wal_first_index(wal)) {
        return;
    }
    if (!wal_term_at(wal, last, &term) || term != checks->points[last].term) {
        world_break(&node->sim->world, "leader completeness",
                    "n%u leads in term %" PRIu64 " without entry %" PRIu64 " of term %" PRIu64,
                    node->number + 1, node->term, last, checks->points[last].term);
    }
}

/* What clients have under way may become one entry. */
#define GROUP_BYTES_MAX (16 * KIB)
/* Of so many, one after the other, a follower may have all that was under way while its disk stands
 * still. */
#define LEADERS_MAX 4U

/* Entries in memory are those that the disk does not have yet, and few more; what a peer was sent
 * and has not answered is little, and at most one entry more than that. */
static void keeps_to_bounds(struct sim_node *node, const struct driver_status *status)
{
    const struct config *config = &node->config;
    uint64_t unstored_max = LEADERS_MAX * config->inflight_bytes + GROUP_BYTES_MAX;
    uint64_t cache_max = config->entry_cache_bytes + unstored_max;
    if (status->raft.cache_bytes > cache_max) {
        world_break(&node->sim->world, "entries in memory keep to their bound", "n%u: %zu bytes",
                    node->number + 1, status->raft.cache_bytes);
    }
    for (size_t i = 0; node->leads && i < status->peer_count; i++) {
        size_t bytes = status->peers[i].inflight_bytes;
        if (bytes > config->inflight_bytes + GROUP_BYTES_MAX) {
            world_break(&node->sim->world, "what is under way to a peer keeps to its bound",
                        "n%u: %zu bytes", node->number + 1, bytes);
        }
    }
}

void checks_after_driver(struct sim_node *node)
{
    struct driver_status status;
    driver_status(node->replica->driver, &status);
    bool led = node->leads;
    node->leads = status.raft.role == RAFT_LEADER;
    if (node->leads) {
        one_leader_a_term(node, &status.raft);
    }
    if (status.raft.commit < node->commit) {
        world_break(&node->sim->world, "the commit index never falls",
                    "n%u: from %" PRIu64 " to %" PRIu64, node->number + 1, node->commit,
                    status.raft.commit);
    }
    const struct wal_recovered *recovered = &node->replica->recovered;
    node->refilling = status.raft.refill_index != 0;
    if (node->refilling && status.raft.hard_state.vote != 0 &&
        (status.raft.hard_state.term != recovered->term ||
         status.raft.hard_state.vote != recovered->vote)) {
        world_break(&node->sim->world, "nobody votes whose log is not refilled",
                    "n%u in term %" PRIu64, node->number + 1, status.raft.hard_state.term);
    }
    keeps_to_bounds(node, &status);
    node->commit = status.raft.commit;
    node->stored_index = status.raft.stored_index;
    matching_check(node);
    if (status.raft.hard_state.term != node->term) {
        node->term = status.raft.hard_state.term;
        weather_election(node);
    }
    if (node->leads && !led) {
        leader_completeness(node);
        weather_elected(node);
        membership_elected(node->sim);
    }
}

/* Who has applied the same index has applied the same entries. */
static void same_at_index(struct sim_node *node, const struct applied_point *point)
{
    struct checks *checks = &node->sim->checks;
    checks->points = grow(checks->points, &checks->point_capacity, (size_t)point->index + 1,
                          sizeof *checks->points);
    struct sim_point *known = &checks->points[point->index];
    if (!known->known) {
        /* At a start it is in no term yet, for these checks. */
        uint64_t recovered = node->replica->recovered.term;
        *known = (struct sim_point){.known = true,
                                    .term = point->term,
                                    .size = point->size,
                                    .seen = node->term > recovered ? node->term : recovered};
        checks->point_last = point->index > checks->point_last ? point->index : checks->point_last;
    } else if (known->term != point->term || known->size != point->size) {
        world_break(
            &node->sim->world, "equal entries at equal indexes",
            "n%u at %" PRIu64 ": term %" PRIu64 ", size %" PRIu64 "; before: %" PRIu64 ", %" PRIu64,
            node->number + 1, point->index, point->term, point->size, known->term, known->size);
    }
}

static void same_root(struct sim_node *node)
{
    struct checks *checks = &node->sim->checks;
    static const struct hash none;
    uint64_t size = 0;
    struct hash root;
    tile_store_head(node->replica->tiles, &checks->hasher, &size, &root);
    checks->roots =
        grow(checks->roots, &checks->root_capacity, (size_t)size + 1, sizeof *checks->roots);
    if (memcmp(&checks->roots[size], &none, sizeof none) == 0) {
        checks->roots[size] = root;
    } else if (memcmp(&checks->roots[size], &root, sizeof root) != 0) {
        world_break(&node->sim->world, "equal log roots at equal sizes", "n%u at size %" PRIu64,
                    node->number + 1, size);
    }
}

void checks_after_applier(struct sim_node *node)
{
    struct applied_point point = applied_get(&node->replica->applied);
    if (point.index == node->applied_index) {
        return;
    }
    world_note(&node->sim->world, "applied", node->number, point.index);
    if (point.index > node->stored_index) {
        world_break(&node->sim->world, "nothing is applied that is not durable on the node",
                    "n%u: %" PRIu64 " of %" PRIu64, node->number + 1, point.index,
                    node->stored_index);
    }
    node->applied_index = point.index;
    node->applied_size = point.size;
    same_at_index(node, &point);
    same_root(node);
    checks_derived(node, &point);
}

void checks_acknowledged(struct sim *sim, uint64_t op, uint64_t position, uint32_t count)
{
    struct checks *checks = &sim->checks;
    const struct sim_op *of = &sim->ops[op];
    if (of->done && of->position != position) {
        world_break(&sim->world, "exactly once", "op %" PRIu64 " is at %" PRIu64 " and at %" PRIu64,
                    op, of->position, position);
    }
    if (count != of->events) {
        world_break(&sim->world, "all events of a request", "op %" PRIu64 ": %u of %u", op, count,
                    of->events);
    }
    if (position < of->floor) {
        world_break(&sim->world, "real-time order",
                    "op %" PRIu64 " at %" PRIu64 " began after one that ends at %" PRIu64, op,
                    position, of->floor);
    }
    checks->owner = grow(checks->owner, &checks->owner_capacity, (size_t)(position + of->events),
                         sizeof *checks->owner);
    for (uint64_t at = position; at < position + of->events; at++) {
        if (checks->owner[at] != 0 && checks->owner[at] != op + 1) {
            world_break(&sim->world, "no position twice",
                        "position %" PRIu64 " was given to op %" PRIu64 " and to op %" PRIu64, at,
                        checks->owner[at] - 1, op);
        }
        checks->owner[at] = op + 1;
    }
    if (position + of->events > checks->acknowledged_end) {
        checks->acknowledged_end = position + of->events;
    }
}
