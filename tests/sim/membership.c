/* SPDX-License-Identifier: Apache-2.0
 *
 * In some seeds the membership changes: more nodes are there, which wait to be added; members, the
 * leader too, are removed for good. MEMBERS_LEFT voters stay at least, so that a majority can come
 * back.
 */
#include <inttypes.h>

#include "schema/cluster.pb-c.h"
#include "sim.h"

#define CHANGE_MAX_NS (200 * NS_PER_MS)
#define AT_ONCE_MAX_NS (5 * NS_PER_MS)
#define PATIENCE_NS (2 * NS_PER_S)

/* Adding is the service's second method, and the others follow as their kinds do. */
enum { CLUSTER_ADD_MEMBER = 1 };

struct change {
    struct sim *sim;
    enum admin_kind kind;
    unsigned about;
    uint64_t term; /* of who was asked */
};

void membership_draw(struct sim *sim, unsigned members)
{
    sim->changing = sim->scripted || sim->world.seed % 4 == 1;
    if (!sim->scripted && sim->changing && members < MEMBERS_MAX) {
        sim->spare = 1 + (unsigned)world_draw(&sim->world, MEMBERS_MAX - members);
    }
    sim->first_members = members;
    sim->node_count = members + sim->spare;
}

static void read_status(struct sim_node *node, struct driver_status *out)
{
    driver_status(node->replica->driver, out);
}

struct sim_node *membership_leader(const struct sim *sim)
{
    const struct sim_node *newest = NULL;
    for (unsigned i = 0; i < sim->node_count; i++) {
        const struct sim_node *node = &sim->nodes[i];
        if (node->running && node->leads && (newest == NULL || node->term > newest->term)) {
            newest = node;
        }
    }
    return (struct sim_node *)(uintptr_t)newest;
}

enum sim_standing membership_of(const struct sim *sim, const struct sim_node *node)
{
    struct driver_status status;
    struct sim_node *by = membership_leader(sim);
    if (by == NULL) {
        return SIM_UNKNOWN;
    }
    read_status(by, &status);
    const struct member *member = members_named(&status.members, node->config.node_id);
    return member == NULL ? SIM_OUTSIDER : member->voter ? SIM_VOTER : SIM_LEARNER;
}

/* Where nobody knows, all are to come to an end. */
bool membership_has(const struct sim *sim, const struct sim_node *node)
{
    return !sim->changing || membership_of(sim, node) != SIM_OUTSIDER;
}

/* To whom leadership was said to have been transferred led, or does. */
static void check_transfer(const struct change *change)
{
    const struct checks *checks = &change->sim->checks;
    for (uint64_t term = change->term; term < checks->leader_capacity; term++) {
        if (checks->leader_of[term] == change->about + 1) {
            return;
        }
    }
    world_break(&change->sim->world, "leadership that was transferred is where it should be",
                "n%u did not lead in term %" PRIu64 " or after", change->about + 1, change->term);
}

static void on_answer(void *context, const struct rpc_result *result)
{
    static const char *const names[] = {"add", "promote", "remove", "transfer"};
    const struct change *change = context;
    bool done = result->status == STATUS_OK;
    change->sim->changes += done;
    if (done && change->kind == ADMIN_TRANSFER) {
        check_transfer(change);
    }
    world_note(&change->sim->world, "change", change->kind, result->status);
    sim_tell(change->sim, "%s n%u: %s%s%s", names[change->kind], change->about + 1,
             done ? "done" : status_name(result->status), done ? "" : ", ", result->text);
}

static char *text_of(const char *text)
{
    return (char *)(uintptr_t)text; /* protobuf-c's structs are not const; packing only reads */
}

void membership_ask(struct sim_node *by, enum admin_kind kind, const struct sim_node *about)
{
    struct sim *sim = by->sim;
    const struct config_member *member = &about->config.members[config_self(&about->config)];
    const struct change change = {
        .sim = sim, .kind = kind, .about = about->number, .term = by->term};
    Estreat__V1__AddMemberRequest add = ESTREAT__V1__ADD_MEMBER_REQUEST__INIT;
    Estreat__V1__PromoteMemberRequest promote = ESTREAT__V1__PROMOTE_MEMBER_REQUEST__INIT;
    Estreat__V1__RemoveMemberRequest leave = ESTREAT__V1__REMOVE_MEMBER_REQUEST__INIT;
    Estreat__V1__TransferRequest transfer = ESTREAT__V1__TRANSFER_REQUEST__INIT;
    const ProtobufCMessage *const requests[] = {&add.base, &promote.base, &leave.base,
                                                &transfer.base};
    add.id = promote.id = leave.id = transfer.id = text_of(member->id);
    add.client_endpoint = text_of(member->client);
    add.peer_endpoint = text_of(member->peer);
    world_note(&sim->world, "ask for a change", about->number, kind);
    calls_ask(sim, &(struct sim_asking){.from = SIM_CLIENT,
                                        .to = by->number,
                                        .service = &estreat__v1__cluster__descriptor,
                                        .method = CLUSTER_ADD_MEMBER + kind,
                                        .request = requests[kind],
                                        .patience_ns = PATIENCE_NS,
                                        .done = on_answer,
                                        .context = &change,
                                        .context_bytes = sizeof change});
    if (!sim->scripted) {
        weather_change(by);
    }
}

static void change(void *context, uint64_t again)
{
    struct sim *sim = context;
    struct world *world = &sim->world;
    struct sim_node *by = membership_leader(sim);
    if (sim->healed) {
        return;
    }
    if (again) {
        world_post(world, world_draw(world, CHANGE_MAX_NS), change, sim, true);
    }
    if (by == NULL || by->dying || node_paused_ns(by) > 0) {
        return;
    }
    struct driver_status status;
    read_status(by, &status);
    struct sim_node *about = &sim->nodes[world_draw(world, sim->node_count)];
    const struct member *member = members_named(&status.members, about->config.node_id);
    size_t voters = 0;
    for (size_t i = 0; i < status.members.count; i++) {
        voters += status.members.of[i].voter;
    }
    if (member == NULL) {
        membership_ask(by, ADMIN_ADD, about); /* or it was removed, and that is refused */
    } else if (!member->voter && world_chance(world, 500)) {
        membership_ask(by, ADMIN_PROMOTE, about);
    } else if (voters > MEMBERS_LEFT && world_chance(world, 400)) {
        membership_ask(by, ADMIN_REMOVE, about);
    } else if (world_chance(world, 200)) {
        membership_ask(by, ADMIN_TRANSFER, about);
    }
}

void membership_begin(struct sim *sim)
{
    if (sim->changing) {
        world_post(&sim->world, world_draw(&sim->world, NS_PER_S), change, sim, true);
    }
}

/* An operator whose request went down with a leader asks the next one at once: before it has
 * committed anything of its own term, which is when a change would be wrong. */
void membership_elected(struct sim *sim)
{
    if (sim->changing && !sim->scripted && world_chance(&sim->world, 500)) {
        world_post(&sim->world, world_draw(&sim->world, AT_ONCE_MAX_NS), change, sim, false);
    }
}
