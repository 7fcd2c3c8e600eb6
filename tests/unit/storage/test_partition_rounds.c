/* SPDX-License-Identifier: Apache-2.0
 *
 * How many partitions are rewritten in a round: what a floor that became durable allows, and no
 * more before the next one is.
 */
#include "base/log.h"
#include "partitions_model.h"

enum { BOTH = 2, MANY = 1500 };

static struct keyspace_options keyspaces[BOTH];

static void append_to_both(struct pm_world *world, uint64_t count)
{
    batch_clear(&world->batch);
    for (unsigned keyspace = 0; keyspace < BOTH; keyspace++) {
        for (uint64_t i = 0; i < count; i++) {
            uint8_t key[8];
            uint8_t bytes[512];
            uint64_t at = world->model.count + i;
            batch_put(&world->batch, keyspace, pm_key(key, at), pm_value(bytes, PM_RISING, at));
        }
    }
    assert_ok(engine_write(world->engine, &world->batch, &world->err), &world->err);
    world->model.count += count;
}

/* Two timed keyspaces with the same events, in partitions. */
static void begin(struct pm_world *world, size_t rewrites_max)
{
    pm_init(world, PM_RISING);
    keyspaces[0] = pm_keyspaces[PM_EVENTS];
    keyspaces[1] = pm_keyspaces[PM_EVENTS];
    keyspaces[1].name = "others";
    world->options.keyspaces = keyspaces;
    world->options.keyspace_count = BOTH;
    world->options.rewrites_max = rewrites_max;
    assert_ok(pm_open(world, 1), &world->err);
    while (world->model.count < MANY) {
        append_to_both(world, 10);
        if (engine_should_seal(world->engine)) {
            pm_settle(world);
        }
    }
    pm_settle(world);
}

/* The middle of the second partition; `context`: its number in [0], the middle in [1]. */
static enum status note_middle(void *context, const struct engine_table *table, struct error *err)
{
    uint64_t *found = context;
    (void)err;
    if (table->level == KEYSPACE_PARTITION_LEVEL && found[0]++ == 1) {
        found[1] = (get_be64(table->smallest.data) + get_be64(table->largest.data)) / 2;
    }
    return STATUS_OK;
}

static uint64_t middle_of_a_partition(struct pm_world *world, unsigned keyspace)
{
    uint64_t found[2] = {0, 0};
    assert_ok(engine_for_each_table(world->engine, keyspace, note_middle, found, &world->err),
              &world->err);
    assert_true(found[1] > 0);
    return found[1];
}

static void raise(struct pm_world *world, unsigned keyspace, uint64_t floor)
{
    uint8_t key[8];
    batch_clear(&world->batch);
    batch_set_floor(&world->batch, keyspace, pm_key(key, floor));
    assert_ok(engine_write(world->engine, &world->batch, &world->err), &world->err);
}

static struct engine_stats stats_of(struct pm_world *world)
{
    struct engine_stats stats;
    engine_stats(world->engine, &stats);
    return stats;
}

/* Floors of two keyspaces each divide a partition. With one a round the second waits, whatever else
 * is written, flushed and merged, until a floor is durable again; with two it does not. */
static void rewrites_are_limited_by_the_round(void **state)
{
    (void)state;
    for (size_t rewrites_max = 1; rewrites_max <= 2; rewrites_max++) {
        struct pm_world world;
        begin(&world, rewrites_max);
        uint64_t floors[BOTH];
        for (unsigned keyspace = 0; keyspace < BOTH; keyspace++) {
            floors[keyspace] = middle_of_a_partition(&world, keyspace);
            raise(&world, keyspace, floors[keyspace]);
        }
        (void)executor_manual_run(&world.executor, 100000);
        assert_int_equal(stats_of(&world).partitions_rewritten, 0); /* no floor is durable */
        pm_settle(&world);
        assert_int_equal(stats_of(&world).partitions_rewritten, rewrites_max);
        assert_int_equal(stats_of(&world).dead_bytes > 0, rewrites_max == 1);
        for (unsigned i = 0; i < 4; i++) {
            append_to_both(&world, 10);
            pm_settle(&world);
        }
        assert_int_equal(stats_of(&world).partitions_rewritten, rewrites_max);
        raise(&world, 0, floors[0] + 1); /* far less than what is worth a rewrite */
        (void)executor_manual_run(&world.executor, 100000);
        assert_int_equal(stats_of(&world).partitions_rewritten, rewrites_max);
        pm_settle(&world);
        assert_int_equal(stats_of(&world).partitions_rewritten, BOTH);
        assert_ok(engine_verify(world.engine, &world.err), &world.err);
        pm_close(&world);
        pm_release(&world);
    }
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rewrites_are_limited_by_the_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
