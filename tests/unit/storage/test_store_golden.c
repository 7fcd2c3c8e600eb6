/* SPDX-License-Identifier: Apache-2.0
 *
 * Golden stores: the files of a store and of a log, as each released version of the formats makes
 * them, open for ever, and none of their bytes is read otherwise. To make those of a new version:
 * ESTREAT_GOLDEN_DIR=DIR makes this test write them there (DIR/store_v1, store_v2, log_v1 and
 * log_v2 exist).
 *
 * Nothing here may depend on other fixtures: what the files hold must never change.
 */
#include <stdlib.h>

#include "base/log.h"
#include "storage/engine.h"
#include "storage/inspect/verify.h"
#include "storage/wal/wal.h"
#include "testlib/clock_manual.h"
#include "testlib/executor_manual.h"
#include "testlib/fs_crash.h"
#include "testlib/io_queue_manual.h"
#include "testlib/test.h"

enum { KS_KEYED, KS_GROWING, KS_COUNT };
enum { KEYS = 24, SEALS = 3, EVENTS = 30, ENTRIES = 12 };

static const struct keyspace_options keyspaces[KS_COUNT] = {
    {.name = "keyed", .layout = KEYSPACE_LEVELED, .bloom_bits = 10, .codec_new = CODEC_NONE},
    {.name = "growing", .layout = KEYSPACE_APPEND, .codec_new = CODEC_NONE},
};

static const char *const golden_files[] = {"store_v1/CURRENT",
                                           "store_v1/MANIFEST-000001",
                                           "store_v1/000002.sst",
                                           "store_v1/000003.sst",
                                           "store_v1/000004.sst",
                                           "store_v1/000005.sst",
                                           "store_v1/000006.sst",
                                           "log_v1/0000000000000001.wal",
                                           "log_v1/0000000000000002.wal",
                                           "log_v2/0000000000000001.wal",
                                           "log_v2/0000000000000002.wal"};
enum { GOLDEN_FILES = sizeof golden_files / sizeof golden_files[0] };

static struct slice key_of(char out[32], unsigned key)
{
    int length = snprintf(out, 32, "golden/%03u", key);
    return slice_of(out, (size_t)length);
}

/* What `key` has after seal `seal`, from 1; false: it was deleted. */
static bool value_of(char out[64], unsigned key, unsigned seal, struct slice *value)
{
    int length = snprintf(out, 64, "value of %u, written by seal %u", key, seal);
    *value = slice_of(out, (size_t)length);
    return key % 8 != 7 || seal < SEALS;
}

/* --- what the files hold ------------------------------------------------------------------- */

struct world {
    struct fs_crash *crash;
    struct fs *fs;
    struct executor_manual executor;
    struct engine_options options;
    struct engine *engine;
    struct clock_manual clock;
    struct io_queue_manual io;
    struct rng_seeded rng;
    struct wal_options log_options;
    struct wal *log;
    struct wal_recovered recovered;
    struct error err;
};

static void step(void *context)
{
    struct world *world = context;
    if (!io_queue_manual_complete(&world->io)) {
        (void)executor_manual_step(&world->executor);
    }
}

static void begin(struct world *world)
{
    memset(world, 0, sizeof *world);
    world->crash = fs_crash_new();
    world->fs = fs_crash_fs(world->crash);
    executor_manual_init(&world->executor, 1);
    clock_manual_init(&world->clock, NS_PER_S);
    io_queue_manual_init(&world->io, &world->clock.clock);
    rng_seeded_init(&world->rng, 1);
    world->options = (struct engine_options){.fs = world->fs,
                                             .executor = &world->executor.executor,
                                             .dir = "store_v1",
                                             .keyspaces = keyspaces,
                                             .keyspace_count = KS_COUNT,
                                             .l0_trigger = 10,
                                             .on_wait = step,
                                             .context = world};
    world->log_options = (struct wal_options){.fs = world->fs,
                                              .io = &world->io.queue,
                                              .rng = &world->rng.rng,
                                              .dir = "log_v1",
                                              .segment_bytes = WAL_SEGMENT_BYTES_MIN,
                                              .identity = {(const uint8_t *)"golden", 6},
                                              .on_wait = step,
                                              .context = world};
}

static void close_engine(struct world *world)
{
    executor_close(&world->executor.executor);
    engine_close(world->engine);
    world->engine = NULL;
}

static void end(struct world *world)
{
    wal_close(world->log);
    fs_crash_free(world->crash);
}

static void make_store(struct world *world)
{
    struct batch batch;
    char key[32];
    char bytes[64];
    unsigned event = 0;
    batch_init(&batch, alloc_default());
    assert_ok(engine_open(&world->options, &world->engine, &world->err), &world->err);
    for (unsigned seal = 1; seal <= SEALS; seal++) {
        batch_clear(&batch);
        for (unsigned i = 0; i < KEYS; i++) {
            struct slice value;
            bool there = value_of(bytes, i, seal, &value);
            if (there) {
                batch_put(&batch, KS_KEYED, key_of(key, i), value);
            } else {
                batch_delete(&batch, KS_KEYED, key_of(key, i));
            }
        }
        for (; event < EVENTS * seal / SEALS && seal < SEALS; event++) {
            uint8_t position[8];
            put_be64(position, event);
            batch_put(&batch, KS_GROWING, slice_of(position, 8), slice_of_string("an event"));
        }
        assert_ok(engine_write(world->engine, &batch, &world->err), &world->err);
        int length = snprintf(bytes, sizeof bytes, "state %u", seal);
        assert_ok(engine_seal(world->engine, slice_of(bytes, (size_t)length), &world->err),
                  &world->err);
        assert_ok(engine_flush(world->engine, &world->err), &world->err);
    }
    batch_release(&batch);
    close_engine(world);
}

static void commit(struct world *world)
{
    struct wal_durable durable;
    assert_ok(wal_submit(world->log, &world->err), &world->err);
    (void)io_queue_manual_complete_all(&world->io);
    assert_ok(wal_finish(world->log, &durable, &world->err), &world->err);
}

static uint64_t entry_term(uint64_t index)
{
    return index < 7 ? 1 : 3;
}

static struct wal_entry entry_of(char out[32], uint64_t index, uint64_t term)
{
    int length = snprintf(out, 32, "entry %llu of term %llu", (unsigned long long)index,
                          (unsigned long long)term);
    return (struct wal_entry){.index = index,
                              .term = term,
                              .type = (uint32_t)(index % 4),
                              .data = slice_of(out, (size_t)length)};
}

/* Entries 7 and 8 are first of term 1, and replaced; each kind of record is there but RESET. */
static void make_log(struct world *world)
{
    char bytes[32];
    assert_ok(wal_open(&world->log_options, 0, 0, &world->recovered, &world->log, &world->err),
              &world->err);
    for (uint64_t index = 1; index <= 8; index++) {
        struct wal_entry entry = entry_of(bytes, index, 1);
        assert_ok(wal_append(world->log, &entry, 1, &world->err), &world->err);
        if (index % 4 == 0) {
            commit(world);
        }
    }
    assert_ok(wal_set_hard_state(world->log, 3, 2, &world->err), &world->err);
    for (uint64_t index = 7; index <= ENTRIES; index++) {
        struct wal_entry entry = entry_of(bytes, index, entry_term(index));
        assert_ok(wal_append(world->log, &entry, 1, &world->err), &world->err);
    }
    commit(world);
    assert_ok(wal_idle(world->log, &world->err), &world->err);
    struct wal_durable durable;
    (void)io_queue_manual_complete_all(&world->io);
    assert_ok(wal_finish(world->log, &durable, &world->err), &world->err);
    wal_close(world->log);
    world->log = NULL;
}

static void write_entry(struct world *world, uint64_t index)
{
    char bytes[32];
    struct wal_durable durable;
    struct wal_entry entry = entry_of(bytes, index, entry_term(index));
    assert_ok(wal_append(world->log, &entry, 1, &world->err), &world->err);
    assert_ok(wal_submit_unsynced(world->log, &world->err), &world->err);
    (void)io_queue_manual_complete_all(&world->io);
    assert_ok(wal_finish(world->log, &durable, &world->err), &world->err);
}

static void idle(struct world *world)
{
    struct wal_durable durable;
    assert_ok(wal_idle(world->log, &world->err), &world->err);
    (void)io_queue_manual_complete_all(&world->io);
    assert_ok(wal_finish(world->log, &durable, &world->err), &world->err);
}

static void be_version_2(struct world *world)
{
    world->log_options.dir = "log_v2";
    world->log_options.unsynced = true;
    rng_seeded_init(&world->rng, 2);
}

/* Two chains, each made durable by a sync, and the attestation. */
static void make_log_v2(struct world *world)
{
    char bytes[32];
    be_version_2(world);
    assert_ok(wal_open(&world->log_options, 0, 0, &world->recovered, &world->log, &world->err),
              &world->err);
    for (uint64_t index = 1; index <= 7; index++) {
        write_entry(world, index);
    }
    struct wal_entry entry = entry_of(bytes, 8, entry_term(8));
    assert_ok(wal_append(world->log, &entry, 1, &world->err), &world->err);
    commit(world);
    for (uint64_t index = 9; index <= ENTRIES; index++) {
        write_entry(world, index);
    }
    idle(world);
    idle(world);
    wal_close(world->log);
    world->log = NULL;
}

/* --- files --------------------------------------------------------------------------------- */

static void read_file(struct fs *fs, const char *path, struct buf *out)
{
    struct error err = ERROR_INIT;
    buf_init(out, alloc_default(), 1 * MIB);
    assert_ok(fs_read_file(fs, path, out, &err), &err);
}

static void write_file(struct fs *fs, const char *path, struct slice bytes)
{
    struct error err = ERROR_INIT;
    struct file *file = NULL;
    assert_ok(fs_open(fs, path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &file, &err), &err);
    assert_ok(file_write(file, 0, bytes, &err), &err);
    file_close(file);
}

static const char *golden_path(char *out, const char *name)
{
    char relative[128];
    (void)snprintf(relative, sizeof relative, "tests/golden/%s", name);
    return test_source_path(out, relative);
}

/* The golden files, in memory: opening may write. */
static void load_golden(struct world *world)
{
    assert_ok(fs_make_dir(world->fs, "store_v1", &world->err), &world->err);
    assert_ok(fs_make_dir(world->fs, "log_v1", &world->err), &world->err);
    assert_ok(fs_make_dir(world->fs, "log_v2", &world->err), &world->err);
    for (size_t i = 0; i < GOLDEN_FILES; i++) {
        char path[PATH_BYTES_MAX];
        struct buf bytes;
        read_file(fs_posix(), golden_path(path, golden_files[i]), &bytes);
        write_file(world->fs, golden_files[i], buf_slice(&bytes));
        buf_release(&bytes);
    }
}

/* --- cases --------------------------------------------------------------------------------- */

/* A store of version 1 opens, with its seal's state and all that it held. */
static void store_of_version_1_opens(void **state)
{
    struct world world;
    struct buf value;
    char key[32];
    char bytes[64];
    (void)state;
    begin(&world);
    load_golden(&world);
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    assert_ok(engine_open(&world.options, &world.engine, &world.err), &world.err);
    assert_int_equal(engine_sealed_count(world.engine), SEALS);
    assert_ok(engine_sealed_state(world.engine, &value, &world.err), &world.err);
    assert_true(slice_equal(buf_slice(&value), slice_of_string("state 3")));
    assert_ok(engine_verify(world.engine, &world.err), &world.err);
    for (unsigned i = 0; i < KEYS; i++) {
        struct slice expected;
        bool there = value_of(bytes, i, SEALS, &expected);
        enum status status =
            engine_get(world.engine, NULL, KS_KEYED, key_of(key, i), &value, &world.err);
        assert_status(status, there ? STATUS_OK : STATUS_NOT_FOUND, &world.err);
        assert_true(!there || slice_equal(buf_slice(&value), expected));
    }
    struct engine_iter *iter = NULL;
    assert_ok(engine_iter_new(world.engine, NULL, KS_GROWING, NULL, &iter, &world.err), &world.err);
    uint64_t event = 0;
    for (engine_iter_seek_first(iter); engine_iter_valid(iter); engine_iter_next(iter)) {
        assert_int_equal(get_be64(engine_iter_key(iter).data), event++);
        assert_true(slice_equal(engine_iter_value(iter), slice_of_string("an event")));
    }
    assert_ok(engine_iter_status(iter, &world.err), &world.err);
    assert_int_equal(event, EVENTS * (SEALS - 1) / SEALS);
    engine_iter_close(iter);
    buf_release(&value);
    close_engine(&world);
    end(&world);
}

static enum status each_entry(void *context, const struct wal_entry *entry, struct error *err)
{
    uint64_t *next = context;
    char bytes[32];
    struct wal_entry expected = entry_of(bytes, *next, entry_term(*next));
    (void)err;
    assert_int_equal(entry->index, expected.index);
    assert_int_equal(entry->term, expected.term);
    assert_int_equal(entry->type, expected.type);
    assert_true(slice_equal(entry->data, expected.data));
    (*next)++;
    return STATUS_OK;
}

/* All entries are there. */
static void assert_log(struct world *world)
{
    struct wal_reader *reader = NULL;
    uint64_t next = 1;
    assert_int_equal(world->recovered.last_index, ENTRIES);
    assert_int_equal(world->recovered.cut_bytes, 0);
    assert_ok(wal_reader_open(world->log, &reader, &world->err), &world->err);
    assert_ok(wal_read(reader, 1, ENTRIES + 1, SIZE_MAX, each_entry, &next, &world->err),
              &world->err);
    assert_int_equal(next, ENTRIES + 1);
    wal_reader_close(reader);
}

/* A log of version 1 opens, with its vote and all its entries. */
static void log_of_version_1_opens(void **state)
{
    struct world world;
    (void)state;
    begin(&world);
    load_golden(&world);
    assert_ok(wal_open(&world.log_options, 0, 0, &world.recovered, &world.log, &world.err),
              &world.err);
    assert_int_equal(world.recovered.term, 3);
    assert_int_equal(world.recovered.vote, 2);
    assert_log(&world);
    end(&world);
}

/* One of version 2, too, also for an owner that syncs always. */
static void log_of_version_2_opens(void **state)
{
    (void)state;
    for (unsigned unsynced = 0; unsynced < 2; unsynced++) {
        struct world world;
        begin(&world);
        load_golden(&world);
        be_version_2(&world);
        world.log_options.unsynced = unsynced == 1;
        assert_ok(wal_open(&world.log_options, 0, 0, &world.recovered, &world.log, &world.err),
                  &world.err);
        assert_int_equal(world.recovered.term, 0);
        assert_log(&world);
        end(&world);
    }
}

/* The tool finds nothing wrong with any. */
static void golden_is_sound(void **state)
{
    static const char *const dirs[] = {"store_v1", "log_v1", "log_v2"};
    static const unsigned parts[] = {5, 4, 3}; /* tables, or groups */
    static struct store_place place;
    struct world world;
    FILE *nowhere = fopen("/dev/null", "w");
    (void)state;
    assert_non_null(nowhere);
    begin(&world);
    load_golden(&world);
    for (unsigned i = 0; i < 3; i++) {
        struct report report = {.lines = nowhere, .messages = nowhere};
        struct verified found;
        assert_ok(store_place_find(&place, world.fs, alloc_default(), dirs[i], &world.err),
                  &world.err);
        assert_ok(inspect_verify(&place, &report, &found, &world.err), &world.err);
        assert_int_equal(report.faults, 0);
        assert_int_equal(i == 0 ? found.tables : found.log.groups, parts[i]);
    }
    (void)fclose(nowhere);
    end(&world);
}

/* What is written today is what the files hold, byte for byte. */
static void golden_is_written(void **state)
{
    struct world world;
    (void)state;
    begin(&world);
    make_store(&world);
    make_log(&world);
    make_log_v2(&world);
    for (size_t i = 0; i < GOLDEN_FILES; i++) {
        char path[PATH_BYTES_MAX];
        struct buf golden;
        struct buf written;
        read_file(fs_posix(), golden_path(path, golden_files[i]), &golden);
        read_file(world.fs, golden_files[i], &written);
        if (!slice_equal(buf_slice(&written), buf_slice(&golden))) {
            fail_msg("%s is not what is written now", golden_files[i]);
        }
        buf_release(&written);
        buf_release(&golden);
    }
    end(&world);
}

/* --- version 2 of the manifest: times and floors ------------------------------------------- */

enum { TIME_PLACE = 2, TIMED_EVENTS = 12, TIMED_FLOOR = 5 };

static const struct keyspace_options timed_keyspaces[KS_COUNT] = {
    {.name = "keyed", .layout = KEYSPACE_LEVELED, .codec_new = CODEC_NONE},
    {.name = "growing",
     .layout = KEYSPACE_APPEND,
     .codec_new = CODEC_NONE,
     .number_place = TIME_PLACE,
     .timed = true},
};

static const char *const timed_files[] = {"store_v2/CURRENT", "store_v2/MANIFEST-000001",
                                          "store_v2/000002.sst", "store_v2/000003.sst"};
enum { TIMED_FILES = sizeof timed_files / sizeof timed_files[0] };

static struct slice timed_value(uint8_t out[16], uint64_t event)
{
    memcpy(out, "a........bcdefg", 16);
    put_le64(out + TIME_PLACE, 1700000000000000000 + event * 1000 - event % 4 * 2500);
    return slice_of(out, 15);
}

static void begin_timed(struct world *world)
{
    begin(world);
    world->options.dir = "store_v2";
    world->options.keyspaces = timed_keyspaces;
}

/* Two seals; the second one has the floor, in the middle of the first one's table. */
static void make_timed_store(struct world *world)
{
    struct batch batch;
    batch_init(&batch, alloc_default());
    assert_ok(engine_open(&world->options, &world->engine, &world->err), &world->err);
    for (uint64_t seal = 0; seal < 2; seal++) {
        batch_clear(&batch);
        for (uint64_t i = 0; i < TIMED_EVENTS / 2; i++) {
            uint8_t key[8];
            uint8_t bytes[16];
            uint64_t event = seal * TIMED_EVENTS / 2 + i;
            put_be64(key, event);
            batch_put(&batch, KS_GROWING, slice_of(key, 8), timed_value(bytes, event));
        }
        if (seal == 1) {
            uint8_t key[8];
            put_be64(key, TIMED_FLOOR);
            batch_set_floor(&batch, KS_GROWING, slice_of(key, 8));
        }
        assert_ok(engine_write(world->engine, &batch, &world->err), &world->err);
        assert_ok(engine_seal(world->engine, slice_of_string("state"), &world->err), &world->err);
        assert_ok(engine_flush(world->engine, &world->err), &world->err);
    }
    batch_release(&batch);
    close_engine(world);
}

/* What is written today of times and floors is the golden store, byte for byte. */
static void times_and_floors_are_written(void **state)
{
    struct world world;
    (void)state;
    begin_timed(&world);
    make_timed_store(&world);
    for (size_t i = 0; i < TIMED_FILES; i++) {
        char path[PATH_BYTES_MAX];
        struct buf golden;
        struct buf written;
        read_file(fs_posix(), golden_path(path, timed_files[i]), &golden);
        read_file(world.fs, timed_files[i], &written);
        if (!slice_equal(buf_slice(&written), buf_slice(&golden))) {
            fail_msg("%s is not what is written now", timed_files[i]);
        }
        buf_release(&written);
        buf_release(&golden);
    }
    end(&world);
}

/* A store with times and a floor opens, and holds what is not below the floor. */
static void a_store_with_times_and_floors_opens(void **state)
{
    struct world world;
    (void)state;
    begin_timed(&world);
    assert_ok(fs_make_dir(world.fs, "store_v2", &world.err), &world.err);
    for (size_t i = 0; i < TIMED_FILES; i++) {
        char path[PATH_BYTES_MAX];
        struct buf bytes;
        read_file(fs_posix(), golden_path(path, timed_files[i]), &bytes);
        write_file(world.fs, timed_files[i], buf_slice(&bytes));
        buf_release(&bytes);
    }
    assert_ok(engine_open(&world.options, &world.engine, &world.err), &world.err);
    assert_ok(engine_verify(world.engine, &world.err), &world.err);
    struct engine_iter *iter = NULL;
    const struct engine_iter_options options = {
        .by_time = true, .time_begin = 0, .time_end = UINT64_MAX};
    assert_ok(engine_iter_new(world.engine, NULL, KS_GROWING, &options, &iter, &world.err),
              &world.err);
    uint64_t event = TIMED_FLOOR;
    for (engine_iter_seek_first(iter); engine_iter_valid(iter); engine_iter_next(iter)) {
        uint8_t bytes[16];
        assert_int_equal(get_be64(engine_iter_key(iter).data), event);
        assert_true(slice_equal(engine_iter_value(iter), timed_value(bytes, event)));
        event++;
    }
    assert_ok(engine_iter_status(iter, &world.err), &world.err);
    assert_int_equal(event, TIMED_EVENTS);
    engine_iter_close(iter);
    close_engine(&world);
    end(&world);
}

static void write_timed(const char *directory)
{
    struct world world;
    begin_timed(&world);
    make_timed_store(&world);
    for (size_t i = 0; i < TIMED_FILES; i++) {
        char path[PATH_BYTES_MAX];
        struct buf bytes;
        read_file(world.fs, timed_files[i], &bytes);
        assert_ok(path_join(path, directory, timed_files[i], &world.err), &world.err);
        write_file(fs_posix(), path, buf_slice(&bytes));
        buf_release(&bytes);
    }
    end(&world);
}

static void write_golden(const char *directory)
{
    struct world world;
    begin(&world);
    make_store(&world);
    make_log(&world);
    make_log_v2(&world);
    for (size_t i = 0; i < GOLDEN_FILES; i++) {
        char path[PATH_BYTES_MAX];
        struct buf bytes;
        read_file(world.fs, golden_files[i], &bytes);
        assert_ok(path_join(path, directory, golden_files[i], &world.err), &world.err);
        write_file(fs_posix(), path, buf_slice(&bytes));
        buf_release(&bytes);
    }
    end(&world);
}

int main(void)
{
    const char *directory = getenv("ESTREAT_GOLDEN_DIR");
    log_set_level(LOG_OFF);
    if (directory != NULL) {
        write_golden(directory);
        write_timed(directory);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store_of_version_1_opens),
        cmocka_unit_test(log_of_version_1_opens),
        cmocka_unit_test(log_of_version_2_opens),
        cmocka_unit_test(golden_is_sound),
        cmocka_unit_test(golden_is_written),
        cmocka_unit_test(a_store_with_times_and_floors_opens),
        cmocka_unit_test(times_and_floors_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
