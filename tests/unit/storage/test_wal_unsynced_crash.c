/* SPDX-License-Identifier: Apache-2.0
 *
 * Power failures of a log whose groups are synced now and then: what was synced is there
 * afterwards, and what is there is the state behind some record that was written since.
 */
#include "wal_fixture.h"

enum { CYCLES = 6, OPERATIONS = 80, ENTRIES_MAX = 500, STATES_MAX = 1200 };

/* The log behind some record. */
struct point_in_time {
    uint64_t last;
    uint64_t terms[ENTRIES_MAX];
};

struct run {
    struct wal_fixture fx;
    struct rng_seeded rng;
    struct point_in_time states[STATES_MAX]; /* behind each record, oldest first */
    size_t count;
    size_t synced;    /* the state of the last synced group, and older ones are of no interest */
    size_t submitted; /* of the group under way, and of the last one */
    bool syncing;     /* that group is to be synced */
    bool removes;     /* it, or what is pending, removes entries */
    bool syncs_often; /* so that one synced group comes after the other, and zeros with them */
    uint64_t term;
    uint64_t purged; /* as if storage had it */
    uint64_t purged_term;
    const char *wrong;
};

static bool below(struct run *run, uint64_t numerator, uint64_t denominator)
{
    return rng_below(&run->rng.rng, denominator) < numerator;
}

static struct point_in_time *newest(struct run *run)
{
    return &run->states[run->count - 1];
}

static struct point_in_time *add_state(struct run *run)
{
    assert_true(run->count < STATES_MAX);
    run->states[run->count] = *newest(run);
    return &run->states[run->count++];
}

static bool append_some(struct run *run)
{
    uint64_t from = newest(run)->last + 1;
    if (below(run, 1, 8) && newest(run)->last > run->purged) {
        uint64_t most = newest(run)->last - run->purged;
        from -= 1 + rng_below(&run->rng.rng, most < 10 ? most : 10);
        from = from <= run->purged ? run->purged + 1 : from;
    }
    uint64_t to = from + 1 + rng_below(&run->rng.rng, 6);
    if (to > ENTRIES_MAX || run->count + 10 > STATES_MAX) {
        return true;
    }
    if (from <= newest(run)->last) {
        run->term++;
        add_state(run)->last = from - 1;
        run->removes = true;
    }
    for (uint64_t i = from; i < to; i++) {
        struct point_in_time *now = add_state(run);
        now->terms[i] = run->term;
        now->last = i;
    }
    return fixture_try_append(&run->fx, from, to, run->term) == STATUS_OK;
}

static bool submit(struct run *run, bool sync)
{
    struct wal *wal = run->fx.wal;
    if (wal_busy(wal) || !wal_pending(wal)) {
        return true;
    }
    run->submitted = run->count - 1;
    run->syncing = sync;
    enum status status =
        sync ? wal_submit(wal, &run->fx.err) : wal_submit_unsynced(wal, &run->fx.err);
    return status == STATUS_OK;
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
    if (run->syncing) {
        run->synced = run->submitted;
        run->removes = run->submitted + 1 < run->count && run->removes;
    }
    if (run->fx.durable.index != run->states[run->submitted].last) {
        run->wrong = "a group that was reported is not the one that was submitted";
    }
    return true;
}

/* What storage has needs no log; a removal of entries must be durable before, as the log's owner
 * knows, too. */
static bool purge(struct run *run)
{
    const struct point_in_time *written = &run->states[run->submitted];
    if (run->removes || wal_busy(run->fx.wal) || written->last < run->purged + 15) {
        return true;
    }
    run->purged = written->last - 10;
    run->purged_term = written->terms[run->purged];
    return wal_purge(run->fx.wal, run->purged, &run->fx.err) == STATUS_OK;
}

static bool idle(struct run *run)
{
    struct wal *wal = run->fx.wal;
    bool was_busy = wal_busy(wal);
    bool good = wal_idle(wal, &run->fx.err) == STATUS_OK;
    if (!was_busy && wal_busy(wal)) {
        run->submitted = run->count - 1;
        run->syncing = true;
    }
    return good;
}

static bool operate(struct run *run)
{
    switch (rng_below(&run->rng.rng, 12)) {
    case 0:
    case 1:
    case 2:
    case 3:
        return append_some(run);
    case 4:
    case 5:
    case 6:
        return submit(run, below(run, run->syncs_often ? 7 : 1, 8));
    case 7:
    case 8:
    case 9:
        return finish(run);
    case 10:
        return purge(run);
    default:
        return below(run, 1, 4) ? idle(run) : true;
    }
}

static bool log_is(struct run *run, const struct point_in_time *expected)
{
    const struct wal_recovered *recovered = &run->fx.recovered;
    bool connects = expected->last >= run->purged &&
                    (run->purged == 0 || expected->terms[run->purged] == run->purged_term);
    if (!connects) { /* what storage has wins */
        return recovered->last_index == run->purged;
    }
    if (recovered->last_index != expected->last || recovered->first_index > run->purged + 1) {
        return false;
    }
    return fixture_holds(&run->fx, expected->terms, expected->last);
}

static bool open_log(struct run *run)
{
    enum status status = wal_open(&run->fx.options, run->purged, run->purged_term,
                                  &run->fx.recovered, &run->fx.wal, &run->fx.err);
    if (status != STATUS_OK) {
        run->fx.wal = NULL;
    }
    return status == STATUS_OK;
}

/* What opening found is where the next life begins. */
static void go_on_from(struct run *run, struct point_in_time found)
{
    if (found.last < run->purged || found.terms[run->purged] != run->purged_term) {
        found.last = run->purged;
        found.terms[run->purged] = run->purged_term;
    }
    run->states[0] = found;
    run->count = 1;
    run->synced = 0;
    run->submitted = 0;
    run->removes = false;
}

static void crash_and_compare(struct run *run)
{
    fs_crash_stop(run->fx.crash);
    fixture_close(&run->fx);
    switch (rng_below(&run->rng.rng, 6)) {
    case 0:
        fs_crash_now_losing_all(run->fx.crash);
        break;
    case 1:
        fs_crash_now_losing_nothing(run->fx.crash);
        break;
    default:
        fs_crash_now(run->fx.crash, rng_u64(&run->rng.rng));
    }
    if (!open_log(run)) {
        run->wrong = run->fx.err.text;
        return;
    }
    for (size_t i = run->submitted + 1; i-- > run->synced;) {
        if (log_is(run, &run->states[i])) {
            go_on_from(run, run->states[i]);
            return;
        }
    }
    run->wrong = "what is there was never the log, or a synced group is gone";
}

/* NULL, or what went wrong. */
static const char *run_seed(uint64_t seed, bool sync_lies)
{
    static struct run run;
    static char wrong[400];
    memset(&run, 0, sizeof run);
    bool often = seed % 4 == 0;
    fixture_init(&run.fx, often ? 400 * KIB : 4 * KIB); /* the zeros end inside it, or with it */
    run.fx.options.unsynced = true;
    rng_seeded_init(&run.rng, seed);
    run.syncs_often = often;
    run.fx.entry_bytes = 60;
    run.count = 1;
    run.term = 1;
    fixture_open(&run.fx);
    fs_crash_set_sync_lies(run.fx.crash, sync_lies);
    for (unsigned cycle = 0; cycle < CYCLES && run.wrong == NULL; cycle++) {
        if (below(&run, 1, 2)) {
            fs_crash_stop_at(run.fx.crash, rng_below(&run.rng.rng, 60));
        }
        uint64_t operations = rng_below(&run.rng.rng, OPERATIONS);
        for (uint64_t i = 0; i < operations && run.wrong == NULL && operate(&run); i++) {
        }
        if (run.wrong == NULL) {
            crash_and_compare(&run);
        }
    }
    fs_crash_stop_at(run.fx.crash, UINT64_MAX);
    bool bad = run.wrong != NULL;
    (void)snprintf(wrong, sizeof wrong, "%s", bad ? run.wrong : "");
    fixture_release(&run.fx);
    return bad ? wrong : NULL;
}

/* Random histories, each with several power failures, at random calls. */
static void what_was_synced_survives(void **state)
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
static void lying_syncs_are_noticed(void **state)
{
    (void)state;
    unsigned noticed = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        noticed += run_seed(seed, true) != NULL;
    }
    assert_true(noticed > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_synced_survives),
        cmocka_unit_test(lying_syncs_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
