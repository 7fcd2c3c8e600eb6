/* SPDX-License-Identifier: Apache-2.0
 *
 * Each call of the file system and each allocation of a script over a timed keyspace fails once:
 * partitions with columns (a dictionary is asked for), floors that drop and rewrite, walks by time
 * and with readahead. No crash, no leak, and after a power failure that takes all that was not
 * synced the store is that of some seal, and of no earlier one than was told to be durable. Without
 * times: test_engine_faults.c.
 */
#include <errno.h>

#include "base/log.h"
#include "partitions_model.h"
#include "testlib/fail_alloc.h"
#include "testlib/fs_faulty.h"

enum { SEALS = 4, EVENTS_A_SEAL = 70 };

static struct keyspace_options keyspaces[PM_COUNT];

struct run {
    struct pm_world world;
    struct fs_faulty faulty;
    struct fail_alloc memory;
};

static void begin(struct run *run)
{
    pm_init(&run->world, PM_NEARLY);
    fs_faulty_init(&run->faulty, run->world.fs);
    fail_alloc_init(&run->memory);
    memcpy(keyspaces, pm_keyspaces, sizeof keyspaces);
    keyspaces[PM_EVENTS].codec_old = CODEC_ZSTD;
    keyspaces[PM_EVENTS].dictionary_bytes_old = 1 * KIB;
    keyspaces[PM_EVENTS].partition_bytes = 3 * KIB;
    keyspaces[PM_EVENTS].partition_span = 0;
    run->world.options.keyspaces = keyspaces;
    run->world.options.fs = &run->faulty.fs;
    run->world.options.alloc = &run->memory.alloc;
    run->world.options.l0_trigger = 2;
}

/* --- the script ---------------------------------------------------------------------------- */

static enum status walk(struct pm_world *world, const struct engine_iter_options *options)
{
    struct engine_iter *iter = NULL;
    const struct pm_model *model = &world->model;
    enum status status =
        engine_iter_new(world->engine, NULL, PM_EVENTS, options, &iter, &world->err);
    if (status == STATUS_OK) {
        status = pm_try_walk(iter, model, options, model->floor, model->count, &world->err);
        engine_iter_close(iter);
    }
    return status;
}

static enum status read_back(struct pm_world *world)
{
    uint64_t middle = (world->model.floor + world->model.count) / 2;
    const struct engine_iter_options by_time = {
        .by_time = true,
        .time_begin = pm_time(PM_RISING, middle),
        .time_end = pm_time(PM_RISING, middle + 40),
    };
    const struct engine_iter_options ahead = {.readahead = true, .no_fill_cache = true};
    enum status status = walk(world, &by_time);
    return status == STATUS_OK ? walk(world, &ahead) : status;
}

/* One seal: events, a floor from the second on, a flush, and what is due then. */
static enum status one_seal(struct pm_world *world, unsigned seal)
{
    enum status status = STATUS_OK;
    for (unsigned i = 0; i < EVENTS_A_SEAL / 10 && status == STATUS_OK; i++) {
        status = pm_append(world, 10);
    }
    if (status == STATUS_OK && seal > 1) {
        status = pm_raise_floor(world, seal * EVENTS_A_SEAL * 2 / 5);
    }
    if (status == STATUS_OK) {
        status = pm_seal(world);
    }
    if (status == STATUS_OK) {
        status = engine_flush(world->engine, &world->err);
    }
    if (status == STATUS_OK) {
        (void)executor_manual_run(&world->executor, 100000);
        status = engine_background_error(world->engine, &world->err);
    }
    return status == STATUS_OK ? read_back(world) : status;
}

/* Until something fails; the first error. *stats: of the whole script. */
static enum status work(struct pm_world *world, struct engine_stats *stats)
{
    enum status status = pm_open(world, 3);
    for (unsigned seal = 0; seal < SEALS && status == STATUS_OK; seal++) {
        status = one_seal(world, seal);
    }
    if (status == STATUS_OK) {
        status = engine_verify(world->engine, &world->err);
    }
    if (status == STATUS_OK) {
        engine_stats(world->engine, stats);
        pm_close(world);
        status = pm_open(world, 3);
    }
    return status == STATUS_OK ? read_back(world) : status;
}

/* The script did what it is for. */
static void assert_whole(const struct pm_world *world, const struct engine_stats *stats)
{
    assert_int_equal(world->flushed_count, SEALS);
    assert_true(stats->partitions > 1);
    assert_true(stats->partitions_dropped > 0);
    assert_true(stats->partitions_rewritten > 0);
}

/* --- what must hold afterwards ------------------------------------------------------------- */

static void end(struct run *run)
{
    struct pm_world *world = &run->world;
    struct rng_seeded rng;
    struct buf blob;
    struct pm_model found = {.times = PM_NEARLY};
    fs_faulty_disarm(&run->faulty);
    fail_alloc_arm(&run->memory, FAIL_ALLOC_NEVER);
    fs_crash_stop(world->crash);
    if (world->engine != NULL) {
        pm_close(world);
    }
    assert_int_equal(fail_alloc_blocks(&run->memory), 0);
    fs_crash_now_losing_all(world->crash);
    assert_ok(pm_open(world, 4), &world->err);
    rng_seeded_init(&rng, 1);
    buf_init(&blob, alloc_default(), 1 * KIB);
    assert_ok(engine_sealed_state(world->engine, &blob, &world->err), &world->err);
    if (blob.length > 0) {
        assert_int_equal(blob.length, sizeof found);
        memcpy(&found, blob.data, sizeof found);
    }
    buf_release(&blob);
    assert_true(engine_sealed_count(world->engine) >= world->flushed_count);
    assert_true(found.count >= world->flushed.count && found.floor >= world->flushed.floor);
    pm_assert_content(world->engine, NULL, &found, &rng.rng);
    assert_ok(engine_verify(world->engine, &world->err), &world->err);
    pm_close(world);
    pm_release(world);
    fail_alloc_release(&run->memory);
    fs_faulty_release(&run->faulty);
}

/* Does what was begun, to its end. Returns whether something was made to fail; else all is done. */
static bool try_it(struct run *run)
{
    struct engine_stats stats;
    enum status status = work(&run->world, &stats);
    bool hit = fs_faulty_hit(&run->faulty) > 0 || fail_alloc_hit(&run->memory);
    if (!hit) {
        assert_ok(status, &run->world.err);
        assert_whole(&run->world, &stats);
    }
    end(run);
    return hit;
}

static void every_call(struct fs_fault fault, uint64_t at_least)
{
    bool hit = true;
    uint64_t n = 0;
    for (; hit; n++) {
        struct run run;
        begin(&run);
        fault.at = n;
        fault.half = n % 2 == 0;
        fs_faulty_arm(&run.faulty, fault);
        hit = try_it(&run);
    }
    print_message("%llu calls\n", (unsigned long long)n);
    assert_true(n > at_least);
}

/* An I/O error, once. */
static void each_call_fails(void **state)
{
    (void)state;
    every_call((struct fs_fault){.call = FS_CALL_ANY, .errnum = EIO}, 100);
}

/* No space, once, in each call that can say so. */
static void each_write_finds_no_space(void **state)
{
    (void)state;
    every_call((struct fs_fault){.call = FS_CALL_WRITE, .errnum = ENOSPC}, 20);
}

/* The n-th allocation. */
static void each_allocation_fails(void **state)
{
    (void)state;
    bool hit = true;
    uint64_t n = 0;
    for (; hit; n++) {
        struct run run;
        begin(&run);
        fail_alloc_arm(&run.memory, n);
        hit = try_it(&run);
    }
    print_message("%llu allocations\n", (unsigned long long)n);
    assert_true(n > 300);
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_fails),
        cmocka_unit_test(each_write_finds_no_space),
        cmocka_unit_test(each_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
