/* SPDX-License-Identifier: Apache-2.0
 *
 * The power fails at each point of a backup, and of a restore: the backups before are whole and
 * restore what they were; one that was said to be made is there; what is left of one that was
 * not goes with the next; and half a restore is no store.
 */
#include "backup_fixture.h"

enum { SEEDS = 6 };

struct world {
    struct backup_fixture fx;
    struct model first;  /* of backup 1 */
    struct model second; /* of backup 2 */
};

static void begin(struct world *world)
{
    struct backup_fixture *fx = &world->fx;
    backup_fixture_init(fx, 11);
    backup_work(fx, 16);
    backup_settle(fx);
    world->first = fx->model;
    (void)backup_make(fx);
    backup_work(fx, 8);
    backup_settle(fx);
    /* Most tables of the first are named by it alone then, and go with it. */
    assert_ok(engine_compact(fx->engine, &fx->err), &fx->err);
    (void)executor_manual_run(&fx->executor, 100000);
    world->second = fx->model;
    (void)backup_make(fx);
    backup_work(fx, 8);
    backup_settle(fx);
    (void)executor_manual_run(&fx->executor, 100000);
}

static void crash(struct world *world, unsigned how, uint64_t seed)
{
    struct backup_fixture *fx = &world->fx;
    fs_crash_stop(fx->crash);
    if (fx->engine != NULL) {
        backup_close(fx);
    }
    if (how == 0) {
        fs_crash_now_losing_all(fx->crash);
    } else if (how == 1) {
        fs_crash_now_losing_nothing(fx->crash);
    } else {
        fs_crash_now(fx->crash, seed);
    }
    fs_crash_stop_at(fx->crash, UINT64_MAX);
}

/* After the crash: `made` says that backup 3 was reported. */
static void check_backups(struct world *world, bool made, bool removes)
{
    struct backup_fixture *fx = &world->fx;
    const struct model third = fx->model;
    bool is_there = false;
    bool first_is_there = false;
    assert_sound(fx);
    assert_ok(fs_exists(fx->fs, BACKUPS "/BACKUP-000003", &is_there, &fx->err), &fx->err);
    assert_ok(fs_exists(fx->fs, BACKUPS "/BACKUP-000001", &first_is_there, &fx->err), &fx->err);
    assert_true(is_there || !made);
    assert_true(first_is_there || (removes && is_there));
    if (first_is_there) {
        assert_backup(fx, 1, &world->first);
    }
    assert_backup(fx, 2, &world->second);
    if (is_there) {
        assert_backup(fx, 3, &third);
    }
    /* The next one removes what is left over, and is whole. */
    struct backup_checked checked;
    backup_open(fx);
    struct backup_made next = backup_make(fx);
    assert_int_equal(next.number, is_there ? 4 : 3);
    assert_int_equal(verify_backups(fx, &checked).count, 0);
    assert_int_equal(count_names(fx, BACKUPS, ".new"), 0);
    assert_int_equal(count_names(fx, BACKUPS, ".sst") + count_names(fx, BACKUPS, ".link"),
                     checked.files);
    assert_backup(fx, 0, &third);
}

static void crash_everywhere(bool link, uint64_t keep)
{
    static struct world world;
    bool ended = false;
    uint64_t points = 0;
    for (uint64_t n = 0; !ended; n++) {
        for (unsigned how = 0; how < 2 + SEEDS; how++) {
            begin(&world);
            world.fx.backup.link = link;
            world.fx.backup.policy.keep = keep;
            fs_crash_stop_at(world.fx.crash, n);
            enum status status = backup_try(&world.fx, NULL);
            ended = !fs_crash_stopped(world.fx.crash);
            assert_int_equal(ended, status == STATUS_OK);
            crash(&world, how, 100 * n + how);
            check_backups(&world, ended, keep > 0);
            backup_fixture_release(&world.fx);
        }
        points++;
    }
    assert_true(points > 10);
}

static void a_backup_crashes_everywhere(void **state)
{
    (void)state;
    crash_everywhere(false, 0);
}

static void a_backup_that_removes_crashes_everywhere(void **state)
{
    (void)state;
    crash_everywhere(false, 2);
}

static void a_backup_by_links_crashes_everywhere(void **state)
{
    (void)state;
    crash_everywhere(true, 0);
}

/* The first one makes the directory. */
static void the_first_backup_crashes_everywhere(void **state)
{
    static struct backup_fixture fx;
    bool ended = false;
    (void)state;
    for (uint64_t n = 0; !ended; n++) {
        backup_fixture_init(&fx, 5);
        assert_ok(fs_sync_dir(fx.fs, ".", &fx.err), &fx.err); /* the store's own name */
        backup_work(&fx, 20);
        backup_settle(&fx);
        fs_crash_stop_at(fx.crash, n);
        enum status status = backup_try(&fx, NULL);
        ended = !fs_crash_stopped(fx.crash);
        assert_int_equal(ended, status == STATUS_OK);
        fs_crash_stop(fx.crash);
        backup_close(&fx);
        fs_crash_now_losing_all(fx.crash);
        fs_crash_stop_at(fx.crash, UINT64_MAX);
        if (ended) {
            assert_backup(&fx, 1, &fx.model);
        }
        backup_open(&fx);
        (void)backup_make(&fx);
        assert_sound(&fx);
        assert_backup(&fx, 0, &fx.model);
        backup_fixture_release(&fx);
    }
}

/* A restore that was said to have ended is a store after any crash; one that was not is, or is no
 * store. */
static void a_restore_crashes_everywhere(void **state)
{
    static struct world world;
    struct backup_fixture *fx = &world.fx;
    bool ended = false;
    (void)state;
    for (uint64_t n = 0; !ended; n++) {
        for (unsigned how = 0; how < 2 + SEEDS; how++) {
            bool current = false;
            begin(&world);
            fs_crash_stop_at(fx->crash, n);
            enum status status = restore_try(fx, 2, "restored");
            ended = !fs_crash_stopped(fx->crash);
            assert_int_equal(ended, status == STATUS_OK);
            crash(&world, how, 100 * n + how);
            assert_ok(fs_exists(fx->fs, "restored/CURRENT", &current, &fx->err), &fx->err);
            assert_true(current || !ended);
            if (current) {
                struct model found;
                assert_store(fx, "restored", &found);
                assert_memory_equal(&found, &world.second, sizeof found);
            }
            remove_restored(fx);
            assert_backup(fx, 2, &world.second);
            backup_fixture_release(fx);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backup_crashes_everywhere),
        cmocka_unit_test(a_backup_that_removes_crashes_everywhere),
        cmocka_unit_test(a_backup_by_links_crashes_everywhere),
        cmocka_unit_test(the_first_backup_crashes_everywhere),
        cmocka_unit_test(a_restore_crashes_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
