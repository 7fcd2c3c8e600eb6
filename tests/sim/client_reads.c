/* SPDX-License-Identifier: Apache-2.0
 *
 * A client reads at any node, under each consistency: the newest event of a key, or the event at a
 * position, which it asks for as that key's newest up to there.
 */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "schema/log.pb-c.h"
#include "sim.h"

#define PATIENCE_NS (500 * NS_PER_MS)

enum { LOG_GET = 1 };

struct read {
    struct sim *sim;
    unsigned node;
    enum sim_read_kind kind;
    unsigned key;
    bool exact;     /* the event at the last position below the floor, else the newest */
    uint64_t floor; /* the event that it sees is there at least, and one; 0: there may be none */
};

static void check_floor(const struct read *read, const Estreat__V1__Event *event)
{
    uint64_t sees = event == NULL ? 0 : event->position + 1;
    if (sees < read->floor || (read->exact && sees != read->floor)) {
        world_break(&read->sim->world, "a read sees what was acknowledged before it",
                    "n%u: %" PRIu64 " events in place of %" PRIu64, read->node + 1, sees,
                    read->floor);
    }
}

static void take_event(const struct read *read, const Estreat__V1__Event *event)
{
    struct sim *sim = read->sim;
    const struct event_record record = {.key = slice_of(event->key.data, event->key.len),
                                        .payload =
                                            slice_of(event->payload.data, event->payload.len),
                                        .version = event->version};
    sim_tell(sim, "a read at n%u sees the event at %" PRIu64, read->node + 1, event->position);
    check_floor(read, event);
    checks_event(&sim->nodes[read->node], event->position, &record);
    if (!read->exact && event->position + 1 > sim->seen[read->key]) {
        sim->seen[read->key] = event->position + 1;
    }
}

static void note_served(const struct read *read)
{
    struct sim *sim = read->sim;
    sim->reads++;
    if (sim->healed) {
        sim->served[read->kind] |= 1U << read->node;
    }
}

/* What is damaged is not given out; all else is refused only for a while, or for an I/O error. */
static bool may_fail_by(const struct read *read, const struct rpc_result *result)
{
    switch (result->status) {
    case STATUS_DATA_LOSS:
        return read->sim->nodes[read->node].damaged;
    case STATUS_INTERNAL:
        return strstr(result->text, "injected") != NULL;
    case STATUS_UNAVAILABLE:
    case STATUS_DEADLINE_EXCEEDED:
    case STATUS_RESOURCE_EXHAUSTED:
        return true;
    default:
        return false;
    }
}

static void on_answer(void *context, const struct rpc_result *result)
{
    const struct read *read = context;
    struct sim *sim = read->sim;
    if (result->status == STATUS_OK) {
        note_served(read);
        take_event(read, ((const Estreat__V1__GetResponse *)result->message)->event);
    } else if (result->status == STATUS_NOT_FOUND) {
        note_served(read);
        sim_tell(sim, "a read at n%u sees nothing", read->node + 1);
        check_floor(read, NULL);
    } else {
        sim_tell(sim, "a read at n%u fails: %s", read->node + 1, status_name(result->status));
        if (!may_fail_by(read, result)) {
            world_break(&sim->world, "what was stored can be read", "n%u: %s: %s", read->node + 1,
                        status_name(result->status), result->text);
        }
    }
}

/* One event of those that are acknowledged, or the last, tells which key. */
static void choose(struct read *read)
{
    struct sim *sim = read->sim;
    const struct checks *checks = &sim->checks;
    uint64_t end = checks->acknowledged_end;
    if (end == 0) {
        return;
    }
    read->exact = !sim->scripted && read->kind != SIM_READ_LOCAL && world_chance(&sim->world, 500);
    uint64_t position = read->exact ? world_draw(&sim->world, end) : end - 1;
    while (checks->owner[position] == 0) {
        position++; /* what is not acknowledged may not be there */
    }
    const struct sim_op *op = &sim->ops[checks->owner[position] - 1];
    read->key = (op->key + (unsigned)(position - op->position)) % SIM_KEYS;
    if (read->kind == SIM_READ_LOCAL) {
        return;
    }
    read->floor = position + 1;
    if (read->kind == SIM_READ_LINEARIZABLE && !read->exact && sim->seen[read->key] > read->floor) {
        read->floor = sim->seen[read->key]; /* others have seen that */
    }
}

void clients_read(struct sim_node *node, enum sim_read_kind kind)
{
    static const Estreat__V1__ConsistencyLevel levels[] = {
        [SIM_READ_LINEARIZABLE] = ESTREAT__V1__CONSISTENCY_LEVEL__LINEARIZABLE,
        [SIM_READ_AT_LEAST] = ESTREAT__V1__CONSISTENCY_LEVEL__AT_LEAST,
        [SIM_READ_LOCAL] = ESTREAT__V1__CONSISTENCY_LEVEL__LOCAL,
    };
    struct sim *sim = node->sim;
    struct read read = {.sim = sim, .node = node->number, .kind = kind};
    uint8_t key[32];
    Estreat__V1__Bound as_of = ESTREAT__V1__BOUND__INIT;
    Estreat__V1__ReadConsistency consistency = ESTREAT__V1__READ_CONSISTENCY__INIT;
    Estreat__V1__GetRequest request = ESTREAT__V1__GET_REQUEST__INIT;
    choose(&read);
    request.key.data = key;
    request.key.len = key_of(read.key, key);
    request.consistency = &consistency;
    consistency.level = levels[kind];
    if (kind == SIM_READ_AT_LEAST) {
        consistency.size = sim->checks.acknowledged_end;
    }
    if (read.exact) {
        as_of.at_case = ESTREAT__V1__BOUND__AT_POSITION;
        as_of.position = read.floor - 1;
        request.as_of = &as_of;
    }
    calls_ask(sim, &(struct sim_asking){.from = SIM_CLIENT,
                                        .to = node->number,
                                        .service = &estreat__v1__log__descriptor,
                                        .method = LOG_GET,
                                        .request = &request.base,
                                        .patience_ns = PATIENCE_NS,
                                        .done = on_answer,
                                        .context = &read,
                                        .context_bytes = sizeof read});
}

bool clients_were_served(const struct sim *sim)
{
    for (unsigned i = 0; i < sim->node_count; i++) {
        const struct sim_node *node = &sim->nodes[i];
        bool may_not = node->out || node->damaged || !membership_has(sim, node);
        for (unsigned kind = 0; kind < SIM_READ_KINDS; kind++) {
            if (!may_not && (sim->served[kind] & 1U << i) == 0) {
                return false;
            }
        }
    }
    return true;
}
