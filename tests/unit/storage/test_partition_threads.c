/* SPDX-License-Identifier: Apache-2.0
 *
 * Floors that rise, partitions that are dropped and rewritten, under readers on threads; mostly of
 * use under the thread sanitizer.
 */
#include <stdatomic.h>

#include "base/log.h"
#include "base/sync.h"
#include "partitions_model.h"

enum { READERS = 3, EVENTS_MIN = 6000, READS_MIN = 100 };

struct shared {
    struct engine *engine;
    atomic_bool stop;
    _Atomic uint64_t reads;
    _Atomic uint64_t floor; /* that was set for certain */
};

/* One view of it all: the floor, the row that came with it, and the first event are one, and from
 * there on no event is missing. */
static void read_snapshot(struct shared *shared, struct buf *value)
{
    struct error err = ERROR_INIT;
    struct engine_iter *iter = NULL;
    uint64_t before = atomic_load(&shared->floor);
    struct snapshot *snapshot = engine_snapshot_new(shared->engine);
    assert_non_null(snapshot);
    assert_ok(engine_floor(shared->engine, snapshot, PM_EVENTS, value, &err), &err);
    uint64_t floor = get_be64(value->data);
    assert_true(floor >= before);
    assert_ok(engine_get(shared->engine, snapshot, PM_META, slice_of_string("floor"), value, &err),
              &err);
    assert_int_equal(get_be64(value->data), floor);
    assert_ok(engine_iter_new(shared->engine, snapshot, PM_EVENTS, NULL, &iter, &err), &err);
    uint64_t next = floor;
    for (engine_iter_seek_first(iter); engine_iter_valid(iter); engine_iter_next(iter)) {
        assert_int_equal(get_be64(engine_iter_key(iter).data), next++);
    }
    assert_ok(engine_iter_status(iter, &err), &err);
    engine_iter_close(iter);
    engine_snapshot_free(shared->engine, snapshot);
}

/* Without a snapshot: what is there is in order, and of the range. */
static void read_range(struct shared *shared, uint64_t from)
{
    struct error err = ERROR_INIT;
    struct engine_iter *iter = NULL;
    struct engine_iter_options options = {
        .by_time = true, .time_begin = from, .time_end = from + 1000};
    uint64_t before = atomic_load(&shared->floor);
    uint64_t next = before;
    assert_ok(engine_iter_new(shared->engine, NULL, PM_EVENTS, &options, &iter, &err), &err);
    for (engine_iter_seek_first(iter); engine_iter_valid(iter); engine_iter_next(iter)) {
        uint64_t at = get_be64(engine_iter_key(iter).data);
        uint64_t time = get_le64(engine_iter_value(iter).data + PM_PLACE);
        assert_true(at >= next && time >= from && time < from + 1000);
        next = at + 1;
    }
    assert_ok(engine_iter_status(iter, &err), &err);
    engine_iter_close(iter);
}

static void *read_on(void *context)
{
    struct shared *shared = context;
    struct buf value;
    buf_init(&value, alloc_default(), 1 * KIB);
    while (!atomic_load(&shared->stop)) {
        read_snapshot(shared, &value);
        read_range(shared, pm_time(PM_NEARLY, atomic_load(&shared->floor) + 100));
        atomic_fetch_add(&shared->reads, 1);
    }
    buf_release(&value);
    return NULL;
}

/* Readers see each floor with its batch, and every event above it, while two threads flush, merge,
 * rewrite and drop under them. */
static void test_readers(void **state)
{
    (void)state;
    struct pm_world world;
    struct executor *executor = NULL;
    struct shared shared = {.reads = 0};
    pthread_t readers[READERS];
    pm_init(&world, PM_NEARLY);
    assert_ok(executor_open_threads(alloc_default(), "jobs", 2, &executor, &world.err), &world.err);
    world.options.executor = executor;
    world.options.on_wait = NULL;
    world.options.on_flushed = NULL;
    assert_ok(engine_open(&world.options, &world.engine, &world.err), &world.err);
    shared.engine = world.engine;
    assert_ok(pm_append(&world, 10), &world.err);
    assert_ok(pm_raise_floor(&world, 1), &world.err);
    atomic_store(&shared.floor, 1);
    for (int i = 0; i < READERS; i++) {
        assert_true(thread_start(&readers[i], "reader", read_on, &shared));
    }
    for (int i = 0; world.model.count < EVENTS_MIN || atomic_load(&shared.reads) < READS_MIN; i++) {
        assert_ok(pm_append(&world, 10), &world.err);
        if (i % 5 == 0 && world.model.count > 500) {
            assert_ok(pm_raise_floor(&world, world.model.count - 500), &world.err);
            atomic_store(&shared.floor, world.model.floor);
        }
        if (engine_should_seal(world.engine)) {
            assert_ok(pm_seal(&world), &world.err);
        }
    }
    atomic_store(&shared.stop, true);
    for (int i = 0; i < READERS; i++) {
        thread_join(readers[i]);
    }
    assert_ok(pm_seal(&world), &world.err);
    assert_ok(engine_flush(world.engine, &world.err), &world.err);
    struct engine_stats stats;
    engine_stats(world.engine, &stats);
    assert_true(stats.partitions_dropped > 0);
    executor_close(executor);
    assert_ok(engine_verify(world.engine, &world.err), &world.err);
    engine_close(world.engine);
    pm_release(&world);
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
