/* SPDX-License-Identifier: Apache-2.0
 *
 * Compaction that meets damage: the tables stay as they are, the owner is told, and all that can
 * go on without them does.
 */
#include <errno.h>

#include "engine_model.h"
#include "testlib/flip.h"
#include "testlib/fs_crash.h"
#include "testlib/fs_faulty.h"

#define STEPS_MAX 10000U
#define TABLES_MAX 200U

struct fixture {
    struct fs_crash *memory;
    struct fs_faulty faulty;
    struct executor_manual executor;
    struct engine_options options;
    struct engine *engine;
    struct batch batch;
    struct model model;
    struct error err;
    unsigned told; /* of damage */
    struct error damage;
};

static void on_damage(void *context, const struct error *err)
{
    struct fixture *fixture = context;
    fixture->told++;
    fixture->damage = *err;
}

static void on_wait(void *context)
{
    struct fixture *fixture = context;
    (void)executor_manual_step(&fixture->executor);
}

static void open_engine(struct fixture *fixture)
{
    executor_manual_init(&fixture->executor, 1);
    fixture->options = model_options(&fixture->faulty.fs, &fixture->executor.executor, "/store");
    fixture->options.level_base_bytes = 2 * KIB;
    fixture->options.table_bytes = 1 * KIB;
    fixture->options.on_wait = on_wait;
    fixture->options.on_damage = on_damage;
    fixture->options.context = fixture;
    assert_ok(engine_open(&fixture->options, &fixture->engine, &fixture->err), &fixture->err);
}

static void close_engine(struct fixture *fixture)
{
    executor_close(&fixture->executor.executor);
    engine_close(fixture->engine);
}

static int setup(void **state)
{
    static struct fixture fixture;
    memset(&fixture, 0, sizeof fixture);
    fixture.memory = fs_crash_new();
    fs_faulty_init(&fixture.faulty, fs_crash_fs(fixture.memory));
    batch_init(&fixture.batch, alloc_default());
    open_engine(&fixture);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    close_engine(fixture);
    batch_release(&fixture->batch);
    fs_faulty_release(&fixture->faulty);
    fs_crash_free(fixture->memory);
    return 0;
}

static void run(struct fixture *fixture)
{
    (void)executor_manual_run(&fixture->executor, STEPS_MAX);
}

/* A row of each of the keys [begin, end) in both leveled keyspaces becomes a table of level 0. */
static void put(struct fixture *fixture, uint32_t begin, uint32_t end)
{
    struct error *err = &fixture->err;
    batch_clear(&fixture->batch);
    for (uint32_t key = begin; key < end; key++) {
        model_put(&fixture->model, &fixture->batch, KS_LATEST, key);
        model_put(&fixture->model, &fixture->batch, KS_META, key);
    }
    assert_ok(engine_write(fixture->engine, &fixture->batch, err), err);
    assert_ok(engine_seal(fixture->engine, slice_of(NULL, 0), err), err);
    assert_ok(engine_flush(fixture->engine, err), err);
}

struct tables {
    unsigned count;
    unsigned of_level[ENGINE_LEVELS];
    struct {
        char name[32];
        unsigned level;
        uint64_t bytes;
    } of[TABLES_MAX];
};

static enum status add_table(void *context, const struct engine_table *table, struct error *err)
{
    struct tables *tables = context;
    (void)err;
    assert_true(tables->count < TABLES_MAX);
    memcpy(tables->of[tables->count].name, table->name, sizeof table->name);
    tables->of[tables->count].level = table->level;
    tables->of[tables->count].bytes = table->bytes;
    tables->of_level[table->level]++;
    tables->count++;
    return STATUS_OK;
}

static struct tables *list(struct fixture *fixture, unsigned keyspace)
{
    static struct tables tables;
    tables = (struct tables){.count = 0};
    assert_ok(engine_for_each_table(fixture->engine, keyspace, add_table, &tables, &fixture->err),
              &fixture->err);
    return &tables;
}

static bool is_live(struct fixture *fixture, const char *name)
{
    const struct tables *tables = list(fixture, KS_LATEST);
    for (unsigned i = 0; i < tables->count; i++) {
        if (strcmp(tables->of[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

enum way { FLIP, CUT, REMOVE, WAYS };

static void damage(struct fixture *fixture, const char *name, enum way way)
{
    struct error *err = &fixture->err;
    struct fs *fs = fs_crash_fs(fixture->memory);
    char path[PATH_BYTES_MAX];
    struct file *file = NULL;
    uint64_t bytes = 0;
    assert_ok(path_join(path, fixture->options.dir, name, err), err);
    if (way == REMOVE) {
        assert_ok(fs_unlink(fs, path, err), err);
        return;
    }
    if (way == FLIP) {
        flip_bit(fs, path, 100);
        return;
    }
    assert_ok(fs_open(fs, path, FS_READ | FS_WRITE, &file, err), err);
    assert_ok(file_size(file, &bytes, err), err);
    assert_ok(file_truncate(file, bytes / 2, err), err);
    file_close(file);
}

/* The keyspace's newest table in level 0, or the one in the middle of a level below. */
static void damage_level(struct fixture *fixture, unsigned level, enum way way, char name[32])
{
    const struct tables *tables = list(fixture, KS_LATEST);
    unsigned above = 0;
    for (unsigned i = 0; i < level; i++) {
        above += tables->of_level[i];
    }
    assert_true(tables->of_level[level] > 0);
    unsigned at = above + (level == 0 ? 0 : tables->of_level[level] / 2);
    assert_int_equal(tables->of[at].level, level);
    memcpy(name, tables->of[at].name, 32);
    damage(fixture, name, way);
}

static void assert_goes_on(struct fixture *fixture)
{
    assert_ok(engine_background_error(fixture->engine, &fixture->err), &fixture->err);
}

static void assert_told(struct fixture *fixture, unsigned times, const char *name)
{
    assert_int_equal(fixture->told, times);
    assert_int_equal(fixture->damage.status, STATUS_CORRUPT);
    assert_non_null(strstr(fixture->damage.text, name));
}

/* Whatever is wrong with a table of level 0: it stays, others are written, and another keyspace is
 * merged as before. Nobody waits for what cannot come. */
static void damage_in_level_0(void **state)
{
    struct fixture *fixture = *state;
    for (enum way way = FLIP; way < WAYS; way++) {
        char name[32];
        put(fixture, 0, 20);
        put(fixture, 0, 20);
        damage_level(fixture, 0, way, name);
        for (unsigned i = 0; i < 3 * fixture->options.l0_stop; i++) {
            put(fixture, 0, 20);
            run(fixture);
            assert_goes_on(fixture);
        }
        assert_told(fixture, 1, name);
        assert_true(is_live(fixture, name));
        assert_int_equal(list(fixture, KS_LATEST)->of_level[0], 3 * fixture->options.l0_stop + 2);
        assert_true(list(fixture, KS_META)->of_level[0] < fixture->options.l0_trigger);
        struct engine_stats stats;
        engine_stats(fixture->engine, &stats);
        assert_int_equal(stats.stalls, 0);
        (void)teardown(state);
        (void)setup(state);
    }
}

/* Past a multiple of the stop writes are refused rather than left waiting, and reads go on. */
static void writes_are_refused_in_the_end(void **state)
{
    struct fixture *fixture = *state;
    char name[32];
    put(fixture, 0, 20);
    put(fixture, 0, 20);
    damage_level(fixture, 0, FLIP, name);
    while (list(fixture, KS_LATEST)->of_level[0] < 4 * fixture->options.l0_stop) {
        put(fixture, 0, 20);
        run(fixture);
    }
    assert_status(engine_write(fixture->engine, &fixture->batch, &fixture->err),
                  STATUS_RESOURCE_EXHAUSTED, &fixture->err);
    assert_non_null(strstr(fixture->err.text, "damaged"));
    assert_goes_on(fixture);
    char text[64];
    struct buf value;
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    assert_get(fixture->engine, NULL, KS_LATEST, model_key(text, 3), fixture->model.latest[3],
               &value);
    buf_release(&value);
}

/* Fills levels 1 and 2 at least. */
static void fill(struct fixture *fixture)
{
    for (unsigned i = 0; i < 12; i++) {
        put(fixture, i % 4 * (MODEL_KEYS / 4), (i % 4 + 1) * (MODEL_KEYS / 4));
        run(fixture);
    }
    const struct tables *tables = list(fixture, KS_LATEST);
    assert_true(tables->of_level[1] > 0);
    assert_true(tables->of_level[2] > 2);
}

/* A damaged table of a lower level stops only what would have to be merged with it: level 0 still
 * goes down. It was in no cache, since no read has met it. */
static void damage_below(void **state)
{
    struct fixture *fixture = *state;
    char name[32];
    fill(fixture);
    damage_level(fixture, 2, FLIP, name);
    for (unsigned i = 0; i < 100; i++) {
        put(fixture, i % 4 * (MODEL_KEYS / 4), (i % 4 + 1) * (MODEL_KEYS / 4));
        run(fixture);
        assert_goes_on(fixture);
        assert_true(list(fixture, KS_LATEST)->of_level[0] < fixture->options.l0_trigger);
    }
    assert_told(fixture, 1, name);
    assert_true(is_live(fixture, name));
    assert_status(engine_verify(fixture->engine, &fixture->err), STATUS_CORRUPT, &fixture->err);
    assert_non_null(strstr(fixture->err.text, name));
}

/* What is damaged is not kept anywhere else: the next run meets it anew, and goes on as well. */
static void damage_after_a_restart(void **state)
{
    struct fixture *fixture = *state;
    char name[32];
    put(fixture, 0, 20);
    put(fixture, 0, 20);
    damage_level(fixture, 0, FLIP, name);
    put(fixture, 0, 20);
    run(fixture);
    assert_told(fixture, 1, name);
    for (unsigned life = 2; life < 5; life++) {
        close_engine(fixture);
        open_engine(fixture);
        run(fixture);
        assert_told(fixture, life, name);
        assert_goes_on(fixture);
        put(fixture, 0, 20);
        assert_true(is_live(fixture, name));
    }
}

/* A table that is not there at the start keeps nobody from starting: it is damage like any other.
 */
static void a_table_is_missing_at_the_open(void **state)
{
    struct fixture *fixture = *state;
    char name[32];
    put(fixture, 0, 20);
    put(fixture, 20, 40);
    damage_level(fixture, 0, REMOVE, name);
    close_engine(fixture);
    open_engine(fixture);
    assert_told(fixture, 1, name);
    char text[64];
    struct buf value;
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    assert_get(fixture->engine, NULL, KS_META, model_key(text, 30), fixture->model.meta[30],
               &value);
    assert_status(
        engine_get(fixture->engine, NULL, KS_LATEST, model_key(text, 30), &value, &fixture->err),
        STATUS_CORRUPT, &fixture->err);
    buf_release(&value);
    for (unsigned i = 0; i < 10; i++) {
        put(fixture, 0, 20);
        run(fixture);
        assert_goes_on(fixture);
    }
    assert_told(fixture, 1, name);
    assert_true(is_live(fixture, name));
}

/* A read that fails is no damage: that is final, as it was. */
static void a_failed_read_is_final(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 0, 20);
    put(fixture, 0, 20);
    fs_faulty_arm(&fixture->faulty,
                  (struct fs_fault){.call = FS_CALL_READ, .errnum = EIO, .path_contains = ".sst"});
    put(fixture, 0, 20);
    run(fixture);
    fs_faulty_disarm(&fixture->faulty);
    assert_int_equal(engine_background_error(fixture->engine, &fixture->err), STATUS_INTERNAL);
    assert_int_equal(fixture->told, 0);
}

/* So is one while it is looked for which tables are damaged. */
static void a_failed_search_is_final(void **state)
{
    struct fixture *fixture = *state;
    char name[32];
    put(fixture, 0, 20);
    put(fixture, 0, 20);
    damage_level(fixture, 0, FLIP, name);
    put(fixture, 0, 20);
    run(fixture);
    unsigned fatal = 0;
    for (uint64_t at = 0;; at++) {
        close_engine(fixture);
        open_engine(fixture);
        fixture->told = 0;
        fs_faulty_arm(&fixture->faulty,
                      (struct fs_fault){
                          .call = FS_CALL_READ, .at = at, .errnum = EIO, .path_contains = ".sst"});
        run(fixture);
        bool hit = fs_faulty_hit(&fixture->faulty) > 0;
        fs_faulty_disarm(&fixture->faulty);
        if (!hit) {
            break;
        }
        /* One that fails in the very step in which another table turns out to be damaged is read
         * once more. */
        bool failed = engine_background_error(fixture->engine, &fixture->err) == STATUS_INTERNAL;
        assert_int_equal(fixture->told, failed ? 0 : 1);
        fatal += failed;
    }
    assert_true(fatal > 10);
    assert_told(fixture, 1, name);
    assert_goes_on(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(damage_in_level_0, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_are_refused_in_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_below, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_after_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_is_missing_at_the_open, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_read_is_final, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_search_is_final, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
