/* SPDX-License-Identifier: Apache-2.0
 *
 * Backups: a chain of increments, each of which is the store of its moment when it is restored,
 * whatever the engine did before and after, and whichever others were removed.
 */
#include "backup_fixture.h"
#include "testlib/flip.h"

static int setup(void **state)
{
    static struct backup_fixture fixture;
    backup_fixture_init(&fixture, test_seed());
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    backup_fixture_release(*state);
    return 0;
}

struct missing {
    struct backup_fixture *fx;
    size_t count;
};

static enum status count_if_missing(void *context, const struct engine_table *table,
                                    struct error *err)
{
    struct missing *missing = context;
    char name[40];
    (void)err;
    (void)snprintf(name, sizeof name, "-%s", table->name);
    missing->count += count_names(missing->fx, BACKUPS, name) == 0 ? 1 : 0;
    return STATUS_OK;
}

/* How many of the store's tables no backup has a copy of. */
static size_t count_missing(struct backup_fixture *fx)
{
    struct missing missing = {.fx = fx};
    for (unsigned keyspace = 0; keyspace < KS_COUNT; keyspace++) {
        assert_ok(engine_for_each_table(fx->engine, keyspace, count_if_missing, &missing, &fx->err),
                  &fx->err);
    }
    return missing.count;
}

/* The tables of the store that no backup has yet are copied, no others. */
static void an_increment_copies_what_is_new(void **state)
{
    struct backup_fixture *fx = *state;
    backup_work(fx, 600);
    backup_settle(fx);
    struct backup_made first = backup_make(fx);
    assert_int_equal(first.number, 1);
    assert_true(first.tables > 3);
    assert_int_equal(first.tables_copied, first.tables);
    assert_int_equal(count_names(fx, BACKUPS, ".sst"), first.tables);
    struct backup_made same = backup_make(fx);
    assert_int_equal(same.tables, first.tables);
    assert_int_equal(same.tables_copied, 0);
    assert_int_equal(count_names(fx, BACKUPS, ".sst"), first.tables);
    (void)executor_manual_run(&fx->executor, 100000);
    backup_work(fx, 15);
    backup_settle(fx);
    size_t missing = count_missing(fx);
    struct backup_made third = backup_make(fx);
    assert_int_equal(third.tables_copied, missing);
    assert_true(missing > 0 && missing < third.tables);
    assert_true(third.bytes_copied < third.bytes);
    assert_int_equal(count_names(fx, BACKUPS, ".sst"), first.tables + third.tables_copied);
    assert_sound(fx);
    assert_backup(fx, 0, &fx->model);
}

/* Flushes, compactions and deletes between: each backup stays what it was. */
static void a_chain_restores_each_moment(void **state)
{
    enum { CHAIN = 8 };
    struct backup_fixture *fx = *state;
    static struct model then[CHAIN];
    struct backup_checked checked;
    uint64_t named = 0;
    for (unsigned i = 0; i < CHAIN; i++) {
        backup_work(fx, 150);
        backup_settle(fx);
        if (i % 3 == 2) {
            assert_ok(engine_compact(fx->engine, &fx->err), &fx->err);
        }
        (void)executor_manual_run(&fx->executor, 100000);
        then[i] = fx->model;
        struct backup_made made = backup_make(fx);
        assert_int_equal(made.number, i + 1);
        named += made.tables;
    }
    backup_work(fx, 300);
    assert_int_equal(verify_backups(fx, &checked).count, 0);
    assert_int_equal(checked.backups, CHAIN);
    assert_true(checked.files < named); /* some are shared, and each is read once */
    assert_int_equal(checked.files, count_names(fx, BACKUPS, ".sst"));
    for (unsigned i = 0; i < CHAIN; i++) {
        assert_backup(fx, i + 1, &then[i]);
    }
}

/* Of what is removed only files go that no other backup names. */
static void removing_leaves_what_others_name(void **state)
{
    enum { CHAIN = 7, KEPT = 3 };
    struct backup_fixture *fx = *state;
    static struct model then[CHAIN];
    fx->backup.policy.keep = KEPT;
    for (unsigned i = 0; i < CHAIN; i++) {
        backup_work(fx, 120);
        backup_settle(fx);
        (void)executor_manual_run(&fx->executor, 100000);
        then[i] = fx->model;
        struct backup_made made = backup_make(fx);
        assert_int_equal(made.removed, i < KEPT ? 0 : 1);
        struct backup_checked checked;
        assert_int_equal(verify_backups(fx, &checked).count, 0);
        assert_int_equal(checked.backups, i < KEPT ? i + 1 : KEPT);
        assert_int_equal(checked.files, count_names(fx, BACKUPS, ".sst"));
    }
    assert_status(restore_try(fx, CHAIN - KEPT, "restored"), STATUS_NOT_FOUND, &fx->err);
    for (unsigned i = CHAIN - KEPT; i < CHAIN; i++) {
        assert_backup(fx, i + 1, &then[i]);
    }
}

/* By age as well; the newest stays, however old. */
static void age_removes(void **state)
{
    struct backup_fixture *fx = *state;
    backup_work(fx, 50);
    backup_settle(fx);
    fx->backup.policy.keep_ns = 10 * NS_PER_S;
    assert_int_equal(backup_make(fx).removed, 0);
    clock_manual_advance(&fx->clock, 6 * NS_PER_S);
    assert_int_equal(backup_make(fx).removed, 0);
    clock_manual_advance(&fx->clock, 6 * NS_PER_S);
    assert_int_equal(backup_make(fx).removed, 1);
    clock_manual_advance(&fx->clock, 600 * NS_PER_S);
    assert_int_equal(backup_make(fx).removed, 2);
    assert_int_equal(count_names(fx, BACKUPS, "BACKUP-"), 1);
    assert_backup(fx, 4, &fx->model);
}

/* A full one shares nothing: damage to the older copies does not reach it. */
static void a_full_one_stands_alone(void **state)
{
    struct backup_fixture *fx = *state;
    char path[PATH_BYTES_MAX];
    backup_work(fx, 200);
    backup_settle(fx);
    struct backup_made first = backup_make(fx);
    fx->backup.full = true;
    struct backup_made full = backup_make(fx);
    assert_int_equal(full.tables_copied, first.tables);
    assert_int_equal(count_names(fx, BACKUPS, ".sst"), 2 * first.tables);
    find_name(fx, BACKUPS, "000001-", path);
    flip_bit(fx->fs, path, 100);
    assert_backup(fx, 2, &fx->model);
    assert_status(restore_try(fx, 1, "restored"), STATUS_CORRUPT, &fx->err);
    assert_non_null(strstr(fx->err.text, path));
}

/* Links cost nothing and are a backup; one that copies does not rest on them. */
static void links_are_not_taken_for_copies(void **state)
{
    struct backup_fixture *fx = *state;
    backup_work(fx, 200);
    backup_settle(fx);
    struct model then = fx->model;
    uint64_t used = fs_crash_used(fx->crash);
    fx->backup.link = true;
    struct backup_made linked = backup_make(fx);
    assert_int_equal(linked.tables_copied, linked.tables);
    assert_int_equal(linked.bytes_copied, 0);
    assert_true(fs_crash_used(fx->crash) - used < 16 * KIB);
    assert_int_equal(count_names(fx, BACKUPS, ".link"), linked.tables);
    fx->backup.link = false;
    struct backup_made copied = backup_make(fx);
    assert_int_equal(copied.tables_copied, copied.tables);
    fx->backup.link = true;
    assert_int_equal(backup_make(fx).tables_copied, 0);
    backup_work(fx, 500);
    (void)executor_manual_run(&fx->executor, 100000); /* the store's tables go, the links stay */
    assert_sound(fx);
    assert_backup(fx, 1, &then);
    assert_backup(fx, 3, &then);
}

/* The engine writes, flushes and merges while a backup is made in steps, which changes neither. It
 * says how far it is, what it costs, and for which seal it stands. */
static void the_engine_goes_on_meanwhile(void **state)
{
    struct backup_fixture *fx = *state;
    struct backup *backup = NULL;
    struct backup_progress before;
    struct backup_progress now;
    bool done = false;
    unsigned steps = 0;
    backup_work(fx, 600);
    backup_settle(fx);
    struct model then = fx->model;
    assert_ok(backup_start(fx->engine, &fx->backup, &backup, &fx->err), &fx->err);
    backup_progress(backup, &before);
    while (!done) {
        assert_ok(backup_step(backup, &done, &fx->err), &fx->err);
        backup_work(fx, 5);
        steps++;
        backup_progress(backup, &now);
        assert_true(now.bytes >= before.bytes && now.bytes_moved >= before.bytes_moved);
        before = now;
    }
    assert_true(steps > backup_result(backup)->bytes / fx->backup.step_bytes);
    assert_int_equal(now.bytes, now.bytes_all);
    assert_int_equal(now.bytes_all, backup_result(backup)->bytes);
    assert_int_equal(now.bytes_moved, 2 * now.bytes_all);
    assert_true(slice_equal(backup_owner_state(backup), model_blob(&then)));
    backup_free(backup);
    backup_settle(fx);
    assert_content(fx->engine, NULL, &fx->model);
    assert_backup(fx, 1, &then);
}

struct ending {
    unsigned count;
    enum status status;
};

static void note_end(void *context, enum status status, const struct error *err)
{
    struct ending *ending = context;
    (void)err;
    ending->count++;
    ending->status = status;
}

/* As a job it shares the executor with the engine's. */
static void it_is_a_job(void **state)
{
    struct backup_fixture *fx = *state;
    struct backup *backup = NULL;
    struct ending ending = {.count = 0};
    backup_work(fx, 300);
    backup_settle(fx);
    struct model then = fx->model;
    assert_ok(backup_start(fx->engine, &fx->backup, &backup, &fx->err), &fx->err);
    backup_submit(backup, &fx->executor.executor, note_end, &ending);
    for (unsigned i = 0; ending.count == 0; i++) {
        assert_true(i < 10000);
        backup_work(fx, 1);
    }
    assert_int_equal(ending.status, STATUS_OK);
    assert_int_equal(backup_result(backup)->number, 1);
    backup_free(backup);
    (void)executor_manual_run(&fx->executor, 100000);
    assert_int_equal(ending.count, 1);
    assert_backup(fx, 1, &then);
}

/* A store that was restored goes on with the same numbers; its tables are not those of the first.
 */
static void another_store_shares_nothing(void **state)
{
    struct backup_fixture *fx = *state;
    backup_work(fx, 200);
    backup_settle(fx);
    struct backup_made first = backup_make(fx);
    struct model first_model = fx->model;
    assert_ok(restore_try(fx, 0, "other"), &fx->err);
    backup_close(fx);
    fx->options.dir = "other";
    backup_open(fx);
    struct backup_made other = backup_make(fx);
    assert_int_equal(other.number, 2);
    assert_int_equal(other.tables, first.tables);
    assert_int_equal(other.tables_copied, first.tables);
    assert_int_equal(backup_make(fx).tables_copied, 0);
    backup_work(fx, 100);
    backup_settle(fx);
    (void)backup_make(fx);
    assert_sound(fx);
    assert_backup(fx, 1, &first_model);
    assert_backup(fx, 4, &fx->model);
}

/* A copy that is gone, cut, or has another content is made again. */
static void what_is_not_there_is_copied_again(void **state)
{
    struct backup_fixture *fx = *state;
    char path[PATH_BYTES_MAX];
    struct file *file = NULL;
    backup_work(fx, 200);
    backup_settle(fx);
    (void)backup_make(fx);
    find_name(fx, BACKUPS, "000001-", path);
    assert_ok(fs_unlink(fx->fs, path, &fx->err), &fx->err);
    assert_int_equal(backup_make(fx).tables_copied, 1);
    find_name(fx, BACKUPS, "000002-", path);
    assert_ok(fs_open(fx->fs, path, FS_WRITE, &file, &fx->err), &fx->err);
    assert_ok(file_truncate(file, 1000, &fx->err), &fx->err);
    file_close(file);
    assert_int_equal(backup_make(fx).tables_copied, 1);
    find_name(fx, BACKUPS, "000003-", path);
    flip_bit(fx->fs, path, 50);
    assert_int_equal(backup_make(fx).tables_copied, 1);
    assert_backup(fx, 4, &fx->model);
}

/* The next backup ends with `status`, and says whose fault that is. */
static void assert_whose_damage(struct backup_fixture *fx, enum status status, bool of_the_store)
{
    struct backup *backup = NULL;
    assert_ok(backup_start(fx->engine, &fx->backup, &backup, &fx->err), &fx->err);
    assert_status(backup_run(backup, &fx->err), status, &fx->err);
    assert_int_equal(backup_found_damage(backup), of_the_store);
    backup_free(backup);
}

/* So that each table that is there is one that the store needs. */
static void settle_and_remove(struct backup_fixture *fx)
{
    backup_settle(fx);
    (void)executor_manual_run(&fx->executor, 100000);
    (void)engine_should_seal(fx->engine); /* the writer lets go of what was merged */
    (void)executor_manual_run(&fx->executor, 100000);
}

/* A table that is gone, or shorter than it was, is damage of the store too; a backups' disk that is
 * full is none. */
static void whose_fault_it_is_is_told(void **state)
{
    struct backup_fixture *fx = *state;
    char path[PATH_BYTES_MAX];
    struct file *file = NULL;
    backup_work(fx, 100);
    settle_and_remove(fx);
    (void)backup_make(fx);
    fx->backup.full = true;
    fs_crash_set_capacity(fx->crash, fs_crash_used(fx->crash) + 1);
    assert_whose_damage(fx, STATUS_RESOURCE_EXHAUSTED, false);
    fs_crash_set_capacity(fx->crash, UINT64_MAX);
    find_name(fx, "store", ".sst", path);
    assert_ok(fs_open(fx->fs, path, FS_WRITE, &file, &fx->err), &fx->err);
    assert_ok(file_truncate(file, 100, &fx->err), &fx->err);
    file_close(file);
    assert_whose_damage(fx, STATUS_CORRUPT, true);
    assert_ok(fs_unlink(fx->fs, path, &fx->err), &fx->err);
    fx->backup.link = true;
    assert_whose_damage(fx, STATUS_CORRUPT, true);
}

/* A store's table that is damaged is not copied as if it were sound; the older backup stays. */
static void damage_of_the_store_ends_it(void **state)
{
    struct backup_fixture *fx = *state;
    char path[PATH_BYTES_MAX];
    backup_work(fx, 100);
    settle_and_remove(fx);
    struct model then = fx->model;
    (void)backup_make(fx);
    fx->backup.full = true;
    find_name(fx, "store", ".sst", path);
    flip_bit(fx->fs, path, 30);
    assert_status(backup_try(fx, NULL), STATUS_CORRUPT, &fx->err);
    assert_non_null(strstr(fx->err.text, "the store is damaged"));
    assert_whose_damage(fx, STATUS_CORRUPT, true);
    assert_non_null(strstr(fx->err.text, path));
    assert_sound(fx);
    assert_backup(fx, 0, &then);
    flip_bit(fx->fs, path, 30);
    struct backup_made made = backup_make(fx);
    assert_int_equal(made.number, 2);
    assert_int_equal(count_names(fx, BACKUPS, ".sst"), 2 * made.tables);
}

/* While one manifest is damaged backups are made, but nothing that it may name is removed. */
static void a_damaged_manifest_keeps_all_files(void **state)
{
    struct backup_fixture *fx = *state;
    backup_work(fx, 100);
    backup_settle(fx);
    struct model then = fx->model;
    struct backup_made first = backup_make(fx);
    flip_bit(fx->fs, BACKUPS "/BACKUP-000001", 40);
    fx->backup.policy.keep = 1;
    struct backup_made made = backup_make(fx);
    assert_int_equal(made.number, 2);
    assert_int_equal(made.damaged, 1);
    assert_non_null(strstr(made.damage.text, "BACKUP-000001: at "));
    assert_int_equal(made.tables_copied, made.tables);
    assert_int_equal(count_names(fx, BACKUPS, "000001-"), first.tables);
    assert_int_equal(backup_make(fx).removed, 1);
    assert_int_equal(count_names(fx, BACKUPS, "000001-"), first.tables);
    flip_bit(fx->fs, BACKUPS "/BACKUP-000001", 40);
    assert_sound(fx);
    assert_backup(fx, 1, &then);
    assert_int_equal(backup_make(fx).removed, 2);
    assert_backup(fx, 4, &then);
}

/* A directory with something in it is not restored into, and one backup is made at a time. */
static void what_is_in_use_is_refused(void **state)
{
    struct backup_fixture *fx = *state;
    struct backup *backup = NULL;
    backup_work(fx, 50);
    backup_settle(fx);
    assert_status(restore_try(fx, 0, "restored"), STATUS_NOT_FOUND, &fx->err);
    (void)backup_make(fx);
    assert_status(restore_try(fx, 0, "store"), STATUS_FAILED_PRECONDITION, &fx->err);
    assert_non_null(strstr(fx->err.text, "not empty"));
    assert_status(restore_try(fx, 9, "restored"), STATUS_NOT_FOUND, &fx->err);
    assert_ok(backup_start(fx->engine, &fx->backup, &backup, &fx->err), &fx->err);
    assert_status(backup_try(fx, NULL), STATUS_FAILED_PRECONDITION, &fx->err);
    assert_non_null(strstr(fx->err.text, "in use"));
    assert_status(restore_try(fx, 0, "restored"), STATUS_FAILED_PRECONDITION, &fx->err);
    backup_free(backup); /* in the middle */
    assert_int_equal(backup_make(fx).number, 2);
    assert_backup(fx, 0, &fx->model);
}

/* A store without a table is backed up and restored, too. */
static void nothing_is_a_backup(void **state)
{
    struct backup_fixture *fx = *state;
    struct backup_made made = backup_make(fx);
    assert_int_equal(made.tables, 0);
    assert_sound(fx);
    assert_backup(fx, 1, &fx->model);
}

/* What the policy decides on. */
static void figures_tell_what_happened_since(void **state)
{
    struct backup_fixture *fx = *state;
    struct backup_figures figures;
    const struct backup_policy policy = {.entries = 1, .full_every = 3};
    for (unsigned i = 0; i < 7; i++) {
        backup_work(fx, 10);
        backup_settle(fx);
        assert_ok(backup_look(fx->engine, BACKUPS, &fx->clock.clock, &figures, &fx->err), &fx->err);
        assert_int_equal(figures.has_last, i > 0);
        assert_int_equal(backup_due(&policy, &figures),
                         i % 3 == 0 ? BACKUP_FULL : BACKUP_INCREMENT);
        fx->backup.full = i % 3 == 0;
        (void)backup_make(fx);
        assert_ok(backup_look(fx->engine, BACKUPS, &fx->clock.clock, &figures, &fx->err), &fx->err);
        assert_int_equal(figures.sequence, figures.last_sequence);
        assert_int_equal(backup_due(&policy, &figures), BACKUP_NONE);
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_increment_copies_what_is_new),
        CASE(a_chain_restores_each_moment),
        CASE(removing_leaves_what_others_name),
        CASE(age_removes),
        CASE(a_full_one_stands_alone),
        CASE(links_are_not_taken_for_copies),
        CASE(the_engine_goes_on_meanwhile),
        CASE(it_is_a_job),
        CASE(another_store_shares_nothing),
        CASE(what_is_not_there_is_copied_again),
        CASE(whose_fault_it_is_is_told),
        CASE(damage_of_the_store_ends_it),
        CASE(a_damaged_manifest_keeps_all_files),
        CASE(what_is_in_use_is_refused),
        CASE(nothing_is_a_backup),
        CASE(figures_tell_what_happened_since),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
