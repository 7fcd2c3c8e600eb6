/* SPDX-License-Identifier: Apache-2.0
 *
 * The crash file system has to lose what a disk may lose, and keep what it must
 * keep: else the tests that stand on it show nothing.
 */
#include "testlib/test.h"

#include "base/buf.h"
#include "base/rng.h"
#include "testlib/fs_crash.h"

enum { SEEDS = 300 };

struct disk {
    struct fs_crash *crash;
    struct fs *fs;
    struct error err;
};

static void disk_init(struct disk *disk)
{
    disk->crash = fs_crash_new();
    disk->fs = fs_crash_fs(disk->crash);
}

static struct file *open_file(struct disk *disk, const char *path)
{
    struct file *file = NULL;
    assert_ok(fs_open(disk->fs, path, FS_READ | FS_WRITE | FS_CREATE, &file, &disk->err),
              &disk->err);
    return file;
}

static void write_text(struct disk *disk, struct file *file, uint64_t offset, const char *text)
{
    assert_ok(file_write(file, offset, slice_of_string(text), &disk->err), &disk->err);
}

static void put_file(struct disk *disk, const char *path, const char *text, bool sync)
{
    struct file *file = open_file(disk, path);
    write_text(disk, file, 0, text);
    if (sync) {
        assert_ok(file_sync(file, &disk->err), &disk->err);
    }
    file_close(file);
}

static bool is_there(struct disk *disk, const char *path)
{
    bool there = false;
    assert_ok(fs_exists(disk->fs, path, &there, &disk->err), &disk->err);
    return there;
}

/* "-" if it is not there. */
static void get_file(struct disk *disk, const char *path, char *out, size_t size)
{
    (void)snprintf(out, size, "-");
    if (is_there(disk, path)) {
        size_t length = 0;
        struct file *file = open_file(disk, path);
        assert_ok(file_read(file, 0, out, size - 1, &length, &disk->err), &disk->err);
        out[length] = '\0';
        file_close(file);
    }
}

/* Synced data under a synced name is there after every crash, whatever was not synced after it. */
static void test_keeps_what_was_synced(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk disk;
        char text[16];
        disk_init(&disk);
        struct file *file = open_file(&disk, "a");
        write_text(&disk, file, 0, "synced");
        assert_ok(file_sync(file, &disk.err), &disk.err);
        assert_ok(fs_sync_dir(disk.fs, "/", &disk.err), &disk.err);
        write_text(&disk, file, 5000, "not");
        fs_crash_stop(disk.crash);
        file_close(file);
        fs_crash_now(disk.crash, seed);
        get_file(&disk, "a", text, 7);
        assert_string_equal(text, "synced");
        fs_crash_free(disk.crash);
    }
}

/* Over many seeds all four fates of data and name are seen: each is a bug in waiting. */
static void test_loses_what_was_not_synced(void **state)
{
    (void)state;
    int no_name = 0;
    int empty = 0;
    int whole = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk disk;
        char text[16];
        disk_init(&disk);
        put_file(&disk, "a", "data", false);
        fs_crash_now(disk.crash, seed);
        get_file(&disk, "a", text, sizeof text);
        no_name += strcmp(text, "-") == 0;
        empty += strcmp(text, "") == 0;
        whole += strcmp(text, "data") == 0;
        fs_crash_free(disk.crash);
    }
    assert_true(no_name > 0);
    assert_true(empty > 0);
    assert_true(whole > 0);
}

/* Syncing a file does not keep its name, and syncing the directory does not keep its data. */
static void test_name_and_data_are_two_things(void **state)
{
    (void)state;
    struct disk disk;
    char text[16];
    disk_init(&disk);
    put_file(&disk, "a", "data", true);
    fs_crash_now_losing_all(disk.crash);
    assert_false(is_there(&disk, "a"));
    put_file(&disk, "b", "data", false);
    assert_ok(fs_sync_dir(disk.fs, "", &disk.err), &disk.err);
    fs_crash_now_losing_all(disk.crash);
    get_file(&disk, "b", text, sizeof text);
    assert_string_equal(text, "");
    fs_crash_free(disk.crash);
}

/* Sectors of one write are kept or lost on their own, but never torn within. */
static void test_tears_at_sectors(void **state)
{
    (void)state;
    static char old_bytes[4096];
    static char new_bytes[4096];
    memset(old_bytes, 'o', sizeof old_bytes);
    memset(new_bytes, 'n', sizeof new_bytes);
    int mixed = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk disk;
        disk_init(&disk);
        struct file *file = open_file(&disk, "a");
        assert_ok(file_write(file, 0, slice_of(old_bytes, 4096), &disk.err), &disk.err);
        assert_ok(file_sync(file, &disk.err), &disk.err);
        assert_ok(fs_sync_dir(disk.fs, "/", &disk.err), &disk.err);
        assert_ok(file_write(file, 0, slice_of(new_bytes, 4096), &disk.err), &disk.err);
        file_close(file);
        fs_crash_now(disk.crash, seed);
        char bytes[4096];
        size_t length = 0;
        file = open_file(&disk, "a");
        assert_ok(file_read(file, 0, bytes, sizeof bytes, &length, &disk.err), &disk.err);
        assert_int_equal(length, sizeof bytes);
        file_close(file);
        int changes = 0;
        for (size_t i = 1; i < sizeof bytes; i++) {
            if (bytes[i] != bytes[i - 1]) {
                assert_int_equal(i % 512, 0);
                changes++;
            }
        }
        mixed += changes > 0;
        fs_crash_free(disk.crash);
    }
    assert_true(mixed > SEEDS / 10);
}

/* Write new, sync, rename, sync directory: before the last step it is the old or the new file,
 * whole; after it the new one. And without the first sync the protocol is seen to be broken. */
static void test_replace_protocol(void **state)
{
    (void)state;
    int old = 0;
    int fresh = 0;
    int broken = 0;
    for (uint64_t seed = 0; seed < 3 * SEEDS; seed++) {
        struct disk disk;
        char text[16];
        disk_init(&disk);
        assert_ok(fs_replace_file(disk.fs, "/", "c", slice_of_string("old"), &disk.err), &disk.err);
        put_file(&disk, "c.new", "new", seed % 3 != 0);
        assert_ok(fs_rename(disk.fs, "c.new", "c", &disk.err), &disk.err);
        if (seed % 3 == 2) {
            assert_ok(fs_sync_dir(disk.fs, "/", &disk.err), &disk.err);
        }
        fs_crash_now(disk.crash, seed);
        get_file(&disk, "c", text, sizeof text);
        if (seed % 3 == 2) {
            assert_string_equal(text, "new");
            assert_false(is_there(&disk, "c.new"));
        } else if (seed % 3 == 1) {
            assert_true(strcmp(text, "old") == 0 || strcmp(text, "new") == 0);
            old += strcmp(text, "old") == 0;
            fresh += strcmp(text, "new") == 0;
        } else {
            assert_string_not_equal(text, "-");
            broken += strcmp(text, "old") != 0 && strcmp(text, "new") != 0;
        }
        fs_crash_free(disk.crash);
    }
    assert_true(old > 0);
    assert_true(fresh > 0);
    assert_true(broken > 0);
}

/* The power fails in each step of fs_replace_file: never anything but old or new. */
static void test_stop_at_every_step(void **state)
{
    (void)state;
    for (uint64_t n = 0;; n++) {
        bool stopped = false;
        for (uint64_t seed = 0; seed < 40; seed++) {
            struct disk disk;
            char text[16];
            disk_init(&disk);
            assert_ok(fs_replace_file(disk.fs, "/", "c", slice_of_string("old"), &disk.err),
                      &disk.err);
            fs_crash_stop_at(disk.crash, n);
            enum status status =
                fs_replace_file(disk.fs, "/", "c", slice_of_string("new"), &disk.err);
            stopped = fs_crash_stopped(disk.crash);
            assert_int_equal(status, stopped ? STATUS_UNAVAILABLE : STATUS_OK);
            fs_crash_now(disk.crash, seed);
            get_file(&disk, "c", text, sizeof text);
            assert_true(strcmp(text, "new") == 0 || (stopped && strcmp(text, "old") == 0));
            fs_crash_free(disk.crash);
        }
        if (!stopped) {
            assert_int_equal(n, 5); /* open, write, sync, rename, sync directory */
            break;
        }
    }
}

/* Where sync is a lie, acknowledged data gets lost: that is how a test shows that it tests. */
static void test_sync_lies(void **state)
{
    (void)state;
    struct disk disk;
    disk_init(&disk);
    fs_crash_set_sync_lies(disk.crash, true);
    put_file(&disk, "a", "data", true);
    assert_ok(fs_sync_dir(disk.fs, "/", &disk.err), &disk.err);
    fs_crash_now_losing_all(disk.crash);
    assert_false(is_there(&disk, "a"));

    char text[16];
    fs_crash_set_sync_lies(disk.crash, false);
    put_file(&disk, "a", "", true);
    assert_ok(fs_sync_dir(disk.fs, "/", &disk.err), &disk.err);
    fs_crash_set_sync_lies(disk.crash, true);
    put_file(&disk, "a", "data", true);
    fs_crash_now_losing_all(disk.crash);
    get_file(&disk, "a", text, sizeof text);
    assert_string_equal(text, "");
    fs_crash_free(disk.crash);
}

/* While the power is off every call fails; files that were open then stay dead afterwards. */
static void test_power_off(void **state)
{
    (void)state;
    struct disk disk;
    bool there = false;
    uint64_t size = 0;
    struct file *lock = NULL;
    disk_init(&disk);
    struct file *file = open_file(&disk, "a");
    assert_ok(file_sync(file, &disk.err), &disk.err);
    assert_ok(fs_sync_dir(disk.fs, "/", &disk.err), &disk.err);
    assert_ok(fs_lock(disk.fs, "LOCK", &lock, &disk.err), &disk.err);
    fs_crash_stop(disk.crash);
    assert_status(file_write(file, 0, slice_of_string("x"), &disk.err), STATUS_UNAVAILABLE,
                  &disk.err);
    assert_status(fs_exists(disk.fs, "a", &there, &disk.err), STATUS_UNAVAILABLE, &disk.err);
    assert_status(fs_unlink(disk.fs, "a", &disk.err), STATUS_UNAVAILABLE, &disk.err);
    fs_crash_now(disk.crash, 1);
    assert_true(is_there(&disk, "a"));
    assert_status(file_write(file, 0, slice_of_string("x"), &disk.err), STATUS_UNAVAILABLE,
                  &disk.err);
    assert_status(file_size(file, &size, &disk.err), STATUS_UNAVAILABLE, &disk.err);
    struct file *again = NULL;
    assert_ok(fs_lock(disk.fs, "LOCK", &again, &disk.err), &disk.err);
    file_close(lock); /* the dead holder does not free the living one's lock */
    assert_status(fs_lock(disk.fs, "LOCK", &lock, &disk.err), STATUS_FAILED_PRECONDITION,
                  &disk.err);
    file_close(again);
    file_close(file);
    fs_crash_free(disk.crash);
}

/* A seed decides everything: a failure can be had again. */
static void test_same_seed_same_crash(void **state)
{
    (void)state;
    uint64_t seed = test_seed();
    char texts[2][64];
    for (int run = 0; run < 2; run++) {
        struct disk disk;
        char a[8];
        char b[8];
        char c[8];
        disk_init(&disk);
        put_file(&disk, "a", "1", false);
        put_file(&disk, "b", "2", true);
        assert_ok(fs_rename(disk.fs, "a", "c", &disk.err), &disk.err);
        fs_crash_now(disk.crash, seed);
        get_file(&disk, "a", a, sizeof a);
        get_file(&disk, "b", b, sizeof b);
        get_file(&disk, "c", c, sizeof c);
        (void)snprintf(texts[run], sizeof texts[run], "%s/%s/%s", a, b, c);
        fs_crash_free(disk.crash);
    }
    assert_string_equal(texts[0], texts[1]);
}

/* Names moved between directories do not come back when only the target was synced. */
static void test_rename_across_directories(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk disk;
        disk_init(&disk);
        assert_ok(fs_make_dir(disk.fs, "x", &disk.err), &disk.err);
        assert_ok(fs_make_dir(disk.fs, "y", &disk.err), &disk.err);
        assert_ok(fs_sync_dir(disk.fs, "/", &disk.err), &disk.err);
        put_file(&disk, "x/a", "data", true);
        assert_ok(fs_rename(disk.fs, "x/a", "y/a", &disk.err), &disk.err);
        assert_ok(fs_sync_dir(disk.fs, "y", &disk.err), &disk.err);
        fs_crash_now(disk.crash, seed);
        assert_true(is_there(&disk, "y/a"));
        assert_false(is_there(&disk, "x/a"));
        fs_crash_free(disk.crash);
    }
}

/* A full disk takes what fits, says so, and has room again when something was deleted. */
static void test_capacity(void **state)
{
    (void)state;
    struct disk disk;
    uint64_t size = 0;
    uint64_t room = 0;
    disk_init(&disk);
    fs_crash_set_capacity(disk.crash, 10);
    put_file(&disk, "a", "123456", true);
    struct file *file = open_file(&disk, "b");
    assert_status(file_write(file, 0, slice_of_string("123456"), &disk.err),
                  STATUS_RESOURCE_EXHAUSTED, &disk.err);
    assert_ok(file_size(file, &size, &disk.err), &disk.err);
    assert_int_equal(size, 4);
    assert_ok(fs_free_bytes(disk.fs, "/", &room, &disk.err), &disk.err);
    assert_int_equal(room, 0);
    assert_status(file_allocate(file, 5, &disk.err), STATUS_RESOURCE_EXHAUSTED, &disk.err);
    write_text(&disk, file, 0, "abcd"); /* what is there may be written over */
    assert_ok(fs_unlink(disk.fs, "a", &disk.err), &disk.err);
    assert_ok(fs_sync_dir(disk.fs, "/", &disk.err), &disk.err);
    write_text(&disk, file, 0, "1234567890");
    file_close(file);
    fs_crash_free(disk.crash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_what_was_synced),
        cmocka_unit_test(test_loses_what_was_not_synced),
        cmocka_unit_test(test_name_and_data_are_two_things),
        cmocka_unit_test(test_tears_at_sectors),
        cmocka_unit_test(test_replace_protocol),
        cmocka_unit_test(test_stop_at_every_step),
        cmocka_unit_test(test_sync_lies),
        cmocka_unit_test(test_power_off),
        cmocka_unit_test(test_same_seed_same_crash),
        cmocka_unit_test(test_rename_across_directories),
        cmocka_unit_test(test_capacity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
