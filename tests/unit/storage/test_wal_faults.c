/* SPDX-License-Identifier: Apache-2.0
 *
 * Failing calls: no leak, no false success, poison where the disk is in doubt, and a full disk
 * that gets room again.
 */
#include <errno.h>

#include "wal_fixture.h"

#include "testlib/executor_manual.h"
#include "testlib/fail_alloc.h"
#include "testlib/fs_faulty.h"

/* What was acknowledged by `work`, and how it ended. */
struct outcome {
    enum status status;
    uint64_t acknowledged;
};

/* A little of everything, until something fails. */
static struct outcome work(struct wal_fixture *fx)
{
    struct outcome outcome = {.status = fixture_try_open(fx)};
    if (outcome.status != STATUS_OK) {
        fx->wal = NULL;
        return outcome;
    }
    outcome.acknowledged = fx->recovered.last_index;
    for (uint64_t next = outcome.acknowledged + 1; next < 61 && outcome.status == STATUS_OK;
         next += 6) {
        outcome.status = wal_set_hard_state(fx->wal, next, 1, &fx->err);
        if (outcome.status == STATUS_OK) {
            outcome.status = fixture_try_append(fx, next, next + 6, 1);
        }
        if (outcome.status == STATUS_OK) {
            outcome.status = fixture_try_commit(fx);
        }
        if (outcome.status == STATUS_OK) {
            outcome.acknowledged = next + 5;
            outcome.status = wal_purge(fx->wal, 10, &fx->err);
        }
    }
    return outcome;
}

/* Each allocation fails once: the call says so, nothing leaks, and what was acknowledged is there.
 */
static void test_every_allocation(void **state)
{
    (void)state;
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    for (uint64_t n = 0;; n++) {
        struct wal_fixture fx;
        fixture_init(&fx, 4 * KIB);
        fx.options.alloc = &fail.alloc;
        fail_alloc_arm(&fail, n);
        struct outcome outcome = work(&fx);
        bool hit = fail_alloc_hit(&fail);
        fail_alloc_arm(&fail, FAIL_ALLOC_NEVER);
        fixture_close(&fx);
        assert_int_equal(fail_alloc_blocks(&fail), 0);
        if (outcome.status != STATUS_OK) {
            assert_true(hit);
            assert_int_equal(outcome.status, STATUS_RESOURCE_EXHAUSTED);
        }
        outcome.status =
            wal_open(&fx.options, outcome.acknowledged >= 10 ? 10 : 0,
                     outcome.acknowledged >= 10 ? 1 : 0, &fx.recovered, &fx.wal, &fx.err);
        assert_ok(outcome.status, &fx.err);
        assert_true(fx.recovered.last_index >= outcome.acknowledged);
        fixture_release(&fx);
        if (!hit) {
            assert_true(n > 20);
            break;
        }
    }
    fail_alloc_release(&fail);
}

/* Whether call `n` was reached. The log ends with its process, or with the machine, which loses
 * whatever was not synced. */
static bool one_call_fails(uint64_t n, bool machine)
{
    struct wal_fixture fx;
    struct fs_faulty faulty;
    fixture_init(&fx, 4 * KIB);
    fs_faulty_init(&faulty, fx.fs);
    fx.options.fs = &faulty.fs;
    fs_faulty_arm(&faulty, (struct fs_fault){.call = FS_CALL_ANY, .at = n, .half = n % 2 == 0});
    struct outcome outcome = work(&fx);
    bool hit = fs_faulty_hit(&faulty) > 0;
    if (outcome.status != STATUS_OK) {
        assert_true(hit);
    }
    if (machine) {
        fs_crash_stop(fx.crash);
    }
    fixture_close(&fx);
    if (machine) {
        fs_crash_now_losing_all(fx.crash);
    }
    fs_faulty_disarm(&faulty);
    assert_ok(wal_open(&fx.options, outcome.acknowledged >= 10 ? 10 : 0,
                       outcome.acknowledged >= 10 ? 1 : 0, &fx.recovered, &fx.wal, &fx.err),
              &fx.err);
    assert_true(fx.recovered.last_index >= outcome.acknowledged);
    uint64_t first = fx.recovered.first_index;
    assert_int_equal(fixture_read(&fx, first, 1000), fx.recovered.last_index + 1);
    fixture_close(&fx);
    fs_faulty_release(&faulty);
    fixture_release(&fx);
    return hit;
}

/* Each file system call fails once: an error comes out, later calls do not undo it, nothing is
 * acknowledged that is not there, no file stays open. */
static void test_every_call(void **state)
{
    (void)state;
    for (unsigned machine = 0; machine < 2; machine++) {
        uint64_t n = 0;
        while (one_call_fails(n, machine == 1)) {
            n++;
        }
        assert_true(n > 50);
    }
}

/* A sync that failed, or a write, is final: every later call returns it, reading goes on, and a
 * later sync does not make the group good. */
static void test_poison(void **state)
{
    (void)state;
    for (unsigned written = 0; written < 2; written++) {
        struct wal_fixture fx;
        fixture_init(&fx, 0);
        fixture_open(&fx);
        fixture_append(&fx, 1, 11, 1);
        fixture_commit(&fx);
        fixture_append(&fx, 11, 21, 1);
        assert_ok(wal_submit(fx.wal, &fx.err), &fx.err);
        assert_true(io_queue_manual_fail(&fx.io, written == 0 ? ENOSPC : EIO, written == 1));
        struct error first;
        enum status poison = wal_finish(fx.wal, &fx.durable, &first);
        assert_int_not_equal(poison, STATUS_OK);
        assert_int_not_equal(poison, STATUS_RESOURCE_EXHAUSTED); /* that may be tried again */
        assert_int_equal(first.status, poison);
        assert_int_equal(fx.durable.index, 10);
        assert_status(fixture_try_append(&fx, 21, 22, 1), poison, &fx.err);
        assert_string_equal(fx.err.text, first.text);
        assert_status(wal_set_hard_state(fx.wal, 5, 5, &fx.err), poison, &fx.err);
        assert_status(wal_submit(fx.wal, &fx.err), poison, &fx.err);
        assert_status(wal_finish(fx.wal, &fx.durable, &fx.err), poison, &fx.err);
        assert_status(wal_idle(fx.wal, &fx.err), poison, &fx.err);
        assert_status(wal_purge(fx.wal, 5, &fx.err), poison, &fx.err);
        assert_status(wal_reset(fx.wal, 50, 1, &fx.err), poison, &fx.err);
        assert_false(wal_busy(fx.wal));
        assert_int_equal(io_queue_manual_pending(&fx.io), 0);
        assert_int_equal(fixture_read(&fx, 1, 100), 11);
        fixture_release(&fx);
    }
}

/* A full disk: a leader is told early; a group that has no room stays pending, is not poison, and
 * is written when there is room; nothing that was acknowledged is lost. */
static void test_full_disk(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 8 * KIB);
    fixture_open(&fx);
    assert_true(wal_has_room(fx.wal));
    fs_crash_set_capacity(fx.crash, 36 * KIB);
    uint64_t next = 1;
    uint64_t told_at = 0;
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        if (told_at == 0 && !wal_has_room(fx.wal)) {
            told_at = next;
        }
        fixture_append(&fx, next, next + 5, 1);
        next += 5;
        status = fixture_try_commit(&fx);
    }
    assert_status(status, STATUS_RESOURCE_EXHAUSTED, &fx.err);
    assert_true(told_at > 0);
    assert_true(next - told_at > 20); /* that much the last segment still took */
    assert_int_equal(fx.durable.index, next - 6);
    assert_false(wal_busy(fx.wal));
    assert_true(wal_pending(fx.wal));
    assert_status(fixture_try_commit(&fx), STATUS_RESOURCE_EXHAUSTED, &fx.err);
    assert_int_equal(fixture_read(&fx, 1, 10000), next - 5); /* reads go on */
    fixture_append(&fx, next, next + 5, 1);                  /* and collecting */
    fs_crash_set_capacity(fx.crash, UINT64_MAX);
    fixture_commit(&fx);
    assert_int_equal(fx.durable.index, next - 1);
    fixture_commit(&fx);
    assert_int_equal(fx.durable.index, next + 4);
    assert_true(wal_has_room(fx.wal));
    fixture_reopen(&fx);
    fixture_expect(&fx, next + 4);
    fixture_release(&fx);
}

/* As above, closed while the disk is full: all that was acknowledged is there. */
static void test_full_disk_and_closed(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 8 * KIB);
    fixture_open(&fx);
    fs_crash_set_capacity(fx.crash, 20 * KIB);
    uint64_t next = 1;
    for (; fixture_try_append(&fx, next, next + 5, 1) == STATUS_OK &&
           fixture_try_commit(&fx) == STATUS_OK;
         next += 5) {
    }
    fx.model.last = next - 1;
    fixture_reopen(&fx);
    fixture_expect(&fx, next - 1);
    assert_false(wal_has_room(fx.wal));
    fixture_release(&fx);
}

struct with_executor {
    struct wal_fixture fx;
    struct executor_manual executor;
};

static void wait_for_both(void *context)
{
    struct with_executor *with = context;
    if (!io_queue_manual_complete(&with->fx.io)) {
        (void)executor_manual_step(&with->executor);
    }
}

static void completed(void *context)
{
    struct with_executor *with = context;
    with->fx.completions++;
}

/* With an executor no call of the owner makes a file: a group waits for its segment, is written as
 * soon as that is there, and on_complete comes once. */
static void test_group_waits_for_segment(void **state)
{
    (void)state;
    struct with_executor with;
    struct wal_fixture *fx = &with.fx;
    fixture_init(fx, 4 * KIB);
    executor_manual_init(&with.executor, 1);
    fx->options.executor = &with.executor.executor;
    fx->options.context = &with;
    fx->options.on_wait = wait_for_both;
    fx->options.on_complete = completed;
    fixture_open(fx);
    assert_int_equal(executor_manual_queued(&with.executor), 1); /* the one made ahead */
    uint64_t next = 1;
    for (; io_queue_manual_pending(&fx->io) > 0 || !wal_busy(fx->wal); next += 5) {
        fixture_append(fx, next, next + 5, 1);
        assert_ok(wal_submit(fx->wal, &fx->err), &fx->err);
        if (io_queue_manual_complete(&fx->io)) {
            assert_ok(wal_finish(fx->wal, &fx->durable, &fx->err), &fx->err);
        }
    }
    unsigned before = fx->completions;
    fixture_append(fx, next, next + 5, 1); /* collected meanwhile, and part of the flight is cut */
    fixture_append(fx, next - 2, next + 5, 2);
    (void)executor_manual_run(&with.executor, 100);
    assert_int_equal(io_queue_manual_pending(&fx->io), 1);
    assert_int_equal(fx->completions, before);
    (void)io_queue_manual_complete(&fx->io);
    assert_int_equal(fx->completions, before + 1);
    assert_ok(wal_finish(fx->wal, &fx->durable, &fx->err), &fx->err);
    assert_int_equal(fixture_read(fx, 1, 10000), next - 2);
    fixture_commit(fx);
    assert_int_equal(fixture_read(fx, 1, 10000), next + 5);
    fixture_reopen(fx);
    fixture_expect(fx, next + 4);
    fixture_release(fx);
}

/* With an executor and a full disk the failure comes through on_complete and wal_finish, and
 * closing with a group that waits does not hang. */
static void test_full_disk_with_executor(void **state)
{
    (void)state;
    struct with_executor with;
    struct wal_fixture *fx = &with.fx;
    fixture_init(fx, 4 * KIB);
    executor_manual_init(&with.executor, 1);
    fx->options.executor = &with.executor.executor;
    fx->options.context = &with;
    fx->options.on_wait = wait_for_both;
    fx->options.on_complete = completed;
    fixture_open(fx);
    fs_crash_set_capacity(fx->crash, 4 * KIB);
    fixture_append(fx, 1, 60, 1);
    assert_ok(wal_submit(fx->wal, &fx->err), &fx->err);
    assert_true(wal_busy(fx->wal));
    (void)executor_manual_run(&with.executor, 100);
    assert_int_equal(fx->completions, 1);
    assert_status(wal_finish(fx->wal, &fx->durable, &fx->err), STATUS_RESOURCE_EXHAUSTED, &fx->err);
    assert_false(wal_has_room(fx->wal)); /* and tries again */
    fs_crash_set_capacity(fx->crash, UINT64_MAX);
    (void)executor_manual_run(&with.executor, 100);
    assert_true(wal_has_room(fx->wal));
    assert_ok(wal_submit(fx->wal, &fx->err), &fx->err);
    fixture_reopen(fx); /* closing waits for file and write */
    fixture_expect(fx, 59);
    fixture_release(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation),
        cmocka_unit_test(test_every_call),
        cmocka_unit_test(test_poison),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_full_disk_and_closed),
        cmocka_unit_test(test_group_waits_for_segment),
        cmocka_unit_test(test_full_disk_with_executor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
