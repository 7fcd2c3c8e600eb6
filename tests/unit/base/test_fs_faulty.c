/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/test.h"

#include <errno.h>

#include "base/buf.h"
#include "testlib/fs_crash.h"
#include "testlib/fs_faulty.h"

/* Each call of fs_replace_file can fail; each time the old content stands or, after the rename,
 * the new one, and nothing is left open. */
static void test_every_call_fails_once(void **state)
{
    (void)state;
    for (uint64_t n = 0;; n++) {
        struct error err = ERROR_INIT;
        struct fs_crash *crash = fs_crash_new();
        struct fs_faulty faulty;
        fs_faulty_init(&faulty, fs_crash_fs(crash));
        assert_ok(fs_replace_file(&faulty.fs, "/", "c", slice_of_string("old"), &err), &err);
        fs_faulty_arm(&faulty, (struct fs_fault){.at = n, .errnum = ENOSPC});
        enum status status = fs_replace_file(&faulty.fs, "/", "c", slice_of_string("new"), &err);
        uint64_t hit = fs_faulty_hit(&faulty);
        fs_faulty_disarm(&faulty);
        struct buf buf;
        buf_init(&buf, alloc_default(), 100);
        assert_int_equal(fs_read_file(&faulty.fs, "c", &buf, &err), STATUS_OK);
        bool renamed = slice_equal(buf_slice(&buf), slice_of_string("new"));
        assert_true(renamed || slice_equal(buf_slice(&buf), slice_of_string("old")));
        assert_int_equal(renamed, n >= 4);
        buf_release(&buf);
        fs_faulty_release(&faulty);
        fs_crash_free(crash);
        if (hit == 0) {
            assert_int_equal(status, STATUS_OK);
            assert_int_equal(n, 5); /* open, write, sync, rename, sync directory */
            break;
        }
        assert_int_equal(status, STATUS_RESOURCE_EXHAUSTED);
    }
}

/* Without syncs, too; then there are three. */
static void test_every_unsynced_call_fails_once(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct fs_crash *crash = fs_crash_new();
    struct fs_faulty faulty;
    fs_faulty_init(&faulty, fs_crash_fs(crash));
    assert_ok(fs_replace_file(&faulty.fs, "/", "c", slice_of_string("old"), &err), &err);
    for (uint64_t n = 0; n <= 3; n++) {
        struct buf buf;
        buf_init(&buf, alloc_default(), 100);
        fs_faulty_arm(&faulty, (struct fs_fault){.at = n, .errnum = ENOSPC, .half = true});
        enum status status =
            fs_replace_file_unsynced(&faulty.fs, "c", slice_of_string("new"), &err);
        assert_int_equal(status, n < 3 ? STATUS_RESOURCE_EXHAUSTED : STATUS_OK);
        fs_faulty_disarm(&faulty);
        assert_ok(fs_read_file(&faulty.fs, "c", &buf, &err), &err);
        assert_true(slice_equal(buf_slice(&buf), slice_of_string(n < 3 ? "old" : "new")));
        bool left = true;
        assert_ok(fs_exists(&faulty.fs, "c.new", &left, &err), &err);
        assert_false(left);
        buf_release(&buf);
    }
    fs_faulty_release(&faulty);
    fs_crash_free(crash);
}

/* Kind, number, path and duration of a fault are as told. */
static void test_choice_of_fault(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct fs_crash *crash = fs_crash_new();
    struct fs_faulty faulty;
    struct file *a = NULL;
    struct file *b = NULL;
    int flags = FS_READ | FS_WRITE | FS_CREATE;
    fs_faulty_init(&faulty, fs_crash_fs(crash));
    assert_ok(fs_open(&faulty.fs, "a", flags, &a, &err), &err);
    assert_ok(fs_open(&faulty.fs, "b", flags, &b, &err), &err);
    fs_faulty_arm(&faulty, (struct fs_fault){.call = FS_CALL_SYNC, .at = 1, .path_contains = "b"});
    assert_ok(file_sync(a, &err), &err);
    assert_ok(file_sync(a, &err), &err);
    assert_ok(file_sync(b, &err), &err);
    assert_int_equal(fs_faulty_hit(&faulty), 0);
    assert_status(file_sync(b, &err), STATUS_INTERNAL, &err);
    assert_non_null(strstr(err.text, "sync b"));
    assert_ok(file_sync(b, &err), &err);
    assert_int_equal(fs_faulty_hit(&faulty), 1);
    assert_int_equal(fs_faulty_calls(&faulty, FS_CALL_SYNC), 5);
    fs_faulty_arm(&faulty, (struct fs_fault){.call = FS_CALL_SYNC, .for_ever = true});
    assert_ok(file_write(b, 0, slice_of_string("x"), &err), &err);
    assert_status(file_sync(b, &err), STATUS_INTERNAL, &err);
    assert_status(file_sync(a, &err), STATUS_INTERNAL, &err);
    file_close(a);
    file_close(b);
    fs_faulty_release(&faulty);
    fs_crash_free(crash);
}

/* A write that fails half way leaves half its bytes. */
static void test_half_write(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct fs_crash *crash = fs_crash_new();
    struct fs_faulty faulty;
    struct file *file = NULL;
    uint64_t size = 0;
    fs_faulty_init(&faulty, fs_crash_fs(crash));
    assert_ok(fs_open(&faulty.fs, "a", FS_WRITE | FS_CREATE, &file, &err), &err);
    fs_faulty_arm(&faulty, (struct fs_fault){.call = FS_CALL_WRITE, .errnum = EIO, .half = true});
    assert_status(file_write(file, 0, slice_of_string("12345678"), &err), STATUS_INTERNAL, &err);
    assert_ok(file_size(file, &size, &err), &err);
    assert_int_equal(size, 4);
    file_close(file);
    fs_faulty_release(&faulty);
    fs_crash_free(crash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_call_fails_once),
        cmocka_unit_test(test_every_unsynced_call_fails_once),
        cmocka_unit_test(test_choice_of_fault),
        cmocka_unit_test(test_half_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
