/* SPDX-License-Identifier: Apache-2.0
 *
 * Golden backups: a directory of backups of each released version of the format is sound and
 * restores for ever. To make one of a new version: ESTREAT_GOLDEN_DIR=DIR makes this test write
 * it there (DIR/backup_v1 exists).
 *
 * Nothing here may depend on other fixtures: what the files hold must never change.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "storage/backup/backup.h"
#include "storage/backup/check.h"
#include "storage/backup/restore.h"
#include "storage/table/table_format.h"
#include "testlib/clock_manual.h"
#include "testlib/executor_manual.h"
#include "testlib/fs_crash.h"
#include "testlib/test.h"

enum { BACKUPS = 3, KEYS = 9, SECOND_NS = 1000000000 };

static const struct keyspace_options keyspaces[] = {
    {.name = "keyed", .layout = KEYSPACE_LEVELED, .bloom_bits = 10, .codec_new = CODEC_NONE}};

/* Backup 1 is full, 2 an increment, 3 an increment with a link. */
static const char *const golden_files[] = {
    "backup_v1/BACKUP-000001",     "backup_v1/BACKUP-000002",     "backup_v1/BACKUP-000003",
    "backup_v1/000001-000002.sst", "backup_v1/000002-000003.sst", "backup_v1/000003-000004.link"};
enum { GOLDEN_FILES = sizeof golden_files / sizeof golden_files[0] };

struct world {
    struct fs_crash *crash;
    struct fs *fs;
    struct executor_manual executor;
    struct engine_options options;
    struct engine *engine;
    struct clock_manual clock;
    struct rng_seeded rng;
    struct error err;
};

static void step(void *context)
{
    (void)executor_manual_step(&((struct world *)context)->executor);
}

static void begin(struct world *world)
{
    memset(world, 0, sizeof *world);
    world->crash = fs_crash_new();
    world->fs = fs_crash_fs(world->crash);
    executor_manual_init(&world->executor, 1);
    clock_manual_init(&world->clock, 1700000000ULL * SECOND_NS);
    rng_seeded_init(&world->rng, 1);
    world->options = (struct engine_options){.fs = world->fs,
                                             .executor = &world->executor.executor,
                                             .dir = "store",
                                             .keyspaces = keyspaces,
                                             .keyspace_count = 1,
                                             .l0_trigger = 10,
                                             .on_wait = step,
                                             .context = world};
}

static void open_engine(struct world *world, const char *dir)
{
    world->options.dir = dir;
    executor_manual_init(&world->executor, 1);
    assert_ok(engine_open(&world->options, &world->engine, &world->err), &world->err);
}

static void close_engine(struct world *world)
{
    executor_close(&world->executor.executor);
    engine_close(world->engine);
    world->engine = NULL;
}

static struct slice text_of(char out[64], const char *what, unsigned a, unsigned b)
{
    int length = snprintf(out, 64, "%s %u/%u", what, a, b);
    return slice_of(out, (size_t)length);
}

/* Seal n deletes key n - 1 and writes the others anew. */
static void write_seal(struct world *world, unsigned seal)
{
    struct batch batch;
    char key[64];
    char value[64];
    batch_init(&batch, alloc_default());
    for (unsigned i = 0; i < KEYS; i++) {
        if (i + 1 == seal) {
            batch_delete(&batch, 0, text_of(key, "key", i, 0));
        } else {
            batch_put(&batch, 0, text_of(key, "key", i, 0), text_of(value, "value", i, seal));
        }
    }
    assert_ok(engine_write(world->engine, &batch, &world->err), &world->err);
    assert_ok(engine_seal(world->engine, text_of(value, "state", seal, 0), &world->err),
              &world->err);
    assert_ok(engine_flush(world->engine, &world->err), &world->err);
    batch_release(&batch);
}

static void make_backups(struct world *world)
{
    open_engine(world, "store");
    for (unsigned seal = 1; seal <= BACKUPS; seal++) {
        struct backup *backup = NULL;
        const struct backup_options options = {.dir = "backup_v1",
                                               .clock = &world->clock.clock,
                                               .rng = &world->rng.rng,
                                               .link = seal == BACKUPS};
        write_seal(world, seal);
        clock_manual_advance(&world->clock, SECOND_NS);
        assert_ok(backup_start(world->engine, &options, &backup, &world->err), &world->err);
        assert_ok(backup_run(backup, &world->err), &world->err);
        backup_free(backup);
    }
    close_engine(world);
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

/* --- cases --------------------------------------------------------------------------------- */

static void check_restored(struct world *world, const char *dir, unsigned seal)
{
    struct buf value;
    char text[64];
    buf_init(&value, alloc_default(), 1 * MIB);
    open_engine(world, dir);
    assert_ok(engine_sealed_state(world->engine, &value, &world->err), &world->err);
    assert_true(slice_equal(buf_slice(&value), text_of(text, "state", seal, 0)));
    assert_ok(engine_verify(world->engine, &world->err), &world->err);
    for (unsigned i = 0; i < KEYS; i++) {
        enum status status =
            engine_get(world->engine, NULL, 0, text_of(text, "key", i, 0), &value, &world->err);
        assert_status(status, i + 1 == seal ? STATUS_NOT_FOUND : STATUS_OK, &world->err);
        assert_true(i + 1 == seal ||
                    slice_equal(buf_slice(&value), text_of(text, "value", i, seal)));
    }
    close_engine(world);
    buf_release(&value);
}

static void load_golden(struct world *world)
{
    assert_ok(fs_make_dir(world->fs, "backup_v1", &world->err), &world->err);
    for (size_t i = 0; i < GOLDEN_FILES; i++) {
        char path[PATH_BYTES_MAX];
        struct buf bytes;
        read_file(fs_posix(), golden_path(path, golden_files[i]), &bytes);
        write_file(world->fs, golden_files[i], buf_slice(&bytes));
        buf_release(&bytes);
    }
}

static enum status restore_to(struct world *world, uint64_t number, const char *dir)
{
    struct restore *restore = NULL;
    const struct restore_options options = {.fs = world->fs,
                                            .alloc = alloc_default(),
                                            .from = "backup_v1",
                                            .number = number,
                                            .to = dir};
    enum status status = restore_start(&options, &restore, &world->err);
    if (status == STATUS_OK) {
        status = restore_run(restore, &world->err);
    }
    restore_free(restore);
    return status;
}

struct found {
    uint64_t faults;
    struct error first;
};

static void each_fault(void *context, const struct error *fault)
{
    struct found *found = context;
    found->first = found->faults == 0 ? *fault : found->first;
    found->faults++;
}

static void look(struct world *world, struct found *found)
{
    struct backup_check *check = NULL;
    const struct backup_check_options options = {.fs = world->fs,
                                                 .alloc = alloc_default(),
                                                 .dir = "backup_v1",
                                                 .on_fault = each_fault,
                                                 .context = found};
    *found = (struct found){.faults = 0};
    assert_ok(backup_check_start(&options, &check, &world->err), &world->err);
    assert_ok(backup_check_run(check, &world->err), &world->err);
    assert_int_equal(backup_check_result(check)->backups, BACKUPS);
    assert_int_equal(backup_check_result(check)->files, GOLDEN_FILES - BACKUPS);
    backup_check_free(check);
}

/* Backups of version 1 are sound, and each is the store that it was. */
static void backups_of_version_1_restore(void **state)
{
    struct world world;
    struct found found;
    (void)state;
    begin(&world);
    load_golden(&world);
    look(&world, &found);
    if (found.faults > 0) {
        fail_msg("%s", found.first.text);
    }
    for (unsigned seal = 1; seal <= BACKUPS; seal++) {
        char dir[64];
        (void)snprintf(dir, sizeof dir, "restored%u", seal);
        assert_ok(restore_to(&world, seal, dir), &world.err);
        check_restored(&world, dir, seal);
    }
    fs_crash_free(world.crash);
}

/* A value changed and its block's checksum made good: sound inside, and not what was copied. */
static void what_is_tampered_with_is_found(void **state)
{
    static const char name[] = "backup_v1/000001-000002.sst";
    struct world world;
    struct found found;
    struct buf bytes;
    struct table_footer footer;
    (void)state;
    begin(&world);
    load_golden(&world);
    read_file(world.fs, name, &bytes);
    assert_ok(table_footer_decode(bytes.data + bytes.length - TABLE_FOOTER_BYTES, bytes.length,
                                  &footer, &world.err),
              &world.err);
    size_t contents = (size_t)footer.filter.offset - TABLE_BLOCK_TRAILER_BYTES; /* one data block */
    uint8_t *value = memmem(bytes.data, contents, "value 5/1", 9);
    assert_non_null(value);
    value[8] = '9';
    put_le32(bytes.data + contents + 1,
             table_block_checksum(slice_of(bytes.data, contents), bytes.data[contents], 2, 0));
    write_file(world.fs, name, buf_slice(&bytes));
    buf_release(&bytes);
    look(&world, &found);
    assert_int_equal(found.faults, 1);
    assert_non_null(strstr(found.first.text, "not those that were copied"));
    for (unsigned seal = 1; seal <= BACKUPS; seal++) {
        char dir[64];
        (void)snprintf(dir, sizeof dir, "restored%u", seal);
        assert_status(restore_to(&world, seal, dir), STATUS_CORRUPT, &world.err);
        assert_non_null(strstr(world.err.text, "not those of the backup"));
    }
    fs_crash_free(world.crash);
}

/* What is written today is version 1, byte for byte. */
static void version_1_is_written(void **state)
{
    struct world world;
    (void)state;
    begin(&world);
    make_backups(&world);
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
    fs_crash_free(world.crash);
}

static void write_golden(const char *directory)
{
    struct world world;
    begin(&world);
    make_backups(&world);
    for (size_t i = 0; i < GOLDEN_FILES; i++) {
        char path[PATH_BYTES_MAX];
        struct buf bytes;
        read_file(world.fs, golden_files[i], &bytes);
        assert_ok(path_join(path, directory, golden_files[i], &world.err), &world.err);
        write_file(fs_posix(), path, buf_slice(&bytes));
        buf_release(&bytes);
    }
    fs_crash_free(world.crash);
}

int main(void)
{
    const char *directory = getenv("ESTREAT_GOLDEN_DIR");
    log_set_level(LOG_OFF);
    if (directory != NULL) {
        write_golden(directory);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backups_of_version_1_restore),
        cmocka_unit_test(what_is_tampered_with_is_found),
        cmocka_unit_test(version_1_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
