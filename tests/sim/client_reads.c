/* SPDX-License-Identifier: Apache-2.0
 *
 * A client reads at any node what was acknowledged before, to whomever: the newest event of a key,
 * or the event at a position, which it asks for as that key's newest up to there.
 */
#include <inttypes.h>

#include "base/check.h"
#include "schema/log.pb-c.h"
#include "sim.h"

#define PATIENCE_NS (500 * NS_PER_MS)

enum { LOG_GET = 1 };

struct read {
    struct sim *sim;
    unsigned node;
    bool none;  /* nothing is acknowledged yet */
    bool exact; /* the event at the position, else one there or after */
    uint64_t position;
};

static void take_event(const struct read *read, const Estreat__V1__Event *event)
{
    struct sim *sim = read->sim;
    const struct event_record record = {.key = slice_of(event->key.data, event->key.len),
                                        .payload =
                                            slice_of(event->payload.data, event->payload.len),
                                        .version = event->version};
    sim->reads++;
    sim_tell(sim, "a read at n%u sees the event at %" PRIu64, read->node + 1, event->position);
    bool misses = event->position < read->position;
    if (!read->none && (misses || (read->exact && event->position != read->position))) {
        world_break(&sim->world, "a read sees what was acknowledged before it",
                    "n%u: the event at %" PRIu64 " in place of %" PRIu64, read->node + 1,
                    event->position, read->position);
    }
    checks_event(&sim->nodes[read->node], event->position, &record);
}

/* What is damaged is not given out, and nothing else is refused for good. */
static void on_answer(void *context, const struct rpc_result *result)
{
    const struct read *read = context;
    struct sim *sim = read->sim;
    if (result->status == STATUS_OK) {
        take_event(read, ((const Estreat__V1__GetResponse *)result->message)->event);
        return;
    }
    sim_tell(sim, "a read at n%u fails: %s", read->node + 1, status_name(result->status));
    if (result->status == STATUS_DATA_LOSS && !sim->nodes[read->node].damaged) {
        world_break(&sim->world, "what was stored can be read", "n%u: %s", read->node + 1,
                    result->text);
    }
    if (result->status == STATUS_NOT_FOUND && !read->none) {
        world_break(&sim->world, "a read sees what was acknowledged before it",
                    "n%u: nothing in place of %" PRIu64, read->node + 1, read->position);
    }
    if (result->status == STATUS_NOT_FOUND) {
        sim->reads++;
    }
}

void clients_read(struct sim_node *node)
{
    struct sim *sim = node->sim;
    const struct checks *checks = &sim->checks;
    uint64_t floor = checks->acknowledged_end;
    struct read read = {.sim = sim, .node = node->number, .none = floor == 0};
    uint8_t key[32];
    Estreat__V1__Bound as_of = ESTREAT__V1__BOUND__INIT;
    Estreat__V1__ReadConsistency consistency = ESTREAT__V1__READ_CONSISTENCY__INIT;
    Estreat__V1__GetRequest request = ESTREAT__V1__GET_REQUEST__INIT;
    request.key.data = key;
    request.key.len = key_of(0, key);
    request.consistency = &consistency;
    if (!read.none) {
        read.exact = !sim->scripted && world_chance(&sim->world, 500);
        read.position = read.exact ? world_draw(&sim->world, floor) : floor - 1;
        while (checks->owner[read.position] == 0) {
            read.position++; /* what is not acknowledged may not be there */
        }
        uint64_t op = checks->owner[read.position] - 1;
        request.key.len = op_key(sim, op, (unsigned)(read.position - sim->ops[op].position), key);
    }
    if (read.exact) {
        as_of.at_case = ESTREAT__V1__BOUND__AT_POSITION;
        as_of.position = read.position;
        request.as_of = &as_of;
    }
    if (!sim->scripted && world_chance(&sim->world, 250)) {
        consistency.level = ESTREAT__V1__CONSISTENCY_LEVEL__AT_LEAST;
        consistency.size = floor;
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
