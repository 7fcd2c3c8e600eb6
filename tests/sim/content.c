/* SPDX-License-Identifier: Apache-2.0
 *
 * What must hold of what a node stores: it is as it was sent, and as others store it.
 */
#include <inttypes.h>

#include "base/coding.h"
#include "node/event_log.h"
#include "node/keyspaces.h"
#include "sim.h"

#define DERIVED_EACH 64U

/* --- as numbers ------------------------------------------------------------------------------ */

static uint64_t fold(uint64_t hash, struct slice bytes)
{
    const uint64_t prime = 0x9e3779b97f4a7c15U;
    size_t at = 0;
    hash = (hash ^ bytes.length) * prime;
    for (; at + 8 <= bytes.length; at += 8) {
        hash = (hash ^ get_le64(bytes.data + at)) * prime;
        hash ^= hash >> 29;
    }
    for (; at < bytes.length; at++) {
        hash = (hash ^ bytes.data[at]) * prime;
        hash ^= hash >> 29;
    }
    return hash;
}

enum status content_fold(struct sim_node *node, unsigned keyspace, content_each_fn each,
                         uint64_t *hash, struct error *err)
{
    struct engine_iter *iter = NULL;
    uint64_t n = 0;
    const struct engine_iter_options options = {.no_fill_cache = true};
    enum status status =
        engine_iter_new(node->replica->engine, NULL, keyspace, &options, &iter, err);
    if (status != STATUS_OK) {
        return status;
    }
    for (engine_iter_seek_first(iter); engine_iter_valid(iter); engine_iter_next(iter)) {
        *hash = fold(*hash, engine_iter_key(iter));
        *hash = fold(*hash, engine_iter_value(iter));
        if (each != NULL) {
            each(node, n, engine_iter_key(iter), engine_iter_value(iter));
        }
        n++;
    }
    status = engine_iter_status(iter, err);
    engine_iter_close(iter);
    *hash = (*hash ^ n) * 0x100000001b3U;
    return status;
}

/* The newest version of each key among the first `size` events. False if they cannot be read. */
static bool newest_of_all(struct sim_node *node, uint64_t size, uint64_t *hash)
{
    struct error err = ERROR_INIT;
    *hash = 1;
    for (unsigned i = 0; i < SIM_KEYS; i++) {
        uint8_t bytes[32];
        uint8_t numbers[16];
        struct version_row row;
        uint64_t version = 0;
        struct slice key = slice_of(bytes, key_of(i, bytes));
        enum status status =
            event_log_newest(node->replica->engine, size, key, &version, &row, &err);
        if (status == STATUS_OK) {
            put_le64(numbers, version);
            put_le64(numbers + 8, row.position);
            *hash = fold(*hash, slice_of(numbers, sizeof numbers));
        } else if (status != STATUS_NOT_FOUND) {
            return false;
        }
        *hash = fold(*hash, key);
    }
    return true;
}

/* The row of `latest`, which is in the engine only from a seal on. */
static bool latest_of_all(struct sim_node *node, const struct apply_state *state, uint64_t *hash)
{
    struct error err = ERROR_INIT;
    struct buf value;
    bool seen = true;
    buf_init(&value, &node->memory.alloc, LATEST_ROW_BYTES_MAX);
    for (unsigned i = 0; i < SIM_KEYS && seen; i++) {
        uint8_t bytes[32];
        uint8_t row[LATEST_ROW_BYTES_MAX];
        struct slice key = slice_of(bytes, key_of(i, bytes));
        const struct latest_row *unsealed = latest_cache_get(state->latest, key);
        if (unsealed != NULL) {
            if (unsealed->position != LATEST_ABSENT) {
                *hash = fold(*hash, slice_of(row, latest_row_encode(unsealed, row)));
            }
            continue;
        }
        enum status status =
            engine_get(node->replica->engine, NULL, KEYSPACE_LATEST, key, &value, &err);
        if (status == STATUS_OK) {
            *hash = fold(*hash, buf_slice(&value));
        }
        seen = status == STATUS_OK || status == STATUS_NOT_FOUND;
    }
    buf_release(&value);
    return seen;
}

/* In whichever order they come. */
static enum status add_session(void *context, struct slice client_id, struct slice row,
                               struct error *err)
{
    uint64_t *sum = context;
    (void)err;
    *sum += fold(fold(1, client_id), row);
    return STATUS_OK;
}

/* All that was derived from the first events, as a number. False if it cannot be read. */
static bool derived(struct sim_node *node, const struct apply_state *state, uint64_t size,
                    uint64_t *hash)
{
    struct error err = ERROR_INIT;
    uint64_t sessions = session_floor_ns(state->sessions);
    if (!newest_of_all(node, size, hash) || !latest_of_all(node, state, hash) ||
        session_each(state->sessions, add_session, &sessions, &err) != STATUS_OK) {
        return false;
    }
    *hash ^= sessions;
    return true;
}

/* --- checks ---------------------------------------------------------------------------------- */

/* While the checks look into a node nothing fails: that is for its own work. */
struct calm {
    uint64_t memory;
    bool disk;
};

static struct calm calm_begin(struct sim_node *node)
{
    struct calm calm = {.memory = node->memory.fail, .disk = node->faulty.armed};
    node->memory.fail = 0;
    node->faulty.armed = false;
    return calm;
}

static void calm_end(struct sim_node *node, const struct calm *calm)
{
    node->memory.fail = calm->memory;
    node->faulty.armed = calm->disk;
}

/* What was derived from the same entries is the same, in memory or in tables. A group of entries
 * ends where its node will, so at an entry of these mostly some nodes can be compared, not all. */
void checks_derived(struct sim_node *node, const struct applied_point *point)
{
    struct sim_point *known = &node->sim->checks.points[point->index];
    const struct apply_state *state = applier_state(node->replica->applier);
    uint64_t hash = 0;
    if (point->index % DERIVED_EACH != 0 || node->damaged || state == NULL) {
        return;
    }
    struct calm calm = calm_begin(node);
    bool seen = derived(node, state, point->size, &hash);
    calm_end(node, &calm);
    if (!seen) {
        if (!fs_crash_stopped(node->disk)) {
            world_break(&node->sim->world, "what is applied can be read", "n%u at entry %" PRIu64,
                        node->number + 1, point->index);
        }
        return;
    }
    if (known->derived == 0) {
        known->derived = hash;
        return;
    }
    node->sim->compared++;
    if (known->derived != hash) {
        world_break(&node->sim->world, "equal derived content at equal positions",
                    "n%u at entry %" PRIu64, node->number + 1, point->index);
    }
}

static bool is_of(const struct event_record *record, uint64_t op, uint64_t number, uint64_t seed)
{
    return record->payload.length >= 16 && get_le64(record->payload.data) == op &&
           get_le64(record->payload.data + 8) - seed == number;
}

void checks_acknowledges(struct sim_node *node, const Estreat__V1__AppendRequest *request,
                         const Estreat__V1__AppendResponse *response)
{
    struct sim *sim = node->sim;
    uint64_t op = get_le64(request->events[0]->payload.data);
    uint64_t position = response->position;
    uint64_t size = applied_get(&node->replica->applied).size;
    struct event_record record;
    struct error err = ERROR_INIT;
    struct buf value;
    if (node->damaged) {
        return;
    }
    struct calm calm = calm_begin(node);
    buf_init(&value, &node->memory.alloc, CLIENT_FRAME_BYTES_MAX);
    for (uint32_t i = 0; i < request->n_events; i++) {
        enum status status =
            event_log_read(node->replica->engine, size, position + i, &value, &record, &err);
        bool is_there = status == STATUS_OK && is_of(&record, op, i, sim->world.seed);
        if (!is_there && !fs_crash_stopped(node->disk)) {
            world_break(&sim->world, "what is acknowledged is in the log",
                        "n%u: op %" PRIu64 " at %" PRIu64 ": %s", node->number + 1, op,
                        position + i, status == STATUS_OK ? "another event" : err.text);
        }
    }
    buf_release(&value);
    calm_end(node, &calm);
}

/* Each event belongs to the operation that its position was acknowledged to, and none to an
 * operation that was acknowledged elsewhere. */
void checks_event(struct sim_node *node, uint64_t position, const struct event_record *record)
{
    struct sim *sim = node->sim;
    uint8_t payload[128];
    uint8_t key[32];
    if (record->payload.length < 16) {
        world_break(&sim->world, "the payload is whole", "n%u: position %" PRIu64, node->number + 1,
                    position);
        return;
    }
    uint64_t op = get_le64(record->payload.data);
    uint64_t i = get_le64(record->payload.data + 8) - sim->world.seed;
    if (op >= sim->ops_begun || i >= sim->ops[op].events) {
        world_break(&sim->world, "nothing that nobody appended", "n%u: position %" PRIu64,
                    node->number + 1, position);
        return;
    }
    size_t length = op_payload(sim, op, (unsigned)i, payload);
    size_t key_length = op_key(sim, op, (unsigned)i, key);
    if (!slice_equal(record->payload, slice_of(payload, length)) ||
        !slice_equal(record->key, slice_of(key, key_length))) {
        world_break(&sim->world, "an event is as it was sent", "n%u: position %" PRIu64,
                    node->number + 1, position);
    }
    if (sim->ops[op].versions[i] != 0 && sim->ops[op].versions[i] != record->version + 1) {
        world_break(&sim->world, "an event has the version that was told",
                    "n%u: position %" PRIu64 ", version %" PRIu64, node->number + 1, position,
                    record->version);
    }
    if (sim->ops[op].done && sim->ops[op].position + i != position) {
        world_break(&sim->world, "exactly once",
                    "n%u: op %" PRIu64 " is at %" PRIu64 ", acknowledged at %" PRIu64,
                    node->number + 1, op, position, sim->ops[op].position + i);
    }
}
