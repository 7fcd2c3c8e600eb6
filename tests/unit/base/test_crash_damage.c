/* SPDX-License-Identifier: Apache-2.0
 *
 * A disk that is to spoil something has to spoil it, on disk and for good, and nothing
 * else; and has to know when what it spoilt is no longer there.
 */
#include "testlib/test.h"

#include "testlib/fs_crash.h"

#define GROUP 512U
#define GROUPS 6U

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

static void put_group(struct disk *disk, struct file *file, unsigned n)
{
    uint8_t group[GROUP];
    memset(group, (int)n + 1, sizeof group);
    assert_ok(file_write(file, (uint64_t)n * GROUP, slice_of(group, sizeof group), &disk->err),
              &disk->err);
    assert_ok(file_sync(file, &disk->err), &disk->err);
}

static struct file *open_log(struct disk *disk, const char *path)
{
    struct file *file = NULL;
    assert_ok(fs_open(disk->fs, path, FS_READ | FS_WRITE | FS_CREATE, &file, &disk->err),
              &disk->err);
    assert_ok(fs_sync_dir(disk->fs, "/", &disk->err), &disk->err);
    return file;
}

/* Bytes of the file that are not those of its groups; *first is where the first one is. */
static unsigned wrong_bytes(struct disk *disk, const char *path, uint64_t *first)
{
    static uint8_t bytes[GROUPS * GROUP];
    size_t length = 0;
    unsigned wrong = 0;
    struct file *file = open_log(disk, path);
    assert_ok(file_read(file, 0, bytes, sizeof bytes, &length, &disk->err), &disk->err);
    file_close(file);
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != i / GROUP + 1) {
            *first = wrong == 0 ? i : *first;
            wrong++;
        }
    }
    return wrong;
}

static void expect_state(struct disk *disk, enum crash_damage_state expected)
{
    assert_int_equal(fs_crash_damage_state(disk->crash), expected);
}

/* One byte of a log is another, before the last group, and stays so over a crash; not in files of
 * other names. It is gone once it is written over. */
static void test_flip(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct disk disk;
        uint64_t first = 0;
        disk_init(&disk);
        struct file *log = open_log(&disk, "a.wal");
        struct file *other = open_log(&disk, "b.sst");
        put_group(&disk, log, 0);
        put_group(&disk, other, 0);
        assert_false(fs_crash_damage(disk.crash, CRASH_FLIP, ".wal", true, seed));
        expect_state(&disk, CRASH_DAMAGE_NONE);
        put_group(&disk, log, 1);
        put_group(&disk, log, 2);
        assert_true(fs_crash_damage(disk.crash, CRASH_FLIP, ".wal", true, seed));
        file_close(log);
        file_close(other);
        fs_crash_now(disk.crash, seed);
        assert_int_equal(wrong_bytes(&disk, "a.wal", &first), 1);
        assert_true(first < 2 * GROUP);
        assert_int_equal(wrong_bytes(&disk, "b.sst", &first), 0);
        expect_state(&disk, CRASH_DAMAGE_THERE);
        log = open_log(&disk, "a.wal");
        put_group(&disk, log, 0);
        put_group(&disk, log, 1);
        expect_state(&disk, CRASH_DAMAGE_GONE);
        file_close(log);
        fs_crash_free(disk.crash);
    }
}

/* A lost write leaves what was there; until a later one is synced nobody could tell. */
static void test_lost_write(void **state)
{
    struct disk disk;
    uint64_t first = 0;
    (void)state;
    disk_init(&disk);
    struct file *log = open_log(&disk, "a.wal");
    put_group(&disk, log, 0);
    assert_true(fs_crash_damage(disk.crash, CRASH_LOSE_WRITE, ".wal", true, 1));
    expect_state(&disk, CRASH_DAMAGE_NONE);
    put_group(&disk, log, 1);
    expect_state(&disk, CRASH_DAMAGE_FRESH);
    put_group(&disk, log, 2);
    expect_state(&disk, CRASH_DAMAGE_THERE);
    assert_int_equal(wrong_bytes(&disk, "a.wal", &first), GROUP);
    assert_int_equal(first, GROUP);
    file_close(log);
    assert_ok(fs_rename(disk.fs, "a.wal", "a.tmp", &disk.err), &disk.err);
    expect_state(&disk, CRASH_DAMAGE_GONE);
    fs_crash_free(disk.crash);
}

/* A misdirected write is missing where it belongs, and spoils one sector that was sound. Who finds
 * that one cannot tell that the log's last write is missing, too. */
static void test_misdirected_write(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct disk disk;
        uint64_t first = 0;
        disk_init(&disk);
        struct file *log = open_log(&disk, "a.wal");
        put_group(&disk, log, 0);
        put_group(&disk, log, 1);
        put_group(&disk, log, 2);
        assert_true(fs_crash_damage(disk.crash, CRASH_MISDIRECT_WRITE, ".wal", true, seed));
        put_group(&disk, log, 3);
        expect_state(&disk, CRASH_DAMAGE_FRESH);
        assert_int_equal(wrong_bytes(&disk, "a.wal", &first), 2 * GROUP);
        assert_true(first < 2 * GROUP);
        put_group(&disk, log, 4);
        expect_state(&disk, CRASH_DAMAGE_THERE);
        file_close(log);
        fs_crash_free(disk.crash);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flip),
        cmocka_unit_test(test_lost_write),
        cmocka_unit_test(test_misdirected_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
