/* SPDX-License-Identifier: Apache-2.0
 *
 * Power failures and failing disks: what the engine acknowledged as flushed is
 * there after any of them, and tables and blob always agree.
 */
#include "base/log.h"
#include "engine_model.h"
#include "testlib/clock_manual.h"
#include "testlib/fail_alloc.h"
#include "testlib/fs_crash.h"
#include "testlib/fs_faulty.h"

/* Under ASan, which takes four times as long, a part of them. */
#ifdef __SANITIZE_ADDRESS__
enum { CRASHES = 40 };
#else
enum { CRASHES = 200 };
#endif
enum { LIVES = 2 };

struct run {
    struct executor_manual executor;
    struct engine_options options;
    struct engine *engine;
    struct batch batch;
    struct model model;
    struct model flushed; /* the last blob that on_flushed gave */
    uint64_t flushed_count;
};

static void note_flushed(void *context, struct slice owner_state)
{
    struct run *run = context;
    assert_int_equal(owner_state.length, sizeof run->flushed);
    memcpy(&run->flushed, owner_state.data, sizeof run->flushed);
    run->flushed_count++;
}

static void step_for_run(void *context)
{
    (void)executor_manual_step(&((struct run *)context)->executor);
}

/* The directory is there already: its name is the owner's to sync. */
static void run_init(struct run *run, struct fs *fs, uint64_t seed)
{
    struct error err = ERROR_INIT;
    assert_ok(fs_make_dir(fs, "/store", &err), &err);
    assert_ok(fs_sync_dir(fs, "/", &err), &err);
    memset(run, 0, sizeof *run);
    executor_manual_init(&run->executor, seed);
    batch_init(&run->batch, alloc_default());
    run->options = model_options(fs, &run->executor.executor, "/store");
    run->options.memtable_bytes = 30 * KIB;
    run->options.on_flushed = note_flushed;
    run->options.on_wait = step_for_run;
    run->options.context = run;
}

static void run_close(struct run *run)
{
    executor_close(&run->executor.executor);
    engine_close(run->engine);
    run->engine = NULL;
}

/* Random work until `turns` are over or something fails. Returns the first error. */
static enum status work(struct run *run, struct rng *rng, uint64_t turns, struct error *err)
{
    for (uint64_t turn = 0; turn < turns; turn++) {
        enum status status = STATUS_OK;
        uint64_t choice = rng_below(rng, 30);
        if (choice == 0 || engine_should_seal(run->engine)) {
            status = engine_seal(run->engine, model_blob(&run->model), err);
        } else if (choice < 8) {
            (void)executor_manual_step(&run->executor);
        } else {
            struct model before = run->model;
            model_random_batch(&run->model, &run->batch, rng);
            status = engine_write(run->engine, &run->batch, err);
            if (status != STATUS_OK) {
                run->model = before;
            }
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return engine_background_error(run->engine, err);
}

/* The store holds what its blob says, and no less than was acknowledged. */
static void check_reopened(struct run *run)
{
    struct error err = ERROR_INIT;
    executor_manual_init(&run->executor, 5);
    assert_ok(engine_open(&run->options, &run->engine, &err), &err);
    assert_true(engine_sealed_count(run->engine) >= run->flushed_count);
    struct model found;
    read_sealed_model(run->engine, &found);
    assert_true(found.next_id >= run->flushed.next_id && found.events >= run->flushed.events);
    if (engine_sealed_count(run->engine) == run->flushed_count) {
        assert_memory_equal(&found, &run->flushed, sizeof found);
    }
    assert_content(run->engine, NULL, &found);
    assert_ok(engine_verify(run->engine, &err), &err);
    run->model = found;
    run->flushed = found;
    run->flushed_count = engine_sealed_count(run->engine);
}

/* The power fails at a random changing call, again and again on the same store: nothing that was
 * flushed is lost, and content and blob agree each time. ESTREAT_CRASHES: how many stores. */
static void test_crashes(void **state)
{
    (void)state;
    uint64_t seed = test_seed();
    const char *wanted = getenv("ESTREAT_CRASHES");
    uint64_t stores = wanted == NULL ? CRASHES : strtoull(wanted, NULL, 10);
    for (uint64_t store = 0; store < stores; store++) {
        struct rng_seeded seeded;
        rng_seeded_init(&seeded, seed + store);
        struct rng *rng = &seeded.rng;
        struct fs_crash *crash = fs_crash_new();
        struct run run;
        struct error err = ERROR_INIT;
        run_init(&run, fs_crash_fs(crash), seed + store);
        assert_ok(engine_open(&run.options, &run.engine, &err), &err);
        for (int life = 0; life < LIVES; life++) {
            fs_crash_stop_at(crash, rng_below(rng, rng_below(rng, 4) == 0 ? 15 : 400));
            (void)work(&run, rng, 300, &err);
            fs_crash_stop(crash);
            run_close(&run);
            fs_crash_now(crash, rng_u64(rng));
            /* And sometimes while opening. */
            fs_crash_stop_at(crash, rng_below(rng, 12));
            executor_manual_init(&run.executor, 5);
            if (engine_open(&run.options, &run.engine, &err) == STATUS_OK) {
                run_close(&run);
            }
            fs_crash_stop(crash);
            fs_crash_now(crash, rng_u64(rng));
            check_reopened(&run);
        }
        run_close(&run);
        batch_release(&run.batch);
        fs_crash_free(crash);
    }
}

/* The same with a file system whose syncs do nothing loses what was flushed: so the test above does
 * look at what is synced. */
static void test_crash_test_can_fail(void **state)
{
    (void)state;
    int lost = 0;
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct rng_seeded seeded;
        rng_seeded_init(&seeded, seed);
        struct fs_crash *crash = fs_crash_new();
        struct run run;
        struct error err = ERROR_INIT;
        run_init(&run, fs_crash_fs(crash), seed);
        assert_ok(engine_open(&run.options, &run.engine, &err), &err);
        fs_crash_set_sync_lies(crash, true);
        assert_ok(work(&run, &seeded.rng, 300, &err), &err);
        assert_true(run.flushed_count > 0);
        fs_crash_stop(crash);
        run_close(&run);
        fs_crash_now_losing_all(crash);
        executor_manual_init(&run.executor, 5);
        if (engine_open(&run.options, &run.engine, &err) != STATUS_OK) {
            lost++;
        } else {
            lost += engine_sealed_count(run.engine) < run.flushed_count ? 1 : 0;
            run_close(&run);
        }
        batch_release(&run.batch);
        fs_crash_free(crash);
    }
    assert_int_equal(lost, 8);
}

/* One I/O call of each kind fails once, at each place: the engine says so, or goes on, but never
 * forgets what it acknowledged, and opens again: after a power failure that loses all that was not
 * synced (`lose`), or after the process alone died. */
static void fail_each(enum fs_call call, int errnum, uint64_t seed, uint64_t stride, bool lose)
{
    for (uint64_t n = 0;; n += stride) {
        struct rng_seeded seeded;
        rng_seeded_init(&seeded, seed);
        struct fs_crash *crash = fs_crash_new();
        struct fs_faulty faulty;
        fs_faulty_init(&faulty, fs_crash_fs(crash));
        struct run run;
        struct error err = ERROR_INIT;
        run_init(&run, &faulty.fs, seed);
        fs_faulty_arm(&faulty, (struct fs_fault){
                                   .call = call, .at = n, .errnum = errnum, .half = n % 2 == 0});
        if (engine_open(&run.options, &run.engine, &err) == STATUS_OK) {
            (void)work(&run, &seeded.rng, 250, &err);
            if (call == FS_CALL_SYNC && fs_faulty_hit(&faulty) > 0 && run.flushed_count > 0) {
                /* A failed sync is never passed over. */
                (void)executor_manual_run(&run.executor, 10000);
                assert_true(engine_background_error(run.engine, &err) != STATUS_OK);
                assert_true(engine_write(run.engine, &run.batch, &err) != STATUS_OK);
            }
            /* Reads go on. */
            struct engine_stats stats;
            engine_stats(run.engine, &stats);
            if (call != FS_CALL_READ && call != FS_CALL_OPEN && call != FS_CALL_ANY) {
                assert_content(run.engine, NULL, &run.model);
            }
            run_close(&run);
        }
        bool hit = fs_faulty_hit(&faulty) > 0;
        fs_faulty_disarm(&faulty);
        if (lose) {
            fs_crash_stop(crash);
            fs_crash_now_losing_all(crash);
        }
        check_reopened(&run);
        run_close(&run);
        batch_release(&run.batch);
        fs_faulty_release(&faulty);
        fs_crash_free(crash);
        if (!hit) {
            assert_true(n > 0);
            return;
        }
    }
}

static void test_failing_sync(void **state)
{
    (void)state;
    fail_each(FS_CALL_SYNC, 5 /* EIO */, 11, 1, true);
    fail_each(FS_CALL_SYNC, 5, 11, 1, false);
    fail_each(FS_CALL_SYNC_DIR, 5, 12, 1, true);
    fail_each(FS_CALL_SYNC_DIR, 5, 12, 1, false);
}

static void test_failing_write(void **state)
{
    (void)state;
    fail_each(FS_CALL_WRITE, 5 /* EIO */, 13, 7, true);
    fail_each(FS_CALL_WRITE, 28 /* ENOSPC */, 14, 7, true);
    fail_each(FS_CALL_WRITE, 28, 14, 11, false);
}

static void test_failing_others(void **state)
{
    (void)state;
    fail_each(FS_CALL_OPEN, 5, 15, 1, true);
    fail_each(FS_CALL_OPEN, 28, 15, 1, true);
    fail_each(FS_CALL_RENAME, 5, 16, 1, true);
    fail_each(FS_CALL_UNLINK, 5, 17, 3, true);
    fail_each(FS_CALL_READ, 5, 18, 11, true);
    fail_each(FS_CALL_ANY, 5, 19, 37, true);
}

/* On a full disk writes go on until memory is full, then get RESOURCE_EXHAUSTED; reads go on, and
 * once there is room everything becomes durable by itself. */
static void test_disk_full(void **state)
{
    (void)state;
    uint64_t seed = test_seed();
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, seed);
    struct fs_crash *crash = fs_crash_new();
    struct clock_manual clock;
    clock_manual_init(&clock, NS_PER_S);
    struct run run;
    struct error err = ERROR_INIT;
    run_init(&run, fs_crash_fs(crash), seed);
    run.options.clock = &clock.clock;
    assert_ok(engine_open(&run.options, &run.engine, &err), &err);
    fs_crash_set_capacity(crash, 150 * KIB);
    enum status status = STATUS_OK;
    for (int turn = 0; turn < 2000 && status == STATUS_OK; turn++) {
        status = work(&run, &seeded.rng, 1, &err);
        clock_manual_advance(&clock, 1 * NS_PER_MS);
    }
    assert_status(status, STATUS_RESOURCE_EXHAUSTED, &err);
    assert_ok(engine_background_error(run.engine, &err), &err);
    assert_content(run.engine, NULL, &run.model);
    assert_status(engine_flush(run.engine, &err), STATUS_RESOURCE_EXHAUSTED, &err);
    for (int i = 0; i < 5; i++) {
        clock_manual_advance(&clock, 10 * NS_PER_S);
        engine_poll(run.engine);
        (void)executor_manual_run(&run.executor, 10000);
    }
    struct engine_stats stats;
    engine_stats(run.engine, &stats);
    assert_true(stats.background_retries > 2);
    assert_content(run.engine, NULL, &run.model);
    fs_crash_set_capacity(crash, UINT64_MAX);
    assert_ok(engine_flush(run.engine, &err), &err);
    assert_ok(engine_seal(run.engine, model_blob(&run.model), &err), &err);
    assert_ok(engine_flush(run.engine, &err), &err);
    assert_memory_equal(&run.flushed, &run.model, sizeof run.model);
    (void)executor_manual_run(&run.executor, 10000);
    run_close(&run);
    fs_crash_stop(crash);
    fs_crash_now_losing_all(crash);
    check_reopened(&run);
    run_close(&run);
    batch_release(&run.batch);
    fs_crash_free(crash);
}

/* Memory fails at each place once: nothing leaks, nothing acknowledged is lost, and lookups are
 * right or say RESOURCE_EXHAUSTED. */
static void test_no_memory(void **state)
{
    (void)state;
    for (uint64_t n = 0;; n += 1 + n / 16) {
        struct rng_seeded seeded;
        rng_seeded_init(&seeded, 21);
        struct fail_alloc fail;
        fail_alloc_init(&fail);
        struct fs_crash *crash = fs_crash_new();
        struct run run;
        struct error err = ERROR_INIT;
        run_init(&run, fs_crash_fs(crash), 21);
        run.options.alloc = &fail.alloc;
        fail_alloc_arm(&fail, n);
        if (engine_open(&run.options, &run.engine, &err) == STATUS_OK) {
            (void)work(&run, &seeded.rng, 250, &err);
            (void)executor_manual_run(&run.executor, 10000);
            fail_alloc_arm(&fail, n % 7);
            struct engine_iter *iter = NULL;
            if (engine_iter_new(run.engine, NULL, KS_LATEST, NULL, &iter, &err) == STATUS_OK) {
                engine_iter_seek_last(iter);
                while (engine_iter_valid(iter)) {
                    engine_iter_prev(iter);
                }
                engine_iter_close(iter);
            }
            fail_alloc_arm(&fail, FAIL_ALLOC_NEVER);
            assert_content(run.engine, NULL, &run.model);
            fail_alloc_arm(&fail, n);
            run_close(&run);
        }
        bool hit = n < 100 || fail_alloc_hit(&fail);
        assert_int_equal(fail_alloc_blocks(&fail), 0);
        fail_alloc_arm(&fail, FAIL_ALLOC_NEVER);
        check_reopened(&run);
        run_close(&run);
        batch_release(&run.batch);
        fs_crash_free(crash);
        fail_alloc_release(&fail);
        if (!hit && n > 3000) {
            return;
        }
    }
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crashes),        cmocka_unit_test(test_crash_test_can_fail),
        cmocka_unit_test(test_failing_sync),   cmocka_unit_test(test_failing_write),
        cmocka_unit_test(test_failing_others), cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
