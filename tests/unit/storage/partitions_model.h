/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of partitions share: a small engine with a timed keyspace, and a model of it.
 * Event i's time and bytes follow from i and the way in which times run, so a model is a count and
 * a floor, and a seal's blob says what the store must hold.
 */
#ifndef ESTREAT_TESTS_PARTITIONS_MODEL_H
#define ESTREAT_TESTS_PARTITIONS_MODEL_H

#include "base/rng.h"
#include "storage/engine.h"
#include "testlib/executor_manual.h"
#include "testlib/fs_crash.h"
#include "testlib/test.h"

enum { PM_EVENTS, PM_META, PM_COUNT };
enum { PM_PLACE = 2, PM_SPAN = 2000, PM_PARTITION_BYTES = 12 * KIB, PM_SNAPSHOTS = 3 };

/* How times run: see pm_time. */
enum pm_times { PM_RISING, PM_NEARLY, PM_WILD, PM_TIMES };

static const struct keyspace_options pm_keyspaces[PM_COUNT] = {
    {.name = "events",
     .layout = KEYSPACE_APPEND,
     .block_bytes = 512,
     .codec_new = CODEC_NONE,
     .codec_old = CODEC_LZ4,
     .block_bytes_old = 1024,
     .columns_old = true,
     .number_place = PM_PLACE,
     .timed = true,
     .partition_bytes = PM_PARTITION_BYTES,
     .partition_bytes_min = 1 * KIB,
     .partition_span = PM_SPAN,
     .rewrite_percent = 30,
     .rewrite_bytes_min = 1 * KIB},
    {.name = "meta", .layout = KEYSPACE_LEVELED, .block_bytes = 512},
};

struct pm_model {
    uint64_t count; /* events [0, count) were appended */
    uint64_t floor; /* those below are gone; also the row in keyspace meta */
    uint64_t times; /* enum pm_times */
};

static inline uint64_t pm_mix(uint64_t i)
{
    i ^= i >> 30;
    i *= UINT64_C(0xbf58476d1ce4e5b9);
    i ^= i >> 27;
    i *= UINT64_C(0x94d049bb133111eb);
    return i ^ (i >> 31);
}

static inline uint64_t pm_time(uint64_t times, uint64_t i)
{
    uint64_t time = 100000 + i * 5 + pm_mix(i) % 5;
    if (times == PM_NEARLY && pm_mix(i + 7) % 10 == 0) {
        time -= pm_mix(i + 9) % 500;
    } else if (times == PM_WILD && pm_mix(i + 7) % 20 == 0) {
        time = pm_mix(i + 9) % 3 == 0 ? UINT64_MAX - 1 : pm_mix(i + 9) % 200000;
    }
    return time;
}

static inline struct slice pm_value(uint8_t out[512], uint64_t times, uint64_t i)
{
    size_t length = PM_PLACE + 8 + pm_mix(i) % 150;
    for (size_t at = 0; at < length; at++) {
        out[at] = (uint8_t)(pm_mix(i + at / 6) & 0x3f);
    }
    put_le64(out + PM_PLACE, pm_time(times, i));
    return slice_of(out, length);
}

static inline struct slice pm_key(uint8_t out[8], uint64_t i)
{
    put_be64(out, i);
    return slice_of(out, 8);
}

/* --- a world -------------------------------------------------------------------------------- */

struct pm_snapshot {
    struct snapshot *snapshot;
    struct pm_model model;
};

struct pm_world {
    struct fs_crash *crash;
    struct fs *fs;
    struct executor_manual executor;
    struct engine_options options;
    struct engine *engine;
    struct batch batch;
    struct pm_model model;
    struct pm_model flushed; /* the last blob that on_flushed gave */
    uint64_t flushed_count;
    struct pm_snapshot snapshots[PM_SNAPSHOTS];
    struct error err;
};

static inline void pm_note_flushed(void *context, struct slice owner_state)
{
    struct pm_world *world = context;
    assert_int_equal(owner_state.length, sizeof world->flushed);
    memcpy(&world->flushed, owner_state.data, sizeof world->flushed);
    world->flushed_count++;
}

static inline void pm_step(void *context)
{
    (void)executor_manual_step(&((struct pm_world *)context)->executor);
}

static inline enum status pm_open(struct pm_world *world, uint64_t seed)
{
    executor_manual_init(&world->executor, seed);
    return engine_open(&world->options, &world->engine, &world->err);
}

/* Not opened yet. */
static inline void pm_init(struct pm_world *world, enum pm_times times)
{
    memset(world, 0, sizeof *world);
    world->crash = fs_crash_new();
    world->fs = fs_crash_fs(world->crash);
    world->model.times = times;
    world->flushed.times = times;
    batch_init(&world->batch, alloc_default());
    assert_ok(fs_make_dir(world->fs, "/store", &world->err), &world->err);
    assert_ok(fs_sync_dir(world->fs, "/", &world->err), &world->err);
    world->options = (struct engine_options){.fs = world->fs,
                                             .executor = &world->executor.executor,
                                             .dir = "/store",
                                             .keyspaces = pm_keyspaces,
                                             .keyspace_count = PM_COUNT,
                                             .memtable_bytes = 28 * KIB,
                                             .block_cache_bytes = 64 * KIB,
                                             .l0_trigger = 3,
                                             .l0_slowdown = 6,
                                             .l0_stop = 9,
                                             .level_base_bytes = 16 * KIB,
                                             .level_multiplier = 3,
                                             .table_bytes = 6 * KIB,
                                             .on_flushed = pm_note_flushed,
                                             .on_wait = pm_step,
                                             .context = world};
}

static inline void pm_free_snapshots(struct pm_world *world)
{
    for (size_t i = 0; i < PM_SNAPSHOTS; i++) {
        engine_snapshot_free(world->engine, world->snapshots[i].snapshot);
        world->snapshots[i].snapshot = NULL;
    }
}

static inline void pm_close(struct pm_world *world)
{
    pm_free_snapshots(world);
    executor_close(&world->executor.executor);
    engine_close(world->engine);
    world->engine = NULL;
}

static inline void pm_release(struct pm_world *world)
{
    batch_release(&world->batch);
    fs_crash_free(world->crash);
}

/* --- writing -------------------------------------------------------------------------------- */

static inline enum status pm_append(struct pm_world *world, uint64_t count)
{
    batch_clear(&world->batch);
    for (uint64_t i = 0; i < count; i++) {
        uint8_t key[8];
        uint8_t bytes[512];
        uint64_t at = world->model.count + i;
        batch_put(&world->batch, PM_EVENTS, pm_key(key, at),
                  pm_value(bytes, world->model.times, at));
    }
    enum status status = engine_write(world->engine, &world->batch, &world->err);
    world->model.count += status == STATUS_OK ? count : 0;
    return status;
}

/* With a row in the same batch that says so. */
static inline enum status pm_raise_floor(struct pm_world *world, uint64_t floor)
{
    uint8_t key[8];
    batch_clear(&world->batch);
    batch_put(&world->batch, PM_META, slice_of_string("floor"), pm_key(key, floor));
    batch_set_floor(&world->batch, PM_EVENTS, pm_key(key, floor));
    enum status status = engine_write(world->engine, &world->batch, &world->err);
    world->model.floor = status == STATUS_OK ? floor : world->model.floor;
    return status;
}

static inline enum status pm_seal(struct pm_world *world)
{
    return engine_seal(world->engine, slice_of(&world->model, sizeof world->model), &world->err);
}

/* Seals, flushes, and lets compaction finish. */
static inline void pm_settle(struct pm_world *world)
{
    assert_ok(pm_seal(world), &world->err);
    assert_ok(engine_flush(world->engine, &world->err), &world->err);
    (void)engine_should_seal(world->engine);
    (void)executor_manual_run(&world->executor, 100000);
}

/* --- comparing ------------------------------------------------------------------------------ */

static inline bool pm_in(const struct pm_model *model, uint64_t i,
                         const struct engine_iter_options *options)
{
    uint64_t time = pm_time(model->times, i);
    return !options->by_time || (time >= options->time_begin && time < options->time_end);
}

static inline void pm_assert_at(const struct engine_iter *iter, const struct pm_model *model,
                                uint64_t i)
{
    uint8_t bytes[512];
    assert_true(engine_iter_valid(iter));
    assert_int_equal(get_be64(engine_iter_key(iter).data), i);
    assert_true(slice_equal(engine_iter_value(iter), pm_value(bytes, model->times, i)));
}

static inline void pm_assert_end(const struct engine_iter *iter)
{
    struct error err = ERROR_INIT;
    assert_ok(engine_iter_status(iter, &err), &err);
    assert_false(engine_iter_valid(iter));
}

/* The events [begin, end) that the options let through, forward and back: all of them, or the walk
 * ends with an error. */
static inline enum status pm_try_walk(struct engine_iter *iter, const struct pm_model *model,
                                      const struct engine_iter_options *options, uint64_t begin,
                                      uint64_t end, struct error *err)
{
    uint64_t at = begin;
    for (engine_iter_seek_first(iter); engine_iter_valid(iter); engine_iter_next(iter)) {
        while (at < end && !pm_in(model, at, options)) {
            at++;
        }
        assert_true(at < end);
        pm_assert_at(iter, model, at++);
    }
    enum status status = engine_iter_status(iter, err);
    if (status != STATUS_OK) {
        return status;
    }
    for (; at < end; at++) {
        assert_false(pm_in(model, at, options));
    }
    at = end;
    for (engine_iter_seek_last(iter); engine_iter_valid(iter); engine_iter_prev(iter)) {
        while (at > begin && !pm_in(model, at - 1, options)) {
            at--;
        }
        assert_true(at > begin);
        pm_assert_at(iter, model, --at);
    }
    status = engine_iter_status(iter, err);
    for (; status == STATUS_OK && at > begin; at--) {
        assert_false(pm_in(model, at - 1, options));
    }
    return status;
}

/* The events [begin, end) of a range, walked forward and back, and sought in. */
static inline void pm_assert_walk(struct engine *engine, const struct snapshot *snapshot,
                                  const struct pm_model *model, struct engine_iter_options options,
                                  uint64_t begin, uint64_t end, struct rng *rng)
{
    uint8_t low[8];
    uint8_t high[8];
    struct error err = ERROR_INIT;
    struct engine_iter *iter = NULL;
    options.begin = pm_key(low, begin);
    options.end = pm_key(high, end);
    begin = begin < model->floor ? model->floor : begin;
    end = end > model->count ? model->count : end;
    assert_ok(engine_iter_new(engine, snapshot, PM_EVENTS, &options, &iter, &err), &err);
    assert_ok(pm_try_walk(iter, model, &options, begin, end, &err), &err);
    for (int turn = 0; turn < 4; turn++) {
        uint8_t key[8];
        uint64_t from = rng_below(rng, model->count + 2);
        engine_iter_seek(iter, pm_key(key, from));
        uint64_t next = from < begin ? begin : from;
        while (next < end && !pm_in(model, next, &options)) {
            next++;
        }
        if (next >= end) {
            pm_assert_end(iter);
            continue;
        }
        pm_assert_at(iter, model, next);
        engine_iter_prev(iter);
        uint64_t before = next;
        while (before > begin && !pm_in(model, before - 1, &options)) {
            before--;
        }
        if (before <= begin) {
            pm_assert_end(iter);
        } else {
            pm_assert_at(iter, model, before - 1);
            engine_iter_next(iter);
            pm_assert_at(iter, model, next);
        }
    }
    engine_iter_close(iter);
}

static inline void pm_assert_gets(struct engine *engine, const struct snapshot *snapshot,
                                  const struct pm_model *model, struct rng *rng)
{
    struct error err = ERROR_INIT;
    struct buf value;
    buf_init(&value, alloc_default(), 1 * KIB);
    for (int turn = 0; turn < 30; turn++) {
        uint8_t key[8];
        uint8_t bytes[512];
        uint64_t i = turn == 0                ? model->floor
                     : turn == 1              ? model->floor - (model->floor > 0)
                     : rng_below(rng, 2) == 0 ? model->floor + rng_below(rng, 50)
                                              : rng_below(rng, model->count + 1);
        bool there = i >= model->floor && i < model->count;
        enum status status = engine_get(engine, snapshot, PM_EVENTS, pm_key(key, i), &value, &err);
        assert_status(status, there ? STATUS_OK : STATUS_NOT_FOUND, &err);
        assert_true(!there || slice_equal(buf_slice(&value), pm_value(bytes, model->times, i)));
    }
    /* The row that was set with the floor is seen with it. */
    assert_ok(engine_floor(engine, snapshot, PM_EVENTS, &value, &err), &err);
    assert_int_equal(value.length == 0 ? 0 : get_be64(value.data), model->floor);
    enum status status =
        engine_get(engine, snapshot, PM_META, slice_of_string("floor"), &value, &err);
    assert_status(status, model->floor > 0 ? STATUS_OK : STATUS_NOT_FOUND, &err);
    assert_int_equal(value.length == 0 ? 0 : get_be64(value.data), model->floor);
    buf_release(&value);
}

static inline void pm_assert_content(struct engine *engine, const struct snapshot *snapshot,
                                     const struct pm_model *model, struct rng *rng)
{
    pm_assert_gets(engine, snapshot, model, rng);
    pm_assert_walk(engine, snapshot, model, (struct engine_iter_options){.by_time = false}, 0,
                   UINT64_MAX, rng);
    for (int turn = 0; turn < 4; turn++) {
        uint64_t begin = pm_time(model->times, rng_below(rng, model->count + 1));
        uint64_t width = rng_below(rng, 4) == 0 ? UINT64_MAX - begin : 1 + rng_below(rng, 3000);
        struct engine_iter_options options = {
            .by_time = true, .time_begin = begin, .time_end = begin + width};
        if (options.time_end < begin) {
            options.time_end = UINT64_MAX;
        }
        uint64_t low = rng_below(rng, 3) == 0 ? rng_below(rng, model->count + 1) : 0;
        uint64_t high = rng_below(rng, 3) == 0 ? low + rng_below(rng, 500) + 1 : UINT64_MAX;
        pm_assert_walk(engine, snapshot, model, options, low, high, rng);
    }
}

#endif
