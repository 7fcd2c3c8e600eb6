/* SPDX-License-Identifier: Apache-2.0
 *
 * What the writer waits for when level 0 grows faster than it is merged: each write a little from
 * the slowdown on, and from the stop until a merge has ended. Each is counted by its reason.
 */
#include <stdlib.h>

#include "base/log.h"
#include "engine_run.h"
#include "storage/engine_metrics.h"

enum { SLOWDOWN = 3, STOP = 4, KEYS = 40 };

static void write_key(struct engine_run *run, uint32_t key)
{
    batch_clear(&run->batch);
    model_put(&run->model, &run->batch, KS_LATEST, key);
    assert_ok(engine_write(run->engine, &run->batch, &run->err), &run->err);
}

/* A store with `tables` tables in level 0, opened with a merge of them due that has not begun. Its
 * jobs go a step on whenever the writer waits, and at no other time. */
static void begin(struct engine_run *run, unsigned tables)
{
    engine_run_init(run);
    run->wait_ns = 2 * NS_PER_MS;
    run->options.l0_trigger = STOP + 1;
    engine_run_open(run, 1);
    for (unsigned i = 0; i < tables; i++) {
        for (uint32_t key = 0; key < KEYS; key++) {
            write_key(run, key);
        }
        engine_run_seal(run);
        assert_ok(engine_flush(run->engine, &run->err), &run->err);
    }
    engine_run_close(run);
    run->options.l0_trigger = 2;
    run->options.l0_slowdown = SLOWDOWN;
    run->options.l0_stop = STOP;
    run->options.step_bytes = 512; /* a merge takes many steps */
    engine_run_open(run, 1);
}

/* The value in the line of a kind of stall. */
static double stall(struct engine *engine, const char *figure, const char *why)
{
    char name[96];
    struct buf text;
    buf_init(&text, alloc_default(), 1 * MIB);
    engine_metrics_write(engine, &text);
    buf_put_u8(&text, 0);
    assert_false(buf_failed(&text));
    (void)snprintf(name, sizeof name, "estreat_storage_stall_seconds_%s{why=\"%s\",} ", figure,
                   why);
    const char *line = strstr((const char *)text.data, name);
    assert_non_null(line);
    double value = strtod(line + strlen(name), NULL);
    buf_release(&text);
    return value;
}

static size_t level0(struct engine *engine)
{
    struct engine_stats stats;
    engine_stats(engine, &stats);
    return stats.level_tables[0];
}

static uint64_t merges(struct engine *engine)
{
    struct engine_stats stats;
    engine_stats(engine, &stats);
    return stats.compactions;
}

/* From the slowdown on each write waits once, and comes through though nothing was merged yet; when
 * the merge has ended none waits any more. */
static void slowdown_delays_each_write(void **state)
{
    (void)state;
    struct engine_run run;
    begin(&run, SLOWDOWN);
    assert_int_equal(level0(run.engine), SLOWDOWN);
    uint64_t slow = 0;
    while (level0(run.engine) >= SLOWDOWN) {
        assert_true(slow < 1000);
        assert_ok(engine_check_write(run.engine, &run.batch, &run.err), &run.err);
        write_key(&run, (uint32_t)slow % KEYS);
        slow++;
        assert_true(stall(run.engine, "count", "level0_slowdown") == (double)slow);
    }
    assert_true(slow > 5);
    assert_true(stall(run.engine, "sum", "level0_slowdown") >= 0.002 * (double)slow * 0.999);
    assert_true(merges(run.engine) > 0);
    for (uint32_t key = 0; key < 5; key++) {
        write_key(&run, key);
    }
    assert_true(stall(run.engine, "count", "level0_slowdown") == (double)slow);
    assert_true(stall(run.engine, "count", "level0_stop") == 0);
    assert_content(run.engine, NULL, &run.model);
    engine_run_end(&run);
}

/* At the stop a write comes through only when a merge has made level 0 smaller: one wait, of all
 * its steps. So does the check of an owner that logs the batch first. */
static void stop_holds_a_write_until_a_merge(void **state)
{
    (void)state;
    for (unsigned check = 0; check < 2; check++) {
        struct engine_run run;
        begin(&run, STOP);
        assert_int_equal(level0(run.engine), STOP);
        assert_int_equal(merges(run.engine), 0);
        if (check == 1) {
            assert_ok(engine_check_write(run.engine, &run.batch, &run.err), &run.err);
        } else {
            write_key(&run, 7);
        }
        assert_true(level0(run.engine) < STOP);
        assert_true(merges(run.engine) > 0);
        assert_true(stall(run.engine, "count", "level0_stop") == 1);
        assert_true(stall(run.engine, "sum", "level0_stop") >= 0.002 * 5);
        assert_true(stall(run.engine, "count", "level0_slowdown") == 0);
        write_key(&run, 8);
        assert_true(stall(run.engine, "count", "level0_stop") == 1);
        assert_content(run.engine, NULL, &run.model);
        engine_run_end(&run);
    }
}

/* A writer that never rests, with jobs that get a step only while it waits, meets both, level 0
 * never grows beyond the stop and the seals that may wait, and nothing is lost. */
static void a_writer_that_never_rests_is_held(void **state)
{
    (void)state;
    struct engine_run run;
    begin(&run, 0);
    for (uint32_t i = 0; i < 3000; i++) {
        write_key(&run, i * 7 % MODEL_KEYS);
        if (i % KEYS == 0) {
            engine_run_seal(&run);
        }
        assert_true(level0(run.engine) <= STOP + 2);
    }
    assert_true(stall(run.engine, "count", "level0_slowdown") > 0);
    assert_true(stall(run.engine, "count", "level0_stop") > 0);
    assert_content(run.engine, NULL, &run.model);
    engine_run_end(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slowdown_delays_each_write),
        cmocka_unit_test(stop_holds_a_write_until_a_merge),
        cmocka_unit_test(a_writer_that_never_rests_is_held),
    };
    log_set_level(LOG_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
