/* SPDX-License-Identifier: Apache-2.0
 *
 * The applier's thread over an engine whose disk is full, or whose tables are damaged.
 */
#include <errno.h>

#include "testlib/test.h"

#include "base/check.h"
#include "base/job.h"
#include "node/append_entry.h"
#include "node/apply.h"
#include "node/apply_thread.h"
#include "node/keyspaces.h"
#include "testlib/clock_manual.h"
#include "testlib/flip.h"
#include "testlib/fs_crash.h"
#include "testlib/fs_faulty.h"
#include "testlib/io_queue_manual.h"

#define ENTRIES 120U
#define PAYLOAD_BYTES (200 * KIB) /* 120 of them are far more than what memory takes */
#define PATIENCE_NS (5 * NS_PER_S)
#define PAIRS 200U   /* so many tables of level 0 that it becomes stuck */
#define REFUSED 200U /* clients with all results kept, of six megabytes */
#define KEYS 10U     /* of entries that are small */

static const struct keyspace_options keyspaces[KEYSPACE_COUNT] = {
    [KEYSPACE_EVENTS] = {.name = "events", .layout = KEYSPACE_APPEND},
    [KEYSPACE_LATEST] = {.name = "latest"},
    [KEYSPACE_VERSIONS] = {.name = "versions"},
    [KEYSPACE_SESSIONS] = {.name = "sessions"},
    [KEYSPACE_TILES] = {.name = "tiles", .layout = KEYSPACE_APPEND},
    [KEYSPACE_META] = {.name = "meta"},
    [KEYSPACE_LOCAL] = {.name = "local"},
};

struct fixture {
    struct fs_crash *crash;
    struct fs_faulty faulty;
    struct clock_manual clock;
    struct io_queue_manual io;
    struct wal *wal;
    struct executor *executor;
    struct engine *engine;
    struct tile_store *tiles;
    struct pending pending;
    struct applied applied;
    struct intake_queue done;
    atomic_uint faults;
    atomic_uint damages;
    unsigned given_back; /* entries */
    bool flat;           /* level 0 is small */
    struct applier *applier;
    struct apply_thread *thread;
    struct error err;
};

static void on_fatal(void *context, const struct error *err)
{
    struct fixture *fx = context;
    (void)err;
    atomic_fetch_add(&fx->faults, 1);
}

static void on_damage(void *context, const struct error *err)
{
    struct fixture *fx = context;
    CHECK(strstr(err->text, ".sst") != NULL || strstr(err->text, "level 0") != NULL);
    atomic_fetch_add(&fx->damages, 1);
}

static void open_engine(struct fixture *fx)
{
    assert_ok(executor_open_threads(alloc_default(), "engine", 1, &fx->executor, &fx->err),
              &fx->err);
    const struct engine_options options = {.fs = &fx->faulty.fs,
                                           .executor = fx->executor,
                                           .dir = "tables",
                                           .keyspaces = keyspaces,
                                           .keyspace_count = KEYSPACE_COUNT,
                                           .memtable_bytes = 64 * KIB,
                                           .l0_trigger = fx->flat ? 2 : 0,
                                           .l0_slowdown = fx->flat ? 3 : 0,
                                           .l0_stop = fx->flat ? 4 : 0,
                                           .memtable_slack_bytes = APPLIER_OVERSHOOT_BYTES};
    assert_ok(engine_open(&options, &fx->engine, &fx->err), &fx->err);
}

/* Begins where the tables end. */
static void begin(struct fixture *fx)
{
    struct wal_recovered recovered;
    struct buf bytes;
    struct seal start;
    io_queue_manual_init(&fx->io, &fx->clock.clock);
    const struct wal_options wal_options = {.fs = &fx->faulty.fs,
                                            .io = &fx->io.queue,
                                            .dir = "wal",
                                            .identity = slice_of_string("c/n")};
    assert_ok(wal_open(&wal_options, 0, 0, &recovered, &fx->wal, &fx->err), &fx->err);
    open_engine(fx);
    buf_init(&bytes, alloc_default(), ENGINE_STATE_BYTES_MAX);
    assert_ok(engine_sealed_state(fx->engine, &bytes, &fx->err), &fx->err);
    assert_ok(seal_decode(buf_slice(&bytes), &start, &fx->err), &fx->err);
    assert_ok(tile_store_open(alloc_default(), fx->engine, start.tree, &fx->tiles, &fx->err),
              &fx->err);
    pending_init(&fx->pending, alloc_default());
    applied_init(&fx->applied, (struct applied_point){.index = start.index, .size = start.size});
    intake_init(&fx->done);
    const struct applier_options options = {.alloc = alloc_default(),
                                            .clock = clock_system(),
                                            .engine = fx->engine,
                                            .wal = fx->wal,
                                            .tiles = fx->tiles,
                                            .pending = &fx->pending,
                                            .applied = &fx->applied,
                                            .done = &fx->done,
                                            .start = &start,
                                            .on_fatal = on_fatal,
                                            .on_damage = on_damage,
                                            .context = fx};
    assert_ok(applier_new(&options, &fx->applier, &fx->err), &fx->err);
    buf_release(&bytes);
    assert_ok(apply_thread_start(alloc_default(), fx->applier, &fx->thread, &fx->err), &fx->err);
}

static void take_back(struct fixture *fx)
{
    struct intake *item;
    while ((item = intake_take(&fx->done)) != NULL) {
        struct apply_batch *batch = (struct apply_batch *)item;
        for (size_t i = 0; i < batch->entry_count; i++) {
            raft_entry_unref(batch->entries[i]);
            fx->given_back++;
        }
        alloc_free(alloc_default(), batch);
    }
}

/* After the applier's end. */
static void end(struct fixture *fx)
{
    take_back(fx);
    executor_close(fx->executor);
    applier_free(fx->applier);
    applied_release(&fx->applied);
    pending_release(&fx->pending);
    tile_store_close(fx->tiles);
    engine_close(fx->engine);
    wal_close(fx->wal);
}

static int setup(void **state)
{
    static struct fixture fixture;
    struct fixture *fx = &fixture;
    *fx = (struct fixture){.crash = fs_crash_new()};
    fs_faulty_init(&fx->faulty, fs_crash_fs(fx->crash));
    clock_manual_init(&fx->clock, NS_PER_S);
    begin(fx);
    *state = fx;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fx = *state;
    end(fx);
    fs_faulty_release(&fx->faulty);
    fs_crash_free(fx->crash);
    return 0;
}

static struct raft_entry *make_entry(uint64_t index, uint64_t key, size_t payload_bytes,
                                     bool has_client)
{
    static uint8_t payload[PAYLOAD_BYTES];
    static uint8_t client[16] = "a client's id..";
    Estreat__V1__AppendRequest request = ESTREAT__V1__APPEND_REQUEST__INIT;
    Estreat__V1__NewEvent event = ESTREAT__V1__NEW_EVENT__INIT;
    Estreat__V1__NewEvent *events[] = {&event};
    event.key = (ProtobufCBinaryData){.len = sizeof key, .data = (uint8_t *)&key};
    event.payload = (ProtobufCBinaryData){.len = payload_bytes, .data = payload};
    request.n_events = 1;
    request.events = events;
    if (has_client) {
        request.client_id = (ProtobufCBinaryData){.len = sizeof client, .data = client};
        request.sequence = index;
    }
    size_t length = append_entry_length(&request, false);
    struct raft_entry *entry =
        raft_entry_new(alloc_default(), index, 1, ENTRY_APPEND, (uint32_t)length);
    assert_non_null(entry);
    append_entry_encode(&request, false, NULL, entry->data);
    append_entry_set_time(entry->data, 1000 * index);
    return entry;
}

static void submit(struct fixture *fx, uint64_t begin, uint64_t end)
{
    struct apply_batch *batch = alloc_zeroed(alloc_default(), 1, sizeof *batch);
    assert_non_null(batch);
    batch->begin = begin;
    batch->end = end;
    for (uint64_t index = begin; index < end; index++) {
        batch->entries[batch->entry_count++] = make_entry(index, index, PAYLOAD_BYTES, false);
    }
    applier_submit(fx->applier, batch);
}

/* An entry a batch, each of a key of `KEYS`. */
static void submit_small(struct fixture *fx, uint64_t first, uint64_t end_index, bool has_client)
{
    for (uint64_t index = first; index < end_index; index++) {
        struct apply_batch *batch = alloc_zeroed(alloc_default(), 1, sizeof *batch);
        assert_non_null(batch);
        batch->begin = index;
        batch->end = index + 1;
        batch->entries[batch->entry_count++] = make_entry(index, index % KEYS, 100, has_client);
        applier_submit(fx->applier, batch);
    }
}

/* Large ones, of two keys in turn. */
static void submit_keys(struct fixture *fx, uint64_t first, uint64_t end_index, uint64_t even,
                        uint64_t odd)
{
    for (uint64_t index = first; index < end_index; index++) {
        struct apply_batch *batch = alloc_zeroed(alloc_default(), 1, sizeof *batch);
        assert_non_null(batch);
        batch->begin = index;
        batch->end = index + 1;
        batch->entries[batch->entry_count++] =
            make_entry(index, index % 2 == 0 ? even : odd, PAYLOAD_BYTES, false);
        applier_submit(fx->applier, batch);
    }
}

/* A batch of requests of one client that are refused: the key's version is not that. */
static void submit_refused(struct fixture *fx, uint64_t first, uint8_t client, uint64_t sequence)
{
    uint8_t id[CLIENT_ID_BYTES] = {client};
    Estreat__V1__AppendRequest request = ESTREAT__V1__APPEND_REQUEST__INIT;
    Estreat__V1__NewEvent event = ESTREAT__V1__NEW_EVENT__INIT;
    Estreat__V1__NewEvent *events[] = {&event};
    struct apply_batch *batch = alloc_zeroed(alloc_default(), 1, sizeof *batch);
    assert_non_null(batch);
    event.key = (ProtobufCBinaryData){.len = 1, .data = (uint8_t *)"k"};
    event.expected_case = ESTREAT__V1__NEW_EVENT__EXPECTED_EXPECTED_VERSION;
    event.expected_version = 7;
    request.n_events = 1;
    request.events = events;
    request.client_id = (ProtobufCBinaryData){.len = sizeof id, .data = id};
    request.acknowledged_below = 1;
    batch->begin = first;
    batch->end = first + APPLY_BATCH_ENTRIES;
    for (uint64_t i = 0; i < APPLY_BATCH_ENTRIES; i++) {
        request.sequence = sequence + i;
        size_t length = append_entry_length(&request, false);
        struct raft_entry *entry =
            raft_entry_new(alloc_default(), first + i, 1, ENTRY_APPEND, (uint32_t)length);
        assert_non_null(entry);
        append_entry_encode(&request, false, NULL, entry->data);
        append_entry_set_time(entry->data, 1000);
        batch->entries[batch->entry_count++] = entry;
    }
    applier_submit(fx->applier, batch);
}

static void stop(struct fixture *fx)
{
    apply_thread_stop(fx->thread);
    applier_end(fx->applier);
}

/* Flips a byte in the first block of each table, or flips it back. */
static enum status spoil(void *context, const char *name, struct error *err)
{
    struct fixture *fx = context;
    char path[PATH_BYTES_MAX];
    (void)err;
    if (strstr(name, ".sst") != NULL) {
        (void)snprintf(path, sizeof path, "tables/%s", name);
        flip_bit(&fx->faulty.fs, path, 10);
    }
    return STATUS_OK;
}

static void spoil_tables(struct fixture *fx)
{
    assert_ok(fs_list(&fx->faulty.fs, "tables", spoil, fx, &fx->err), &fx->err);
}

static void wait_until_it_stands(struct fixture *fx)
{
    uint64_t until_ns = clock_monotonic_ns(clock_system()) + PATIENCE_NS;
    while (!applier_stands(fx->applier) && clock_monotonic_ns(clock_system()) < until_ns) {
        mpsc_wait(&fx->done.items, NS_PER_MS);
    }
    assert_true(applier_stands(fx->applier));
}

/* A full disk that stays full does not keep the applier from ending, and what it could not write
 * counts neither as applied nor as a fault: the log still has it. */
static void a_full_disk_does_not_hinder_the_end(void **state)
{
    struct fixture *fx = *state;
    fs_faulty_arm(&fx->faulty, (struct fs_fault){.call = FS_CALL_OPEN,
                                                 .errnum = ENOSPC,
                                                 .for_ever = true,
                                                 .path_contains = ".sst"});
    submit(fx, 1, 1 + ENTRIES / 2);
    submit(fx, 1 + ENTRIES / 2, 1 + ENTRIES);
    uint64_t until_ns = clock_monotonic_ns(clock_system()) + PATIENCE_NS;
    while (fs_faulty_hit(&fx->faulty) == 0 && clock_monotonic_ns(clock_system()) < until_ns) {
        mpsc_wait(&fx->done.items, NS_PER_MS);
    }
    assert_true(fs_faulty_hit(&fx->faulty) > 0);
    apply_thread_stop(fx->thread);
    applier_end(fx->applier);
    assert_true(applied_get(&fx->applied).index < ENTRIES);
    assert_int_equal(atomic_load(&fx->faults), 0);
    fs_faulty_disarm(&fx->faulty);
}

/* What stops the engine for good stops the node, also if nothing more comes to be applied: who
 * waits for a flush would wait for ever. */
static void a_fault_of_the_engine_is_told_without_new_work(void **state)
{
    struct fixture *fx = *state;
    fs_faulty_arm(&fx->faulty, (struct fs_fault){.call = FS_CALL_SYNC, .path_contains = ".sst"});
    submit(fx, 1, 2); /* more than the memtables take: it is flushed */
    uint64_t until_ns = clock_monotonic_ns(clock_system()) + PATIENCE_NS;
    while (atomic_load(&fx->faults) == 0 && clock_monotonic_ns(clock_system()) < until_ns) {
        mpsc_wait(&fx->done.items, NS_PER_MS);
    }
    assert_int_equal(applied_get(&fx->applied).index, 1);
    assert_int_equal(fs_faulty_hit(&fx->faulty), 1);
    assert_int_equal(atomic_load(&fx->faults), 1);
    apply_thread_stop(fx->thread);
    applier_end(fx->applier);
}

static void on_flush(struct flush_request *request, enum status status)
{
    CHECK(status == STATUS_DATA_LOSS);
    request->index = 1; /* heard */
}

/* The table that has a key's newest row rots. What needs it is not applied, nor what comes after;
 * that counts neither as applied nor as a fault of the node; and once the table is mended it is
 * applied from the log as if nothing had been. */
static void a_damaged_row_stops_applying(void **state)
{
    struct fixture *fx = *state;
    struct flush_request flush = {.done = on_flush};
    submit_small(fx, 1, 1 + KEYS, false);
    stop(fx); /* it flushes */
    end(fx);
    spoil_tables(fx);
    fx->given_back = 0;
    begin(fx);
    assert_int_equal(applied_get(&fx->applied).index, KEYS);
    submit_small(fx, 1 + KEYS, 1 + 2 * KEYS, false);
    wait_until_it_stands(fx);
    applier_flush(fx->applier, &flush);
    submit_small(fx, 1 + 2 * KEYS, 1 + 3 * KEYS, false);
    struct mpsc never;
    mpsc_init(&never);
    mpsc_wait(&never, 20 * NS_PER_MS);
    take_back(fx);
    assert_int_equal(fx->given_back, 0);
    stop(fx);
    assert_int_equal(flush.index, 1);
    assert_int_equal(applied_get(&fx->applied).index, KEYS);
    assert_int_equal(atomic_load(&fx->faults), 0);
    assert_int_equal(atomic_load(&fx->damages), 1);
    end(fx);
    assert_int_equal(fx->given_back, 2 * KEYS);
    spoil_tables(fx); /* as they were */
    begin(fx);
    submit_small(fx, 1 + KEYS, 1 + 3 * KEYS, false);
    stop(fx);
    assert_int_equal(applied_get(&fx->applied).index, 3 * KEYS);
    assert_int_equal(applied_get(&fx->applied).size, 3 * KEYS);
    assert_int_equal(atomic_load(&fx->damages), 1);
}

/* Without the sessions nobody knows what has been applied before: nothing is applied then, but the
 * node starts. */
static void damaged_sessions_stop_applying(void **state)
{
    struct fixture *fx = *state;
    submit_small(fx, 1, 1 + KEYS, true);
    stop(fx);
    end(fx);
    spoil_tables(fx);
    begin(fx);
    assert_true(applier_stands(fx->applier));
    submit_small(fx, 1 + KEYS, 1 + 2 * KEYS, true);
    stop(fx);
    assert_int_equal(applied_get(&fx->applied).index, KEYS);
    assert_int_equal(atomic_load(&fx->faults), 0);
    assert_int_equal(atomic_load(&fx->damages), 1);
    end(fx);
    spoil_tables(fx);
    begin(fx);
    assert_false(applier_stands(fx->applier));
    submit_small(fx, 1 + KEYS, 1 + 2 * KEYS, true);
    stop(fx);
    assert_int_equal(applied_get(&fx->applied).size, 2 * KEYS);
}

static enum status count_table(void *context, const char *name, struct error *err)
{
    unsigned *tables = context;
    (void)err;
    *tables += strstr(name, ".sst") != NULL;
    return STATUS_OK;
}

/* Refusals leave results and no rows of events: what all clients' windows take would be more than a
 * memtable has room for if nothing were sealed before it is full. */
static void refusals_are_sealed_in_time(void **state)
{
    struct fixture *fx = *state;
    uint64_t first = 1;
    for (unsigned client = 1; client <= REFUSED; client++) {
        for (uint64_t sequence = 1; sequence < SESSION_WINDOW_MAX;
             sequence += APPLY_BATCH_ENTRIES) {
            submit_refused(fx, first, (uint8_t)client, sequence);
            first += APPLY_BATCH_ENTRIES;
        }
    }
    uint64_t until_ns = clock_monotonic_ns(clock_system()) + PATIENCE_NS;
    unsigned tables = 0;
    while ((applied_get(&fx->applied).index + 1 < first || tables == 0) &&
           clock_monotonic_ns(clock_system()) < until_ns) {
        mpsc_wait(&fx->done.items, NS_PER_MS);
        take_back(fx);
        tables = 0;
        assert_ok(fs_list(&fx->faulty.fs, "tables", count_table, &tables, &fx->err), &fx->err);
    }
    assert_int_equal(applied_get(&fx->applied).index + 1, first);
    assert_int_equal(applied_get(&fx->applied).size, 0);
    assert_true(tables > 0);
    stop(fx);
    assert_int_equal(atomic_load(&fx->faults), 0);
}

/* Tables that cannot be merged with one that is damaged become too many: what would add to them is
 * not applied, instead of waiting for what does not come. */
static void a_stuck_level_0_stops_applying(void **state)
{
    struct fixture *fx = *state;
    submit_keys(fx, 1, 2, 100, 100);
    stop(fx);
    end(fx);
    spoil_tables(fx);
    fx->flat = true;
    begin(fx);
    submit_keys(fx, 2, 2 + PAIRS, 50, 150); /* on both sides of the damage, which is not read */
    wait_until_it_stands(fx);
    assert_in_range(applied_get(&fx->applied).index, 10, PAIRS);
    stop(fx);
    assert_int_equal(atomic_load(&fx->faults), 0);
    assert_int_equal(atomic_load(&fx->damages), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_fault_of_the_engine_is_told_without_new_work, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_does_not_hinder_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_row_stops_applying, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stuck_level_0_stops_applying, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_sessions_stop_applying, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_are_sealed_in_time, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
