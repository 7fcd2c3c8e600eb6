/* SPDX-License-Identifier: Apache-2.0
 *
 * Partitions of a timed keyspace under random work, against a model: queries by time, floors,
 * snapshots that are older than a floor, reopening and power failures.
 */
#include "base/log.h"
#include "partitions_model.h"

#ifdef __SANITIZE_ADDRESS__
enum { SEEDS = 6, CRASHES = 60 };
#else
enum { SEEDS = 16, CRASHES = 200 };
#endif

static void check_snapshots(struct pm_world *world, struct rng *rng)
{
    struct pm_snapshot *held = &world->snapshots[rng_below(rng, PM_SNAPSHOTS)];
    if (held->snapshot == NULL) {
        held->snapshot = engine_snapshot_new(world->engine);
        assert_non_null(held->snapshot);
        held->model = world->model;
        return;
    }
    pm_assert_content(world->engine, held->snapshot, &held->model, rng);
    if (rng_below(rng, 3) == 0) {
        engine_snapshot_free(world->engine, held->snapshot);
        held->snapshot = NULL;
        engine_poll(world->engine);
    }
}

/* One random turn. */
static enum status turn(struct pm_world *world, struct rng *rng)
{
    const struct pm_model *model = &world->model;
    uint64_t choice = rng_below(rng, 40);
    if (choice == 0 || engine_should_seal(world->engine)) {
        return pm_seal(world);
    }
    if (choice < 12) {
        (void)executor_manual_step(&world->executor);
        return STATUS_OK;
    }
    if (choice == 12 && model->count > model->floor) {
        uint64_t left = model->count - model->floor;
        uint64_t by = 1 + rng_below(rng, rng_below(rng, 4) == 0 ? left : left / 3 + 1);
        return pm_raise_floor(world, model->floor + by);
    }
    return pm_append(world, 1 + rng_below(rng, 12));
}

/* The store holds exactly what the model does, for any order of times, whatever is flushed, merged,
 * dropped or rewritten meanwhile, and snapshots see what they saw. */
static void test_model(void **state)
{
    (void)state;
    uint64_t seed = test_seed();
    uint64_t dropped = 0;
    uint64_t rewritten = 0;
    uint64_t partitions = 0;
    for (uint64_t store = 0; store < SEEDS; store++) {
        struct rng_seeded seeded;
        struct pm_world world;
        struct engine_stats stats;
        rng_seeded_init(&seeded, seed + store);
        pm_init(&world, (enum pm_times)(store % PM_TIMES));
        assert_ok(pm_open(&world, seed + store), &world.err);
        for (int i = 0; i < 900; i++) {
            assert_ok(turn(&world, &seeded.rng), &world.err);
            if (i % 50 == 0) {
                pm_assert_content(world.engine, NULL, &world.model, &seeded.rng);
                check_snapshots(&world, &seeded.rng);
            }
            if (rng_below(&seeded.rng, 400) == 0) {
                assert_ok(engine_compact(world.engine, &world.err), &world.err);
            }
            if (rng_below(&seeded.rng, 250) == 0) {
                pm_settle(&world);
                engine_stats(world.engine, &stats);
                dropped += stats.partitions_dropped;
                rewritten += stats.partitions_rewritten;
                pm_close(&world);
                assert_ok(pm_open(&world, seed + store), &world.err);
            }
        }
        pm_free_snapshots(&world);
        pm_settle(&world);
        pm_assert_content(world.engine, NULL, &world.model, &seeded.rng);
        assert_ok(engine_verify(world.engine, &world.err), &world.err);
        engine_stats(world.engine, &stats);
        dropped += stats.partitions_dropped;
        rewritten += stats.partitions_rewritten;
        partitions += stats.partitions; /* none where the last floor was above all */
        pm_close(&world);
        pm_release(&world);
    }
    assert_true(partitions > SEEDS);
    assert_true(dropped > SEEDS);
    assert_true(rewritten > SEEDS / 4);
}

static void check_reopened(struct pm_world *world, struct rng *rng)
{
    struct buf blob;
    assert_ok(pm_open(world, 5), &world->err);
    assert_true(engine_sealed_count(world->engine) >= world->flushed_count);
    buf_init(&blob, alloc_default(), 1 * KIB);
    assert_ok(engine_sealed_state(world->engine, &blob, &world->err), &world->err);
    struct pm_model found = {.times = world->model.times};
    if (blob.length > 0) {
        memcpy(&found, blob.data, sizeof found);
    }
    buf_release(&blob);
    assert_true(found.count >= world->flushed.count && found.floor >= world->flushed.floor);
    pm_assert_content(world->engine, NULL, &found, rng);
    assert_ok(engine_verify(world->engine, &world->err), &world->err);
    world->model = found;
    world->flushed = found;
    world->flushed_count = engine_sealed_count(world->engine);
}

/* After a power failure at any changing call the store is that of some seal, floor and all: what
 * that seal's floor does not hide was not dropped. ESTREAT_CRASHES: how many stores. */
static void test_crashes(void **state)
{
    (void)state;
    uint64_t seed = test_seed();
    const char *wanted = getenv("ESTREAT_CRASHES");
    uint64_t stores = wanted == NULL ? CRASHES : strtoull(wanted, NULL, 10);
    for (uint64_t store = 0; store < stores; store++) {
        struct rng_seeded seeded;
        struct pm_world world;
        rng_seeded_init(&seeded, seed + store);
        pm_init(&world, (enum pm_times)(store % PM_TIMES));
        assert_ok(pm_open(&world, seed + store), &world.err);
        for (int life = 0; life < 3; life++) {
            fs_crash_stop_at(world.crash, rng_below(&seeded.rng, 300));
            for (int i = 0; i < 300 && turn(&world, &seeded.rng) == STATUS_OK; i++) {
            }
            fs_crash_stop(world.crash);
            pm_close(&world);
            fs_crash_now(world.crash, rng_u64(&seeded.rng));
            check_reopened(&world, &seeded.rng);
        }
        pm_close(&world);
        pm_release(&world);
    }
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
