/* SPDX-License-Identifier: Apache-2.0
 *
 * The switch from the old tables to the staged ones: whenever the power fails, there are the old
 * ones whole or the new ones whole, and once the marker was durable the new ones.
 */
#include "testlib/test.h"

#include <stdio.h>

#include "base/buf.h"
#include "node/snapshot_install.h"
#include "testlib/fs_crash.h"

#define FILES 5U

static void write_file(struct fs *fs, const char *dir, unsigned number, const char *text)
{
    struct error err = ERROR_INIT;
    char path[PATH_BYTES_MAX];
    struct file *file = NULL;
    (void)snprintf(path, sizeof path, "%s/%06u.sst", dir, number);
    assert_ok(fs_open(fs, path, FS_WRITE | FS_CREATE, &file, &err), &err);
    assert_ok(file_write(file, 0, slice_of_string(text), &err), &err);
    assert_ok(file_sync(file, &err), &err);
    file_close(file);
}

/* Old tables in use, and new ones staged; all of it durable. */
static struct fs_crash *prepare(void)
{
    struct error err = ERROR_INIT;
    struct fs_crash *crash = fs_crash_new();
    struct fs *fs = fs_crash_fs(crash);
    assert_ok(fs_make_dir(fs, "data", &err), &err);
    assert_ok(fs_make_dir(fs, "data/tables", &err), &err);
    assert_ok(snapshot_staging_make(fs, "data", &err), &err);
    for (unsigned i = 0; i < FILES; i++) {
        write_file(fs, "data/tables", i, "old");
        write_file(fs, "data/incoming", i + 2, "new"); /* some names are in both */
    }
    assert_ok(fs_sync_dir(fs, "data/tables", &err), &err);
    assert_ok(fs_sync_dir(fs, "data/incoming", &err), &err);
    assert_ok(fs_sync_dir(fs, "data", &err), &err);
    assert_ok(fs_sync_dir(fs, "", &err), &err);
    return crash;
}

struct found {
    struct fs *fs;
    unsigned old_files;
    unsigned new_files;
    unsigned others;
};

static enum status look_at(void *context, const char *name, struct error *err)
{
    struct found *found = context;
    char path[PATH_BYTES_MAX];
    struct buf text;
    buf_init(&text, alloc_default(), 100);
    (void)snprintf(path, sizeof path, "data/tables/%s", name);
    enum status status = fs_read_file(found->fs, path, &text, err);
    bool is_old = slice_equal(buf_slice(&text), slice_of_string("old"));
    bool is_new = slice_equal(buf_slice(&text), slice_of_string("new"));
    found->old_files += is_old;
    found->new_files += is_new;
    found->others += !is_old && !is_new;
    buf_release(&text);
    return status;
}

static struct found tables(struct fs *fs)
{
    struct error err = ERROR_INIT;
    struct found found = {.fs = fs};
    assert_ok(fs_list(fs, "data/tables", look_at, &found, &err), &err);
    return found;
}

static void assert_new(struct fs *fs)
{
    struct error err = ERROR_INIT;
    struct found found = tables(fs);
    bool staged = true;
    assert_int_equal(found.new_files, FILES);
    assert_int_equal(found.old_files + found.others, 0);
    assert_ok(fs_exists(fs, "data/incoming", &staged, &err), &err);
    assert_false(staged);
}

static void staged_files_become_the_tables(void **state)
{
    struct error err = ERROR_INIT;
    struct fs_crash *crash = prepare();
    struct fs *fs = fs_crash_fs(crash);
    bool installed = true;
    (void)state;
    /* Without the marker nothing happens, and what is staged stays. */
    assert_ok(snapshot_install(fs, "data", &installed, &err), &err);
    assert_false(installed);
    assert_int_equal(tables(fs).old_files, FILES);
    assert_ok(snapshot_commit(fs, "data", &err), &err);
    assert_int_equal(tables(fs).old_files, FILES);
    assert_ok(snapshot_install(fs, "data", &installed, &err), &err);
    assert_true(installed);
    assert_new(fs);
    assert_ok(snapshot_install(fs, "data", &installed, &err), &err);
    assert_false(installed);
    assert_new(fs);
    fs_crash_free(crash);
}

/* A node that has never had tables. */
static void there_need_not_be_old_ones(void **state)
{
    struct error err = ERROR_INIT;
    struct fs_crash *crash = fs_crash_new();
    struct fs *fs = fs_crash_fs(crash);
    bool installed = false;
    (void)state;
    assert_ok(fs_make_dir(fs, "data", &err), &err);
    assert_ok(snapshot_install(fs, "data", &installed, &err), &err);
    assert_false(installed);
    assert_ok(snapshot_staging_make(fs, "data", &err), &err);
    for (unsigned i = 0; i < FILES; i++) {
        write_file(fs, "data/incoming", i, "new");
    }
    assert_ok(snapshot_commit(fs, "data", &err), &err);
    assert_ok(snapshot_install(fs, "data", &installed, &err), &err);
    assert_true(installed);
    assert_new(fs);
    fs_crash_free(crash);
}

/* The power fails at each changing call of the commit and of the exchange, and again at each of the
 * one that comes after, with what was not synced kept or lost by several seeds. */
static void one_or_the_other_at_every_crash(void **state)
{
    uint64_t both = 0;
    (void)state;
    for (uint64_t at = 0;; at++) {
        bool stopped = false;
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct error err = ERROR_INIT;
            struct fs_crash *crash = prepare();
            struct fs *fs = fs_crash_fs(crash);
            fs_crash_stop_at(crash, at);
            bool committed = snapshot_commit(fs, "data", &err) == STATUS_OK;
            bool whole = committed && snapshot_install(fs, "data", NULL, &err) == STATUS_OK;
            stopped = fs_crash_stopped(crash);
            assert_true(whole != stopped);
            fs_crash_stop(crash);
            fs_crash_now(crash, 2 * seed);
            fs_crash_stop_at(crash, seed % 12);
            bool repeated = snapshot_install(fs, "data", NULL, &err) == STATUS_OK;
            fs_crash_stop(crash);
            fs_crash_now(crash, 2 * seed + 1);
            fs_crash_stop_at(crash, UINT64_MAX);
            both += stopped && !repeated;
            assert_ok(snapshot_install(fs, "data", NULL, &err), &err);
            struct found found = tables(fs);
            if (committed || found.new_files > 0) {
                assert_new(fs);
            } else {
                assert_int_equal(found.old_files, FILES);
                assert_int_equal(found.others, 0);
            }
            fs_crash_free(crash);
        }
        if (!stopped) {
            assert_true(at > 10);
            assert_true(both > 50);
            return;
        }
    }
}

/* The same, and what is staged is thrown away: nothing of it comes back as tables. */
static void removal_leaves_the_old_ones(void **state)
{
    (void)state;
    for (uint64_t at = 0;; at++) {
        struct error err = ERROR_INIT;
        struct fs_crash *crash = prepare();
        struct fs *fs = fs_crash_fs(crash);
        bool staged = true;
        fs_crash_stop_at(crash, at);
        bool whole = snapshot_staging_remove(fs, "data", &err) == STATUS_OK;
        bool stopped = fs_crash_stopped(crash);
        assert_true(whole != stopped);
        fs_crash_stop(crash);
        fs_crash_now(crash, at);
        fs_crash_stop_at(crash, UINT64_MAX);
        assert_ok(snapshot_install(fs, "data", NULL, &err), &err);
        assert_int_equal(tables(fs).old_files, FILES);
        assert_ok(snapshot_staging_remove(fs, "data", &err), &err);
        assert_ok(fs_exists(fs, "data/incoming", &staged, &err), &err);
        assert_false(staged);
        fs_crash_free(crash);
        if (!stopped) {
            assert_true(at > FILES);
            return;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(staged_files_become_the_tables),
        cmocka_unit_test(there_need_not_be_old_ones),
        cmocka_unit_test(one_or_the_other_at_every_crash),
        cmocka_unit_test(removal_leaves_the_old_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
