/* SPDX-License-Identifier: Apache-2.0
 *
 * What fs.h promises, held against each implementation: the real one, the one in
 * memory, and the one that injects faults, with none injected.
 */
#include "testlib/test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "testlib/fs_crash.h"
#include "testlib/fs_faulty.h"
#include "testlib/temp_dir.h"

struct fixture {
    struct fs *fs;
    struct temp_dir dir;
    struct fs_crash *crash;
    struct fs_faulty faulty;
};

static struct fixture fixture;

static int setup_posix(void **state)
{
    temp_dir_init(&fixture.dir);
    fixture.fs = fs_posix();
    *state = &fixture;
    return 0;
}

static int teardown_posix(void **state)
{
    (void)state;
    temp_dir_release(&fixture.dir);
    return 0;
}

static int setup_faulty(void **state)
{
    (void)setup_posix(state);
    fs_faulty_init(&fixture.faulty, fs_posix());
    fixture.fs = &fixture.faulty.fs;
    return 0;
}

static int teardown_faulty(void **state)
{
    fs_faulty_release(&fixture.faulty);
    return teardown_posix(state);
}

static int setup_crash(void **state)
{
    struct error err = ERROR_INIT;
    fixture.crash = fs_crash_new();
    fixture.fs = fs_crash_fs(fixture.crash);
    fixture.dir.next = 0;
    (void)snprintf(fixture.dir.path, sizeof fixture.dir.path, "/test");
    assert_ok(fs_make_dir(fixture.fs, fixture.dir.path, &err), &err);
    *state = &fixture;
    return 0;
}

static int teardown_crash(void **state)
{
    (void)state;
    fs_crash_free(fixture.crash);
    return 0;
}

static const char *path_of(const char *name)
{
    return temp_dir_path(&fixture.dir, name);
}

static struct file *open_file(const char *name, int flags)
{
    struct error err = ERROR_INIT;
    struct file *file = NULL;
    assert_ok(fs_open(fixture.fs, path_of(name), flags, &file, &err), &err);
    return file;
}

static void put_file(const char *name, const char *text)
{
    struct error err = ERROR_INIT;
    struct file *file = open_file(name, FS_WRITE | FS_CREATE | FS_TRUNCATE);
    assert_ok(file_write(file, 0, slice_of_string(text), &err), &err);
    file_close(file);
}

static void assert_content(const char *name, const char *text)
{
    struct error err = ERROR_INIT;
    struct buf buf;
    buf_init(&buf, alloc_default(), 1 << 20);
    assert_ok(fs_read_file(fixture.fs, path_of(name), &buf, &err), &err);
    assert_true(slice_equal(buf_slice(&buf), slice_of_string(text)));
    buf_release(&buf);
}

static bool is_there(const char *name)
{
    struct error err = ERROR_INIT;
    bool there = false;
    assert_ok(fs_exists(fixture.fs, path_of(name), &there, &err), &err);
    return there;
}

/* The flags do what they say, and errors name the path. */
static void test_open_flags(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct file *file = NULL;
    assert_status(fs_open(fixture.fs, path_of("absent"), FS_READ, &file, &err), STATUS_NOT_FOUND,
                  &err);
    assert_non_null(strstr(err.text, "absent"));
    assert_null(file);
    file = open_file("a", FS_WRITE | FS_CREATE | FS_EXCLUSIVE);
    file_close(file);
    assert_status(
        fs_open(fixture.fs, path_of("a"), FS_WRITE | FS_CREATE | FS_EXCLUSIVE, &file, &err),
        STATUS_ALREADY_EXISTS, &err);
    put_file("a", "content");
    file_close(open_file("a", FS_WRITE | FS_CREATE));
    assert_content("a", "content");
    file_close(open_file("a", FS_WRITE | FS_TRUNCATE));
    assert_content("a", "");
}

/* Reads are whole but at the end of the file; holes read as zeros. */
static void test_read_and_write(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct file *file = open_file("a", FS_READ | FS_WRITE | FS_CREATE);
    assert_ok(file_write(file, 10000, slice_of_string("tail"), &err), &err);
    assert_ok(file_write(file, 4094, slice_of_string("crosses"), &err), &err);
    uint64_t size = 0;
    assert_ok(file_size(file, &size, &err), &err);
    assert_int_equal(size, 10004);
    char bytes[16];
    size_t length = 99;
    assert_ok(file_read(file, 4092, bytes, 10, &length, &err), &err);
    assert_int_equal(length, 10);
    assert_memory_equal(bytes, "\0\0crosses\0", 10);
    assert_ok(file_read(file, 10002, bytes, 16, &length, &err), &err);
    assert_int_equal(length, 2);
    assert_memory_equal(bytes, "il", 2);
    assert_ok(file_read(file, 10004, bytes, 16, &length, &err), &err);
    assert_int_equal(length, 0);
    assert_ok(file_read(file, 1 << 20, bytes, 16, &length, &err), &err);
    assert_int_equal(length, 0);
    assert_ok(file_write(file, 0, slice_of(NULL, 0), &err), &err);
    assert_ok(file_sync(file, &err), &err);
    file_drop_cache(file);
    assert_ok(file_read(file, 10000, bytes, 4, &length, &err), &err);
    assert_memory_equal(bytes, "tail", 4);
    file_close(file);
    file_close(NULL);
}

/* What a shrunk file lost is zeros when it grows again; allocating never shrinks. */
static void test_truncate_and_allocate(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    put_file("a", "0123456789");
    struct file *file = open_file("a", FS_READ | FS_WRITE);
    assert_ok(file_truncate(file, 4, &err), &err);
    assert_ok(file_truncate(file, 8, &err), &err);
    char bytes[8];
    size_t length = 0;
    assert_ok(file_read(file, 0, bytes, 8, &length, &err), &err);
    assert_int_equal(length, 8);
    assert_memory_equal(bytes, "0123\0\0\0\0", 8);
    uint64_t size = 0;
    assert_ok(file_allocate(file, 100000, &err), &err);
    assert_ok(file_size(file, &size, &err), &err);
    assert_int_equal(size, 100000);
    assert_ok(file_allocate(file, 10, &err), &err);
    assert_ok(file_allocate(file, 0, &err), &err);
    assert_ok(file_size(file, &size, &err), &err);
    assert_int_equal(size, 100000);
    assert_ok(file_read(file, 99990, bytes, 8, &length, &err), &err);
    assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0", 8);
    file_close(file);
}

/* A rename replaces its target; what is not there cannot be renamed. */
static void test_rename_and_unlink(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    put_file("a", "new");
    put_file("b", "old");
    assert_ok(fs_rename(fixture.fs, path_of("a"), path_of("b"), &err), &err);
    assert_false(is_there("a"));
    assert_content("b", "new");
    assert_status(fs_rename(fixture.fs, path_of("a"), path_of("b"), &err), STATUS_NOT_FOUND, &err);
    assert_ok(fs_unlink(fixture.fs, path_of("b"), &err), &err);
    assert_false(is_there("b"));
    assert_status(fs_unlink(fixture.fs, path_of("b"), &err), STATUS_NOT_FOUND, &err);
}

/* A second name keeps the content when the first is gone, and an open file outlives its name. */
static void test_link(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    put_file("a", "kept");
    assert_ok(fs_link(fixture.fs, path_of("a"), path_of("b"), &err), &err);
    assert_status(fs_link(fixture.fs, path_of("a"), path_of("b"), &err), STATUS_ALREADY_EXISTS,
                  &err);
    assert_ok(fs_unlink(fixture.fs, path_of("a"), &err), &err);
    assert_content("b", "kept");
    struct file *file = open_file("b", FS_READ);
    assert_ok(fs_unlink(fixture.fs, path_of("b"), &err), &err);
    char bytes[4];
    size_t length = 0;
    assert_ok(file_read(file, 0, bytes, 4, &length, &err), &err);
    assert_int_equal(length, 4);
    file_close(file);
}

static enum status collect(void *context, const char *name, struct error *err)
{
    (void)err;
    char *found = context;
    size_t at = strlen(found);
    (void)snprintf(found + at, 64 - at, "%s ", name);
    return STATUS_OK;
}

static enum status refuse(void *context, const char *name, struct error *err)
{
    ++*(int *)context;
    return error_set(err, STATUS_ABORTED, "%s is enough", name);
}

/* Directories: made twice is made, removed only when empty, listed without dots. */
static void test_directories(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    assert_ok(fs_make_dir(fixture.fs, path_of("d"), &err), &err);
    assert_ok(fs_make_dir(fixture.fs, path_of("d"), &err), &err);
    put_file("d/x", "1");
    put_file("d/y", "2");
    assert_status(fs_make_dir(fixture.fs, path_of("d/x"), &err), STATUS_ALREADY_EXISTS, &err);
    assert_ok(fs_sync_dir(fixture.fs, path_of("d"), &err), &err);
    char found[64] = "";
    assert_ok(fs_list(fixture.fs, path_of("d"), collect, found, &err), &err);
    assert_true(strcmp(found, "x y ") == 0 || strcmp(found, "y x ") == 0);
    int calls = 0;
    assert_status(fs_list(fixture.fs, path_of("d"), refuse, &calls, &err), STATUS_ABORTED, &err);
    assert_int_equal(calls, 1);
    assert_true(fs_remove_dir(fixture.fs, path_of("d"), &err) != STATUS_OK);
    assert_ok(fs_unlink(fixture.fs, path_of("d/x"), &err), &err);
    assert_ok(fs_unlink(fixture.fs, path_of("d/y"), &err), &err);
    assert_ok(fs_remove_dir(fixture.fs, path_of("d"), &err), &err);
    assert_false(is_there("d"));
    assert_false(is_there("d/x"));
    assert_status(fs_list(fixture.fs, path_of("d"), collect, found, &err), STATUS_NOT_FOUND, &err);
    assert_status(fs_sync_dir(fixture.fs, path_of("d"), &err), STATUS_NOT_FOUND, &err);
}

/* Two holders of one lock conflict, also within a process; closing gives it back. */
static void test_lock(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct file *first = NULL;
    struct file *second = NULL;
    assert_ok(fs_lock(fixture.fs, path_of("LOCK"), &first, &err), &err);
    assert_status(fs_lock(fixture.fs, path_of("LOCK"), &second, &err), STATUS_FAILED_PRECONDITION,
                  &err);
    assert_non_null(strstr(err.text, "LOCK"));
    assert_null(second);
    file_close(open_file("LOCK", FS_READ)); /* another descriptor's close does not drop it */
    assert_status(fs_lock(fixture.fs, path_of("LOCK"), &second, &err), STATUS_FAILED_PRECONDITION,
                  &err);
    file_close(first);
    assert_ok(fs_lock(fixture.fs, path_of("LOCK"), &second, &err), &err);
    file_close(second);
}

/* There is room, or else nothing here could have been written. */
static void test_free_bytes(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    uint64_t bytes = 0;
    assert_ok(fs_free_bytes(fixture.fs, path_of("."), &bytes, &err), &err);
    assert_true(bytes > 0);
}

/* Files as long as the buf allows are read, longer ones refused with the buf as it was. */
static void test_read_file(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct buf buf;
    put_file("a", "12345678");
    buf_init(&buf, alloc_default(), 10);
    buf_append(&buf, "ab", 2);
    assert_ok(fs_read_file(fixture.fs, path_of("a"), &buf, &err), &err);
    assert_true(slice_equal(buf_slice(&buf), slice_of_string("ab12345678")));
    buf_clear(&buf);
    buf_append(&buf, "abc", 3);
    assert_status(fs_read_file(fixture.fs, path_of("a"), &buf, &err), STATUS_RESOURCE_EXHAUSTED,
                  &err);
    assert_true(slice_equal(buf_slice(&buf), slice_of_string("abc")));
    assert_status(fs_read_file(fixture.fs, path_of("absent"), &buf, &err), STATUS_NOT_FOUND, &err);
    buf_release(&buf);

    char text[200001];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    put_file("long", text);
    assert_content("long", text);
}

/* The new content stands, and nothing is left beside it. */
static void test_replace_file(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    char dir[PATH_BYTES_MAX];
    (void)snprintf(dir, sizeof dir, "%s", path_of("."));
    for (int i = 0; i < 2; i++) {
        const char *text = i == 0 ? "first" : "second, longer";
        assert_ok(fs_replace_file(fixture.fs, dir, path_of("c"), slice_of_string(text), &err),
                  &err);
        assert_content("c", text);
        assert_false(is_there("c.new"));
    }
}

/* Paths are joined with one separator and never cut. */
static void test_path_join(void **state)
{
    (void)state;
    char out[PATH_BYTES_MAX];
    char name[PATH_BYTES_MAX];
    struct error err = ERROR_INIT;
    assert_ok(path_join(out, "a/b", "c", &err), &err);
    assert_string_equal(out, "a/b/c");
    assert_ok(path_join(out, "/", "c", &err), &err);
    assert_string_equal(out, "/c");
    memset(name, 'n', sizeof name);
    name[PATH_BYTES_MAX - 3] = '\0';
    assert_ok(path_join(out, "d", name, &err), &err);
    assert_int_equal(strlen(out), PATH_BYTES_MAX - 1);
    name[PATH_BYTES_MAX - 3] = 'n';
    name[PATH_BYTES_MAX - 2] = '\0';
    assert_status(path_join(out, "d", name, &err), STATUS_INVALID_ARGUMENT, &err);
}

/* Others on the machine may not read what we store: events, and keys. */
static void test_posix_modes(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct stat info;
    put_file("a", "x");
    assert_int_equal(stat(path_of("a"), &info), 0);
    assert_int_equal(info.st_mode & 0177, 0);
    assert_ok(fs_make_dir(fixture.fs, path_of("d"), &err), &err);
    assert_int_equal(stat(path_of("d"), &info), 0);
    assert_int_equal(info.st_mode & 0077, 0);
}

/* An offset out of damaged bytes is an error, not a crash or a sparse file of exabytes. */
static void test_posix_huge_offset(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct file *file = open_file("a", FS_READ | FS_WRITE | FS_CREATE);
    char byte = 'x';
    size_t length = 77;
    assert_status(file_read(file, UINT64_MAX, &byte, 1, &length, &err), STATUS_OUT_OF_RANGE, &err);
    assert_int_equal(length, 77);
    assert_status(file_write(file, INT64_MAX, slice_of(&byte, 1), &err), STATUS_OUT_OF_RANGE, &err);
    assert_status(file_truncate(file, UINT64_MAX, &err), STATUS_OUT_OF_RANGE, &err);
    assert_status(file_allocate(file, UINT64_MAX, &err), STATUS_OUT_OF_RANGE, &err);
    file_close(file);
}

/* A device that is full says so with the code that admission looks for. */
static void test_posix_full_device(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK) != 0) {
        skip();
    }
    struct error err = ERROR_INIT;
    struct file *file = NULL;
    assert_ok(fs_open(fs_posix(), "/dev/full", FS_WRITE, &file, &err), &err);
    assert_status(file_write(file, 0, slice_of_string("x"), &err), STATUS_RESOURCE_EXHAUSTED, &err);
    assert_non_null(strstr(err.text, "/dev/full"));
    file_close(file);
}

#define EACH(test)                                                                                 \
    {#test " (posix)", test, setup_posix, teardown_posix, NULL},                                   \
        {#test " (crash)", test, setup_crash, teardown_crash, NULL},                               \
    {                                                                                              \
#test " (faulty)", test, setup_faulty, teardown_faulty, NULL                               \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_open_flags),
        EACH(test_read_and_write),
        EACH(test_truncate_and_allocate),
        EACH(test_rename_and_unlink),
        EACH(test_link),
        EACH(test_directories),
        EACH(test_lock),
        EACH(test_free_bytes),
        EACH(test_read_file),
        EACH(test_replace_file),
        cmocka_unit_test(test_path_join),
        cmocka_unit_test_setup_teardown(test_posix_modes, setup_posix, teardown_posix),
        cmocka_unit_test_setup_teardown(test_posix_huge_offset, setup_posix, teardown_posix),
        cmocka_unit_test(test_posix_full_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
