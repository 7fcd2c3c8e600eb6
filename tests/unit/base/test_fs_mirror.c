/* SPDX-License-Identifier: Apache-2.0
 *
 * A mirror that keeps too much hides lost events from the tests that stand on
 * it; one that keeps too little invents them. fs_crash, which loses everything,
 * says what is right.
 */
#include "testlib/test.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/rng.h"
#include "testlib/fs_crash.h"
#include "testlib/fs_mirror.h"
#include "testlib/temp_dir.h"

enum {
    ROUNDS = 40,
    STEPS = 120,
    HANDLES = 4,
    FILE_BYTES_MAX = 300000,
    KILLS = 12,
    RECORD_BYTES = 64,
};

static struct fs_mirror *open_mirror(struct temp_dir *dir, enum fs_mirror_lie lie)
{
    struct error err = ERROR_INIT;
    struct fs_mirror *mirror = NULL;
    const struct fs_mirror_options options = {
        .dir = temp_dir_path(dir, "data"), .mirror = temp_dir_path(dir, "mirror"), .lie = lie};
    assert_ok(fs_mirror_open(&options, &mirror, &err), &err);
    return mirror;
}

/* --- two file systems side by side ---------------------------------------------------------- */

enum { MIRROR, MODEL, BOTH };

struct pair {
    struct fs *fs[BOTH];
    const char *root[BOTH];
    struct file *handles[HANDLES][BOTH];
    struct rng *rng;
    uint8_t bytes[FILE_BYTES_MAX];
};

static const char *const dirs[] = {"data", "data/a", "data/b"};
static const char *const files[] = {"data/f0",   "data/f1",   "data/f2",  "data/a/f0",
                                    "data/a/f1", "data/b/f0", "data/b/f1"};

static const char *pick(struct pair *pair, const char *const *from, size_t count)
{
    return from[rng_below(pair->rng, count)];
}

/* `path` below the root, or the root. */
static void below(char *out, const char *root, const char *path)
{
    if (path[0] == '\0') {
        assert_true(snprintf(out, PATH_BYTES_MAX, "%s", root) > 0);
    } else {
        assert_ok(path_join(out, root, path, NULL), NULL);
    }
}

#define PICK(pair, from) pick(pair, from, sizeof(from) / sizeof(from)[0])

/* One call on both; they must agree on whether it can be done. */
#define ON_BOTH(pair, call)                                                                        \
    do {                                                                                           \
        enum status statuses[BOTH];                                                                \
        for (int side = 0; side < BOTH; side++) {                                                  \
            char at[PATH_BYTES_MAX];                                                               \
            char to[PATH_BYTES_MAX];                                                               \
            below(at, (pair)->root[side], path);                                                   \
            below(to, (pair)->root[side], path_to);                                                \
            (void)to;                                                                              \
            struct fs *fs = (pair)->fs[side];                                                      \
            struct file **handle = &(pair)->handles[slot][side];                                   \
            (void)fs;                                                                              \
            (void)handle;                                                                          \
            statuses[side] = (call);                                                               \
        }                                                                                          \
        if ((statuses[MIRROR] == STATUS_OK) != (statuses[MODEL] == STATUS_OK)) {                   \
            fail_msg("%s: %s, but the model says %s", #call, status_name(statuses[MIRROR]),        \
                     status_name(statuses[MODEL]));                                                \
        }                                                                                          \
    } while (0)

static void step_on_names(struct pair *pair)
{
    const size_t slot = 0;
    const char *path = PICK(pair, files);
    const char *path_to = PICK(pair, files);
    switch (rng_below(pair->rng, 6)) {
    case 0:
        if (strrchr(path, '/') - path == strrchr(path_to, '/') - path_to &&
            strncmp(path, path_to, (size_t)(strrchr(path, '/') - path)) == 0) {
            ON_BOTH(pair, fs_rename(fs, at, to, NULL));
        }
        break;
    case 1:
        ON_BOTH(pair, fs_unlink(fs, at, NULL));
        break;
    case 2:
        ON_BOTH(pair, fs_link(fs, at, to, NULL));
        break;
    case 3:
        path = PICK(pair, dirs);
        ON_BOTH(pair, fs_remove_dir(fs, at, NULL));
        break;
    case 4:
        path = "";
        ON_BOTH(pair, fs_sync_dir(fs, at, NULL));
        break;
    default:
        path = PICK(pair, dirs);
        ON_BOTH(pair, fs_sync_dir(fs, at, NULL));
        break;
    }
}

static void step_on_content(struct pair *pair, size_t slot)
{
    const char *path = "";
    const char *path_to = "";
    uint64_t offset = rng_below(pair->rng, 4) == 0 ? rng_below(pair->rng, FILE_BYTES_MAX)
                                                   : rng_below(pair->rng, 2000);
    uint64_t length = rng_below(pair->rng, 8) == 0 ? rng_below(pair->rng, FILE_BYTES_MAX - offset)
                                                   : rng_below(pair->rng, 300);
    switch (rng_below(pair->rng, 8)) {
    case 0:
    case 1:
        ON_BOTH(pair, file_sync(*handle, NULL));
        break;
    case 2:
        ON_BOTH(pair, file_truncate(*handle, offset, NULL));
        break;
    case 3:
        ON_BOTH(pair, file_allocate(*handle, offset, NULL));
        break;
    case 4: /* more places than a mirror keeps apart */
        for (uint64_t i = 0; i < 80; i++) {
            ON_BOTH(pair, file_write(*handle, (i * 37 % 80) * 100,
                                     slice_of(pair->bytes + offset, 10), NULL));
        }
        break;
    default:
        length = length < FILE_BYTES_MAX - offset ? length : FILE_BYTES_MAX - offset;
        ON_BOTH(pair, file_write(*handle, offset, slice_of(pair->bytes, (size_t)length), NULL));
        break;
    }
}

static void close_handle(struct pair *pair, size_t slot)
{
    for (int i = 0; i < BOTH; i++) {
        file_close(pair->handles[slot][i]);
        pair->handles[slot][i] = NULL;
    }
}

static void step(struct pair *pair)
{
    size_t slot = (size_t)rng_below(pair->rng, HANDLES);
    const char *path = PICK(pair, files);
    const char *path_to = "";
    int truncate = rng_below(pair->rng, 4) == 0 ? FS_TRUNCATE : 0;
    if (rng_below(pair->rng, 4) == 0) {
        step_on_names(pair);
    } else if (rng_below(pair->rng, 8) == 0) {
        path = PICK(pair, dirs);
        ON_BOTH(pair, fs_make_dir(fs, at, NULL));
    } else if (pair->handles[slot][MIRROR] == NULL) {
        ON_BOTH(pair, fs_open(fs, at, FS_WRITE | FS_CREATE | truncate, handle, NULL));
    } else if (rng_below(pair->rng, 6) == 0) {
        close_handle(pair, slot);
    } else {
        step_on_content(pair, slot);
    }
}

/* --- comparing ------------------------------------------------------------------------------ */

static void check_file(struct pair *pair, const char *path)
{
    struct buf content[BOTH];
    bool exists[BOTH];
    for (int i = 0; i < BOTH; i++) {
        struct error err = ERROR_INIT;
        char at[PATH_BYTES_MAX];
        assert_ok(path_join(at, pair->root[i], path, &err), &err);
        assert_ok(fs_exists(pair->fs[i], at, &exists[i], &err), &err);
        buf_init(&content[i], alloc_default(), 2 * FILE_BYTES_MAX);
        if (exists[i]) {
            assert_ok(fs_read_file(pair->fs[i], at, &content[i], &err), &err);
        }
    }
    if (exists[MIRROR] != exists[MODEL] ||
        !slice_equal(buf_slice(&content[MIRROR]), buf_slice(&content[MODEL]))) {
        fail_msg("%s: there %d with %zu bytes, but the model has it %d with %zu bytes", path,
                 exists[MIRROR], content[MIRROR].length, exists[MODEL], content[MODEL].length);
    }
    buf_release(&content[MIRROR]);
    buf_release(&content[MODEL]);
}

static enum status count_one(void *context, const char *name, struct error *err)
{
    (void)name;
    (void)err;
    (*(size_t *)context)++;
    return STATUS_OK;
}

/* As many names as the model has, so that none is there which nobody asks for. */
static void check_dir(struct pair *pair, const char *path)
{
    size_t counts[BOTH] = {0};
    enum status statuses[BOTH];
    for (int i = 0; i < BOTH; i++) {
        char at[PATH_BYTES_MAX];
        assert_ok(path_join(at, pair->root[i], path, NULL), NULL);
        statuses[i] = fs_list(pair->fs[i], at, count_one, &counts[i], NULL);
    }
    if (statuses[MIRROR] != statuses[MODEL] || counts[MIRROR] != counts[MODEL]) {
        fail_msg("%s: %s with %zu names, but the model says %s, %zu names", path,
                 status_name(statuses[MIRROR]), counts[MIRROR], status_name(statuses[MODEL]),
                 counts[MODEL]);
    }
}

static void check_equal(struct pair *pair)
{
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        check_dir(pair, dirs[i]);
    }
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        check_file(pair, files[i]);
    }
}

/* Whatever a program does, in whatever order: what is left after the power failed is what the model
 * has after losing all that was not synced; and so on from there. */
static void test_keeps_what_was_synced(void **state)
{
    struct temp_dir *dir = *state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct pair *pair = calloc(1, sizeof *pair);
    assert_non_null(pair);
    struct fs_crash *crash = fs_crash_new();
    char root[PATH_BYTES_MAX];
    assert_true((size_t)snprintf(root, sizeof root, "%s", dir->path) < sizeof root);
    pair->rng = &seeded.rng;
    pair->fs[MODEL] = fs_crash_fs(crash);
    pair->root[MODEL] = "/";
    pair->root[MIRROR] = root;
    for (int round = 0; round < ROUNDS; round++) {
        struct fs_mirror *mirror = open_mirror(dir, FS_MIRROR_HONEST);
        pair->fs[MIRROR] = fs_mirror_fs(mirror);
        check_equal(pair);
        rng_fill(pair->rng, pair->bytes, sizeof pair->bytes);
        for (int i = 0; i < STEPS; i++) {
            step(pair);
        }
        check_equal(pair);
        for (size_t i = 0; i < HANDLES; i++) {
            close_handle(pair, i);
        }
        fs_mirror_close(mirror);
        fs_crash_now_losing_all(crash);
    }
    fs_crash_free(crash);
    free(pair);
}

/* --- kill -9 -------------------------------------------------------------------------------- */

struct acknowledged {
    volatile uint64_t appended;
    volatile uint64_t replaced;
};

static void fill_record(uint8_t *out, uint64_t number)
{
    memset(out, (int)(number % 251) + 1, RECORD_BYTES);
    put_le64(out, number);
}

static void require(enum status status)
{
    if (status != STATUS_OK) {
        _exit(2);
    }
}

/* Appends to a log and replaces a small file, and says what it has been told is durable. */
_Noreturn static void work_until_killed(struct temp_dir *dir, struct acknowledged *acknowledged)
{
    struct fs *fs = fs_mirror_fs(open_mirror(dir, FS_MIRROR_HONEST));
    struct file *log = NULL;
    require(fs_make_dir(fs, temp_dir_path(dir, "data"), NULL));
    require(fs_sync_dir(fs, dir->path, NULL));
    require(fs_open(fs, temp_dir_path(dir, "data/log"), FS_WRITE | FS_CREATE, &log, NULL));
    require(file_allocate(log, 1 << 20, NULL));
    require(file_sync(log, NULL));
    require(fs_sync_dir(fs, temp_dir_path(dir, "data"), NULL));
    for (uint64_t number = acknowledged->appended;; number++) {
        uint8_t record[RECORD_BYTES];
        fill_record(record, number);
        uint64_t offset = number * RECORD_BYTES;
        require(file_write(log, offset, slice_of(record, sizeof record), NULL));
        require(file_sync(log, NULL));
        acknowledged->appended = number + 1;
        if (number % 8 == 0) {
            require(fs_replace_file(fs, temp_dir_path(dir, "data"),
                                    temp_dir_path(dir, "data/small"),
                                    slice_of(record, sizeof record), NULL));
            acknowledged->replaced = number;
        }
    }
}

static void check_survivors(struct temp_dir *dir, const struct acknowledged *acknowledged)
{
    struct error err = ERROR_INIT;
    uint8_t expected[RECORD_BYTES];
    struct buf bytes;
    buf_init(&bytes, alloc_default(), 4 << 20);
    assert_ok(fs_mirror_restore(temp_dir_path(dir, "mirror"), temp_dir_path(dir, "data"), &err),
              &err);
    if (acknowledged->appended > 0) {
        assert_ok(fs_read_file(fs_posix(), temp_dir_path(dir, "data/log"), &bytes, &err), &err);
        assert_true(bytes.length >= 1 << 20);
        for (uint64_t i = 0; i < acknowledged->appended; i++) {
            fill_record(expected, i);
            assert_memory_equal(bytes.data + i * RECORD_BYTES, expected, RECORD_BYTES);
        }
    }
    if (acknowledged->replaced > 0) {
        buf_clear(&bytes);
        assert_ok(fs_read_file(fs_posix(), temp_dir_path(dir, "data/small"), &bytes, &err), &err);
        assert_int_equal(bytes.length, RECORD_BYTES);
        uint64_t number = get_le64(bytes.data);
        assert_true(number >= acknowledged->replaced);
        fill_record(expected, number);
        assert_memory_equal(bytes.data, expected, RECORD_BYTES);
    }
    buf_release(&bytes);
}

/* A process that is killed anywhere, also within a sync, finds all that it was told is durable, and
 * the small file whole, old or new. */
static void test_survives_kill(void **state)
{
    struct temp_dir *dir = *state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct acknowledged *acknowledged =
        mmap(NULL, sizeof *acknowledged, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(acknowledged != MAP_FAILED);
    fs_mirror_close(open_mirror(dir, FS_MIRROR_HONEST)); /* so that there is one to look at */
    for (int i = 0; i < KILLS; i++) {
        uint64_t before = acknowledged->appended;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            work_until_killed(dir, acknowledged);
        }
        /* Half of them early, while it starts; half while it works. */
        for (int ms = 0; i % 2 == 1 && acknowledged->appended == before && ms < 10000; ms++) {
            (void)usleep(1000);
        }
        (void)usleep((useconds_t)rng_below(&seeded.rng, 100000));
        int result = 0;
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &result, 0), child);
        assert_true(WIFSIGNALED(result)); /* it did not end by itself */
        check_survivors(dir, acknowledged);
    }
    assert_true(acknowledged->appended > 0);
    assert_int_equal(munmap(acknowledged, sizeof *acknowledged), 0);
}

/* --- lies and refusals ------------------------------------------------------------------------ */

static void put(struct fs *fs, const char *path, uint64_t offset, const char *text)
{
    struct error err = ERROR_INIT;
    struct file *file = NULL;
    assert_ok(fs_open(fs, path, FS_WRITE | FS_CREATE, &file, &err), &err);
    assert_ok(file_write(file, offset, slice_of_string(text), &err), &err);
    assert_ok(file_sync(file, &err), &err);
    file_close(file);
}

/* Writes "one", syncs, writes "two" behind it, syncs; returns what a power failure leaves. */
static size_t left_with(struct temp_dir *dir, enum fs_mirror_lie lie, char *out, size_t size)
{
    struct error err = ERROR_INIT;
    struct buf bytes;
    struct fs_mirror *mirror = open_mirror(dir, lie);
    struct fs *fs = fs_mirror_fs(mirror);
    assert_ok(fs_make_dir(fs, temp_dir_path(dir, "data"), &err), &err);
    assert_ok(fs_sync_dir(fs, dir->path, &err), &err);
    put(fs, temp_dir_path(dir, "data/x"), 0, "one");
    assert_ok(fs_sync_dir(fs, temp_dir_path(dir, "data"), &err), &err);
    put(fs, temp_dir_path(dir, "data/x"), 3, "two");
    fs_mirror_close(mirror);
    mirror = open_mirror(dir, FS_MIRROR_HONEST);
    buf_init(&bytes, alloc_default(), size - 1);
    assert_ok(fs_read_file(fs_mirror_fs(mirror), temp_dir_path(dir, "data/x"), &bytes, &err), &err);
    (void)snprintf(out, size, "%.*s", (int)bytes.length,
                   bytes.length == 0 ? "" : (const char *)bytes.data);
    size_t length = bytes.length;
    buf_release(&bytes);
    fs_mirror_close(mirror);
    return length;
}

/* A lie loses what it says it loses, and the truth does not. */
static void test_lies(void **state)
{
    struct temp_dir *dir = *state;
    char left[16];
    assert_int_equal(left_with(dir, FS_MIRROR_NO_SYNC, left, sizeof left), 0);
    (void)left_with(dir, FS_MIRROR_HONEST, left, sizeof left);
    assert_string_equal(left, "onetwo");
    temp_dir_release(dir);
    temp_dir_init(dir);
    (void)left_with(dir, FS_MIRROR_NO_LATER_SYNC, left, sizeof left);
    assert_string_equal(left, "one");
}

/* A directory that the mirror does not know is not removed; two processes do not share one; a
 * directory does not hold its own mirror. */
static void test_refusals(void **state)
{
    struct temp_dir *dir = *state;
    struct error err = ERROR_INIT;
    struct fs_mirror *mirror = NULL;
    struct fs_mirror_options options = {.dir = temp_dir_path(dir, "data"),
                                        .mirror = temp_dir_path(dir, "mirror")};
    assert_ok(fs_make_dir(fs_posix(), options.dir, &err), &err);
    assert_status(fs_mirror_open(&options, &mirror, &err), STATUS_FAILED_PRECONDITION, &err);
    assert_ok(fs_remove_dir(fs_posix(), options.dir, &err), &err);
    assert_ok(fs_mirror_open(&options, &mirror, &err), &err);
    struct fs_mirror *second = NULL;
    assert_status(fs_mirror_open(&options, &second, &err), STATUS_FAILED_PRECONDITION, &err);
    fs_mirror_close(mirror);
    options.mirror = temp_dir_path(dir, "data/mirror");
    assert_status(fs_mirror_open(&options, &mirror, &err), STATUS_INVALID_ARGUMENT, &err);
    assert_status(fs_mirror_restore(temp_dir_path(dir, "nothing"), options.dir, &err),
                  STATUS_NOT_FOUND, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keeps_what_was_synced, temp_dir_setup,
                                        temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_survives_kill, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_lies, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_refusals, temp_dir_setup, temp_dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
