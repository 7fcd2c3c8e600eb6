/* SPDX-License-Identifier: Apache-2.0
 *
 * Applying entries: positions, versions, expectations, sessions; and that equal
 * logs give equal states, however they were cut into groups and restarts.
 */
#include "testlib/test.h"

#include "merkle/range.h"
#include "node/append_entry.h"
#include "node/apply.h"
#include "node/event_log.h"
#include "testlib/executor_manual.h"
#include "testlib/fs_crash.h"

static const struct keyspace_options keyspaces[KEYSPACE_COUNT] = {
    [KEYSPACE_EVENTS] = {.name = "events", .layout = KEYSPACE_APPEND},
    [KEYSPACE_LATEST] = {.name = "latest"},
    [KEYSPACE_VERSIONS] = {.name = "versions"},
    [KEYSPACE_SESSIONS] = {.name = "sessions"},
    [KEYSPACE_TILES] = {.name = "tiles", .layout = KEYSPACE_APPEND},
    [KEYSPACE_META] = {.name = "meta"},
    [KEYSPACE_LOCAL] = {.name = "local"},
};

struct world {
    struct fs_crash *fs;
    struct executor_manual executor;
    struct engine *engine;
    struct apply_state state;
    struct buf versions;
    uint64_t index;
    uint64_t time_ns;
};

static void world_open(struct world *world)
{
    struct error err = ERROR_INIT;
    memset(world, 0, sizeof *world);
    world->fs = fs_crash_new();
    executor_manual_init(&world->executor, 1);
    const struct engine_options options = {.fs = fs_crash_fs(world->fs),
                                           .executor = &world->executor.executor,
                                           .dir = "tables",
                                           .keyspaces = keyspaces,
                                           .keyspace_count = KEYSPACE_COUNT};
    assert_ok(engine_open(&options, &world->engine, &err), &err);
    struct apply_state *state = &world->state;
    state->alloc = alloc_default();
    state->engine = world->engine;
    assert_ok(
        tile_store_open(alloc_default(), world->engine, slice_of(NULL, 0), &state->tiles, &err),
        &err);
    assert_ok(session_table_new(alloc_default(), &state->sessions, &err), &err);
    state->latest = latest_cache_new(alloc_default(), MIB);
    batch_init(&state->batch, alloc_default());
    version_rows_init(&state->version_rows, alloc_default());
    buf_init(&state->value, alloc_default(), MIB);
    buf_init(&state->membership, alloc_default(), MIB);
    buf_init(&world->versions, alloc_default(), MIB);
    world->time_ns = 1000;
}

static void world_close(struct world *world)
{
    struct apply_state *state = &world->state;
    tile_store_close(state->tiles);
    session_table_free(state->sessions);
    latest_cache_free(state->latest);
    batch_release(&state->batch);
    version_rows_release(&state->version_rows);
    buf_release(&state->value);
    buf_release(&state->membership);
    buf_release(&world->versions);
    engine_close(world->engine);
    fs_crash_free(world->fs);
}

/* What the applier does at the end of a group. */
static void group_end(struct world *world)
{
    struct error err = ERROR_INIT;
    struct apply_state *state = &world->state;
    assert_ok(version_rows_put(&state->version_rows, &state->batch, &err), &err);
    assert_ok(engine_write(world->engine, &state->batch, &err), &err);
    batch_clear(&state->batch);
    tile_store_publish(state->tiles);
}

struct request {
    Estreat__V1__NewEvent events[8];
    Estreat__V1__NewEvent *pointers[8];
    Estreat__V1__AppendRequest message;
};

static void request_init(struct request *request)
{
    estreat__v1__append_request__init(&request->message);
    request->message.events = request->pointers;
}

static Estreat__V1__NewEvent *request_add(struct request *request, const char *key,
                                          const char *payload)
{
    size_t i = request->message.n_events++;
    assert_true(i < 8);
    Estreat__V1__NewEvent *event = &request->events[i];
    estreat__v1__new_event__init(event);
    event->key = (ProtobufCBinaryData){.len = strlen(key), .data = (uint8_t *)(uintptr_t)key};
    event->payload =
        (ProtobufCBinaryData){.len = strlen(payload), .data = (uint8_t *)(uintptr_t)payload};
    request->pointers[i] = event;
    return event;
}

static enum status apply_bytes(struct world *world, uint32_t type, struct slice bytes,
                               struct apply_result *result, struct error *err)
{
    const struct apply_input input = {
        .index = ++world->index, .term = 1, .type = type, .data = bytes};
    return apply_entry(&world->state, &input, result, &world->versions, err);
}

static struct apply_result apply_request(struct world *world, const struct request *request)
{
    struct error err = ERROR_INIT;
    struct apply_result result;
    uint8_t bytes[4096];
    size_t length = append_entry_length(&request->message, false);
    assert_true(length <= sizeof bytes);
    append_entry_encode(&request->message, false, NULL, bytes);
    world->time_ns += 100;
    append_entry_set_time(bytes, world->time_ns);
    assert_ok(apply_bytes(world, ENTRY_APPEND, slice_of(bytes, length), &result, &err), &err);
    return result;
}

static struct apply_result append_one(struct world *world, const char *key, const char *payload)
{
    struct request request;
    request_init(&request);
    (void)request_add(&request, key, payload);
    return apply_request(world, &request);
}

static uint64_t version_of(const struct world *world, const struct apply_result *result, size_t i)
{
    return ((const uint64_t *)(const void *)world->versions.data)[result->versions_begin + i];
}

/* Positions are dense, versions count for each key, and kinds follow from what was there. */
static void positions_and_versions_count_up(void **unused)
{
    struct world world;
    struct error err = ERROR_INIT;
    struct event_record record;
    struct buf value;
    (void)unused;
    world_open(&world);
    buf_init(&value, alloc_default(), MIB);
    struct apply_result a = append_one(&world, "a", "1");
    struct apply_result b = append_one(&world, "b", "2");
    struct request request;
    request_init(&request);
    (void)request_add(&request, "a", "3");
    request_add(&request, "a", "")->kind = ESTREAT__V1__KIND__KIND_DELETE;
    (void)request_add(&request, "a", "4");
    struct apply_result c = apply_request(&world, &request);
    assert_int_equal(a.position, 0);
    assert_int_equal(b.position, 1);
    assert_int_equal(c.position, 2);
    assert_int_equal(c.count, 3);
    assert_int_equal(version_of(&world, &a, 0), 0);
    assert_int_equal(version_of(&world, &b, 0), 0);
    assert_int_equal(version_of(&world, &c, 0), 1);
    assert_int_equal(version_of(&world, &c, 2), 3);
    group_end(&world);
    static const uint8_t kinds[] = {EVENT_KIND_CREATE, EVENT_KIND_CREATE, EVENT_KIND_UPDATE,
                                    EVENT_KIND_DELETE, EVENT_KIND_CREATE};
    for (uint64_t position = 0; position < 5; position++) {
        assert_ok(event_log_read(world.engine, 5, position, &value, &record, &err), &err);
        assert_int_equal(record.kind, kinds[position]);
    }
    uint64_t version;
    struct version_row row;
    assert_ok(event_log_newest(world.engine, 2, slice_of_string("a"), &version, &row, &err), &err);
    assert_int_equal(row.position, 0);
    uint64_t found;
    assert_ok(event_log_position_at(world.engine, 5, c.time_ns, &found, &err), &err);
    assert_int_equal(found, 2);
    assert_ok(event_log_position_at(world.engine, 5, c.time_ns + 1, &found, &err), &err);
    assert_int_equal(found, 3);
    buf_release(&value);
    world_close(&world);
}

/* A request is applied whole or not at all, and its events see each other's versions. */
static void expectations_hold_for_the_whole_request(void **unused)
{
    struct world world;
    (void)unused;
    world_open(&world);
    (void)append_one(&world, "a", "1");
    struct request request;
    request_init(&request);
    (void)request_add(&request, "new", "x");
    Estreat__V1__NewEvent *event = request_add(&request, "a", "2");
    event->expected_case = ESTREAT__V1__NEW_EVENT__EXPECTED_EXPECTED_VERSION;
    event->expected_version = 1;
    struct apply_result refused = apply_request(&world, &request);
    assert_int_equal(refused.status, STATUS_ABORTED);
    assert_int_equal(world.state.size, 1);
    event->expected_version = 0;
    assert_int_equal(apply_request(&world, &request).status, STATUS_OK);

    request_init(&request);
    event = request_add(&request, "chain", "1");
    event->expected_case = ESTREAT__V1__NEW_EVENT__EXPECTED_EXPECTED_NONE;
    event->expected_none = true;
    event = request_add(&request, "chain", "2");
    event->expected_case = ESTREAT__V1__NEW_EVENT__EXPECTED_EXPECTED_VERSION;
    event->expected_version = 0;
    assert_int_equal(apply_request(&world, &request).status, STATUS_OK);
    assert_int_equal(apply_request(&world, &request).status, STATUS_ABORTED);
    assert_int_equal(world.state.size, 5);
    world_close(&world);
}

/* A repeated request gives the first answer again, a refusal too, and changes nothing. */
static void repeats_are_answered_and_not_applied(void **unused)
{
    struct world world;
    uint8_t client[CLIENT_ID_BYTES] = "the client id ..";
    (void)unused;
    world_open(&world);
    struct request request;
    request_init(&request);
    Estreat__V1__NewEvent *event = request_add(&request, "a", "1");
    request.message.client_id = (ProtobufCBinaryData){.len = sizeof client, .data = client};
    request.message.sequence = 1;
    request.message.acknowledged_below = 1;
    struct apply_result first = apply_request(&world, &request);
    struct apply_result again = apply_request(&world, &request);
    assert_false(first.repeated);
    assert_true(again.repeated);
    assert_int_equal(again.position, first.position);
    assert_int_equal(again.time_ns, first.time_ns);
    assert_int_equal(world.state.size, 1);

    event->expected_case = ESTREAT__V1__NEW_EVENT__EXPECTED_EXPECTED_VERSION;
    event->expected_version = 1;
    request.message.sequence = 2;
    assert_int_equal(apply_request(&world, &request).status, STATUS_ABORTED);
    (void)append_one(&world, "a", "2"); /* now the expectation would hold */
    assert_int_equal(apply_request(&world, &request).status, STATUS_ABORTED);
    assert_int_equal(world.state.size, 2);
    world_close(&world);
}

/* Unknown types and damaged bytes stop the node; they are never skipped. */
static void unknown_entries_are_errors(void **unused)
{
    struct world world;
    struct error err = ERROR_INIT;
    struct apply_result result;
    uint8_t bytes[64] = {9};
    (void)unused;
    world_open(&world);
    assert_status(apply_bytes(&world, 77, slice_of(NULL, 0), &result, &err), STATUS_UNIMPLEMENTED,
                  &err);
    assert_status(apply_bytes(&world, ENTRY_APPEND, slice_of(bytes, sizeof bytes), &result, &err),
                  STATUS_CORRUPT, &err);
    assert_status(apply_bytes(&world, ENTRY_EXPIRE_SESSIONS, slice_of(bytes, 7), &result, &err),
                  STATUS_CORRUPT, &err);
    assert_ok(apply_bytes(&world, ENTRY_NOOP, slice_of(NULL, 0), &result, &err), &err);
    world_close(&world);
}

/* The root does not depend on where groups end, and is that of the leaves. */
static void equal_logs_give_equal_roots(void **unused)
{
    struct hash roots[2];
    struct error err = ERROR_INIT;
    struct hasher hasher;
    struct range leaves;
    (void)unused;
    assert_ok(hasher_init(&hasher, &err), &err);
    range_init(&leaves, 0);
    for (int run = 0; run < 2; run++) {
        struct world world;
        world_open(&world);
        for (uint32_t i = 0; i < 700; i++) {
            char key[16];
            (void)snprintf(key, sizeof key, "key-%u", i * 7919 % 97);
            (void)append_one(&world, key, "payload");
            if (run == 0 || i % 50 == 0) {
                group_end(&world);
            }
        }
        group_end(&world);
        uint64_t size;
        tile_store_head(world.state.tiles, &hasher, &size, &roots[run]);
        assert_int_equal(size, 700);
        struct buf value;
        buf_init(&value, alloc_default(), MIB);
        for (uint64_t position = 0; run == 0 && position < size; position++) {
            struct event_record record;
            assert_ok(event_log_read(world.engine, size, position, &value, &record, &err), &err);
            struct hash leaf = event_record_leaf(&hasher, &record);
            range_append(&leaves, &hasher, &leaf, NULL);
        }
        const struct hash_source source = tile_store_source(world.state.tiles);
        struct hash root;
        assert_ok(proof_root(&source, &hasher, size, &root, &err), &err);
        assert_true(hash_equal(&root, &roots[run]));
        buf_release(&value);
        world_close(&world);
    }
    struct hash expected = range_root(&leaves, &hasher);
    assert_true(hash_equal(&roots[0], &roots[1]));
    assert_true(hash_equal(&roots[0], &expected));
    hasher_release(&hasher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions_and_versions_count_up),
        cmocka_unit_test(expectations_hold_for_the_whole_request),
        cmocka_unit_test(repeats_are_answered_and_not_applied),
        cmocka_unit_test(unknown_entries_are_errors),
        cmocka_unit_test(equal_logs_give_equal_roots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
