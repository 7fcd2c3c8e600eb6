/* SPDX-License-Identifier: Apache-2.0
 *
 * Partitions, case by case: their bounds, what a query by time reads, what a floor drops and what
 * it leaves, and what is refused. Random work: test_partitions.c.
 */
#include "base/log.h"
#include "partitions_model.h"
#include "storage/inspect/dump.h"
#include "storage/inspect/stats.h"
#include "storage/tree/manifest_read.h"

enum { MANY = 1500, TABLES_MAX = 200 };

struct one_table {
    char path[64];
    unsigned level;
    uint64_t smallest;
    uint64_t largest;
    uint64_t bytes;
    struct time_bounds times;
};

struct tables {
    struct one_table all[TABLES_MAX];
    size_t count;
};

static enum status note_table(void *context, const struct engine_table *table, struct error *err)
{
    struct tables *tables = context;
    (void)err;
    assert_true(tables->count < TABLES_MAX);
    struct one_table *to = &tables->all[tables->count++];
    *to = (struct one_table){.level = table->level,
                             .smallest = get_be64(table->smallest.data),
                             .largest = get_be64(table->largest.data),
                             .bytes = table->bytes,
                             .times = table->times};
    (void)snprintf(to->path, sizeof to->path, "/store/%s", table->name);
    return STATUS_OK;
}

static void list_tables(struct pm_world *world, struct tables *out)
{
    out->count = 0;
    assert_ok(engine_for_each_table(world->engine, PM_EVENTS, note_table, out, &world->err),
              &world->err);
}

/* A store of MANY events in partitions, closed and opened anew. */
static void begin(struct pm_world *world, enum pm_times times)
{
    pm_init(world, times);
    assert_ok(pm_open(world, 1), &world->err);
    while (world->model.count < MANY) {
        assert_ok(pm_append(world, 10), &world->err);
        if (engine_should_seal(world->engine)) {
            pm_settle(world);
        }
    }
    pm_settle(world);
    pm_close(world);
    assert_ok(pm_open(world, 1), &world->err);
}

static void end(struct pm_world *world)
{
    pm_close(world);
    pm_release(world);
}

static void spoil(struct pm_world *world, const char *path)
{
    struct file *file = NULL;
    assert_ok(fs_open(world->fs, path, FS_WRITE | FS_TRUNCATE, &file, &world->err), &world->err);
    file_close(file);
}

/* The events of the range, or how the walk ended. */
static enum status count_range(struct pm_world *world, uint64_t begin_time, uint64_t end_time,
                               uint64_t *count)
{
    struct engine_iter *iter = NULL;
    struct engine_iter_options options = {
        .by_time = true, .time_begin = begin_time, .time_end = end_time};
    *count = 0;
    assert_ok(engine_iter_new(world->engine, NULL, PM_EVENTS, &options, &iter, &world->err),
              &world->err);
    for (engine_iter_seek_first(iter); engine_iter_valid(iter); engine_iter_next(iter)) {
        (*count)++;
    }
    enum status status = engine_iter_status(iter, &world->err);
    engine_iter_close(iter);
    return status;
}

static uint64_t expected_count(const struct pm_model *model, uint64_t begin_time, uint64_t end_time)
{
    uint64_t count = 0;
    for (uint64_t i = model->floor; i < model->count; i++) {
        uint64_t time = pm_time(model->times, i);
        count += time >= begin_time && time < end_time ? 1 : 0;
    }
    return count;
}

static uint64_t manifest_number_of(struct pm_world *world)
{
    const struct manifest_options options = {
        .fs = world->fs, .alloc = alloc_default(), .dir = "/store"};
    uint64_t number = 0;
    assert_ok(manifest_read_current(&options, &number, &world->err), &world->err);
    return number;
}

/* --- bounds -------------------------------------------------------------------------------- */

/* Partitions end at their size and at their span, unless they are small; each knows its times. */
static void test_bounds(void **state)
{
    (void)state;
    for (enum pm_times times = PM_RISING; times < PM_TIMES; times++) {
        struct pm_world world;
        static struct tables tables;
        begin(&world, times);
        list_tables(&world, &tables);
        size_t partitions = 0;
        for (size_t i = 0; i < tables.count; i++) {
            const struct one_table *table = &tables.all[i];
            struct time_bounds exact = {.known = false};
            for (uint64_t at = table->smallest; at <= table->largest; at++) {
                time_bounds_add(&exact, pm_time(times, at));
            }
            assert_true(table->times.known);
            assert_int_equal(table->times.smallest, exact.smallest);
            assert_int_equal(table->times.largest, exact.largest);
            if (table->level != KEYSPACE_PARTITION_LEVEL) {
                continue;
            }
            partitions++;
            assert_true(table->bytes < PM_PARTITION_BYTES + 3 * KIB);
            assert_true(exact.largest - exact.smallest <= PM_SPAN || table->bytes < 4 * KIB);
        }
        /* By their times alone there are four; by their bytes some ten. */
        assert_true(partitions >= MANY * 5 / PM_SPAN);
        assert_true(times == PM_WILD || partitions < 25);
        end(&world);
    }
}

/* A long span lets partitions grow to their size, in few steps: none stays small but the last. */
static void test_growth(void **state)
{
    (void)state;
    struct pm_world world;
    struct keyspace_options keyspaces[PM_COUNT] = {pm_keyspaces[0], pm_keyspaces[1]};
    static struct tables tables;
    keyspaces[PM_EVENTS].partition_span = UINT64_MAX;
    pm_init(&world, PM_RISING);
    world.options.keyspaces = keyspaces;
    world.options.memtable_bytes = 3 * KIB;
    assert_ok(pm_open(&world, 1), &world.err);
    while (world.model.count < MANY) {
        assert_ok(pm_append(&world, 10), &world.err);
        pm_settle(&world);
    }
    list_tables(&world, &tables);
    uint64_t bytes = 0;
    size_t partitions = 0;
    for (size_t i = 0; i < tables.count; i++) {
        if (tables.all[i].level == KEYSPACE_PARTITION_LEVEL) {
            bytes += tables.all[i].bytes;
            partitions++;
            assert_true(tables.all[i].bytes < PM_PARTITION_BYTES + 3 * KIB);
        }
    }
    assert_true(bytes / partitions > PM_PARTITION_BYTES / 3);
    struct engine_stats stats;
    engine_stats(world.engine, &stats);
    /* Each byte is merged a few times: log2 of how many flushes a partition takes. */
    assert_true(stats.compaction_bytes_written < 5 * bytes);
    end(&world);
}

/* --- queries -------------------------------------------------------------------------------- */

/* Tables whose bounds a range does not meet are not even opened: the query succeeds when they are
 * destroyed, and one of their times does not. */
static void test_other_tables_are_not_read(void **state)
{
    (void)state;
    for (enum pm_times times = PM_RISING; times <= PM_NEARLY; times++) {
        struct pm_world world;
        static struct tables tables;
        uint64_t count = 0;
        begin(&world, times);
        list_tables(&world, &tables);
        uint64_t from = pm_time(PM_RISING, MANY / 2);
        struct time_range range = {from, from + 300};
        size_t spoiled = 0;
        for (size_t i = 0; i < tables.count; i++) {
            if (!time_bounds_meet(&tables.all[i].times, &range)) {
                spoil(&world, tables.all[i].path);
                spoiled++;
            }
        }
        assert_true(tables.count - spoiled <= 3 && spoiled >= 4);
        assert_ok(count_range(&world, range.begin, range.end, &count), &world.err);
        assert_true(count > 40);
        assert_int_equal(count, expected_count(&world.model, range.begin, range.end));
        assert_status(count_range(&world, 0, range.end, &count), STATUS_CORRUPT, &world.err);
        end(&world);
    }
}

/* In a large table of rising times a query begins where its times do: it reads blocks of a run or
 * two, of hundreds. In one of unordered times it reads no run that cannot have any. */
static void test_start_within_a_table(void **state)
{
    (void)state;
    enum { EVENTS = 12000 };
    for (int order = 0; order < 2; order++) {
        struct pm_world world;
        struct keyspace_options keyspaces[PM_COUNT] = {pm_keyspaces[0], pm_keyspaces[1]};
        struct engine_stats before;
        struct engine_stats after;
        uint64_t count = 0;
        keyspaces[PM_EVENTS].partition_span = UINT64_MAX;
        keyspaces[PM_EVENTS].partition_bytes = 64 * MIB;
        keyspaces[PM_EVENTS].codec_old = CODEC_NONE;
        pm_init(&world, order == 0 ? PM_RISING : PM_NEARLY);
        world.options.keyspaces = keyspaces;
        world.options.memtable_bytes = 16 * MIB;
        world.options.table_bytes = 64 * MIB;
        assert_ok(pm_open(&world, 1), &world.err);
        while (world.model.count < EVENTS) {
            assert_ok(pm_append(&world, 100), &world.err);
        }
        pm_settle(&world);
        assert_ok(engine_compact(world.engine, &world.err), &world.err);
        engine_stats(world.engine, &before);
        assert_int_equal(before.tables, 1);
        uint64_t blocks = before.bytes / (1 * KIB);
        assert_true(blocks > 900);
        uint64_t from = pm_time(PM_RISING, EVENTS * 2 / 3);
        assert_ok(count_range(&world, from, from + 100, &count), &world.err);
        assert_int_equal(count, expected_count(&world.model, from, from + 100));
        assert_true(count >= 15);
        engine_stats(world.engine, &after);
        assert_true(after.block_cache_misses - before.block_cache_misses <=
                    2 * TIME_RUN_BYTES / KIB + 4);
        end(&world);
    }
}

/* Tables from before a keyspace was timed may hold any time: they are read, not passed over; new
 * ones know theirs, and after they were merged all do. */
static void test_a_store_becomes_timed(void **state)
{
    (void)state;
    struct pm_world world;
    struct keyspace_options keyspaces[PM_COUNT] = {pm_keyspaces[0], pm_keyspaces[1]};
    static struct tables tables;
    struct rng_seeded rng;
    rng_seeded_init(&rng, 1);
    keyspaces[PM_EVENTS].timed = false;
    pm_init(&world, PM_NEARLY);
    world.options.keyspaces = keyspaces;
    assert_ok(pm_open(&world, 1), &world.err);
    assert_ok(pm_append(&world, 60), &world.err);
    assert_status(pm_raise_floor(&world, 10), STATUS_INVALID_ARGUMENT, &world.err);
    pm_settle(&world);
    assert_int_equal(manifest_number_of(&world), 1);
    pm_close(&world);
    world.options.keyspaces = pm_keyspaces;
    assert_ok(pm_open(&world, 1), &world.err);
    assert_true(manifest_number_of(&world) > 1); /* of version 2 */
    assert_ok(pm_append(&world, 60), &world.err);
    pm_settle(&world);
    list_tables(&world, &tables);
    assert_int_equal(tables.count, 2);
    assert_false(tables.all[0].times.known);
    assert_true(tables.all[1].times.known);
    pm_assert_content(world.engine, NULL, &world.model, &rng.rng);
    assert_ok(engine_compact(world.engine, &world.err), &world.err);
    assert_ok(engine_verify(world.engine, &world.err), &world.err);
    list_tables(&world, &tables);
    for (size_t i = 0; i < tables.count; i++) {
        assert_true(tables.all[i].times.known);
    }
    pm_assert_content(world.engine, NULL, &world.model, &rng.rng);
    end(&world);
}

/* --- the cache ------------------------------------------------------------------------------ */

/* Walks through events [begin, end); returns how many blocks were not in the cache. */
static uint64_t walk(struct pm_world *world, uint64_t begin_at, uint64_t end_at)
{
    uint8_t keys[2][8];
    struct engine_stats before;
    struct engine_stats after;
    struct engine_iter *iter = NULL;
    const struct engine_iter_options options = {.begin = pm_key(keys[0], begin_at),
                                                .end = pm_key(keys[1], end_at)};
    uint64_t count = 0;
    engine_stats(world->engine, &before);
    assert_ok(engine_iter_new(world->engine, NULL, PM_EVENTS, &options, &iter, &world->err),
              &world->err);
    for (engine_iter_seek_first(iter); engine_iter_valid(iter); engine_iter_next(iter)) {
        count++;
    }
    assert_ok(engine_iter_status(iter, &world->err), &world->err);
    engine_iter_close(iter);
    assert_int_equal(count, end_at - begin_at);
    engine_stats(world->engine, &after);
    return after.block_cache_misses - before.block_cache_misses;
}

/* What was read once of the newest events is in the cache after a walk through old ones, more than
 * the cache holds, each used until it is there; also when the store was opened anew. Of a keyspace
 * that is not timed it is not. */
static void test_new_partitions_stay_in_the_cache(void **state)
{
    (void)state;
    enum { MOST = 30000, OLD = 20000, NEW = 300, STEP = 1000 };
    for (int timed = 0; timed < 2; timed++) {
        struct pm_world world;
        struct keyspace_options keyspaces[PM_COUNT] = {pm_keyspaces[0], pm_keyspaces[1]};
        keyspaces[PM_EVENTS].timed = timed == 1;
        keyspaces[PM_EVENTS].partition_span = UINT64_MAX;
        keyspaces[PM_EVENTS].partition_bytes = 96 * KIB;
        pm_init(&world, PM_RISING);
        world.options.keyspaces = keyspaces;
        world.options.memtable_bytes = 256 * KIB;
        world.options.block_cache_bytes = 1 * MIB;
        assert_ok(pm_open(&world, 1), &world.err);
        while (world.model.count < MOST) {
            assert_ok(pm_append(&world, 100), &world.err);
            if (engine_should_seal(world.engine)) {
                pm_settle(&world);
            }
        }
        assert_ok(pm_append(&world, NEW), &world.err);
        pm_settle(&world);
        for (int opened = 0; opened < 2; opened++) {
            uint64_t end_at = world.model.count;
            assert_true(walk(&world, end_at - NEW, end_at) > 10);
            for (uint64_t at = 0; at < OLD; at += STEP) {
                assert_true(walk(&world, at, at + STEP) > 0);
                unsigned walks = 1; /* a full cache takes what comes again, sooner or later */
                while (walk(&world, at, at + STEP) > 0) {
                    walks++;
                    assert_true(walks < 5);
                }
            }
            uint64_t misses = walk(&world, end_at - NEW, end_at);
            assert_true(timed == 1 ? misses == 0 : misses > 10);
            pm_close(&world);
            assert_ok(pm_open(&world, 1), &world.err);
        }
        end(&world);
    }
}

/* --- floors --------------------------------------------------------------------------------- */

static size_t file_count(struct pm_world *world)
{
    static struct tables tables;
    list_tables(world, &tables);
    return tables.count;
}

/* A floor hides at once; when its seal is flushed, whole tables below go without being read, also
 * when they are destroyed or not there; the one that it divides is rewritten if enough is dead. */
static void test_a_floor_drops(void **state)
{
    (void)state;
    struct pm_world world;
    struct engine_stats stats;
    static struct tables tables;
    struct rng_seeded rng;
    rng_seeded_init(&rng, 1);
    begin(&world, PM_NEARLY);
    list_tables(&world, &tables);
    size_t before = tables.count;
    const struct one_table divided = tables.all[before - 2]; /* the levels ascend, and the keys */
    assert_int_equal(divided.level, KEYSPACE_PARTITION_LEVEL);
    uint64_t width = divided.largest - divided.smallest + 1;
    spoil(&world, tables.all[before - 4].path);
    assert_ok(fs_unlink(world.fs, tables.all[before - 5].path, &world.err), &world.err);
    assert_ok(pm_raise_floor(&world, divided.smallest + width / 10), &world.err);
    pm_assert_gets(world.engine, NULL, &world.model, &rng.rng);
    engine_stats(world.engine, &stats);
    assert_int_equal(stats.dead_bytes, 0); /* not durable */
    (void)executor_manual_run(&world.executor, 100000);
    assert_int_equal(file_count(&world), before);
    pm_settle(&world);
    engine_stats(world.engine, &stats);
    uint64_t dropped = stats.partitions_dropped;
    assert_int_equal(file_count(&world), before - dropped);
    assert_true(dropped >= 5 && stats.partition_bytes_dropped > 5 * KIB);
    assert_int_equal(stats.partitions_rewritten, 0);
    assert_in_range(stats.dead_bytes, divided.bytes / 20, divided.bytes / 5);
    assert_ok(engine_verify(world.engine, &world.err), &world.err);
    pm_assert_content(world.engine, NULL, &world.model, &rng.rng);
    assert_ok(pm_raise_floor(&world, divided.smallest + width / 2), &world.err);
    pm_settle(&world);
    engine_stats(world.engine, &stats);
    assert_int_equal(stats.partitions_dropped, dropped);
    assert_int_equal(stats.partitions_rewritten, 1);
    assert_in_range(stats.partition_bytes_rewritten, divided.bytes / 4, divided.bytes * 3 / 4);
    assert_int_equal(stats.dead_bytes, 0);
    pm_assert_content(world.engine, NULL, &world.model, &rng.rng);
    pm_close(&world);
    assert_ok(pm_open(&world, 1), &world.err);
    pm_assert_content(world.engine, NULL, &world.model, &rng.rng);
    end(&world);
}

/* What a snapshot sees stays, for as long as it is held. */
static void test_a_snapshot_holds(void **state)
{
    (void)state;
    struct pm_world world;
    struct engine_stats stats;
    struct rng_seeded rng;
    rng_seeded_init(&rng, 1);
    begin(&world, PM_WILD);
    size_t before = file_count(&world);
    struct snapshot *snapshot = engine_snapshot_new(world.engine);
    struct pm_model held = world.model;
    assert_ok(pm_raise_floor(&world, MANY), &world.err);
    pm_settle(&world);
    assert_int_equal(file_count(&world), before);
    pm_assert_content(world.engine, snapshot, &held, &rng.rng);
    pm_assert_content(world.engine, NULL, &world.model, &rng.rng);
    engine_stats(world.engine, &stats);
    assert_true(stats.dead_bytes > 0);
    assert_false(stats.compaction_due);
    engine_snapshot_free(world.engine, snapshot);
    engine_poll(world.engine);
    (void)executor_manual_run(&world.executor, 100000);
    assert_int_equal(file_count(&world), 0);
    /* Keys go on above the floor, also after all tables are gone and the store was opened anew. */
    pm_close(&world);
    assert_ok(pm_open(&world, 1), &world.err);
    world.model.count = MANY - 1;
    assert_status(pm_append(&world, 1), STATUS_INVALID_ARGUMENT, &world.err);
    world.model.count = MANY;
    assert_ok(pm_append(&world, 5), &world.err);
    pm_assert_content(world.engine, NULL, &world.model, &rng.rng);
    end(&world);
}

/* On a disk with room for a record in the manifest, and none for any table, a floor that is durable
 * still makes room. */
static void test_a_full_disk(void **state)
{
    (void)state;
    struct pm_world world;
    struct engine_stats stats;
    begin(&world, PM_RISING);
    struct snapshot *snapshot = engine_snapshot_new(world.engine);
    assert_ok(pm_raise_floor(&world, MANY * 9 / 10), &world.err);
    pm_settle(&world);
    assert_ok(fs_sync_dir(world.fs, "/store", &world.err), &world.err);
    uint64_t used = fs_crash_used(world.crash);
    fs_crash_set_capacity(world.crash, used + 200);
    assert_ok(pm_append(&world, 20), &world.err);
    assert_ok(pm_seal(&world), &world.err);
    assert_status(engine_flush(world.engine, &world.err), STATUS_RESOURCE_EXHAUSTED, &world.err);
    engine_snapshot_free(world.engine, snapshot);
    /* What was begun and unlinked is on the disk in memory until then. */
    assert_ok(fs_sync_dir(world.fs, "/store", &world.err), &world.err);
    engine_poll(world.engine);
    (void)executor_manual_run(&world.executor, 100000);
    engine_stats(world.engine, &stats);
    assert_true(stats.partitions_dropped >= 3);
    assert_int_equal(stats.immutable_count, 1); /* still not flushed */
    (void)engine_should_seal(world.engine);
    (void)executor_manual_run(&world.executor, 100000);
    assert_ok(fs_sync_dir(world.fs, "/store", &world.err), &world.err);
    assert_true(fs_crash_used(world.crash) < used / 2);
    assert_ok(engine_flush(world.engine, &world.err), &world.err);
    end(&world);
}

/* A floor never falls, belongs to keyspaces that are timed, and nothing is put below it, also
 * within one batch; what is refused changes nothing. */
static void test_refused(void **state)
{
    (void)state;
    struct pm_world world;
    uint8_t key[8];
    struct rng_seeded rng;
    rng_seeded_init(&rng, 1);
    pm_init(&world, PM_RISING);
    assert_ok(pm_open(&world, 1), &world.err);
    assert_ok(pm_append(&world, 20), &world.err);
    assert_ok(pm_raise_floor(&world, 10), &world.err);
    assert_ok(pm_raise_floor(&world, 10), &world.err);
    assert_status(pm_raise_floor(&world, 9), STATUS_INVALID_ARGUMENT, &world.err);
    batch_clear(&world.batch);
    batch_set_floor(&world.batch, PM_META, pm_key(key, 5));
    assert_status(engine_write(world.engine, &world.batch, &world.err), STATUS_INVALID_ARGUMENT,
                  &world.err);
    batch_clear(&world.batch);
    batch_put(&world.batch, PM_EVENTS, pm_key(key, 20), slice_of_string(""));
    batch_set_floor(&world.batch, PM_EVENTS, pm_key(key, 30));
    batch_put(&world.batch, PM_EVENTS, pm_key(key, 29), slice_of_string(""));
    assert_status(engine_write(world.engine, &world.batch, &world.err), STATUS_INVALID_ARGUMENT,
                  &world.err);
    pm_assert_content(world.engine, NULL, &world.model, &rng.rng);
    end(&world);
}

/* --- looking -------------------------------------------------------------------------------- */

/* A manifest that says other times than the table has is found by verification. */
static void test_a_lying_manifest(void **state)
{
    (void)state;
    for (int lie = 0; lie < 3; lie++) {
        struct pm_world world;
        begin(&world, PM_RISING);
        uint64_t number = manifest_number_of(&world);
        pm_close(&world);
        const struct manifest_options options = {.fs = world.fs,
                                                 .alloc = alloc_default(),
                                                 .dir = "/store",
                                                 .keyspaces = pm_keyspaces,
                                                 .keyspace_count = PM_COUNT};
        struct manifest_state known;
        struct manifest *manifest = NULL;
        manifest_state_init(&known, alloc_default());
        assert_ok(manifest_open(&options, &known, &manifest, &world.err), &world.err);
        struct edit_add add = edit_add_at(&known.tables, 0);
        add.times.smallest += lie == 1 ? 1 : 0;
        add.times.largest += lie == 2 ? 1 : 0;
        memcpy(known.tables.adds.data, &add, sizeof add);
        known.tables.full = true;
        known.tables.next_file = known.next_file + 100;
        assert_ok(manifest_rewrite(manifest, number + 1000, &known.tables, &world.err), &world.err);
        manifest_close(manifest);
        manifest_state_release(&known);
        assert_ok(pm_open(&world, 1), &world.err);
        assert_status(engine_verify(world.engine, &world.err),
                      lie == 0 ? STATUS_OK : STATUS_CORRUPT, &world.err);
        end(&world);
    }
}

/* The tool's lines tell bounds and floors. */
static void test_the_tool_tells(void **state)
{
    (void)state;
    struct pm_world world;
    static struct store_place place;
    begin(&world, PM_RISING);
    assert_ok(pm_raise_floor(&world, 0x4142), &world.err);
    pm_settle(&world);
    pm_close(&world);
    char *text = NULL;
    size_t length = 0;
    FILE *lines = open_memstream(&text, &length);
    struct report report = {.lines = lines, .messages = lines};
    assert_ok(store_place_find(&place, world.fs, alloc_default(), "/store", &world.err),
              &world.err);
    assert_ok(inspect_stats(&place, &report, &world.err), &world.err);
    (void)fflush(lines);
    assert_non_null(strstr(text, " dead_bytes=0 floor=\"\\x00\\x00\\x00\\x00\\x00\\x00AB\""));
    assert_ok(inspect_dump(&place, &report, &world.err), &world.err);
    (void)fflush(lines);
    assert_non_null(strstr(text, "\nfloor file=MANIFEST-"));
    assert_non_null(strstr(text, " smallest_time="));
    assert_int_equal(report.faults, 0);
    (void)fclose(lines);
    free(text);
    pm_release(&world);
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_other_tables_are_not_read),
        cmocka_unit_test(test_start_within_a_table),
        cmocka_unit_test(test_a_store_becomes_timed),
        cmocka_unit_test(test_new_partitions_stay_in_the_cache),
        cmocka_unit_test(test_a_floor_drops),
        cmocka_unit_test(test_a_snapshot_holds),
        cmocka_unit_test(test_a_full_disk),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_a_lying_manifest),
        cmocka_unit_test(test_the_tool_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
