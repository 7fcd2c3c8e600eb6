/* SPDX-License-Identifier: Apache-2.0
 *
 * A full disk: reads go on; writes are refused once memory is full, and not before; merging still
 * makes room, if there is some to merge into; and all goes on by itself as soon as there is room.
 * A log's turn: test_wal_faults.c.
 */
#include "base/log.h"
#include "engine_run.h"

enum { KEYS = 40, ROUNDS = 6, SEEDS = 40 };

/* Puts each of the first KEYS keys anew. */
static enum status overwrite(struct engine_run *run)
{
    for (uint32_t key = 0; key < KEYS; key++) {
        struct model before = run->model;
        batch_clear(&run->batch);
        model_put(&run->model, &run->batch, KS_LATEST, key);
        enum status status = engine_write(run->engine, &run->batch, &run->err);
        if (status != STATUS_OK) {
            run->model = before;
            return status;
        }
    }
    return STATUS_OK;
}

/* Several tables in level 0 with the same keys, and none merged: most of them is waste. */
static void begin(struct engine_run *run, uint64_t seed)
{
    engine_run_init(run);
    run->options.table_bytes = 2 * KIB; /* a merge makes several */
    run->options.l0_trigger = ROUNDS + 1;
    run->options.l0_slowdown = ROUNDS + 20;
    run->options.l0_stop = ROUNDS + 30;
    run->options.compactions = 1 + seed % 2;
    engine_run_open(run, seed);
    for (int i = 0; i < ROUNDS; i++) {
        assert_ok(overwrite(run), &run->err);
        engine_run_seal(run);
        assert_ok(engine_flush(run->engine, &run->err), &run->err);
    }
    struct engine_stats stats;
    engine_stats(run->engine, &stats);
    assert_int_equal(stats.level_tables[0], ROUNDS);
    engine_run_close(run);
    run->options.l0_trigger = 4;
    engine_run_open(run, seed);
}

/* What backs off tries again, so often that all that can be done is. The system writes its
 * directories now and then: till then the disk in memory keeps what was unlinked. */
static void settle(struct engine_run *run)
{
    for (int i = 0; i < 8; i++) {
        assert_ok(fs_sync_dir(fs_crash_fs(run->crash), "/store", &run->err), &run->err);
        clock_manual_advance(&run->clock, 10 * NS_PER_S);
        engine_poll(run->engine);
        (void)engine_should_seal(run->engine); /* the writer lets go of what was merged */
        (void)executor_manual_run(&run->executor, 100000);
    }
    assert_ok(fs_sync_dir(fs_crash_fs(run->crash), "/store", &run->err), &run->err);
}

/* There is less room than the flush takes, and enough for a merge: writes are refused, then the
 * merge has made room, and the writes that were refused succeed. Nobody has done anything. */
static void merging_makes_room(void **state)
{
    (void)state;
    unsigned refused[2] = {0}; /* with one compaction at a time, with two */
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct engine_run run;
        struct engine_stats stats;
        begin(&run, seed);
        uint64_t used = fs_crash_used(run.crash);
        /* A table of these keys has a sixth of what is stored. */
        fs_crash_set_capacity(run.crash, used + used / ROUNDS + 2 * KIB);
        enum status status = STATUS_OK;
        for (int i = 0; i < 60 && status == STATUS_OK; i++) {
            for (uint32_t event = 0; event < 60 && status == STATUS_OK; event++) {
                struct model before = run.model;
                batch_clear(&run.batch);
                model_append(&run.model, &run.batch);
                status = engine_write(run.engine, &run.batch, &run.err);
                run.model = status == STATUS_OK ? run.model : before;
            }
            if (status == STATUS_OK && engine_should_seal(run.engine)) {
                status = engine_seal(run.engine, model_blob(&run.model), &run.err);
            }
            engine_stats(run.engine, &stats);
            if (stats.immutable_count > 0 && stats.background_retries == 0) {
                engine_run_wait(&run);
            }
        }
        assert_status(status, STATUS_RESOURCE_EXHAUSTED, &run.err);
        assert_ok(engine_background_error(run.engine, &run.err), &run.err);
        assert_content(run.engine, NULL, &run.model);
        engine_stats(run.engine, &stats);
        if (stats.compactions > 0) {
            engine_run_end(&run); /* merged before the disk was full: another seed */
            continue;
        }
        refused[seed % 2]++;
        settle(&run);
        engine_stats(run.engine, &stats);
        assert_true(stats.compactions > 0);
        assert_true(stats.level_tables[0] < 4);
        assert_ok(engine_background_error(run.engine, &run.err), &run.err);
        assert_content(run.engine, NULL, &run.model);
        assert_ok(overwrite(&run), &run.err);
        assert_content(run.engine, NULL, &run.model);
        engine_run_end(&run);
    }
    assert_true(refused[0] > SEEDS / 8);
    assert_true(refused[1] >= SEEDS / 8);
}

/* With so much room. False: it was enough. */
static bool waits_for_room(uint64_t room)
{
    struct engine_run run;
    struct engine_stats stats;
    begin(&run, 1);
    uint64_t used = fs_crash_used(run.crash);
    fs_crash_set_capacity(run.crash, used + room);
    settle(&run);
    engine_stats(run.engine, &stats);
    if (stats.compactions > 0) {
        engine_run_end(&run);
        return false;
    }
    assert_true(stats.background_retries > 2);
    assert_int_equal(fs_crash_used(run.crash), used);
    assert_content(run.engine, NULL, &run.model);
    assert_status(engine_compact(run.engine, &run.err), STATUS_RESOURCE_EXHAUSTED, &run.err);
    assert_ok(overwrite(&run), &run.err); /* memory has room */
    fs_crash_set_capacity(run.crash, UINT64_MAX);
    settle(&run);
    engine_stats(run.engine, &stats);
    assert_true(stats.compactions > 0);
    assert_true(fs_crash_used(run.crash) < used / 2);
    assert_content(run.engine, NULL, &run.model);
    engine_run_seal(&run);
    assert_ok(engine_flush(run.engine, &run.err), &run.err);
    assert_ok(engine_compact(run.engine, &run.err), &run.err);
    assert_content(run.engine, NULL, &run.model);
    engine_run_end(&run);
    return true;
}

/* Where there is no room to merge into, for a part of a table or for one of several, nothing is
 * left behind, reads go on, and once there is room it is done without anybody's help. */
static void merging_waits_for_room(void **state)
{
    (void)state;
    uint64_t room = 0;
    while (waits_for_room(room)) {
        room += 512;
    }
    assert_true(room > 4 * KIB); /* tables were finished before the one that had no room */
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merging_makes_room),
        cmocka_unit_test(merging_waits_for_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
