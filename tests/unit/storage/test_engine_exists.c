/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a key is there, without its value: by the filters where it is not.
 */
#include "engine_run.h"
#include "testlib/flip.h"

static bool exists(struct engine_run *run, const struct snapshot *snapshot, uint32_t number)
{
    char key[64];
    bool found = false;
    assert_ok(
        engine_exists(run->engine, snapshot, KS_LATEST, model_key(key, number), &found, &run->err),
        &run->err);
    return found;
}

static void write_key(struct engine_run *run, uint32_t number, bool remove)
{
    char key[64];
    batch_clear(&run->batch);
    if (remove) {
        batch_delete(&run->batch, KS_LATEST, model_key(key, number));
    } else {
        model_put(&run->model, &run->batch, KS_LATEST, number);
    }
    assert_ok(engine_write(run->engine, &run->batch, &run->err), &run->err);
}

static void flush(struct engine_run *run)
{
    engine_run_seal(run);
    assert_ok(engine_flush(run->engine, &run->err), &run->err);
}

/* In memtables and tables, deleted in either, and as a snapshot sees it. */
static void wherever_it_is(void **state)
{
    struct engine_run run;
    (void)state;
    engine_run_init(&run);
    engine_run_open(&run, 1);
    assert_false(exists(&run, NULL, 1));
    write_key(&run, 1, false);
    write_key(&run, 2, false);
    assert_true(exists(&run, NULL, 1));
    flush(&run);
    assert_true(exists(&run, NULL, 1));
    struct snapshot *snapshot = engine_snapshot_new(run.engine);
    write_key(&run, 1, true);
    assert_false(exists(&run, NULL, 1));
    assert_true(exists(&run, snapshot, 1));
    flush(&run);
    assert_false(exists(&run, NULL, 1));
    assert_true(exists(&run, snapshot, 1));
    assert_true(exists(&run, NULL, 2));
    engine_snapshot_free(run.engine, snapshot);
    engine_run_end(&run);
}

/* Of keys between those of a table: for nearly all no block is looked at. */
static void absent_keys_cost_no_block(void **state)
{
    struct engine_run run;
    struct engine_stats before;
    struct engine_stats after;
    unsigned found = 0;
    (void)state;
    engine_run_init(&run);
    engine_run_open(&run, 1);
    for (uint32_t number = 0; number < 200; number += 2) {
        write_key(&run, number, false);
    }
    flush(&run);
    engine_stats(run.engine, &before);
    for (uint32_t number = 1; number < 199; number += 2) {
        found += exists(&run, NULL, number);
    }
    engine_stats(run.engine, &after);
    uint64_t blocks = after.block_cache_hits + after.block_cache_misses - before.block_cache_hits -
                      before.block_cache_misses;
    assert_int_equal(found, 0);
    assert_in_range(blocks, 0, 8); /* of 99; the filters are wrong once in a hundred */
    for (uint32_t number = 0; number < 200; number += 2) {
        found += exists(&run, NULL, number);
    }
    assert_int_equal(found, 100);
    engine_run_end(&run);
}

static enum status find_table(void *context, const struct engine_table *table, struct error *err)
{
    (void)err;
    (void)snprintf(context, PATH_BYTES_MAX, "/store/%s", table->name);
    return STATUS_OK;
}

/* A block that cannot be read is an error, not an answer. */
static void damage_is_no_answer(void **state)
{
    struct engine_run run;
    char path[PATH_BYTES_MAX] = "";
    char key[64];
    bool found = true;
    (void)state;
    engine_run_init(&run);
    engine_run_open(&run, 1);
    write_key(&run, 1, false);
    flush(&run);
    assert_ok(engine_for_each_table(run.engine, KS_LATEST, find_table, path, &run.err), &run.err);
    flip_bit(run.options.fs, path, 8 * 10);
    assert_status(engine_exists(run.engine, NULL, KS_LATEST, model_key(key, 1), &found, &run.err),
                  STATUS_CORRUPT, &run.err);
    assert_false(found);
    assert_non_null(strstr(run.err.text, path));
    engine_run_end(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wherever_it_is),
        cmocka_unit_test(absent_keys_cost_no_block),
        cmocka_unit_test(damage_is_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
