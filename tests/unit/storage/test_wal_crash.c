/* SPDX-License-Identifier: Apache-2.0
 *
 * Power failures: whatever was acknowledged is there afterwards, and what is there is the state at
 * the end of some group.
 */
#include <errno.h>

#include "wal_fixture.h"

enum { CYCLES = 6, OPERATIONS = 60, ENTRIES_MAX = 600 };

/* The log as a group leaves it. */
struct point_in_time {
    uint64_t last;
    uint64_t term;
    uint64_t vote;
    uint64_t terms[ENTRIES_MAX];
};

struct run {
    struct wal_fixture fx;
    struct rng_seeded rng;
    struct point_in_time acknowledged; /* of the last group that was finished */
    struct point_in_time submitted;    /* of the one under way */
    struct point_in_time collected;
    uint64_t agreed; /* the entries up to here are the same in all three */
    uint64_t purged;
    const char *wrong;
};

static bool below(struct run *run, uint64_t numerator, uint64_t denominator)
{
    return rng_below(&run->rng.rng, denominator) < numerator;
}

static bool append_some(struct run *run)
{
    struct point_in_time *now = &run->collected;
    uint64_t from = now->last + 1;
    if (below(run, 1, 6) && now->last > run->purged) {
        from -=
            rng_below(&run->rng.rng, now->last - run->purged < 20 ? now->last - run->purged : 20);
    }
    uint64_t to = from + 1 + rng_below(&run->rng.rng, 12);
    if (to > ENTRIES_MAX) {
        return true;
    }
    uint64_t term = now->term + (from <= now->last);
    run->agreed = from - 1 < run->agreed ? from - 1 : run->agreed;
    run->fx.entry_bytes = 60;
    if (fixture_try_append(&run->fx, from, to, term) != STATUS_OK) {
        return false;
    }
    for (uint64_t i = from; i < to; i++) {
        now->terms[i] = term;
    }
    now->last = to - 1;
    now->term = term;
    return wal_set_hard_state(run->fx.wal, term, now->vote, &run->fx.err) == STATUS_OK;
}

static bool vote(struct run *run)
{
    run->collected.term += 1;
    run->collected.vote = 1 + rng_below(&run->rng.rng, 5);
    return wal_set_hard_state(run->fx.wal, run->collected.term, run->collected.vote,
                              &run->fx.err) == STATUS_OK;
}

static bool submit(struct run *run)
{
    struct wal *wal = run->fx.wal;
    if (wal_busy(wal) || !wal_pending(wal)) {
        return true;
    }
    run->submitted = run->collected;
    return wal_submit(wal, &run->fx.err) == STATUS_OK;
}

static bool finish(struct run *run)
{
    if (!wal_busy(run->fx.wal)) {
        return true;
    }
    (void)io_queue_manual_complete_all(&run->fx.io);
    if (wal_finish(run->fx.wal, &run->fx.durable, &run->fx.err) != STATUS_OK) {
        return false;
    }
    run->acknowledged = run->submitted;
    if (!wal_pending(run->fx.wal)) {
        run->agreed = run->acknowledged.last;
    }
    if (run->fx.durable.index != run->acknowledged.last ||
        run->fx.durable.term != run->acknowledged.term ||
        run->fx.durable.vote != run->acknowledged.vote) {
        run->wrong = "a group that was reported is not the one that was submitted";
    }
    return true;
}

/* As a node does it: only what is committed, so durable and never removed again. */
static bool purge(struct run *run)
{
    if (run->agreed > run->purged + 20) {
        run->purged = run->agreed - 20;
    }
    return wal_purge(run->fx.wal, run->purged, &run->fx.err) == STATUS_OK;
}

static bool idle(struct run *run)
{
    struct wal *wal = run->fx.wal;
    bool was_busy = wal_busy(wal);
    bool good = wal_idle(wal, &run->fx.err) == STATUS_OK;
    if (!was_busy && wal_busy(wal)) {
        run->submitted = run->collected;
    }
    return good;
}

static bool operate(struct run *run)
{
    switch (rng_below(&run->rng.rng, 10)) {
    case 0:
        return vote(run);
    case 1:
    case 2:
    case 3:
        return append_some(run);
    case 4:
    case 5:
    case 6:
        return submit(run);
    case 7:
    case 8:
        return finish(run);
    default:
        return below(run, 1, 2) ? purge(run) : idle(run);
    }
}

static bool log_is(struct run *run, const struct point_in_time *expected)
{
    const struct wal_recovered *recovered = &run->fx.recovered;
    if (recovered->last_index != expected->last || recovered->term != expected->term ||
        recovered->vote != expected->vote || recovered->first_index > run->purged + 1) {
        return false;
    }
    return fixture_holds(&run->fx, expected->terms, expected->last);
}

/* The snapshot that storage would hold. */
static bool open_log(struct run *run)
{
    uint64_t term = run->acknowledged.terms[run->purged];
    enum status status = wal_open(&run->fx.options, run->purged, term, &run->fx.recovered,
                                  &run->fx.wal, &run->fx.err);
    if (status != STATUS_OK) {
        run->fx.wal = NULL;
    }
    return status == STATUS_OK;
}

static void crash_and_compare(struct run *run)
{
    fs_crash_stop(run->fx.crash);
    fixture_close(&run->fx);
    if (below(run, 1, 4)) {
        fs_crash_now_losing_all(run->fx.crash);
    } else {
        fs_crash_now(run->fx.crash, rng_u64(&run->rng.rng));
    }
    if (!open_log(run)) {
        run->wrong = "the log does not open";
    } else if (log_is(run, &run->submitted)) {
        run->acknowledged = run->submitted;
    } else if (!log_is(run, &run->acknowledged)) {
        run->wrong = "an acknowledged group is gone";
    }
    run->collected = run->acknowledged;
    run->submitted = run->acknowledged;
    run->agreed = run->acknowledged.last;
}

/* NULL, or what went wrong. */
static const char *run_seed(uint64_t seed, bool sync_lies)
{
    static struct run run;
    memset(&run, 0, sizeof run);
    fixture_init(&run.fx, 4 * KIB);
    rng_seeded_init(&run.rng, seed);
    run.fx.entry_bytes = 60;
    fixture_open(&run.fx);
    fs_crash_set_sync_lies(run.fx.crash, sync_lies);
    for (unsigned cycle = 0; cycle < CYCLES && run.wrong == NULL; cycle++) {
        if (below(&run, 1, 2)) {
            fs_crash_stop_at(run.fx.crash, rng_below(&run.rng.rng, 80));
        }
        uint64_t operations = rng_below(&run.rng.rng, OPERATIONS);
        for (uint64_t i = 0; i < operations && run.wrong == NULL && operate(&run); i++) {
        }
        if (run.wrong == NULL) {
            crash_and_compare(&run);
        }
    }
    fs_crash_stop_at(run.fx.crash, UINT64_MAX);
    const char *wrong = run.wrong;
    fixture_release(&run.fx);
    return wrong;
}

/* Random histories, each with several power failures, at random calls. */
static void test_acknowledged_survives(void **state)
{
    (void)state;
    uint64_t seed = test_seed();
    for (uint64_t i = 0; i < 400; i++) {
        const char *wrong = run_seed(seed + i, false);
        if (wrong != NULL) {
            print_message("seed %llu: %s\n", (unsigned long long)(seed + i), wrong);
        }
        assert_null(wrong);
    }
}

/* The check above is worth something: with syncs that do nothing it finds losses. */
static void test_lying_sync_is_noticed(void **state)
{
    (void)state;
    unsigned noticed = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        noticed += run_seed(seed, true) != NULL;
    }
    assert_true(noticed > 20);
}

/* A power failure in each call of opening, first use and reuse: the next opening succeeds. */
static void test_failure_in_every_call(void **state)
{
    (void)state;
    for (uint64_t n = 0;; n++) {
        struct wal_fixture fx;
        fixture_init(&fx, 4 * KIB);
        fs_crash_stop_at(fx.crash, n);
        uint64_t acknowledged = 0;
        enum status status = fixture_try_open(&fx);
        for (uint64_t next = 1; status == STATUS_OK && next < 120; next += 4) {
            status = fixture_try_append(&fx, next, next + 4, 1);
            status = status == STATUS_OK ? fixture_try_commit(&fx) : status;
            if (status == STATUS_OK) {
                acknowledged = next + 3;
                status = wal_purge(fx.wal, acknowledged > 30 ? acknowledged - 30 : 0, &fx.err);
            }
        }
        bool stopped = fs_crash_stopped(fx.crash);
        if (!stopped) {
            assert_ok(status, &fx.err);
            assert_true(counter_get(&wal_metrics(fx.wal)->segments_recycled) > 0);
        }
        fs_crash_stop(fx.crash);
        wal_close(fx.wal);
        fx.wal = NULL;
        fs_crash_now(fx.crash, n);
        uint64_t snapshot = acknowledged > 30 ? acknowledged - 30 : 0;
        assert_ok(
            wal_open(&fx.options, snapshot, snapshot > 0 ? 1 : 0, &fx.recovered, &fx.wal, &fx.err),
            &fx.err);
        assert_in_range(fx.recovered.last_index, acknowledged, acknowledged + 4);
        assert_int_equal(fixture_read(&fx, fx.recovered.first_index, fx.recovered.last_index + 1),
                         fx.recovered.last_index + 1);
        fixture_release(&fx);
        if (!stopped) {
            break;
        }
    }
}

/* The process ends after a write and before its sync, or by a sync that failed, so that the next
 * one finds the group in the system's cache. What it reports it has made durable: then the power
 * may fail. */
static void check_found_is_durable(bool sync_failed)
{
    struct wal_fixture fx;
    fixture_init(&fx, 4 * KIB);
    fixture_open(&fx);
    fixture_append(&fx, 1, 4, 1);
    fixture_commit(&fx);
    fixture_append(&fx, 4, 7, 1);
    assert_ok(wal_submit(fx.wal, &fx.err), &fx.err);
    assert_true(io_queue_manual_fail(&fx.io, EIO, true));
    if (sync_failed) {
        struct file *file = NULL;
        assert_ok(
            fs_open(fx.fs, FIXTURE_DIR "/0000000000000001.wal", FS_READ | FS_WRITE, &file, &fx.err),
            &fx.err);
        fs_crash_sync_failed(file);
        file_close(file);
    }
    fixture_reopen(&fx);
    fixture_expect(&fx, 6);
    fs_crash_stop(fx.crash);
    fixture_close(&fx);
    fs_crash_now_losing_all(fx.crash);
    fixture_open(&fx);
    fixture_expect(&fx, 6);
    fixture_release(&fx);
}

static void test_found_is_durable(void **state)
{
    (void)state;
    check_found_is_durable(false);
    check_found_is_durable(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acknowledged_survives),
        cmocka_unit_test(test_lying_sync_is_noticed),
        cmocka_unit_test(test_failure_in_every_call),
        cmocka_unit_test(test_found_is_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
