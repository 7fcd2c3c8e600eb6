/* SPDX-License-Identifier: Apache-2.0
 *
 * Readers on threads beside the writer and the jobs; mostly of use under the
 * thread sanitizer.
 */
#include <stdatomic.h>

#include "base/log.h"
#include "base/sync.h"
#include "engine_run.h"
#include "storage/engine_internal.h"
#include "testlib/fs_gate.h"

enum { READERS = 3, BATCHES = 600, PAIRS = 40, BATCHES_MAX = 100000 };

struct shared {
    struct engine *engine;
    atomic_bool stop;
    _Atomic uint64_t reads;
    _Atomic uint32_t written; /* batches that engine_write returned from */
};

/* Each batch b puts value b under all pairs' keys of both keyspaces, and appends event b. */
static void fill(struct batch *batch, uint32_t number)
{
    batch_clear(batch);
    uint8_t bytes[512];
    uint8_t key[8];
    for (uint32_t i = 0; i < PAIRS; i++) {
        char text[64];
        unsigned keyspace = i % 2 == 0 ? KS_LATEST : KS_META;
        batch_put(batch, keyspace, model_key(text, i), model_value(bytes, number));
    }
    batch_put(batch, KS_EVENTS, model_event_key(key, number), model_value(bytes, number));
}

static uint32_t id_of(struct slice value)
{
    assert_true(value.length >= 4);
    return get_le32(value.data);
}

/* All keys show the same batch at one snapshot, whatever goes on. They are read against the order
 * in which they are written, so that a batch that is visible too early shows. */
static uint32_t read_snapshot(struct shared *shared, struct buf *value)
{
    struct error err = ERROR_INIT;
    struct snapshot *snapshot = engine_snapshot_new(shared->engine);
    assert_non_null(snapshot);
    uint32_t seen = 0;
    for (uint32_t i = PAIRS; i-- > 0;) {
        char text[64];
        unsigned keyspace = i % 2 == 0 ? KS_LATEST : KS_META;
        assert_ok(engine_get(shared->engine, snapshot, keyspace, model_key(text, i), value, &err),
                  &err);
        uint32_t id = id_of(buf_slice(value));
        assert_true(i == PAIRS - 1 || id == seen);
        seen = id;
    }
    engine_snapshot_free(shared->engine, snapshot);
    return seen;
}

/* So do they in one walk without a snapshot. */
static void read_walk(struct shared *shared, bool forward)
{
    struct error err = ERROR_INIT;
    struct engine_iter *iter = NULL;
    assert_ok(engine_iter_new(shared->engine, NULL, KS_LATEST, NULL, &iter, &err), &err);
    uint32_t count = 0;
    uint32_t seen = 0;
    if (forward) {
        engine_iter_seek_first(iter);
    } else {
        engine_iter_seek_last(iter);
    }
    while (engine_iter_valid(iter)) {
        uint32_t id = id_of(engine_iter_value(iter));
        assert_true(count == 0 || id == seen);
        seen = id;
        count++;
        if (forward) {
            engine_iter_next(iter);
        } else {
            engine_iter_prev(iter);
        }
    }
    assert_ok(engine_iter_status(iter, &err), &err);
    assert_int_equal(count, PAIRS / 2);
    engine_iter_close(iter);
}

static void *read_on(void *context)
{
    struct shared *shared = context;
    struct error err = ERROR_INIT;
    struct buf value;
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    uint32_t last = 0;
    for (uint64_t round = 0; !atomic_load(&shared->stop); round++) {
        uint32_t written = atomic_load(&shared->written);
        uint32_t seen = read_snapshot(shared, &value);
        /* What was written before is seen, and time does not run back. */
        assert_true(seen >= written && seen >= last);
        last = seen;
        read_walk(shared, round % 2 == 0);
        uint8_t key[8];
        assert_ok(
            engine_get(shared->engine, NULL, KS_EVENTS, model_event_key(key, seen), &value, &err),
            &err);
        assert_int_equal(id_of(buf_slice(&value)), seen);
        atomic_fetch_add(&shared->reads, 1);
    }
    buf_release(&value);
    return NULL;
}

static unsigned compactions_now(struct engine *engine)
{
    struct engine_stats stats;
    engine_stats(engine, &stats);
    return (unsigned)stats.compactions_now;
}

/* Readers see whole batches, in order, while the writer seals and three job threads flush, merge
 * and remove files under them, and until two merges were seen under way at once. */
static void test_readers(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct executor *executor = NULL;
    struct shared shared = {.reads = 0};
    struct fs_crash *memory = fs_crash_new();
    assert_ok(executor_open_threads(alloc_default(), "jobs", 3, &executor, &err), &err);
    struct engine_options options = model_options(fs_crash_fs(memory), executor, "/store");
    options.step_bytes = 512; /* a merge takes many steps, so others begin meanwhile */
    assert_ok(engine_open(&options, &shared.engine, &err), &err);
    struct batch batch;
    batch_init(&batch, alloc_default());
    fill(&batch, 1);
    assert_ok(engine_write(shared.engine, &batch, &err), &err);
    atomic_store(&shared.written, 1);
    pthread_t readers[READERS];
    for (int i = 0; i < READERS; i++) {
        assert_true(thread_start(&readers[i], "reader", read_on, &shared));
    }
    struct buf value;
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    for (uint32_t number = 2; number < BATCHES; number++) {
        char text[64];
        fill(&batch, number);
        assert_ok(engine_write(shared.engine, &batch, &err), &err);
        atomic_store(&shared.written, number);
        assert_ok(engine_get_by_writer(shared.engine, KS_LATEST, model_key(text, 0), &value, &err),
                  &err);
        assert_int_equal(id_of(buf_slice(&value)), number);
        if (engine_should_seal(shared.engine)) {
            assert_ok(engine_seal(shared.engine, slice_of(&number, sizeof number), &err), &err);
        }
    }
    unsigned at_once = 0;
    for (uint32_t i = 0; i < BATCHES_MAX && (atomic_load(&shared.reads) < 150 || at_once < 2);
         i++) {
        unsigned now = compactions_now(shared.engine);
        at_once = now > at_once ? now : at_once;
        fill(&batch, BATCHES + (uint32_t)atomic_load(&shared.written));
        assert_ok(engine_write(shared.engine, &batch, &err), &err);
        if (engine_should_seal(shared.engine)) {
            assert_ok(engine_seal(shared.engine, slice_of(NULL, 0), &err), &err);
        }
        atomic_fetch_add(&shared.written, 1);
    }
    atomic_store(&shared.stop, true);
    for (int i = 0; i < READERS; i++) {
        thread_join(readers[i]);
    }
    assert_ok(engine_seal(shared.engine, slice_of(NULL, 0), &err), &err);
    assert_ok(engine_flush(shared.engine, &err), &err);
    struct engine_stats stats;
    engine_stats(shared.engine, &stats);
    assert_true(stats.flushes > 5);
    assert_true(stats.compactions > 1);
    assert_int_equal(at_once, 2); /* no more than the default allows */
    executor_close(executor);
    assert_ok(engine_verify(shared.engine, &err), &err);
    engine_close(shared.engine);
    buf_release(&value);
    batch_release(&batch);
    fs_crash_free(memory);
}

/* --- two merges at once -------------------------------------------------------------------- */

/* Opens, does what is due, and closes: with all of a level due, or nothing but level 0. */
static void settle(struct engine_run *run, uint64_t level_base_bytes)
{
    run->options.level_base_bytes = level_base_bytes;
    engine_run_open(run, 1);
    for (uint32_t key = 0; level_base_bytes > 1 && key < 4 * MODEL_KEYS; key++) {
        batch_clear(&run->batch);
        model_put(&run->model, &run->batch, KS_LATEST, key % MODEL_KEYS);
        assert_ok(engine_write(run->engine, &run->batch, &run->err), &run->err);
        if (key % MODEL_KEYS == MODEL_KEYS - 1) {
            engine_run_seal(run);
        }
    }
    assert_ok(engine_flush(run->engine, &run->err), &run->err);
    struct engine_stats stats;
    engine_stats(run->engine, &stats);
    for (unsigned i = 0; i < 100000 && stats.compaction_due; i++) {
        (void)executor_manual_step(&run->executor);
        engine_stats(run->engine, &stats);
    }
    assert_false(stats.compaction_due);
    engine_run_close(run);
}

/* Two merges of one level of one keyspace, each with what it overlaps of the next, stand in a write
 * at the same time, on threads of their own; then both go on. */
static void test_merges_at_once(void **state)
{
    (void)state;
    static struct engine_run run; /* its threads go on if the case fails */
    static struct fs_faulty files;
    static struct fs_gate gate;
    engine_run_init(&run);
    run.options.level_multiplier = 1 << 20; /* what is below level 1 stays in level 2 */
    run.options.table_bytes = 1 * KIB;
    settle(&run, 1 * MIB);
    settle(&run, 1);
    settle(&run, 1 * MIB);

    struct engine_options options = run.options;
    struct error err = ERROR_INIT;
    fs_faulty_init(&files, fs_crash_fs(run.crash));
    fs_gate_init(&gate, &files, FS_CALL_WRITE, ".sst", 2);
    assert_ok(executor_open_threads(alloc_default(), "jobs", 2, &options.executor, &err), &err);
    options.fs = &files.fs;
    options.on_wait = NULL;
    options.level_base_bytes = 1;
    fs_gate_arm(&gate);
    assert_ok(engine_open(&options, &run.engine, &err), &err);
    assert_true(fs_gate_wait(&gate));
    assert_int_equal(compactions_now(run.engine), 2);
    const struct pick *one = &run.engine->compactions[0].compact.pick;
    const struct pick *two = &run.engine->compactions[1].compact.pick;
    assert_int_equal(one->keyspace, KS_LATEST);
    assert_int_equal(two->keyspace, KS_LATEST);
    assert_int_equal(one->level, 1);
    assert_int_equal(two->level, 1);
    assert_true(one->begin < one->end && two->begin < two->end);
    assert_true(one->below_begin < one->below_end && two->below_begin < two->below_end);
    assert_true(one->end <= two->begin || two->end <= one->begin);
    assert_true(one->below_end <= two->below_begin || two->below_end <= one->below_begin);
    assert_true(fs_gate_open(&gate));
    assert_ok(engine_compact(run.engine, &err), &err);
    executor_close(options.executor);
    assert_ok(engine_verify(run.engine, &err), &err);
    assert_content(run.engine, NULL, &run.model);
    engine_close(run.engine);
    fs_gate_release(&gate);
    fs_faulty_release(&files);
    batch_release(&run.batch);
    fs_crash_free(run.crash);
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers),
        cmocka_unit_test(test_merges_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
