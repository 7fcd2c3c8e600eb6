/* SPDX-License-Identifier: Apache-2.0
 *
 * Backups and restores in which the n-th call of the file system, or the n-th allocation,
 * fails: no false success, no leak, and the backups before are what they were.
 */
#include "backup_fixture.h"
#include "testlib/fail_alloc.h"
#include "testlib/fs_faulty.h"

struct fixture {
    struct backup_fixture backup;
    struct fs_faulty faulty;
    struct fail_alloc fail;
    struct model first; /* of backup 1 */
};

static int setup(void **state)
{
    static struct fixture fixture;
    struct backup_fixture *fx = &fixture.backup;
    backup_fixture_init(fx, test_seed());
    backup_close(fx);
    fs_faulty_init(&fixture.faulty, fs_crash_fs(fx->crash));
    fail_alloc_init(&fixture.fail);
    fx->fs = &fixture.faulty.fs;
    fx->options.alloc = &fixture.fail.alloc;
    fx->backup.policy.keep = 2;
    backup_open(fx);
    backup_work(fx, 24);
    backup_settle(fx);
    fixture.first = fx->model;
    (void)backup_make(fx);
    backup_work(fx, 6);
    backup_settle(fx);
    (void)executor_manual_run(&fx->executor, 100000);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->backup.engine != NULL) {
        backup_close(&fixture->backup);
    }
    fs_faulty_release(&fixture->faulty);
    fail_alloc_release(&fixture->fail);
    backup_fixture_release(&fixture->backup);
    return 0;
}

static size_t count_backups(struct backup_fixture *fx)
{
    return count_names(fx, BACKUPS, "BACKUP-") - count_names(fx, BACKUPS, ".new");
}

/* What is there is sound; the newest is either `before` or the one that was just tried. */
static void check_after(struct fixture *fixture, enum status status, size_t before)
{
    struct backup_fixture *fx = &fixture->backup;
    assert_sound(fx);
    assert_true(count_backups(fx) >= (before < 2 ? before : 2));
    if (status == STATUS_OK) {
        assert_backup(fx, 0, &fx->model);
    }
}

/* Each call fails once. With `for_ever` all later ones of its kind fail as well. Returns how many
 * backups were made though older ones could not be removed. */
static unsigned fail_each_call(struct fixture *fixture, bool link, bool for_ever)
{
    struct backup_fixture *fx = &fixture->backup;
    bool ended = false;
    unsigned made_but = 0;
    fx->backup.link = link;
    for (uint64_t n = 0; !ended; n++) {
        size_t before = count_backups(fx);
        fs_faulty_arm(&fixture->faulty, (struct fs_fault){.at = n, .for_ever = for_ever});
        struct backup_made made = {.number = 0};
        enum status status = backup_try(fx, &made);
        bool hit = fs_faulty_hit(&fixture->faulty) > 0;
        fs_faulty_disarm(&fixture->faulty);
        assert_true(hit || status == STATUS_OK);
        assert_true(!hit || status != STATUS_OK);
        assert_true(status != STATUS_CORRUPT);
        ended = !hit;
        assert_true(status != STATUS_OK || made.number > 0);
        made_but += status != STATUS_OK && made.number > 0;
        check_after(fixture, made.number > 0 ? STATUS_OK : status, before);
    }
    return made_but;
}

static void each_call_of_a_backup_fails(void **state)
{
    struct fixture *fixture = *state;
    fixture->backup.backup.full = true; /* so that each one copies */
    assert_true(fail_each_call(fixture, false, false) > 0);
}

static void each_call_of_an_increment_fails(void **state)
{
    (void)fail_each_call(*state, false, true);
}

static void each_call_of_a_backup_by_links_fails(void **state)
{
    struct fixture *fixture = *state;
    fixture->backup.backup.full = true;
    assert_true(fail_each_call(fixture, true, false) > 0);
}

static void each_call_of_a_restore_fails(void **state)
{
    struct fixture *fixture = *state;
    struct backup_fixture *fx = &fixture->backup;
    bool ended = false;
    for (uint64_t n = 0; !ended; n++) {
        fs_faulty_arm(&fixture->faulty, (struct fs_fault){.at = n});
        enum status status = restore_try(fx, 1, "restored");
        bool hit = fs_faulty_hit(&fixture->faulty) > 0;
        fs_faulty_disarm(&fixture->faulty);
        assert_int_equal(hit, status != STATUS_OK);
        assert_true(status != STATUS_CORRUPT);
        ended = !hit;
        if (ended) {
            assert_store(fx, "restored", NULL);
        }
        remove_restored(fx);
    }
    assert_sound(fx);
}

/* An engine's allocations are a backup's. */
static void each_allocation_of_a_backup_fails(void **state)
{
    struct fixture *fixture = *state;
    struct backup_fixture *fx = &fixture->backup;
    bool ended = false;
    fx->backup.full = true;
    for (uint64_t n = 0; !ended; n++) {
        size_t before = count_backups(fx);
        uint64_t blocks = fail_alloc_blocks(&fixture->fail);
        fail_alloc_arm(&fixture->fail, n);
        enum status status = backup_try(fx, NULL);
        bool hit = fail_alloc_hit(&fixture->fail);
        fail_alloc_arm(&fixture->fail, FAIL_ALLOC_NEVER);
        assert_status(status, hit ? STATUS_RESOURCE_EXHAUSTED : STATUS_OK, &fx->err);
        assert_int_equal(fail_alloc_blocks(&fixture->fail), blocks);
        ended = !hit;
        check_after(fixture, status, before);
    }
}

static enum status check_with(struct fixture *fixture, struct faults *faults)
{
    struct backup_fixture *fx = &fixture->backup;
    struct backup_check *check = NULL;
    const struct backup_check_options options = {.fs = fx->fs,
                                                 .alloc = &fixture->fail.alloc,
                                                 .dir = BACKUPS,
                                                 .on_fault = count_fault,
                                                 .context = faults};
    enum status status = backup_check_start(&options, &check, &fx->err);
    if (status == STATUS_OK) {
        status = backup_check_run(check, &fx->err);
    }
    backup_check_free(check);
    return status;
}

/* What cannot be read of a chain is neither damage nor sound. */
static void each_call_of_a_look_fails(void **state)
{
    struct fixture *fixture = *state;
    struct faults faults = {.count = 0};
    bool ended = false;
    uint64_t n = 0;
    assert_int_equal(backup_make(&fixture->backup).number, 2); /* an increment */
    for (; !ended; n++) {
        fs_faulty_arm(&fixture->faulty, (struct fs_fault){.at = n});
        enum status status = check_with(fixture, &faults);
        bool hit = fs_faulty_hit(&fixture->faulty) > 0;
        fs_faulty_disarm(&fixture->faulty);
        assert_int_equal(hit, status != STATUS_OK);
        assert_int_equal(faults.count, 0);
        ended = !hit;
    }
    assert_true(n > 20);
}

static enum status restore_with(struct fixture *fixture)
{
    struct backup_fixture *fx = &fixture->backup;
    struct restore *restore = NULL;
    const struct restore_options options = {
        .fs = fx->fs, .alloc = &fixture->fail.alloc, .from = BACKUPS, .to = "restored"};
    enum status status = restore_start(&options, &restore, &fx->err);
    if (status == STATUS_OK) {
        status = restore_run(restore, &fx->err);
    }
    restore_free(restore);
    return status;
}

static void each_allocation_of_a_restore_and_a_look_fails(void **state)
{
    struct fixture *fixture = *state;
    struct backup_fixture *fx = &fixture->backup;
    struct faults faults = {.count = 0};
    for (unsigned what = 0; what < 2; what++) {
        bool ended = false;
        for (uint64_t n = 0; !ended; n++) {
            uint64_t blocks = fail_alloc_blocks(&fixture->fail);
            fail_alloc_arm(&fixture->fail, n);
            enum status status = what == 0 ? restore_with(fixture) : check_with(fixture, &faults);
            bool hit = fail_alloc_hit(&fixture->fail);
            fail_alloc_arm(&fixture->fail, FAIL_ALLOC_NEVER);
            assert_status(status, hit ? STATUS_RESOURCE_EXHAUSTED : STATUS_OK, &fx->err);
            assert_int_equal(fail_alloc_blocks(&fixture->fail), blocks);
            ended = !hit;
            remove_restored(fx);
        }
    }
    assert_int_equal(faults.count, 0); /* want of memory is no damage */
}

/* A full disk is said to be one, and when there is room it goes on. */
static void a_full_disk_ends_it(void **state)
{
    struct fixture *fixture = *state;
    struct backup_fixture *fx = &fixture->backup;
    fx->backup.full = true;
    fs_crash_set_capacity(fx->crash, fs_crash_used(fx->crash) + 3000);
    assert_status(backup_try(fx, NULL), STATUS_RESOURCE_EXHAUSTED, &fx->err);
    fs_crash_set_capacity(fx->crash, UINT64_MAX);
    assert_sound(fx);
    assert_backup(fx, 0, &fixture->first);
    assert_int_equal(backup_make(fx).number, 2);
    assert_backup(fx, 0, &fx->model);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(each_call_of_a_backup_fails),
        CASE(each_call_of_an_increment_fails),
        CASE(each_call_of_a_backup_by_links_fails),
        CASE(each_call_of_a_restore_fails),
        CASE(each_call_of_a_look_fails),
        CASE(each_allocation_of_a_backup_fails),
        CASE(each_allocation_of_a_restore_and_a_look_fails),
        CASE(a_full_disk_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
