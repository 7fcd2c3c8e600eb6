/* SPDX-License-Identifier: Apache-2.0
 *
 * What a node's service would do, and what it tells its clients.
 */
#include "node/event_log.h"
#include "node/proposals.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim.h"

/* Of one that has SIM_EVENTS_PER_OP_MAX versions. */
enum { RESPONSE_BYTES_MAX = 128 };

static struct sim_node *node_of(struct replier *replier)
{
    return ((struct sim_replier *)replier)->node;
}

/* --- appends -------------------------------------------------------------------------------- */

static void call_link(struct sim_node *node, struct sim_call *call)
{
    call->next = node->calls;
    call->link = &node->calls;
    if (call->next != NULL) {
        call->next->link = &call->next;
    }
    node->calls = call;
}

static void call_unlink(struct sim_call *call)
{
    *call->link = call->next;
    if (call->next != NULL) {
        call->next->link = call->link;
    }
}

static void tell(struct sim_node *node, struct append_call *opaque,
                 const struct append_outcome *outcome)
{
    struct sim_call *call = (struct sim_call *)(void *)opaque;
    call_unlink(call);
    if (node->dying) {
        free(call);
        return;
    }
    clients_answer(node->sim, call, outcome);
}

static void on_refuse(struct replier *replier, struct append_call *call,
                      const struct append_failure *failure)
{
    struct sim_node *node = node_of(replier);
    struct append_outcome outcome = {.status = failure->status, .leader = UINT_MAX};
    for (unsigned i = 0; failure->leader_endpoint != NULL && i < node->sim->node_count; i++) {
        const struct config *config = &node->sim->nodes[i].config;
        if (strcmp(config->members[config_self(config)].client, failure->leader_endpoint) == 0) {
            outcome.leader = i;
        }
    }
    tell(node, call, &outcome);
}

static void on_answer(struct replier *replier, struct reply_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct append_reply *reply = &batch->replies[i];
        const Estreat__V1__AppendResponse response = reply_batch_response(batch, i);
        uint8_t bytes[RESPONSE_BYTES_MAX];
        CHECK(estreat__v1__append_response__get_packed_size(&response) <= sizeof bytes);
        const struct append_outcome outcome = {
            .response = slice_of(bytes, estreat__v1__append_response__pack(&response, bytes)),
            .leader = UINT_MAX};
        const struct sim_call *call = (const struct sim_call *)(void *)reply->call;
        if (!node_of(replier)->dying) {
            checks_acknowledges(node_of(replier), call->op, reply->position, reply->count);
        }
        tell(node_of(replier), reply->call, &outcome);
    }
    reply_batch_free(batch);
}

void node_append(struct sim_node *node, struct slice request, struct sim_call *call)
{
    Estreat__V1__AppendRequest *message =
        estreat__v1__append_request__unpack(NULL, request.length, request.data);
    struct proposal *proposal = NULL;
    struct error err = ERROR_INIT;
    CHECK(message != NULL);
    call_link(node, call);
    enum status status =
        proposal_new(&node->memory.alloc, message, node->config.salt, &node->rng.rng,
                     (struct append_call *)(void *)call, &proposal, &err);
    estreat__v1__append_request__free_unpacked(message, NULL);
    if (status == STATUS_OK) {
        driver_propose(node->replica->driver, proposal);
    } else {
        const struct append_outcome outcome = {.status = status, .leader = UINT_MAX};
        tell(node, (struct append_call *)(void *)call, &outcome);
    }
}

void calls_init(struct sim_node *node)
{
    node->replier =
        (struct sim_replier){.replier = {.refuse = on_refuse, .answer = on_answer}, .node = node};
}

void calls_forget(struct sim_node *node)
{
    while (node->calls != NULL) {
        struct sim_call *call = node->calls;
        call_unlink(call);
        free(call);
    }
}

/* --- reads ---------------------------------------------------------------------------------- */

struct sim_read {
    struct read_barrier barrier; /* first */
    struct sim_node *node;
    uint64_t floor;    /* events that were acknowledged when it began */
    uint64_t position; /* of the event to read; at `floor`: none */
};

/* The newest event of a key is one of that key, and of that version. */
static enum status read_newest(struct sim_node *node, struct slice key, uint64_t size,
                               struct buf *value, struct error *err)
{
    struct engine *engine = node->replica->engine;
    struct event_record record;
    struct version_row row;
    uint64_t version = 0;
    enum status status = event_log_newest(engine, size, key, &version, &row, err);
    if (status == STATUS_OK) {
        status = event_log_read(engine, size, row.position, value, &record, err);
    }
    if (status == STATUS_OK && (!slice_equal(record.key, key) || record.version != version)) {
        world_break(&node->sim->world, "the newest event of a key is of that key",
                    "n%u: position %" PRIu64, node->number + 1, row.position);
    }
    return status;
}

/* As the service does it: what is damaged is noted, and not given out. */
static void read_event(struct sim_node *node, uint64_t position, uint64_t size)
{
    struct error err = ERROR_INIT;
    struct event_record record;
    struct buf value;
    buf_init(&value, &node->memory.alloc, CLIENT_FRAME_BYTES_MAX);
    enum status status =
        event_log_read(node->replica->engine, size, position, &value, &record, &err);
    if (status == STATUS_OK) {
        uint8_t bytes[64];
        struct slice key = slice_of(bytes, record.key.length);
        CHECK(record.key.length <= sizeof bytes);
        memcpy(bytes, record.key.data, record.key.length);
        checks_event(node, position, &record);
        status = read_newest(node, key, size, &value, &err);
    }
    if (status == STATUS_DATA_LOSS) {
        world_note(&node->sim->world, "damage met by a read", node->number, position);
        sim_tell(node->sim, "n%u is damaged at %" PRIu64 ", and says so", node->number + 1,
                 position);
        fault_note(&node->replica->fault, err.text);
        if (!node->damaged) {
            world_break(&node->sim->world, "what was stored can be read", "n%u: %s",
                        node->number + 1, err.text);
        }
    }
    buf_release(&value);
}

static void on_read_ready(struct read_barrier *barrier, enum status status, const char *text)
{
    struct sim_read *read = (struct sim_read *)barrier;
    struct sim_node *node = read->node;
    (void)text;
    if (status != STATUS_OK) {
        sim_tell(node->sim, "a read at n%u fails: %s", node->number + 1, status_name(status));
    } else if (!node->dying) {
        uint64_t size = applied_get(&node->replica->applied).size;
        sim_tell(node->sim, "a read at n%u sees %" PRIu64 " events", node->number + 1, size);
        node->sim->reads++;
        if (size < read->floor) {
            world_break(&node->sim->world, "a linearizable read sees what was acknowledged before",
                        "n%u: %" PRIu64 " of %" PRIu64, node->number + 1, size, read->floor);
        } else if (read->position < read->floor) {
            read_event(node, read->position, size);
        }
    }
    free(read);
}

void node_read(struct sim_node *node)
{
    struct sim *sim = node->sim;
    uint64_t floor = sim->checks.acknowledged_end;
    uint64_t position = floor == 0 ? 0 : world_draw(&sim->world, floor);
    if (fault_get(&node->replica->fault, NULL)) {
        sim_tell(sim, "n%u serves no reads: it is damaged", node->number + 1);
        return;
    }
    struct sim_read *read = calloc(1, sizeof *read);
    CHECK(read != NULL);
    *read = (struct sim_read){
        .barrier = {.deadline_ns = clock_monotonic_ns(&node->clock.clock) + 500 * NS_PER_MS,
                    .ready = on_read_ready},
        .node = node,
        .floor = floor,
        .position = position};
    driver_read(node->replica->driver, &read->barrier);
}
