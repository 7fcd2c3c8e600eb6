/* SPDX-License-Identifier: Apache-2.0
 *
 * What a disk does wrong and says nothing of, and who must notice.
 *
 * A table may be spoilt at any time: who reads the place is told, by its checksum, and so
 * is the node by a deep audit. The log and the manifest are read at a start. A node that
 * finds its log spoilt is refilled by the others, or does not start, as with a manifest. It may
 * stay away for good, so this happens to fewer than half of the members, of those too that
 * are left when others have been removed: what is committed is then whole on some node that
 * stays, and those that stay are a majority.
 *
 * Two things that nobody can tell from a crash are kept from a node: it does not return
 * when the write that was lost is the last one that it acknowledged.
 */
#include "base/check.h"
#include "node/deep_audit.h"
#include "sim.h"

/* In so many seeds some node whose disk is sound is audited: it costs as much as all its life. */
#define AUDITED_ONE_OF 16U
/* A node that stops over and over for its disk stays away. */
#define STOPS_MAX 4U
#define REMOVALS_MAX 1000U

bool damage_strike(struct sim_node *node)
{
    struct sim *sim = node->sim;
    static const struct {
        enum crash_damage_kind kind;
        const char *name;
        bool is_log;
    } ways[] = {
        {CRASH_FLIP, ".sst", false},           {CRASH_FLIP, ".wal", true},
        {CRASH_FLIP, "MANIFEST-", true},       {CRASH_LOSE_WRITE, ".sst", false},
        {CRASH_LOSE_WRITE, ".wal", true},      {CRASH_MISDIRECT_WRITE, ".sst", false},
        {CRASH_MISDIRECT_WRITE, ".wal", true},
    };
    unsigned members = sim->changing ? MEMBERS_LEFT : sim->node_count;
    size_t way = world_draw(&sim->world, sizeof ways / sizeof ways[0]);
    uint64_t seed = world_draw(&sim->world, UINT64_MAX);
    if (node->damaged || node->out || sim->first_members < sim->node_count ||
        sim->damaged + 1 > (members - 1) / 2 ||
        !fs_crash_damage(node->disk, ways[way].kind, ways[way].name, ways[way].is_log, seed)) {
        return false;
    }
    world_note(&sim->world, "damage", node->number, way);
    node->damaged = true;
    node->is_log_damage = ways[way].is_log;
    sim->damaged++;
    return true;
}

static bool stays_away(struct sim_node *node, const char *why)
{
    world_note(&node->sim->world, why, node->number, 0);
    node->out = true;
    return false;
}

bool damage_may_return(struct sim_node *node)
{
    if (!node->damaged) {
        return true;
    }
    if (node->out) {
        return false;
    }
    if (fs_crash_damage_state(node->disk) == CRASH_DAMAGE_FRESH && node->is_log_damage) {
        return stays_away(node, "stays away: its last write is lost");
    }
    if (node->damage_stops > STOPS_MAX) {
        node->sim->noticed++;
        return stays_away(node, "stays away: it stops again and again");
    }
    return true;
}

bool damage_explains(struct sim_node *node, enum status status)
{
    if (!node->damaged || status != STATUS_DATA_LOSS) {
        return false;
    }
    node->sim->noticed++;
    (void)stays_away(node, "notices its damage at the start");
    return true;
}

/* --- at the end ------------------------------------------------------------------------------ */

bool damage_audit(struct sim_node *node)
{
    struct replica *replica = node->replica;
    struct deep_audit audit;
    struct error err = ERROR_INIT;
    enum status status;
    do { /* without memory it is tried again */
        status = deep_audit_init(&audit, replica->engine, replica->tiles, node->applied_size, &err);
    } while (status == STATUS_RESOURCE_EXHAUSTED);
    CHECK(status == STATUS_OK);
    bool more = true;
    while (more) {
        (void)!deep_audit_step(&audit, &more, &err); /* and it goes on */
        if (audit.damaged_count > 0) {
            fault_note(&replica->fault, audit.cause);
        }
    }
    deep_audit_release(&audit);
    if (engine_verify(replica->engine, &err) == STATUS_CORRUPT) {
        fault_note(&replica->fault, err.text);
    }
    return !fault_get(&replica->fault, NULL);
}

/* Also after another start, which removes what the log had purged, and tables that were kept only
 * for whom this node gave a snapshot. */
static bool is_in_use(struct sim_node *node)
{
    node_crash(node, 0);
    if (!node->out) {
        node_boot(node);
    }
    if (node->out) {
        return false;
    }
    for (unsigned i = 0; i < REMOVALS_MAX && executor_manual_step(&node->engine); i++) {
    }
    return fs_crash_damage_state(node->disk) == CRASH_DAMAGE_THERE;
}

static void look(struct sim_node *node)
{
    struct sim *sim = node->sim;
    /* A snapshot that is staged is looked at when it is complete. */
    if (fs_crash_damage_state(node->disk) != CRASH_DAMAGE_THERE ||
        fs_crash_damage_is_below(node->disk, "data/incoming")) {
        return;
    }
    bool known = !node->is_log_damage && !damage_audit(node);
    sim->noticed += known;
    if (!known && is_in_use(node)) {
        world_break(&sim->world, "a node finds what its disk did wrong", "n%u", node->number + 1);
    }
}

void damage_at_end(struct sim *sim)
{
    for (unsigned i = 0; i < sim->node_count && sim->world.broken == NULL; i++) {
        struct sim_node *node = &sim->nodes[i];
        if (node->damaged && node->running) {
            look(node);
        } else if (!node->damaged && node->running && i == sim->world.seed % AUDITED_ONE_OF) {
            if (!damage_audit(node)) {
                world_break(&sim->world, "a node whose disk is sound says so", "n%u", i + 1);
            }
        }
    }
}
