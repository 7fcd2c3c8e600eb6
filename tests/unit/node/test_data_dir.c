/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/test.h"

#include "node/data_dir.h"
#include "testlib/fs_crash.h"

static enum status open_dir(struct fs_crash *crash, const char *path, const char *node_id,
                            struct error *err)
{
    struct file *lock = NULL;
    enum status status = data_dir_open(fs_crash_fs(crash), path, "cluster", node_id, &lock, err);
    if (status == STATUS_OK) {
        file_close(lock);
    }
    return status;
}

/* Once it is open, the directory and whom it serves survive a power failure: a node that came back
 * empty would vote and acknowledge as if it had never been there. Also where the process that made
 * the directory was killed before it synced anything. */
static void test_is_durable(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    static const char *const paths[] = {"/data", "/var/lib/estreat/data", "data", "var/data"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        for (int made_before = 0; made_before < 2; made_before++) {
            struct fs_crash *crash = fs_crash_new();
            if (made_before == 1 && strrchr(paths[i], '/') <= paths[i]) {
                assert_ok(fs_make_dir(fs_crash_fs(crash), paths[i], &err), &err);
            }
            assert_ok(open_dir(crash, paths[i], "n1", &err), &err);
            fs_crash_now_losing_all(crash);
            bool exists = false;
            assert_ok(fs_exists(fs_crash_fs(crash), paths[i], &exists, &err), &err);
            assert_true(exists);
            assert_status(open_dir(crash, paths[i], "n2", &err), STATUS_FAILED_PRECONDITION, &err);
            assert_ok(open_dir(crash, paths[i], "n1", &err), &err);
            fs_crash_free(crash);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
