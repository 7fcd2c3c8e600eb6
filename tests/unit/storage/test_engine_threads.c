/* SPDX-License-Identifier: Apache-2.0
 *
 * Readers on threads beside the writer and the jobs; mostly of use under the
 * thread sanitizer.
 */
#include <stdatomic.h>

#include "base/log.h"
#include "base/sync.h"
#include "engine_model.h"
#include "testlib/fs_crash.h"

enum { READERS = 3, BATCHES = 600, PAIRS = 40 };

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

/* Readers see whole batches, in order, while the writer seals and two job threads flush, merge
 * and remove files under them. */
static void test_readers(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct executor *executor = NULL;
    struct shared shared = {.reads = 0};
    struct fs_crash *memory = fs_crash_new();
    assert_ok(executor_open_threads(alloc_default(), "jobs", 2, &executor, &err), &err);
    struct engine_options options = model_options(fs_crash_fs(memory), executor, "/store");
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
    while (atomic_load(&shared.reads) < 150) {
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
    executor_close(executor);
    assert_ok(engine_verify(shared.engine, &err), &err);
    engine_close(shared.engine);
    buf_release(&value);
    batch_release(&batch);
    fs_crash_free(memory);
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
