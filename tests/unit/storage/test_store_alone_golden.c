/* SPDX-License-Identifier: Apache-2.0
 *
 * A golden store with a log of its own (storage/store.h): what its log has is in entries of its own
 * format, which opens for ever. To make that of a new version: ESTREAT_GOLDEN_DIR=DIR makes this
 * test write it there (DIR/alone_v1/log and DIR/alone_v1/tables exist).
 *
 * Nothing here may depend on other fixtures: what the files hold must never change.
 */
#include <stdlib.h>

#include "base/log.h"
#include "storage/store.h"
#include "testlib/clock_manual.h"
#include "testlib/executor_manual.h"
#include "testlib/fs_crash.h"
#include "testlib/test.h"

enum { KS_FIRST, KS_SECOND, KS_COUNT };
/* Batches: those that are flushed, and those that only the log has. */
enum { FLUSHED = 4, LOGGED = 6, KEYS = 8 };

static const struct keyspace_options keyspaces[KS_COUNT] = {
    {.name = "first", .layout = KEYSPACE_LEVELED, .bloom_bits = 10, .codec_new = CODEC_NONE},
    {.name = "second", .layout = KEYSPACE_LEVELED, .codec_new = CODEC_NONE},
};

static const char *const golden_files[] = {
    "alone_v1/tables/CURRENT",    "alone_v1/tables/MANIFEST-000001",   "alone_v1/tables/000002.sst",
    "alone_v1/tables/000003.sst", "alone_v1/log/0000000000000001.wal",
};
enum { GOLDEN_FILES = sizeof golden_files / sizeof golden_files[0] };

struct world {
    struct fs_crash *crash;
    struct fs *fs;
    struct executor_manual executor;
    struct clock_manual clock;
    struct rng_seeded rng;
    struct store_options options;
    struct store *store;
    struct error err;
};

static void step(void *context)
{
    struct world *world = context;
    (void)executor_manual_step(&world->executor);
}

static void begin(struct world *world)
{
    memset(world, 0, sizeof *world);
    world->crash = fs_crash_new();
    world->fs = fs_crash_fs(world->crash);
    executor_manual_init(&world->executor, 1);
    clock_manual_init(&world->clock, NS_PER_S);
    rng_seeded_init(&world->rng, 1);
    world->options = (struct store_options){
        .fs = world->fs,
        .clock = &world->clock.clock,
        .rng = &world->rng.rng,
        .executor = &world->executor.executor,
        .dir = "alone_v1",
        .segment_bytes = WAL_SEGMENT_BYTES_MIN,
        .engine = {.keyspaces = keyspaces, .keyspace_count = KS_COUNT, .l0_trigger = 10},
        .on_wait = step,
        .context = world,
    };
}

static void end(struct world *world)
{
    store_close(world->store);
    fs_crash_free(world->crash);
}

/* --- what the files hold ------------------------------------------------------------------- */

static struct slice key_of(char out[32], unsigned key)
{
    int length = snprintf(out, 32, "golden/%u", key);
    return slice_of(out, (size_t)length);
}

/* What batch `batch` puts for the key; false: it deletes it. */
static bool value_of(char out[64], unsigned batch, unsigned key, struct slice *value)
{
    int length = snprintf(out, 64, "key %u as batch %u has it", key, batch);
    *value = slice_of(out, (size_t)length);
    return (batch + key) % 5 != 0;
}

static void write_batch(struct world *world, unsigned number)
{
    struct batch batch;
    batch_init(&batch, alloc_default());
    for (unsigned i = number % 2; i < KEYS; i += 2) {
        char key[32];
        char bytes[64];
        struct slice value;
        if (value_of(bytes, number, i, &value)) {
            batch_put(&batch, i % KS_COUNT, key_of(key, i), value);
        } else {
            batch_delete(&batch, i % KS_COUNT, key_of(key, i));
        }
    }
    assert_ok(store_write(world->store, &batch, number % 3 == 0, &world->err), &world->err);
    batch_release(&batch);
}

static void make(struct world *world)
{
    assert_ok(store_open(&world->options, &world->store, &world->err), &world->err);
    for (unsigned number = 1; number <= FLUSHED; number++) {
        write_batch(world, number);
    }
    assert_ok(store_flush(world->store, &world->err), &world->err);
    for (unsigned number = FLUSHED + 1; number <= FLUSHED + LOGGED; number++) {
        write_batch(world, number);
    }
    store_close(world->store);
    world->store = NULL;
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

static void load_golden(struct world *world)
{
    static const char *const dirs[] = {"alone_v1", "alone_v1/tables", "alone_v1/log"};
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        assert_ok(fs_make_dir(world->fs, dirs[i], &world->err), &world->err);
    }
    for (size_t i = 0; i < GOLDEN_FILES; i++) {
        char path[PATH_BYTES_MAX];
        char relative[128];
        struct buf bytes;
        (void)snprintf(relative, sizeof relative, "tests/golden/%s", golden_files[i]);
        read_file(fs_posix(), test_source_path(path, relative), &bytes);
        write_file(world->fs, golden_files[i], buf_slice(&bytes));
        buf_release(&bytes);
    }
}

/* --- cases --------------------------------------------------------------------------------- */

/* A store of version 1 opens with all its batches, those of the log too. */
static void store_of_version_1_opens(void **state)
{
    struct world world;
    struct buf value;
    (void)state;
    begin(&world);
    load_golden(&world);
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    assert_ok(store_open(&world.options, &world.store, &world.err), &world.err);
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32];
        char bytes[64];
        struct slice expected;
        unsigned last = FLUSHED + LOGGED - (i + FLUSHED + LOGGED) % 2;
        bool there = value_of(bytes, last, i, &expected);
        enum status status = engine_get(store_engine(world.store), NULL, i % KS_COUNT,
                                        key_of(key, i), &value, &world.err);
        assert_status(status, there ? STATUS_OK : STATUS_NOT_FOUND, &world.err);
        assert_true(!there || slice_equal(buf_slice(&value), expected));
    }
    buf_release(&value);
    end(&world);
}

/* What is written now is the same. */
static void is_what_is_written_now(void **state)
{
    struct world world;
    (void)state;
    begin(&world);
    make(&world);
    for (size_t i = 0; i < GOLDEN_FILES; i++) {
        struct buf golden;
        struct buf written;
        char path[PATH_BYTES_MAX];
        char relative[128];
        (void)snprintf(relative, sizeof relative, "tests/golden/%s", golden_files[i]);
        read_file(fs_posix(), test_source_path(path, relative), &golden);
        read_file(world.fs, golden_files[i], &written);
        if (!slice_equal(buf_slice(&written), buf_slice(&golden))) {
            fail_msg("%s is not what is written now", golden_files[i]);
        }
        buf_release(&golden);
        buf_release(&written);
    }
    end(&world);
}

static void write_golden(const char *directory)
{
    struct world world;
    begin(&world);
    make(&world);
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
    log_set_level(LOG_OFF);
    const char *directory = getenv("ESTREAT_GOLDEN_DIR");
    if (directory != NULL) {
        write_golden(directory);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store_of_version_1_opens),
        cmocka_unit_test(is_what_is_written_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
