/* SPDX-License-Identifier: Apache-2.0
 *
 * The shape of the tree, several compactions at once, the limit on what they write, and those that
 * write nothing.
 */
#include "base/log.h"
#include "engine_run.h"
#include "storage/engine_internal.h"

/* Who gives no numbers gets those of engine.h, also where the tables to be merged are picked and
 * written. */
static void test_defaults(void **state)
{
    (void)state;
    struct engine_run run;
    engine_run_init(&run);
    run.options = (struct engine_options){.fs = run.options.fs,
                                          .executor = run.options.executor,
                                          .dir = run.options.dir,
                                          .keyspaces = run.options.keyspaces,
                                          .keyspace_count = run.options.keyspace_count};
    engine_run_open(&run, 1);
    const struct engine_options *options = &run.engine->options;
    assert_int_equal(options->memtable_bytes, 64 * MIB);
    assert_int_equal(options->memtable_slack_bytes, 1 * MIB);
    assert_int_equal(options->block_cache_bytes, 64 * MIB);
    assert_int_equal(options->immutable_max, 2);
    assert_int_equal(options->l0_trigger, 4);
    assert_int_equal(options->l0_slowdown, 20);
    assert_int_equal(options->l0_stop, 36);
    assert_int_equal(options->level_base_bytes, 256 * MIB);
    assert_int_equal(options->level_multiplier, 10);
    assert_int_equal(options->table_bytes, 64 * MIB);
    assert_int_equal(options->compactions, 2);
    assert_int_equal(options->step_bytes, 1 * MIB);
    assert_int_equal(options->write_bytes_per_second, 0);
    assert_int_equal(options->rewrites_max, 4);
    const struct pick_options *pick = &run.engine->pick_options;
    assert_int_equal(pick->l0_trigger, 4);
    assert_int_equal(pick->l0_latest, 8);
    assert_int_equal(pick->level_base_bytes, 256 * MIB);
    assert_int_equal(pick->level_multiplier, 10);
    assert_int_equal(pick->table_bytes, 64 * MIB);
    assert_int_equal(run.engine->place.table_bytes, 64 * MIB);
    assert_int_equal(run.engine->rate.per_second, 0);
    assert_int_equal(TREE_LEVELS, 7);
    assert_int_equal(ENGINE_LEVELS, TREE_LEVELS);
    engine_run_end(&run);
}

/* A merge takes many steps. */
static void begin(struct engine_run *run)
{
    engine_run_init(run);
    run->options.step_bytes = 512;
}

static void write_some(struct engine_run *run, struct rng *rng)
{
    model_random_batch(&run->model, &run->batch, rng);
    assert_ok(engine_write(run->engine, &run->batch, &run->err), &run->err);
    if (engine_should_seal(run->engine)) {
        engine_run_seal(run);
    }
}

/* Whatever the order of their steps: the content is the model's, also as a snapshot saw it, each
 * version of the catalog is one (an edit that does not fit is CORRUPT and final), and now and then
 * there are as many as are allowed. */
static void test_several_at_once(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct rng *rng = &seeded.rng;
    unsigned times[4] = {0};
    for (int round = 0; round < 6; round++) {
        struct engine_run run;
        struct engine_stats stats;
        begin(&run);
        run.options.compactions = 3;
        engine_run_open(&run, rng_below(rng, UINT64_MAX));
        struct snapshot *snapshot = NULL;
        struct model then = {.events = 0};
        for (int i = 0; i < 2500; i++) {
            write_some(&run, rng);
            for (uint64_t steps = rng_below(rng, 12); steps > 0; steps--) {
                (void)executor_manual_step(&run.executor);
            }
            engine_stats(run.engine, &stats);
            assert_true(stats.compactions_now <= 3);
            times[stats.compactions_now]++;
            if (i % 500 == 250) {
                snapshot = engine_snapshot_new(run.engine);
                assert_non_null(snapshot);
                then = run.model;
            } else if (i % 500 == 0 && snapshot != NULL) {
                assert_content(run.engine, snapshot, &then);
                assert_content(run.engine, NULL, &run.model);
                engine_snapshot_free(run.engine, snapshot);
                snapshot = NULL;
            }
        }
        engine_snapshot_free(run.engine, snapshot);
        engine_run_seal(&run);
        assert_ok(engine_flush(run.engine, &run.err), &run.err);
        assert_ok(engine_compact(run.engine, &run.err), &run.err);
        engine_stats(run.engine, &stats);
        assert_false(stats.compaction_due);
        assert_ok(engine_verify(run.engine, &run.err), &run.err);
        assert_content(run.engine, NULL, &run.model);
        engine_run_end(&run);
    }
    print_message("compactions at once: 1 in %u looks, 2 in %u, 3 in %u\n", times[1], times[2],
                  times[3]);
    assert_true(times[2] > 100);
    assert_true(times[3] > 10);
}

/* Writes up to `seconds` of the clock, 10 ms a batch. Returns what was written to tables. */
static uint64_t write_for(struct engine_run *run, struct rng *rng, unsigned seconds,
                          struct engine_stats *stats)
{
    for (unsigned i = 0; i < seconds * 100; i++) {
        write_some(run, rng);
        clock_manual_advance(&run->clock, 10 * NS_PER_MS);
        engine_poll(run->engine);
        (void)executor_manual_run(&run->executor, 100000);
    }
    engine_stats(run->engine, stats);
    return stats->flush_bytes_written + stats->compaction_bytes_written;
}

/* Bytes that compactions have written, those under way included. */
static uint64_t compaction_bytes(struct engine_run *run)
{
    struct engine_stats stats;
    engine_stats(run->engine, &stats);
    uint64_t bytes = stats.compaction_bytes_written;
    for (unsigned i = 0; i < ENGINE_COMPACTIONS_MAX; i++) {
        const struct compaction *compaction = &run->engine->compactions[i];
        bytes += compaction->working ? output_bytes(&compaction->compact.output) : 0;
    }
    return bytes;
}

/* Level 0 is due, or being merged: nothing rests then. */
static bool nothing_rests(struct engine_run *run)
{
    struct view *view = engine_view_acquire(run->engine);
    bool due = pick_level0_is_due(view->version, &run->engine->pick_options);
    view_unref(view);
    for (unsigned i = 0; i < ENGINE_COMPACTIONS_MAX; i++) {
        const struct compaction *compaction = &run->engine->compactions[i];
        due = due || (compaction->working && compaction->compact.pick.level == 0);
    }
    return due;
}

/* The writer rests, so only compactions write. None begins a step while more is written than the
 * limit allows, level 0 included, which alone may do so; and none waits longer. */
static void catch_up(struct engine_run *run, struct engine_stats *stats)
{
    const uint64_t limit = run->options.write_bytes_per_second;
    const uint64_t before = compaction_bytes(run);
    uint64_t debt_ns =
        rate_limit_wait_ns(&run->engine->rate, clock_monotonic_ns(&run->clock.clock));
    uint64_t written = 0;
    uint64_t written_below = 0; /* by what may have to rest */
    uint64_t paid = 0;
    assert_true(debt_ns > 0);
    for (uint64_t ns = 0; ns < 600 * NS_PER_S && stats->compaction_due; ns += 100 * NS_PER_MS) {
        paid = ns > debt_ns ? (ns - debt_ns) * limit / NS_PER_S : 0;
        bool exempt = nothing_rests(run);
        while (executor_manual_step(&run->executor)) {
            uint64_t now = compaction_bytes(run) - before;
            if (now > written && !exempt) {
                assert_true(written <= paid + run->options.step_bytes); /* it is rounded */
                written_below += now - written;
            }
            written = now;
            exempt = nothing_rests(run);
        }
        engine_stats(run->engine, stats);
        assert_true(!stats->compaction_due || written + run->options.table_bytes >= paid);
        clock_manual_advance(&run->clock, 100 * NS_PER_MS);
        engine_poll(run->engine);
    }
    assert_false(stats->compaction_due);
    assert_true(written_below > 5 * limit); /* else it would tell little */
}

/* With a limit, levels below level 0 are merged later, and catch up when the writer rests: level 0
 * and the flush never wait, so the writer is not held up. */
static void test_rate_limit(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct engine_stats stats;
    struct engine_run run;
    begin(&run);
    engine_run_open(&run, 1);
    uint64_t unlimited = write_for(&run, &seeded.rng, 60, &stats);
    engine_run_end(&run);
    begin(&run);
    run.options.write_bytes_per_second = unlimited / 60 / 2;
    engine_run_open(&run, 1);
    uint64_t limited = write_for(&run, &seeded.rng, 60, &stats);
    assert_true(limited < unlimited * 9 / 10);
    assert_true(stats.compaction_due); /* there is a debt */
    assert_true(stats.level_tables[0] < 2 * run.options.l0_slowdown);
    assert_int_equal(stats.stalls, 0);
    catch_up(&run, &stats);
    assert_content(run.engine, NULL, &run.model);
    engine_run_end(&run);
}

static enum status note_table(void *context, const struct engine_table *table, struct error *err)
{
    struct engine_table *found = context;
    (void)err;
    assert_int_equal(found->number, 0); /* there is one */
    *found = *table;
    return STATUS_OK;
}

/* A table that overlaps nothing goes down as it is: the same file, and not a byte read or written.
 */
static void test_moves(void **state)
{
    (void)state;
    struct engine_run run;
    struct engine_stats stats;
    struct engine_table before = {.number = 0};
    struct engine_table after = {.number = 0};
    engine_run_init(&run);
    engine_run_open(&run, 1);
    for (uint32_t key = 0; key < 40; key++) {
        batch_clear(&run.batch);
        model_put(&run.model, &run.batch, KS_LATEST, key);
        assert_ok(engine_write(run.engine, &run.batch, &run.err), &run.err);
    }
    engine_run_seal(&run);
    assert_ok(engine_flush(run.engine, &run.err), &run.err);
    assert_ok(engine_for_each_table(run.engine, KS_LATEST, note_table, &before, &run.err),
              &run.err);
    assert_int_equal(before.level, 0);
    assert_ok(engine_compact(run.engine, &run.err), &run.err);
    assert_ok(engine_for_each_table(run.engine, KS_LATEST, note_table, &after, &run.err), &run.err);
    assert_int_equal(after.level, 1);
    assert_int_equal(after.number, before.number);
    assert_int_equal(after.bytes, before.bytes);
    engine_stats(run.engine, &stats);
    assert_int_equal(stats.compactions, 1);
    assert_int_equal(stats.compaction_bytes_read, 0);
    assert_int_equal(stats.compaction_bytes_written, 0);
    assert_content(run.engine, NULL, &run.model);
    engine_run_close(&run);
    engine_run_open(&run, 1);
    assert_content(run.engine, NULL, &run.model);
    engine_run_end(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_several_at_once),
        cmocka_unit_test(test_rate_limit),
        cmocka_unit_test(test_moves),
    };
    log_set_level(LOG_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
