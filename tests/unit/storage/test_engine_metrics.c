/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics say what was done: counts that can be counted here too, and each line well formed.
 */
#include "storage/engine_metrics.h"

#include "base/log.h"
#include "engine_run.h"
#include "metrics_lines.h"

static void begin(struct engine_run *run)
{
    engine_run_init(run);
    run->wait_ns = 3 * NS_PER_MS;
    run->options.block_cache_bytes = 1 * MIB; /* a full one does not take each block */
    engine_run_open(run, 1);
}

static double value_of(struct engine *engine, const char *name)
{
    struct buf text;
    buf_init(&text, alloc_default(), 1 * MIB);
    engine_metrics_write(engine, &text);
    double value = metrics_value(&text, name);
    buf_release(&text);
    return value;
}

static bool is(struct engine *engine, const char *name, uint64_t value)
{
    double found = value_of(engine, name);
    if (found != (double)value) {
        print_message("%s: %f\n", name, found);
    }
    return found == (double)value;
}

/* As far as three digits are shown. */
static bool is_near(double a, double b)
{
    return a - b < 0.001 && b - a < 0.001;
}

static void test_operations(void **state)
{
    (void)state;
    struct engine_run run;
    struct buf value;
    begin(&run);
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    uint64_t bytes = 0;
    for (uint32_t key = 0; key < 40; key++) {
        char text[64];
        uint8_t content[512];
        batch_clear(&run.batch);
        model_put(&run.model, &run.batch, KS_LATEST, key);
        model_put(&run.model, &run.batch, KS_META, key);
        bytes += 2 * model_key(text, key).length;
        bytes += model_value(content, run.model.next_id).length;
        bytes += model_value(content, run.model.next_id - 1).length;
        assert_ok(engine_write(run.engine, &run.batch, &run.err), &run.err);
    }
    uint64_t read = 0;
    for (uint32_t key = 0; key < 50; key++) {
        char text[64];
        assert_get(run.engine, NULL, KS_LATEST, model_key(text, key), run.model.latest[key],
                   &value);
        read += key < 40 ? value.length : 0;
    }
    assert_true(is(run.engine, "writes_total", 40));
    assert_true(is(run.engine, "written_entries_total", 80));
    assert_true(is(run.engine, "written_bytes_total", bytes));
    assert_true(is(run.engine, "write_seconds_count", 3)); /* of 40, one of 16 */
    assert_true(is(run.engine, "lookups_total", 50));
    assert_true(is(run.engine, "lookups_found_total", 40));
    assert_true(is(run.engine, "lookup_bytes_total", read));
    assert_true(is(run.engine, "lookup_seconds_count", 4));
    assert_true(is(run.engine, "flushes_total", 0));
    buf_release(&value);
    engine_run_end(&run);
}

/* What filters answered, and the cache: of 40 keys in a table all are there, of 40 others, which
 * lie between them, all but a few are known to be absent without a block. */
static void test_reads(void **state)
{
    (void)state;
    struct engine_run run;
    struct buf value;
    begin(&run);
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    batch_clear(&run.batch);
    for (uint32_t key = 0; key < 80; key += 2) {
        model_put(&run.model, &run.batch, KS_LATEST, key);
    }
    assert_ok(engine_write(run.engine, &run.batch, &run.err), &run.err);
    engine_run_seal(&run);
    assert_ok(engine_flush(run.engine, &run.err), &run.err);
    for (uint32_t key = 0; key < 79; key++) {
        char text[64];
        assert_get(run.engine, NULL, KS_LATEST, model_key(text, key), run.model.latest[key],
                   &value);
    }
    double absent = value_of(run.engine, "bloom_absent_total");
    assert_true(value_of(run.engine, "block_cache_bytes") > 0);
    assert_true(value_of(run.engine, "block_cache_bytes_max") >=
                value_of(run.engine, "block_cache_bytes"));
    double inserted = value_of(run.engine, "block_cache_insertions_total{kind=\"data\"}");
    assert_true(inserted > 0);
    assert_true(is(run.engine, "block_cache_misses_total", (uint64_t)inserted));
    assert_true(value_of(run.engine, "block_cache_evictions_total") < inserted);
    assert_true(is(run.engine, "bloom_asked_total", 79));
    assert_true(absent >= 30);
    assert_true(value_of(run.engine, "bloom_wrong_total") == 39 - absent);
    assert_true(value_of(run.engine, "block_cache_pinned_bytes{kind=\"filter\"}") > 40);
    assert_true(value_of(run.engine, "block_cache_hits_total") +
                    value_of(run.engine, "block_cache_misses_total") ==
                40 + (39 - absent));
    buf_release(&value);
    engine_run_end(&run);
}

/* Each way of seeking is one, and of 16 one is timed. */
static void test_seeks(void **state)
{
    (void)state;
    struct engine_run run;
    struct engine_iter *iter = NULL;
    begin(&run);
    batch_clear(&run.batch);
    model_put(&run.model, &run.batch, KS_LATEST, 1);
    assert_ok(engine_write(run.engine, &run.batch, &run.err), &run.err);
    const struct engine_iter_options bounds = {.begin = slice_of_string("a"),
                                               .end = slice_of_string("z")};
    assert_ok(engine_iter_new(run.engine, NULL, KS_LATEST, &bounds, &iter, &run.err), &run.err);
    for (unsigned i = 0; i < 9; i++) {
        engine_iter_seek(iter, slice_of_string("k"));
        engine_iter_seek_first(iter);
        engine_iter_seek_before(iter, slice_of_string("k"));
        engine_iter_seek_last(iter);
    }
    engine_iter_close(iter);
    assert_true(is(run.engine, "iterators_total", 1));
    assert_true(is(run.engine, "seeks_total", 36));
    assert_true(is(run.engine, "seek_seconds_count", 3));
    assert_true(is(run.engine, "lookups_total", 0));
    engine_run_end(&run);
}

/* A clock that shows a millisecond more each time. */
static uint64_t count_ms(struct clock *clock)
{
    static _Atomic uint64_t now_ns = NS_PER_S;
    (void)clock;
    return atomic_fetch_add(&now_ns, NS_PER_MS);
}

/* Of what is timed the time is told: here a millisecond each, from one look at the clock to the
 * next, and of writes what they wait for besides. */
static void test_times(void **state)
{
    (void)state;
    struct clock clock = {.monotonic_ns = count_ms, .realtime_ns = count_ms};
    struct engine_run run;
    struct engine_iter *iter = NULL;
    struct buf value;
    engine_run_init(&run);
    run.options.clock = &clock;
    engine_run_open(&run, 1);
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    for (uint32_t key = 0; key < 40; key++) {
        char text[64];
        batch_clear(&run.batch);
        model_put(&run.model, &run.batch, KS_LATEST, key);
        assert_ok(engine_write(run.engine, &run.batch, &run.err), &run.err);
        assert_get(run.engine, NULL, KS_LATEST, model_key(text, key), run.model.latest[key],
                   &value);
    }
    assert_ok(engine_iter_new(run.engine, NULL, KS_LATEST, NULL, &iter, &run.err), &run.err);
    engine_iter_seek_first(iter);
    uint64_t bytes = 0;
    uint64_t entries = 0;
    for (; engine_iter_valid(iter); engine_iter_next(iter), entries++) {
        bytes += engine_iter_key(iter).length + engine_iter_value(iter).length;
    }
    engine_iter_seek_last(iter);
    bytes += engine_iter_key(iter).length + engine_iter_value(iter).length;
    engine_iter_close(iter);
    assert_int_equal(entries, 40);
    assert_true(is(run.engine, "iterator_entries_total", 41));
    assert_true(is(run.engine, "iterator_bytes_total", bytes));
    assert_true(is_near(value_of(run.engine, "lookup_seconds_sum"), 0.003));
    assert_true(is_near(value_of(run.engine, "seek_seconds_sum"), 0.001));
    assert_true(value_of(run.engine, "write_seconds_sum") > 0.002);
    engine_run_seal(&run);
    assert_ok(engine_flush(run.engine, &run.err), &run.err);
    assert_true(value_of(run.engine, "flush_seconds_sum") > 0.0005);
    buf_release(&value);
    engine_run_end(&run);
}

/* Flushes, merges, what they wrote and how large it is, and what the writer waited for. */
static void test_work(void **state)
{
    (void)state;
    struct engine_run run;
    engine_run_init(&run);
    run.wait_ns = 3 * NS_PER_MS;
    run.options.step_bytes = 100; /* so that a compaction takes several, and time */
    engine_run_open(&run, 1);
    struct engine_stats stats;
    for (uint32_t seal = 0; seal < 12; seal++) {
        for (uint32_t key = 0; key < 40; key++) {
            batch_clear(&run.batch);
            model_put(&run.model, &run.batch, KS_LATEST, key);
            assert_ok(engine_write(run.engine, &run.batch, &run.err), &run.err);
        }
        engine_run_seal(&run);
    }
    assert_true(is(run.engine, "stall_seconds_count{why=\"level0_stop\",}", 0));
    uint64_t waits = (uint64_t)value_of(run.engine, "stall_seconds_count{why=\"seals\",}");
    assert_true(waits > 0);
    assert_true(value_of(run.engine, "stall_seconds_sum{why=\"seals\",}") >= 0.003 * (double)waits);
    assert_ok(engine_flush(run.engine, &run.err), &run.err);
    assert_true(is(run.engine, "flushes_total", 12));
    assert_true(is(run.engine, "flush_seconds_count", 12));
    while (executor_manual_step(&run.executor)) {
        clock_manual_advance(&run.clock, NS_PER_MS);
    }
    engine_stats(run.engine, &stats);
    assert_true(is(run.engine, "compactions_total", stats.compactions));
    assert_true(is(run.engine, "compaction_seconds_count", stats.compactions));
    assert_true(is(run.engine, "compaction_debt_bytes", 0));
    /* Throughput: bytes over the time that they took. */
    assert_true(stats.compaction_bytes_written > 0);
    assert_true(is(run.engine, "compaction_bytes_read_total", stats.compaction_bytes_read));
    assert_true(is(run.engine, "compaction_bytes_written_total", stats.compaction_bytes_written));
    assert_true(value_of(run.engine, "compaction_seconds_sum") > 0);
    assert_true(is(run.engine, "compactions_now", 0));
    assert_true(is(run.engine, "flush_bytes_written_total", stats.flush_bytes_written));
    assert_true(is(run.engine, "immutable_bytes", 0));
    assert_true(is(run.engine, "memtable_bytes", stats.memtable_bytes));
    double amplified = (double)(stats.flush_bytes_written + stats.compaction_bytes_written) /
                       value_of(run.engine, "written_bytes_total");
    assert_true(is_near(value_of(run.engine, "write_amplification"), amplified));
    /* What the flushes gave to their codec, and what it made of it. */
    double raw = value_of(run.engine, "codec_compress_raw_bytes_total{codec=\"lz4\"}");
    double stored = value_of(run.engine, "codec_compress_stored_bytes_total{codec=\"lz4\"}");
    double ratio = value_of(run.engine, "codec_compress_ratio{codec=\"lz4\"}");
    assert_true(value_of(run.engine, "codec_compress_blocks_total{codec=\"lz4\"}") > 0);
    assert_true(stored > 0 && raw >= stored);
    assert_true(is_near(ratio, raw / stored));
    assert_ok(engine_compact(run.engine, &run.err), &run.err);
    assert_true(is(run.engine, "read_amplification", 1));
    assert_true(value_of(run.engine, "space_amplification") == 1.0);
    engine_stats(run.engine, &stats);
    assert_true(is(run.engine, "level_bytes{keyspace=\"latest\",level=\"1\"}", stats.bytes));
    assert_true(is(run.engine, "level_tables{keyspace=\"latest\",level=\"1\"}", stats.tables));
    engine_run_end(&run);
}

/* What is due and not done is debt: level 0 whole, of two seals over the same keys, which a lookup
 * has to look at both. */
static void test_debt(void **state)
{
    (void)state;
    struct engine_run run;
    struct engine_stats stats;
    begin(&run);
    size_t trigger = run.options.l0_trigger;
    for (size_t seal = 0; seal < trigger; seal++) {
        batch_clear(&run.batch);
        for (uint32_t key = 0; key < 40; key++) {
            model_put(&run.model, &run.batch, KS_LATEST, key);
        }
        assert_ok(engine_write(run.engine, &run.batch, &run.err), &run.err);
        engine_run_seal(&run);
        while (value_of(run.engine, "flushes_total") < (double)(seal + 1)) {
            assert_true(executor_manual_step(&run.executor));
        }
    }
    engine_stats(run.engine, &stats);
    assert_int_equal(stats.compactions, 0);
    assert_true(is(run.engine, "compaction_debt_bytes", stats.bytes));
    assert_true(is(run.engine, "level_tables{keyspace=\"latest\",level=\"0\"}", trigger));
    assert_true(is(run.engine, "read_amplification", trigger));
    engine_run_end(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations), cmocka_unit_test(test_reads),
        cmocka_unit_test(test_seeks),      cmocka_unit_test(test_work),
        cmocka_unit_test(test_debt),       cmocka_unit_test(test_times),
    };
    log_set_level(LOG_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
