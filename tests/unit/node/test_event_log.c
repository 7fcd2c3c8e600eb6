/* SPDX-License-Identifier: Apache-2.0
 *
 * The first position at or after a time: that it is the right one, whatever lies in tables and what
 * in memory; what is read for it; and stores from before keyspace `events` was timed.
 */
#include "testlib/test.h"

#include "node/event_log.h"
#include "testlib/executor_manual.h"
#include "testlib/fs_crash.h"

enum { STEP_NS = 100, FIRST_NS = 5000, PAYLOAD_BYTES = 500, TABLES_MAX = 64 };

struct world {
    struct fs_crash *crash;
    struct executor_manual executor;
    struct keyspace_options keyspaces[KEYSPACE_COUNT];
    struct engine *engine;
    struct batch batch;
    uint64_t count; /* events [0, count) */
    struct error err;
};

static void on_wait(void *context)
{
    (void)executor_manual_step(&((struct world *)context)->executor);
}

static void engine_begin(struct world *world)
{
    const struct engine_options options = {.fs = fs_crash_fs(world->crash),
                                           .executor = &world->executor.executor,
                                           .dir = "tables",
                                           .keyspaces = world->keyspaces,
                                           .keyspace_count = KEYSPACE_COUNT,
                                           .table_bytes = 512 * KIB,
                                           .on_wait = on_wait,
                                           .context = world};
    executor_manual_init(&world->executor, 1);
    assert_ok(engine_open(&options, &world->engine, &world->err), &world->err);
}

static void engine_end(struct world *world)
{
    executor_close(&world->executor.executor);
    engine_close(world->engine);
}

static void reopen(struct world *world)
{
    engine_end(world);
    engine_begin(world);
}

static void world_open(struct world *world, bool timed)
{
    memset(world, 0, sizeof *world);
    world->crash = fs_crash_new();
    memcpy(world->keyspaces, keyspaces_layout(), sizeof world->keyspaces);
    world->keyspaces[KEYSPACE_EVENTS].timed = timed;
    world->keyspaces[KEYSPACE_EVENTS].codec_old = CODEC_NONE; /* sizes that are known */
    batch_init(&world->batch, alloc_default());
    engine_begin(world);
}

static void world_close(struct world *world)
{
    engine_end(world);
    batch_release(&world->batch);
    fs_crash_free(world->crash);
}

static uint64_t time_of(uint64_t position)
{
    return FIRST_NS + position * STEP_NS + position % 7;
}

static void append(struct world *world, uint64_t count)
{
    uint8_t payload[PAYLOAD_BYTES];
    batch_clear(&world->batch);
    for (uint64_t end = world->count + count; world->count < end; world->count++) {
        memset(payload, (int)(world->count % 251), sizeof payload);
        const struct event_record record = {.position = world->count,
                                            .time_ns = time_of(world->count),
                                            .kind = EVENT_KIND_CREATE,
                                            .key = slice_of_string("k"),
                                            .payload = slice_of(payload, sizeof payload)};
        uint8_t key[POSITION_KEY_BYTES];
        position_key(world->count, key);
        uint8_t *to = batch_put_space(&world->batch, KEYSPACE_EVENTS, slice_of(key, sizeof key),
                                      event_record_length(&record));
        assert_non_null(to);
        event_record_encode(&record, to);
    }
    assert_ok(engine_write(world->engine, &world->batch, &world->err), &world->err);
}

static void flush(struct world *world)
{
    assert_ok(engine_seal(world->engine, slice_of(NULL, 0), &world->err), &world->err);
    assert_ok(engine_flush(world->engine, &world->err), &world->err);
    (void)executor_manual_run(&world->executor, 100000);
}

/* Partitions, fresh tables, a sealed memtable and an active one; some in each. */
static void fill(struct world *world)
{
    for (int i = 0; i < 16; i++) {
        append(world, 300);
        flush(world);
    }
    append(world, 77);
}

static uint64_t position_at(struct world *world, uint64_t size, uint64_t time_ns)
{
    uint64_t position = UINT64_MAX;
    assert_ok(event_log_position_at(world->engine, size, time_ns, &position, &world->err),
              &world->err);
    return position;
}

/* At, just before and just behind each event's time, for a log of this size. */
static void assert_all_times(struct world *world, uint64_t size, uint64_t stride)
{
    for (uint64_t i = 0; i < size; i += stride) {
        assert_int_equal(position_at(world, size, time_of(i) - 1), i);
        assert_int_equal(position_at(world, size, time_of(i)), i);
        assert_int_equal(position_at(world, size, time_of(i) + 1), i + 1);
    }
    assert_int_equal(position_at(world, size, 0), 0);
    assert_int_equal(position_at(world, size, time_of(size)), size);
    assert_int_equal(position_at(world, size, UINT64_MAX - 1), size);
    assert_int_equal(position_at(world, size, UINT64_MAX), size);
}

struct one_table {
    char path[64];
    unsigned level;
    uint64_t first;
    uint64_t last;
    bool knows_times;
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
                             .first = get_be64(table->smallest.data),
                             .last = get_be64(table->largest.data),
                             .knows_times = table->times.known};
    (void)snprintf(to->path, sizeof to->path, "tables/%s", table->name);
    return STATUS_OK;
}

static void list_tables(struct world *world, struct tables *out)
{
    out->count = 0;
    assert_ok(engine_for_each_table(world->engine, KEYSPACE_EVENTS, note_table, out, &world->err),
              &world->err);
}

/* --- the answer ----------------------------------------------------------------------------- */

/* Wherever the events lie, and however much of them the caller may see. */
static void the_first_position_at_a_time(void **state)
{
    struct world world;
    struct tables tables;
    (void)state;
    world_open(&world, true);
    assert_int_equal(position_at(&world, 0, 0), 0);
    assert_int_equal(position_at(&world, 0, 7), 0);
    append(&world, 3);
    assert_all_times(&world, 3, 1);
    assert_all_times(&world, 2, 1);
    fill(&world);
    list_tables(&world, &tables);
    assert_true(tables.count >= 4);
    assert_all_times(&world, world.count, 1);
    assert_all_times(&world, world.count - 100, 11); /* ends in a fresh table */
    assert_all_times(&world, 1000, 11);              /* in a partition */
    assert_ok(engine_seal(world.engine, slice_of(NULL, 0), &world.err), &world.err);
    append(&world, 10); /* one memtable waits for its flush */
    assert_all_times(&world, world.count, 17);
    world_close(&world);
}

/* A key that is no position is damage, not a position. */
static void a_malformed_key(void **state)
{
    struct world world;
    uint64_t position = 99;
    (void)state;
    world_open(&world, true);
    append(&world, 5);
    batch_clear(&world.batch);
    batch_put(&world.batch, KEYSPACE_EVENTS, slice_of_string("no position"), slice_of(NULL, 0));
    assert_ok(engine_write(world.engine, &world.batch, &world.err), &world.err);
    flush(&world);
    assert_status(event_log_position_at(world.engine, 5, 0, &position, &world.err), STATUS_CORRUPT,
                  &world.err);
    assert_int_equal(position, 99);
    world_close(&world);
}

/* --- what is read for it -------------------------------------------------------------------- */

static void spoil(struct world *world, const struct one_table *table)
{
    struct file *file = NULL;
    assert_ok(
        fs_open(fs_crash_fs(world->crash), table->path, FS_WRITE | FS_TRUNCATE, &file, &world->err),
        &world->err);
    file_close(file);
}

/* Only the table that has the time: when all others are destroyed the answer is the same. When
 * nothing but that one is, there is none. */
static void other_tables_are_not_read(void **state)
{
    (void)state;
    for (int own = 0; own < 2; own++) {
        struct world world;
        struct tables tables;
        world_open(&world, true);
        fill(&world);
        flush(&world);
        reopen(&world);
        list_tables(&world, &tables);
        assert_true(tables.count >= 4);
        struct one_table table = tables.all[tables.count / 2];
        for (size_t i = 0; i < tables.count; i++) {
            if ((tables.all[i].first == table.first) == (own == 1)) {
                spoil(&world, &tables.all[i]);
            }
        }
        uint64_t middle = table.first + (table.last - table.first) / 2;
        uint64_t position = 99;
        if (own == 0) {
            assert_int_equal(position_at(&world, world.count, time_of(middle)), middle);
            assert_int_equal(position_at(&world, world.count, time_of(table.last)), table.last);
            /* Between two tables nothing needs to be read at all. */
            assert_int_equal(position_at(&world, world.count, time_of(table.last) + 1),
                             table.last + 1);
            assert_int_equal(position_at(&world, world.count, 0), 0);
        } else {
            assert_status(event_log_position_at(world.engine, world.count, time_of(middle),
                                                &position, &world.err),
                          STATUS_CORRUPT, &world.err);
            assert_non_null(strstr(world.err.text, table.path));
            assert_int_equal(position, 99);
        }
        world_close(&world);
    }
}

/* In a table of many blocks, none of them cached, those of one run of times are read and the one
 * before it: a search by halves reads twice as many, from everywhere. */
static void few_blocks_are_read(void **state)
{
    struct world world;
    struct engine_stats before;
    struct engine_stats after;
    (void)state;
    world_open(&world, true);
    world.keyspaces[KEYSPACE_EVENTS].partition_bytes = 64 * MIB;
    reopen(&world);
    for (int i = 0; i < 30; i++) {
        append(&world, 1000);
    }
    flush(&world);
    assert_ok(engine_compact(world.engine, &world.err), &world.err);
    const uint64_t run_blocks =
        TIME_RUN_BYTES / world.keyspaces[KEYSPACE_EVENTS].block_bytes_old + 1;
    for (uint64_t i = 1; i < world.count; i += 1234) {
        reopen(&world);
        engine_stats(world.engine, &before);
        assert_int_equal(position_at(&world, world.count, time_of(i)), i);
        engine_stats(world.engine, &after);
        assert_in_range(after.block_cache_misses - before.block_cache_misses, 1, run_blocks + 1);
    }
    world_close(&world);
}

/* --- older stores --------------------------------------------------------------------------- */

static void assert_same_rows(struct world *a, struct world *b)
{
    for (unsigned keyspace = 0; keyspace < KEYSPACE_COUNT; keyspace++) {
        struct engine_iter *left = NULL;
        struct engine_iter *right = NULL;
        assert_ok(engine_iter_new(a->engine, NULL, keyspace, NULL, &left, &a->err), &a->err);
        assert_ok(engine_iter_new(b->engine, NULL, keyspace, NULL, &right, &b->err), &b->err);
        engine_iter_seek_first(left);
        engine_iter_seek_first(right);
        while (engine_iter_valid(left) && engine_iter_valid(right)) {
            assert_true(slice_equal(engine_iter_key(left), engine_iter_key(right)));
            assert_true(slice_equal(engine_iter_value(left), engine_iter_value(right)));
            engine_iter_next(left);
            engine_iter_next(right);
        }
        assert_int_equal(engine_iter_valid(left), engine_iter_valid(right));
        assert_ok(engine_iter_status(left, &a->err), &a->err);
        assert_ok(engine_iter_status(right, &b->err), &b->err);
        engine_iter_close(left);
        engine_iter_close(right);
    }
}

/* A store that was written when `events` was not timed opens, goes on, and answers from tables that
 * do not know their times and from those that do; it holds what one holds that always was timed. */
static void a_store_from_before_times(void **state)
{
    struct world old;
    struct world new;
    struct tables tables;
    (void)state;
    world_open(&old, false);
    world_open(&new, true);
    fill(&old);
    fill(&new);
    flush(&old);
    flush(&new);
    old.keyspaces[KEYSPACE_EVENTS].timed = true;
    reopen(&old);
    list_tables(&old, &tables);
    for (size_t i = 0; i < tables.count; i++) {
        assert_false(tables.all[i].knows_times);
    }
    assert_all_times(&old, old.count, 7);
    fill(&old);
    fill(&new);
    list_tables(&old, &tables);
    size_t knowing = 0;
    for (size_t i = 0; i < tables.count; i++) {
        knowing += tables.all[i].knows_times ? 1 : 0;
    }
    assert_in_range(knowing, 1, tables.count - 1);
    assert_all_times(&old, old.count, 7);
    assert_same_rows(&old, &new);
    assert_ok(engine_verify(old.engine, &old.err), &old.err);
    world_close(&new);
    world_close(&old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_position_at_a_time), cmocka_unit_test(a_malformed_key),
        cmocka_unit_test(other_tables_are_not_read),    cmocka_unit_test(few_blocks_are_read),
        cmocka_unit_test(a_store_from_before_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
