/* SPDX-License-Identifier: Apache-2.0
 *
 * Each call of the file system and each allocation of a scripted workload fails once, the n-th for
 * every n: no crash, no leak, nothing acknowledged that is not there after a power failure that
 * takes all that was not synced, and the store opens again. The log's turn: test_wal_faults.c.
 *
 * The script opens a store, writes, seals, flushes, compacts, reads back and forth under a
 * snapshot, takes a checkpoint and reads it, verifies, closes, opens once more and reads again.
 * What is read is right, and all of it, or an error comes.
 */
#include <errno.h>

#include "base/log.h"
#include "engine_model.h"
#include "storage/checkpoint.h"
#include "testlib/fail_alloc.h"
#include "testlib/fs_crash.h"
#include "testlib/fs_faulty.h"

enum { SEALS = 4, BATCHES = 8 };

struct run {
    struct fs_crash *crash;
    struct fs_faulty faulty;
    struct fail_alloc memory;
    struct executor_manual executor;
    struct engine_options options;
    struct engine *engine;
    struct batch batch;
    struct model model;
    struct model flushed; /* the last blob that was told to be durable */
    uint64_t flushed_count;
    struct error err;
};

static void note_flushed(void *context, struct slice owner_state)
{
    struct run *run = context;
    assert_int_equal(owner_state.length, sizeof run->flushed);
    memcpy(&run->flushed, owner_state.data, sizeof run->flushed);
    run->flushed_count++;
}

static void step(void *context)
{
    (void)executor_manual_step(&((struct run *)context)->executor);
}

static void begin(struct run *run)
{
    memset(run, 0, sizeof *run);
    run->crash = fs_crash_new();
    struct fs *fs = fs_crash_fs(run->crash);
    assert_ok(fs_make_dir(fs, "/store", &run->err), &run->err);
    assert_ok(fs_sync_dir(fs, "/", &run->err), &run->err);
    fs_faulty_init(&run->faulty, fs);
    fail_alloc_init(&run->memory);
    batch_init(&run->batch, alloc_default());
    run->options = model_options(&run->faulty.fs, &run->executor.executor, "/store");
    run->options.alloc = &run->memory.alloc;
    run->options.l0_trigger = 2;
    run->options.on_flushed = note_flushed;
    run->options.on_wait = step;
    run->options.context = run;
}

static void close_engine(struct run *run)
{
    executor_close(&run->executor.executor);
    engine_close(run->engine);
    run->engine = NULL;
}

static enum status open_engine(struct run *run)
{
    executor_manual_init(&run->executor, 9);
    return engine_open(&run->options, &run->engine, &run->err);
}

/* --- the script ---------------------------------------------------------------------------- */

/* A quarter forward, and from there back to the first key: the model's keys, or an error. */
static enum status turn_around(struct run *run, const struct snapshot *snapshot)
{
    const uint32_t *ids = run->model.latest;
    struct engine_iter *iter = NULL;
    enum status status = engine_iter_new(run->engine, snapshot, KS_LATEST, NULL, &iter, &run->err);
    if (status != STATUS_OK) {
        return status;
    }
    uint32_t key = model_next(ids, 0, MODEL_KEYS);
    engine_iter_seek_first(iter);
    for (; engine_iter_valid(iter) && key < MODEL_KEYS / 4; engine_iter_next(iter)) {
        assert_at(iter, ids, key);
        key = model_next(ids, key + 1, MODEL_KEYS);
    }
    for (key++; engine_iter_valid(iter); engine_iter_prev(iter)) {
        assert_true(key > 0);
        assert_at(iter, ids, key - 1);
        key = model_above(ids, 0, key - 1);
    }
    status = engine_iter_status(iter, &run->err);
    assert_true(status != STATUS_OK || key == 0);
    engine_iter_close(iter);
    return status;
}

/* What comes is the model's; a scan that ends early says why. */
static enum status read_back(struct run *run)
{
    const struct model *model = &run->model;
    struct engine *engine = run->engine;
    struct snapshot *snapshot = engine_snapshot_new(engine);
    if (snapshot == NULL) {
        return error_set(&run->err, STATUS_RESOURCE_EXHAUSTED, "no memory for a snapshot");
    }
    enum status status = turn_around(run, snapshot);
    if (status == STATUS_OK) {
        status = try_walk(engine, snapshot, KS_LATEST, model->latest, 0, MODEL_KEYS, &run->err);
    }
    if (status == STATUS_OK) {
        status = try_walk(engine, snapshot, KS_META, model->meta, 10, MODEL_KEYS - 10, &run->err);
    }
    if (status == STATUS_OK) {
        status = try_events(engine, snapshot, model->events, &run->err);
    }
    engine_snapshot_free(engine, snapshot);
    return status;
}

static enum status read_checkpoint(struct run *run)
{
    struct checkpoint *checkpoint = NULL;
    enum status status = checkpoint_take(run->engine, &checkpoint, &run->err);
    if (status != STATUS_OK) {
        return status;
    }
    uint8_t bytes[16];
    for (size_t i = 0; i < checkpoint_file_count(checkpoint) && status == STATUS_OK; i++) {
        status = checkpoint_read(checkpoint, i, 0, bytes, sizeof bytes, &run->err);
    }
    checkpoint_release(checkpoint);
    return status;
}

static enum status write_some(struct run *run, struct rng *rng)
{
    for (unsigned i = 0; i < BATCHES; i++) {
        struct model before = run->model;
        model_random_batch(&run->model, &run->batch, rng);
        enum status status = engine_write(run->engine, &run->batch, &run->err);
        if (status != STATUS_OK) {
            run->model = before;
            return status;
        }
    }
    return STATUS_OK;
}

/* Until something fails; the first error. */
static enum status work(struct run *run)
{
    struct rng_seeded rng;
    rng_seeded_init(&rng, 77);
    enum status status = open_engine(run);
    for (unsigned seal = 0; seal < SEALS && status == STATUS_OK; seal++) {
        status = write_some(run, &rng.rng);
        if (status == STATUS_OK) {
            status = engine_seal(run->engine, model_blob(&run->model), &run->err);
        }
        if (status == STATUS_OK && seal % 2 == 1) {
            status = engine_flush(run->engine, &run->err);
        }
        if (status == STATUS_OK) {
            status = read_back(run);
        }
    }
    if (status == STATUS_OK) {
        status = engine_compact(run->engine, &run->err);
    }
    if (status == STATUS_OK) {
        status = read_checkpoint(run);
    }
    if (status == STATUS_OK) {
        status = engine_verify(run->engine, &run->err);
    }
    if (status == STATUS_OK) {
        (void)executor_manual_run(&run->executor, 100000);
        status = engine_background_error(run->engine, &run->err);
    }
    if (status == STATUS_OK) {
        close_engine(run);
        status = open_engine(run);
    }
    if (status == STATUS_OK) {
        status = read_back(run); /* now out of tables alone */
    }
    return status;
}

/* --- what must hold afterwards ------------------------------------------------------------- */

/* The machine loses all that was not synced; then the store holds what its blob says, and no less
 * than was acknowledged. */
static void end(struct run *run)
{
    fs_faulty_disarm(&run->faulty);
    fail_alloc_arm(&run->memory, FAIL_ALLOC_NEVER);
    fs_crash_stop(run->crash);
    if (run->engine != NULL) {
        close_engine(run);
    }
    assert_int_equal(fail_alloc_blocks(&run->memory), 0);
    fs_crash_now_losing_all(run->crash);
    assert_ok(open_engine(run), &run->err);
    struct model found;
    read_sealed_model(run->engine, &found);
    assert_true(engine_sealed_count(run->engine) >= run->flushed_count);
    assert_true(found.next_id >= run->flushed.next_id && found.events >= run->flushed.events);
    if (engine_sealed_count(run->engine) == run->flushed_count) {
        assert_memory_equal(&found, &run->flushed, sizeof found);
    }
    assert_content(run->engine, NULL, &found);
    assert_ok(engine_verify(run->engine, &run->err), &run->err);
    close_engine(run);
    batch_release(&run->batch);
    fail_alloc_release(&run->memory);
    fs_faulty_release(&run->faulty);
    fs_crash_free(run->crash);
}

/* Reads go on with what is in memory and on disk, whatever has failed; the status may be an error,
 * a value may not be wrong. */
static void look_up(struct run *run)
{
    struct buf value;
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    for (uint32_t key = 0; key < MODEL_KEYS; key += 5) {
        char text[64];
        struct error err = ERROR_INIT;
        enum status status =
            engine_get(run->engine, NULL, KS_LATEST, model_key(text, key), &value, &err);
        if (status == STATUS_OK) {
            assert_value(buf_slice(&value), run->model.latest[key]);
        } else if (status == STATUS_NOT_FOUND) {
            assert_int_equal(run->model.latest[key], 0);
        }
    }
    buf_release(&value);
}

static void every_call(struct fs_fault fault, uint64_t stride, uint64_t at_least)
{
    bool hit = true;
    uint64_t n = 0;
    for (; hit; n += stride) {
        struct run run;
        begin(&run);
        fault.at = n;
        fault.half = n / stride % 2 == 0;
        fs_faulty_arm(&run.faulty, fault);
        enum status status = work(&run);
        hit = fs_faulty_hit(&run.faulty) > 0;
        if (!hit) {
            assert_ok(status, &run.err);
            assert_int_equal(run.flushed_count, SEALS);
        }
        if (run.engine != NULL) {
            look_up(&run);
        }
        end(&run);
    }
    print_message("%llu calls\n", (unsigned long long)n);
    assert_true(n > at_least);
}

/* An I/O error, once. */
static void each_call_fails(void **state)
{
    (void)state;
    every_call((struct fs_fault){.call = FS_CALL_ANY, .errnum = EIO}, 1, 150);
}

/* No space, once, in each call that can say so. */
static void each_call_finds_no_space(void **state)
{
    (void)state;
    static const enum fs_call calls[] = {FS_CALL_OPEN,     FS_CALL_WRITE,  FS_CALL_SYNC,
                                         FS_CALL_TRUNCATE, FS_CALL_RENAME, FS_CALL_SYNC_DIR};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        every_call((struct fs_fault){.call = calls[i], .errnum = ENOSPC}, 1, 0);
    }
}

/* The disk is gone from one call on. */
static void all_calls_fail_from_one_on(void **state)
{
    (void)state;
    every_call((struct fs_fault){.call = FS_CALL_ANY, .errnum = EIO, .for_ever = true}, 3, 150);
}

/* The n-th allocation; what fails says so, and the same store goes on once there is memory. */
static void each_allocation_fails(void **state)
{
    (void)state;
    bool hit = true;
    uint64_t n = 0;
    for (; hit; n++) {
        struct run run;
        begin(&run);
        fail_alloc_arm(&run.memory, n);
        enum status status = work(&run);
        hit = fail_alloc_hit(&run.memory);
        if (!hit) {
            assert_ok(status, &run.err);
        }
        if (run.engine != NULL) {
            look_up(&run);
        }
        end(&run);
    }
    print_message("%llu allocations\n", (unsigned long long)n);
    assert_true(n > 500);
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_fails),
        cmocka_unit_test(each_call_finds_no_space),
        cmocka_unit_test(all_calls_fail_from_one_on),
        cmocka_unit_test(each_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
