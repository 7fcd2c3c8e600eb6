/* SPDX-License-Identifier: Apache-2.0
 *
 * Flush and compaction as jobs: what each step does, what a merge leaves.
 */
#include "base/log.h"
#include "engine_model.h"
#include "storage/table/table_reader.h"
#include "testlib/fs_crash.h"

struct fixture {
    struct fs_crash *memory;
    struct executor_manual executor;
    struct engine_options options;
    struct engine *engine;
    struct batch batch;
};

static void fixture_init(struct fixture *fixture)
{
    struct error err = ERROR_INIT;
    memset(fixture, 0, sizeof *fixture);
    fixture->memory = fs_crash_new();
    executor_manual_init(&fixture->executor, 1);
    batch_init(&fixture->batch, alloc_default());
    fixture->options =
        model_options(fs_crash_fs(fixture->memory), &fixture->executor.executor, "/store");
    fixture->options.on_wait = step_while_waiting;
    fixture->options.context = &fixture->executor;
    assert_ok(engine_open(&fixture->options, &fixture->engine, &err), &err);
}

static void fixture_release(struct fixture *fixture)
{
    executor_close(&fixture->executor.executor);
    engine_close(fixture->engine);
    batch_release(&fixture->batch);
    fs_crash_free(fixture->memory);
}

/* Writes the batch, seals, flushes, and lets compaction finish. */
static void settle(struct fixture *fixture)
{
    struct error err = ERROR_INIT;
    assert_ok(engine_write(fixture->engine, &fixture->batch, &err), &err);
    batch_clear(&fixture->batch);
    assert_ok(engine_seal(fixture->engine, slice_of(NULL, 0), &err), &err);
    assert_ok(engine_flush(fixture->engine, &err), &err);
    (void)executor_manual_run(&fixture->executor, 100000);
}

struct table_list {
    unsigned count;
    struct engine_table tables[200];
    uint8_t keys[200][2][64];
};

static enum status list_table(void *context, const struct engine_table *table, struct error *err)
{
    (void)err;
    struct table_list *list = context;
    assert_true(list->count < 200);
    struct engine_table *copy = &list->tables[list->count];
    *copy = *table;
    memcpy(list->keys[list->count][0], table->smallest.data, table->smallest.length);
    memcpy(list->keys[list->count][1], table->largest.data, table->largest.length);
    copy->smallest.data = list->keys[list->count][0];
    copy->largest.data = list->keys[list->count][1];
    list->count++;
    return STATUS_OK;
}

static uint64_t list_tables(struct fixture *fixture, unsigned keyspace, struct table_list *list)
{
    struct error err = ERROR_INIT;
    list->count = 0;
    assert_ok(engine_for_each_table(fixture->engine, keyspace, list_table, list, &err), &err);
    uint64_t entries = 0;
    for (unsigned i = 0; i < list->count; i++) {
        entries += list->tables[i].entries;
    }
    return entries;
}

/* What is appended becomes tables that never overlap: a few fresh ones, the others partitions of
 * about the size that tables have. */
static void test_append_partitions(void **state)
{
    (void)state;
    struct fixture fixture;
    static struct table_list list;
    struct model model = {.events = 0};
    fixture_init(&fixture);
    for (int i = 0; i < 600; i++) {
        model_append(&model, &fixture.batch);
        if (i % 10 == 9) {
            settle(&fixture);
        }
    }
    assert_int_equal(list_tables(&fixture, KS_EVENTS, &list), 600);
    unsigned fresh = 0;
    for (unsigned i = 0; i < list.count; i++) {
        bool is_fresh = list.tables[i].level == KEYSPACE_FRESH_LEVEL;
        fresh += is_fresh;
        assert_true(is_fresh || list.tables[i].level == KEYSPACE_PARTITION_LEVEL);
        assert_true(list.tables[i].bytes < 3 * fixture.options.table_bytes);
        assert_true(i == 0 || list.tables[i].level != list.tables[i - 1].level ||
                    slice_compare(list.tables[i - 1].largest, list.tables[i].smallest) < 0);
    }
    assert_true(fresh < fixture.options.l0_trigger);
    assert_in_range(list.count - fresh, 4, 60 / 2);
    assert_content(fixture.engine, NULL, &model);
    fixture_release(&fixture);
}

/* Of many versions in one seal only the newest is written, and each a snapshot sees. */
static void test_flush_drops(void **state)
{
    (void)state;
    struct fixture fixture;
    static struct table_list list;
    struct error err = ERROR_INIT;
    struct model model = {.events = 0};
    fixture_init(&fixture);
    for (int i = 0; i < 10; i++) {
        model_put(&model, &fixture.batch, KS_LATEST, 1);
    }
    assert_ok(engine_write(fixture.engine, &fixture.batch, &err), &err);
    struct snapshot *snapshot = engine_snapshot_new(fixture.engine);
    struct model held = model;
    batch_clear(&fixture.batch);
    for (int i = 0; i < 10; i++) {
        model_put(&model, &fixture.batch, KS_LATEST, 1);
        model_put(&model, &fixture.batch, KS_LATEST, 2);
    }
    settle(&fixture);
    assert_int_equal(list_tables(&fixture, KS_LATEST, &list), 3);
    assert_content(fixture.engine, snapshot, &held);
    assert_content(fixture.engine, NULL, &model);
    engine_snapshot_free(fixture.engine, snapshot);
    fixture_release(&fixture);
}

/* Keys that are deleted leave nothing once all levels are merged: neither values nor deletions. */
static void test_deletions_vanish(void **state)
{
    (void)state;
    struct fixture fixture;
    static struct table_list list;
    struct model model = {.events = 0};
    fixture_init(&fixture);
    for (uint32_t key = 0; key < 20; key++) {
        model_put(&model, &fixture.batch, KS_LATEST, key);
    }
    settle(&fixture);
    for (int round = 0; round < 2; round++) {
        for (uint32_t key = 0; key < 20; key++) {
            model_delete(&model, &fixture.batch, KS_LATEST, key);
        }
        settle(&fixture);
    }
    assert_int_equal(list_tables(&fixture, KS_LATEST, &list), 0);
    assert_content(fixture.engine, NULL, &model);
    fixture_release(&fixture);
}

static uint64_t table_largest_sequence(struct fixture *fixture, const struct engine_table *of)
{
    struct error err = ERROR_INIT;
    char path[PATH_BYTES_MAX];
    assert_ok(path_join(path, "/store", of->name, &err), &err);
    struct table_open_options options = {
        .fs = fs_crash_fs(fixture->memory), .alloc = alloc_default(), .path = path};
    struct table *table = NULL;
    assert_ok(table_open(&options, &table, &err), &err);
    uint64_t sequence = table_get_info(table)->sequence_largest;
    table_unref(table);
    return sequence;
}

/* The largest sequence in the keyspace's tables, after all levels were merged. */
static uint64_t largest_sequence(struct fixture *fixture, unsigned keyspace)
{
    static struct table_list list;
    struct error err = ERROR_INIT;
    assert_ok(engine_compact(fixture->engine, &err), &err);
    assert_true(list_tables(fixture, keyspace, &list) > 0);
    uint64_t largest = 0;
    for (unsigned i = 0; i < list.count; i++) {
        uint64_t sequence = table_largest_sequence(fixture, &list.tables[i]);
        largest = sequence > largest ? sequence : largest;
    }
    return largest;
}

/* Values in the lowest level lose their sequences, but not while a snapshot must tell them from
 * older ones; and what is written later still comes before them. */
static void test_the_lowest_level_has_no_sequences(void **state)
{
    (void)state;
    struct fixture fixture;
    struct model model = {.events = 0};
    fixture_init(&fixture);
    for (int round = 0; round < 2; round++) { /* a table that is merged, not moved */
        for (uint32_t key = 0; key < 20; key++) {
            model_put(&model, &fixture.batch, KS_LATEST, key);
        }
        settle(&fixture);
    }
    assert_int_equal(largest_sequence(&fixture, KS_LATEST), 0);
    struct snapshot *snapshot = engine_snapshot_new(fixture.engine);
    struct model held = model;
    for (uint32_t key = 0; key < 20; key += 2) {
        model_put(&model, &fixture.batch, KS_LATEST, key);
    }
    model_delete(&model, &fixture.batch, KS_LATEST, 1);
    settle(&fixture);
    assert_true(largest_sequence(&fixture, KS_LATEST) > 40);
    assert_content(fixture.engine, snapshot, &held);
    assert_content(fixture.engine, NULL, &model);
    engine_snapshot_free(fixture.engine, snapshot);
    model_put(&model, &fixture.batch, KS_LATEST, 0);
    model_put(&model, &fixture.batch, KS_LATEST, 19);
    settle(&fixture);
    assert_int_equal(largest_sequence(&fixture, KS_LATEST), 0);
    assert_content(fixture.engine, NULL, &model);
    fixture_release(&fixture);
}

/* Tables between level 0 and the lowest one whose values all have lost their sequences, and those
 * that have some. */
static void count_above_the_lowest(struct fixture *fixture, unsigned *without, unsigned *with)
{
    static struct table_list list;
    (void)list_tables(fixture, KS_LATEST, &list);
    for (unsigned i = 0; i < list.count; i++) {
        const struct engine_table *table = &list.tables[i];
        if (table->level > 0 && table->level < list.tables[list.count - 1].level) {
            bool none = table_largest_sequence(fixture, table) == 0;
            *without += none ? 1 : 0;
            *with += none ? 0 : 1;
        }
    }
}

/* A level below says nothing of keys that none of its tables may hold: they lose their sequences
 * above it. Those that it holds keep theirs, or an iterator would take the older version. */
static void test_no_sequences_where_nothing_is_below(void **state)
{
    (void)state;
    struct fixture fixture;
    struct model model = {.events = 0};
    const uint32_t border = 40;
    unsigned without = 0;
    unsigned with = 0;
    fixture_init(&fixture);
    for (int round = 0; round < 24; round++) {
        bool is_upper = round < 12; /* at first the upper keys go down alone */
        for (uint32_t key = is_upper ? border : 0; key < (is_upper ? MODEL_KEYS : border); key++) {
            model_put(&model, &fixture.batch, KS_LATEST, key);
        }
        settle(&fixture);
        assert_content(fixture.engine, NULL, &model);
    }
    count_above_the_lowest(&fixture, &without, &with);
    assert_true(without > 0);
    with = 0;
    for (int round = 0; round < 12; round++) {
        for (uint32_t key = 0; key < MODEL_KEYS; key++) {
            model_put(&model, &fixture.batch, KS_LATEST, key);
        }
        settle(&fixture);
        assert_content(fixture.engine, NULL, &model);
        count_above_the_lowest(&fixture, &without, &with);
    }
    assert_true(with > 0);
    fixture_release(&fixture);
}

/* A deletion above an older version in a deeper level must stay, or the old value comes back. */
static void test_deletion_shadows(void **state)
{
    (void)state;
    struct fixture fixture;
    static struct table_list list;
    struct rng_seeded rng;
    rng_seeded_init(&rng, 4);
    struct model model = {.events = 0};
    fixture_init(&fixture);
    /* Enough to have tables in level 2 and below. */
    for (int round = 0; round < 12; round++) {
        for (uint32_t key = 0; key < MODEL_KEYS; key++) {
            model_put(&model, &fixture.batch, KS_LATEST, key);
        }
        settle(&fixture);
    }
    (void)list_tables(&fixture, KS_LATEST, &list);
    assert_true(list.tables[list.count - 1].level >= 2);
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 4; i++) {
            model_delete(&model, &fixture.batch, KS_LATEST, (uint32_t)rng_below(&rng.rng, 30));
        }
        settle(&fixture);
        assert_content(fixture.engine, NULL, &model);
    }
    fixture_release(&fixture);
}

/* Settles with new values of some keys. */
static void settle_random(struct fixture *fixture, struct model *model, struct rng *rng)
{
    for (int i = 0; i < 40; i++) {
        model_put(model, &fixture->batch, KS_LATEST, (uint32_t)rng_below(rng, MODEL_KEYS));
    }
    settle(fixture);
}

/* Below level 0 tables are disjoint and of bounded size, and no level stays above its target. */
static void test_levels(void **state)
{
    (void)state;
    struct fixture fixture;
    static struct table_list list;
    struct rng_seeded rng;
    rng_seeded_init(&rng, 4);
    struct model model = {.events = 0};
    fixture_init(&fixture);
    for (int round = 0; round < 60; round++) {
        settle_random(&fixture, &model, &rng.rng);
        (void)list_tables(&fixture, KS_LATEST, &list);
        uint64_t bytes[ENGINE_LEVELS] = {0};
        unsigned level0 = 0;
        for (unsigned i = 0; i < list.count; i++) {
            const struct engine_table *table = &list.tables[i];
            bytes[table->level] += table->bytes;
            level0 += table->level == 0 ? 1 : 0;
            assert_true(table->level == 0 || table->bytes < 2 * fixture.options.table_bytes);
            if (i > 0 && table->level > 0 && list.tables[i - 1].level == table->level) {
                assert_true(slice_compare(list.tables[i - 1].largest, table->smallest) < 0);
            }
        }
        assert_true(level0 < fixture.options.l0_trigger);
        assert_true(bytes[1] <= fixture.options.level_base_bytes);
        assert_true(bytes[2] <= fixture.options.level_base_bytes * 3);
    }
    assert_content(fixture.engine, NULL, &model);
    fixture_release(&fixture);
}

/* True if a table of the level below ends between two neighbours. */
static bool level_ends_between(const struct table_list *list, const struct engine_table *left,
                               const struct engine_table *right)
{
    for (unsigned i = 0; i < list->count; i++) {
        const struct engine_table *below = &list->tables[i];
        if (below->level == left->level + 1 && slice_compare(below->largest, left->largest) >= 0 &&
            slice_compare(below->largest, right->smallest) < 0) {
            return true;
        }
    }
    return false;
}

/* Tables end where one of the next level does, so that they are merged with no part of a
 * neighbour's share: more than half of the borders within a level lie so, where a few would by
 * chance. */
static void test_tables_end_where_those_below_do(void **state)
{
    (void)state;
    struct fixture fixture;
    static struct table_list list;
    struct rng_seeded rng;
    rng_seeded_init(&rng, 4);
    struct model model = {.events = 0};
    unsigned borders = 0;
    unsigned shared = 0;
    fixture_init(&fixture);
    for (int round = 0; round < 60; round++) {
        settle_random(&fixture, &model, &rng.rng);
        (void)list_tables(&fixture, KS_LATEST, &list);
        for (unsigned i = 1; i < list.count; i++) {
            const struct engine_table *left = &list.tables[i - 1];
            const struct engine_table *right = &list.tables[i];
            bool border = left->level == right->level && left->level > 0;
            if (border && level_ends_between(&list, left, right)) {
                shared++;
            }
            borders += border && left->level < list.tables[list.count - 1].level ? 1 : 0;
        }
    }
    print_message("%u of %u borders are also those of the next level\n", shared, borders);
    assert_true(borders > 20);
    assert_true(shared * 2 > borders);
    assert_content(fixture.engine, NULL, &model);
    fixture_release(&fixture);
}

/* A long flush takes many steps, each of which moves a bounded amount; writes and reads go on
 * between any two of them. */
static void test_steps(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error err = ERROR_INIT;
    fixture_init(&fixture);
    static uint8_t value[100 * 1024];
    struct rng_seeded rng;
    rng_seeded_init(&rng, 4);
    rng_fill(&rng.rng, value, sizeof value);
    fixture.options.memtable_bytes = 64 * MIB;
    executor_close(&fixture.executor.executor);
    engine_close(fixture.engine);
    executor_manual_init(&fixture.executor, 1);
    assert_ok(engine_open(&fixture.options, &fixture.engine, &err), &err);
    uint8_t key[8];
    for (uint32_t i = 0; i < 60; i++) {
        batch_clear(&fixture.batch);
        batch_put(&fixture.batch, KS_META, model_event_key(key, i), slice_of(value, sizeof value));
        assert_ok(engine_write(fixture.engine, &fixture.batch, &err), &err);
    }
    assert_ok(engine_seal(fixture.engine, slice_of(NULL, 0), &err), &err);
    unsigned steps = 0;
    while (engine_sealed_count(fixture.engine) == 0) {
        assert_true(executor_manual_step(&fixture.executor));
        batch_clear(&fixture.batch);
        batch_put(&fixture.batch, KS_META, model_event_key(key, 100 + steps), slice_of(value, 10));
        assert_ok(engine_write(fixture.engine, &fixture.batch, &err), &err);
        steps++;
    }
    assert_true(steps >= 6 && steps <= 12);
    fixture_release(&fixture);
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_partitions),
        cmocka_unit_test(test_flush_drops),
        cmocka_unit_test(test_deletions_vanish),
        cmocka_unit_test(test_deletion_shadows),
        cmocka_unit_test(test_the_lowest_level_has_no_sequences),
        cmocka_unit_test(test_no_sequences_where_nothing_is_below),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_tables_end_where_those_below_do),
        cmocka_unit_test(test_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
