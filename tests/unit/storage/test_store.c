/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine alone, with a log of its own.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "metrics_lines.h"
#include "storage/metrics.h"
#include "store_alone_fixture.h"
#include "testlib/fail_alloc.h"
#include "testlib/fs_faulty.h"

static struct store_alone fixture;

/* What was written is there after a closing, from the log and from tables; then it goes on. */
static void batches_survive_a_closing(void **state)
{
    (void)state;
    alone_init(&fixture, 1);
    alone_open(&fixture);
    for (unsigned life = 0; life < 5; life++) {
        alone_write(&fixture, 120, life % 2 == 0);
        alone_expect(&fixture);
        alone_close(&fixture);
        alone_open(&fixture);
        alone_expect(&fixture);
    }
    struct engine_stats stats;
    engine_stats(store_engine(fixture.store), &stats);
    assert_true(stats.tables > 0);
    assert_ok(engine_verify(store_engine(fixture.store), &fixture.err), &fixture.err);
    alone_release(&fixture);
}

/* A crash of the machine loses no more than what was not synced; one sync is for all before. */
static void syncs_cover_what_was_before(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        alone_init(&fixture, 2);
        alone_open(&fixture);
        alone_write(&fixture, 12, false); /* too few for a seal */
        if (how == 1) {
            alone_write(&fixture, 1, true);
        } else if (how == 2) {
            assert_ok(store_sync(fixture.store, &fixture.err), &fixture.err);
        }
        alone_crash(&fixture, 0, true);
        if (how == 0) {
            fixture.model = (struct model){.events = 0};
        }
        alone_open(&fixture);
        alone_expect(&fixture);
        alone_release(&fixture);
    }
}

/* One text has both the engine's metrics and the log's, and says when; the log's bytes are part of
 * what writing costs. */
static void metrics_are_one_text(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, alloc_default(), STORAGE_METRICS_BYTES_MAX);
    alone_init(&fixture, 3);
    alone_open(&fixture);
    alone_write(&fixture, 300, false);
    assert_ok(store_flush(fixture.store, &fixture.err), &fixture.err);
    storage_metrics_write(store_engine(fixture.store), store_log_metrics(fixture.store),
                          1764167117 * NS_PER_S, &text);
    const char *first = "# as of 2025-11-26T14:25:17Z\n";
    assert_memory_equal(text.data, first, strlen(first));
    double user = metrics_value(&text, "written_bytes_total");
    double tables = metrics_value(&text, "flush_bytes_written_total") +
                    metrics_value(&text, "compaction_bytes_written_total");
    double log = metrics_value(&text, "wal_bytes_total");
    double without = metrics_value(&text, "write_amplification") - tables / user;
    double with = metrics_value(&text, "write_amplification_with_log") - (tables + log) / user;
    assert_true(user > 0 && tables > 0 && log > user);
    assert_true(without < 0.001 && without > -0.001);
    assert_true(with < 0.001 && with > -0.001);
    alone_release(&fixture);
    buf_release(&text);
}

/* The log is purged of what is in tables. */
static void flushes_purge_the_log(void **state)
{
    (void)state;
    alone_init(&fixture, 3);
    alone_open(&fixture);
    uint64_t most = 0;
    for (unsigned i = 0; i < 1000; i++) {
        alone_write(&fixture, 1, false);
        uint64_t bytes = store_log_bytes(fixture.store);
        most = bytes > most ? bytes : most;
        (void)executor_manual_step(&fixture.executor);
    }
    assert_in_range(most, 40 * KIB, 400 * KIB);
    assert_true(counter_get(&store_log_metrics(fixture.store)->bytes) > 2 * most);
    assert_ok(store_flush(fixture.store, &fixture.err), &fixture.err);
    (void)executor_manual_run(&fixture.executor, 100000);
    assert_int_equal(store_log_bytes(fixture.store), 8 * KIB);
    assert_ok(store_compact(fixture.store, &fixture.err), &fixture.err);
    alone_expect(&fixture);
    alone_close(&fixture);
    alone_open(&fixture);
    alone_expect(&fixture);
    alone_release(&fixture);
}

static void put_large(struct batch *batch, const char *key, size_t bytes, uint8_t fill)
{
    uint8_t *value = malloc(bytes);
    assert_non_null(value);
    memset(value, fill, bytes);
    batch_put(batch, KS_META, slice_of_string(key), slice_of(value, bytes));
    free(value);
}

static void expect_large(struct store *store, const char *key, size_t bytes, uint8_t fill)
{
    struct error err = ERROR_INIT;
    struct buf value;
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    enum status status =
        engine_get(store_engine(store), NULL, KS_META, slice_of_string(key), &value, &err);
    assert_status(status, bytes > 0 ? STATUS_OK : STATUS_NOT_FOUND, &err);
    assert_int_equal(value.length, bytes);
    assert_true(bytes == 0 || (value.data[0] == fill && value.data[bytes - 1] == fill));
    buf_release(&value);
}

/* A batch larger than an entry of the log is there whole, or, cut by a crash, not at all. */
static void large_batches_are_whole(void **state)
{
    (void)state;
    unsigned lost = 0;
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct batch batch;
        batch_init(&batch, alloc_default());
        alone_init(&fixture, seed);
        fixture.options.engine.memtable_bytes = 16 * MIB;
        alone_open(&fixture);
        put_large(&batch, "a", 3 * MIB, 1);
        assert_ok(store_write(fixture.store, &batch, true, &fixture.err), &fixture.err);
        batch_clear(&batch);
        put_large(&batch, "b", KEYSPACE_VALUE_BYTES_MAX, 2);
        put_large(&batch, "c", 2 * MIB, 3);
        assert_ok(store_write(fixture.store, &batch, false, &fixture.err), &fixture.err);
        /* Most of it reaches the disk, its end does not. */
        alone_crash(&fixture, seed, false);
        alone_open(&fixture);
        expect_large(fixture.store, "a", 3 * MIB, 1);
        struct engine_stats stats;
        engine_stats(store_engine(fixture.store), &stats);
        bool whole = stats.last_sequence == 3;
        lost += whole ? 0 : 1;
        expect_large(fixture.store, "b", whole ? KEYSPACE_VALUE_BYTES_MAX : 0, 2);
        expect_large(fixture.store, "c", whole ? 2 * MIB : 0, 3);
        batch_clear(&batch);
        put_large(&batch, "d", 5, 4);
        assert_ok(store_write(fixture.store, &batch, true, &fixture.err), &fixture.err);
        alone_close(&fixture);
        alone_open(&fixture);
        expect_large(fixture.store, "d", 5, 4);
        expect_large(fixture.store, "b", whole ? KEYSPACE_VALUE_BYTES_MAX : 0, 2);
        alone_release(&fixture);
        batch_release(&batch);
    }
    assert_true(lost > 0);
}

/* What is refused is neither in the memtables nor in the log, and the store goes on. */
static void refused_batches_leave_nothing(void **state)
{
    (void)state;
    struct batch batch;
    batch_init(&batch, alloc_default());
    alone_init(&fixture, 4);
    alone_open(&fixture);
    alone_write(&fixture, 20, false);
    batch_put(&batch, KS_LATEST, slice_of_string("refused"), slice_of_string("x"));
    batch_delete(&batch, KS_EVENTS, slice_of_string("an event"));
    assert_status(store_write(fixture.store, &batch, true, &fixture.err), STATUS_INVALID_ARGUMENT,
                  &fixture.err);
    batch_clear(&batch);
    put_large(&batch, "x", KEYSPACE_VALUE_BYTES_MAX, 1);
    put_large(&batch, "y", KEYSPACE_VALUE_BYTES_MAX, 1);
    assert_true(batch_bytes(&batch) > STORE_BATCH_BYTES_MAX);
    assert_status(store_write(fixture.store, &batch, true, &fixture.err), STATUS_INVALID_ARGUMENT,
                  &fixture.err);
    batch_clear(&batch);
    assert_ok(store_write(fixture.store, &batch, true, &fixture.err), &fixture.err);
    alone_write(&fixture, 20, false);
    alone_close(&fixture);
    alone_open(&fixture);
    alone_expect(&fixture);
    alone_release(&fixture);
    batch_release(&batch);
}

/* It is its owner's alone. */
static void second_openings_are_refused(void **state)
{
    (void)state;
    struct store *other = NULL;
    struct executor_manual executor;
    alone_init(&fixture, 5);
    alone_open(&fixture);
    struct store_options options = fixture.options;
    executor_manual_init(&executor, 1);
    options.executor = &executor.executor;
    assert_true(store_open(&options, &other, &fixture.err) != STATUS_OK);
    assert_null(other);
    alone_write(&fixture, 5, false);
    alone_expect(&fixture);
    alone_release(&fixture);
}

/* A full disk: writes say so and leave nothing, reads go on; with room again all goes on, without
 * an opening, and all that was acknowledged is there. */
static void full_disks_pass(void **state)
{
    (void)state;
    for (unsigned synced = 0; synced < 2; synced++) {
        unsigned refused = 0;
        alone_init(&fixture, 6 + synced);
        alone_open(&fixture);
        alone_write(&fixture, 100, false);
        for (unsigned round = 0; round < 3; round++) {
            fs_crash_set_capacity(fixture.crash, fs_crash_used(fixture.crash) + 20 * KIB);
            for (unsigned i = 0; i < 150; i++) {
                enum status status = alone_try_write(&fixture, synced == 1);
                if (status != STATUS_OK) {
                    assert_status(status, STATUS_RESOURCE_EXHAUSTED, &fixture.err);
                    refused++;
                }
                (void)executor_manual_step(&fixture.executor);
            }
            alone_expect(&fixture);
            fs_crash_set_capacity(fixture.crash, UINT64_MAX);
            enum status status = STATUS_RESOURCE_EXHAUSTED;
            for (unsigned i = 0; i < 100000 && status == STATUS_RESOURCE_EXHAUSTED; i++) {
                status = alone_try_write(&fixture, false);
                store_poll(fixture.store);
                (void)executor_manual_step(&fixture.executor);
            }
            assert_ok(status, &fixture.err);
        }
        assert_true(refused > 0);
        alone_expect(&fixture);
        alone_close(&fixture);
        alone_open(&fixture);
        alone_expect(&fixture);
        alone_release(&fixture);
    }
}

/* A sync that failed is final, though later ones would succeed; reads go on. What was synced before
 * is there in the next life. */
static void failed_syncs_are_final(void **state)
{
    (void)state;
    struct fs_faulty faulty;
    alone_init(&fixture, 8);
    fs_faulty_init(&faulty, fixture.options.fs);
    fixture.options.fs = &faulty.fs;
    alone_open(&fixture);
    alone_write(&fixture, 10, true);
    struct model synced = fixture.model;
    fs_faulty_arm(&faulty, (struct fs_fault){.call = FS_CALL_SYNC, .path_contains = "log"});
    assert_true(alone_try_write(&fixture, true) != STATUS_OK);
    assert_true(fs_faulty_hit(&faulty) > 0);
    assert_true(alone_try_write(&fixture, false) != STATUS_OK);
    assert_true(store_sync(fixture.store, &fixture.err) != STATUS_OK);
    assert_true(store_flush(fixture.store, &fixture.err) != STATUS_OK);
    assert_content(store_engine(fixture.store), NULL, &synced);
    alone_crash(&fixture, 0, true);
    alone_open(&fixture);
    assert_content(store_engine(fixture.store), NULL, &synced);
    alone_release(&fixture);
    fs_faulty_release(&faulty);
}

/* Little is written, so that each call can have its turn; it is sealed and merged the more often.
 */
static void begin_small(uint64_t seed)
{
    alone_init(&fixture, seed);
    fixture.options.engine.memtable_bytes = 16 * KIB;
    fixture.options.engine.l0_trigger = 2;
    fixture.options.engine.table_bytes = 64 * KIB;
}

/* A little of everything. How many batches were acknowledged is in the fixture; *synced: how many
 * of them are told to be safe from a crash of the machine. */
static enum status work(struct store_alone *fx, uint64_t *synced)
{
    *synced = 0;
    enum status status = alone_try_open(fx);
    for (unsigned i = 0; i < 40 && status == STATUS_OK; i++) {
        bool sync = i % 10 == 9;
        status = alone_try_write(fx, sync);
        if (status == STATUS_OK && i == 23) {
            status = store_flush(fx->store, &fx->err);
            sync = true;
        }
        *synced = status == STATUS_OK && sync ? fx->written : *synced;
        (void)executor_manual_step(&fx->executor);
    }
    return status;
}

/* The store holds the first n batches, for some n that is at least what was acknowledged. */
static void expect_prefix(struct store_alone *fx, uint64_t at_least)
{
    struct engine_stats stats;
    struct model model = {.events = 0};
    uint64_t ops = 0;
    uint64_t n = 0;
    engine_stats(store_engine(fx->store), &stats);
    while (ops < stats.last_sequence) {
        alone_make(fx, &model, ++n);
        ops += fx->batch.count;
    }
    assert_int_equal(ops, stats.last_sequence);
    assert_true(n >= at_least);
    assert_content(store_engine(fx->store), NULL, &model);
}

/* Whether call `n` was reached. The store ends with its process, or with the machine, which loses
 * whatever was not synced. */
static bool one_call_fails(uint64_t n, bool machine)
{
    struct fs_faulty faulty;
    uint64_t synced = 0;
    begin_small(9);
    fs_faulty_init(&faulty, fixture.options.fs);
    fixture.options.fs = &faulty.fs;
    fs_faulty_arm(&faulty, (struct fs_fault){.at = n});
    enum status status = work(&fixture, &synced);
    bool hit = fs_faulty_hit(&faulty) > 0;
    assert_true(hit || status == STATUS_OK);
    assert_true(hit || synced == fixture.written);
    if (!hit) {
        struct engine_stats stats;
        engine_stats(store_engine(fixture.store), &stats);
        assert_true(stats.flushes > 1 && stats.compactions > 0);
    }
    if (machine) {
        alone_crash(&fixture, 0, true);
    } else {
        alone_close(&fixture);
    }
    fixture.options.fs = fs_crash_fs(fixture.crash);
    alone_open(&fixture);
    expect_prefix(&fixture, machine ? synced : fixture.written);
    alone_release(&fixture);
    fs_faulty_release(&faulty);
    return hit;
}

/* Each call to the file system fails once: no false success, no leak; a second opening finds all
 * that was acknowledged. */
static void each_call_fails_once(void **state)
{
    (void)state;
    for (unsigned machine = 0; machine < 2; machine++) {
        uint64_t n = 0;
        while (one_call_fails(n, machine == 1)) {
            n++;
        }
        print_message("%llu calls\n", (unsigned long long)n);
        assert_true(n > 200);
    }
}

/* All is there, a part of it out of tables and a part out of the log. */
static void expect_tables_and_log(struct store_alone *fx)
{
    struct engine_stats stats;
    engine_stats(store_engine(fx->store), &stats);
    assert_true(stats.bytes > 0);
    assert_true(stats.memtable_bytes > 0);
    alone_expect(fx);
}

/* The same, while a store is opened whose tables and log both have something: all of it or an error
 * that tells of the call. After it all is there, also if the power fails then. */
static bool one_call_of_an_opening_fails(uint64_t n, bool machine)
{
    struct fs_faulty faulty;
    uint64_t synced = 0;
    begin_small(11);
    assert_ok(work(&fixture, &synced), &fixture.err);
    assert_int_equal(synced, fixture.written);
    alone_close(&fixture);
    fs_faulty_init(&faulty, fixture.options.fs);
    fixture.options.fs = &faulty.fs;
    fs_faulty_arm(&faulty, (struct fs_fault){.at = n});
    enum status status = alone_try_open(&fixture);
    bool hit = fs_faulty_hit(&faulty) > 0;
    fs_faulty_disarm(&faulty);
    if (status == STATUS_OK) {
        expect_tables_and_log(&fixture);
    } else {
        assert_true(hit);
        assert_int_not_equal(status, STATUS_CORRUPT);
        assert_non_null(strstr(fixture.err.text, "injected"));
    }
    if (machine) {
        alone_crash(&fixture, 0, true);
    } else {
        alone_close(&fixture);
    }
    fixture.options.fs = fs_crash_fs(fixture.crash);
    alone_open(&fixture);
    alone_expect(&fixture);
    alone_release(&fixture);
    fs_faulty_release(&faulty);
    return hit;
}

static void each_call_of_an_opening_fails(void **state)
{
    (void)state;
    for (unsigned machine = 0; machine < 2; machine++) {
        uint64_t n = 0;
        while (one_call_of_an_opening_fails(n, machine == 1)) {
            n++;
        }
        print_message("%llu calls\n", (unsigned long long)n);
        assert_true(n > 30);
    }
}

/* And each allocation. The store is the same one throughout: it holds what it held. */
static void each_allocation_of_an_opening_fails(void **state)
{
    (void)state;
    struct fail_alloc fail;
    uint64_t synced = 0;
    bool hit = true;
    uint64_t n = 0;
    fail_alloc_init(&fail);
    begin_small(12);
    fixture.options.alloc = &fail.alloc;
    assert_ok(work(&fixture, &synced), &fixture.err);
    alone_close(&fixture);
    for (; hit; n++) {
        fail_alloc_arm(&fail, n);
        enum status status = alone_try_open(&fixture);
        hit = fail_alloc_hit(&fail);
        fail_alloc_arm(&fail, FAIL_ALLOC_NEVER);
        if (status == STATUS_OK) {
            expect_tables_and_log(&fixture);
        } else {
            assert_true(hit);
            assert_status(status, STATUS_RESOURCE_EXHAUSTED, &fixture.err);
        }
        alone_close(&fixture);
        assert_int_equal(fail_alloc_blocks(&fail), 0);
        alone_open(&fixture);
        alone_expect(&fixture);
        alone_close(&fixture);
    }
    print_message("%llu allocations\n", (unsigned long long)n);
    assert_true(n > 50);
    alone_release(&fixture);
    fail_alloc_release(&fail);
}

/* Each allocation of a store's whole work. */
static void each_allocation_fails_once(void **state)
{
    (void)state;
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    bool hit = true;
    uint64_t n = 0;
    for (; hit; n++) {
        uint64_t synced = 0;
        begin_small(10);
        fixture.options.alloc = &fail.alloc;
        fail_alloc_arm(&fail, n);
        enum status status = work(&fixture, &synced);
        hit = fail_alloc_hit(&fail);
        fail_alloc_arm(&fail, FAIL_ALLOC_NEVER);
        assert_true(hit || status == STATUS_OK);
        alone_close(&fixture);
        assert_int_equal(fail_alloc_blocks(&fail), 0);
        alone_open(&fixture);
        expect_prefix(&fixture, fixture.written);
        alone_release(&fixture);
        assert_int_equal(fail_alloc_blocks(&fail), 0);
    }
    print_message("%llu allocations\n", (unsigned long long)n);
    assert_true(n > 500);
    fail_alloc_release(&fail);
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_survive_a_closing),
        cmocka_unit_test(syncs_cover_what_was_before),
        cmocka_unit_test(flushes_purge_the_log),
        cmocka_unit_test(metrics_are_one_text),
        cmocka_unit_test(large_batches_are_whole),
        cmocka_unit_test(refused_batches_leave_nothing),
        cmocka_unit_test(second_openings_are_refused),
        cmocka_unit_test(full_disks_pass),
        cmocka_unit_test(failed_syncs_are_final),
        cmocka_unit_test(each_call_fails_once),
        cmocka_unit_test(each_call_of_an_opening_fails),
        cmocka_unit_test(each_allocation_of_an_opening_fails),
        cmocka_unit_test(each_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
