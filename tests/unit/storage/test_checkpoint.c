/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints: copied into another directory their files are a store with the content of
 * the seal that they stand for, whatever the engine has done since.
 */
#include "storage/checkpoint.h"

#include "engine_model.h"
#include "testlib/fs_crash.h"

#define PIECE_BYTES 1000U

struct fixture {
    struct fs_crash *crash;
    struct executor_manual executor;
    struct engine_options options;
    struct engine *engine;
    struct model model;
    struct rng_seeded rng;
    struct error err;
};

static int setup(void **state)
{
    static struct fixture fixture;
    struct fixture *fx = &fixture;
    *fx = (struct fixture){.crash = fs_crash_new()};
    executor_manual_init(&fx->executor, test_seed());
    rng_seeded_init(&fx->rng, test_seed());
    fx->options = model_options(fs_crash_fs(fx->crash), &fx->executor.executor, "store");
    fx->options.on_wait = step_while_waiting;
    fx->options.context = &fx->executor;
    assert_ok(engine_open(&fx->options, &fx->engine, &fx->err), &fx->err);
    *state = fx;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fx = *state;
    executor_close(&fx->executor.executor);
    engine_close(fx->engine);
    fs_crash_free(fx->crash);
    return 0;
}

static void work(struct fixture *fx, unsigned turns)
{
    struct batch batch;
    batch_init(&batch, alloc_default());
    for (unsigned i = 0; i < turns; i++) {
        if (engine_should_seal(fx->engine)) {
            assert_ok(engine_seal(fx->engine, model_blob(&fx->model), &fx->err), &fx->err);
        }
        model_random_batch(&fx->model, &batch, &fx->rng.rng);
        assert_ok(engine_write(fx->engine, &batch, &fx->err), &fx->err);
        (void)executor_manual_step(&fx->executor);
    }
    batch_release(&batch);
}

/* Seals and flushes, so that the present is durable. */
static void settle(struct fixture *fx)
{
    assert_ok(engine_seal(fx->engine, model_blob(&fx->model), &fx->err), &fx->err);
    assert_ok(engine_flush(fx->engine, &fx->err), &fx->err);
}

static struct checkpoint *take(struct fixture *fx)
{
    struct checkpoint *checkpoint = NULL;
    assert_ok(checkpoint_take(fx->engine, &checkpoint, &fx->err), &fx->err);
    return checkpoint;
}

static void copy_file(struct fixture *fx, struct checkpoint *checkpoint, size_t index,
                      const char *dir)
{
    struct checkpoint_file of;
    char path[PATH_BYTES_MAX];
    uint8_t piece[PIECE_BYTES];
    struct file *file = NULL;
    checkpoint_file_at(checkpoint, index, &of);
    assert_ok(path_join(path, dir, of.name, &fx->err), &fx->err);
    assert_ok(
        fs_open(fs_crash_fs(fx->crash), path, FS_WRITE | FS_CREATE | FS_EXCLUSIVE, &file, &fx->err),
        &fx->err);
    for (uint64_t at = 0; at < of.bytes; at += PIECE_BYTES) {
        size_t length = of.bytes - at < PIECE_BYTES ? (size_t)(of.bytes - at) : PIECE_BYTES;
        assert_ok(checkpoint_read(checkpoint, index, at, piece, length, &fx->err), &fx->err);
        assert_ok(file_write(file, at, slice_of(piece, length), &fx->err), &fx->err);
    }
    file_close(file);
}

/* The files make a store that holds what `expected` says. */
static void check_copy(struct fixture *fx, struct checkpoint *checkpoint, const char *dir,
                       const struct model *expected)
{
    struct model found;
    struct executor_manual executor;
    struct engine *copy = NULL;
    executor_manual_init(&executor, 7);
    assert_ok(fs_make_dir(fs_crash_fs(fx->crash), dir, &fx->err), &fx->err);
    for (size_t i = 0; i < checkpoint_file_count(checkpoint); i++) {
        copy_file(fx, checkpoint, i, dir);
        assert_ok(checkpoint_verify(checkpoint, i, &fx->err), &fx->err);
    }
    struct engine_options options = fx->options;
    options.dir = dir;
    options.executor = &executor.executor;
    options.context = &executor;
    assert_ok(engine_open(&options, &copy, &fx->err), &fx->err);
    read_sealed_model(copy, &found);
    assert_memory_equal(&found, expected, sizeof found);
    assert_content(copy, NULL, expected);
    assert_ok(engine_verify(copy, &fx->err), &fx->err);
    /* It is a store like any other: it goes on from there. */
    struct batch batch;
    batch_init(&batch, alloc_default());
    for (unsigned i = 0; i < 200; i++) {
        model_random_batch(&found, &batch, &fx->rng.rng);
        assert_ok(engine_write(copy, &batch, &fx->err), &fx->err);
    }
    assert_ok(engine_seal(copy, model_blob(&found), &fx->err), &fx->err);
    assert_ok(engine_flush(copy, &fx->err), &fx->err);
    (void)executor_manual_run(&executor, 10000);
    assert_content(copy, NULL, &found);
    batch_release(&batch);
    executor_close(&executor.executor);
    engine_close(copy);
}

/* What the engine does after the taking does not show in the copy. */
static void a_copy_is_the_store_of_its_seal(void **state)
{
    struct fixture *fx = *state;
    work(fx, 1500);
    settle(fx);
    struct model then = fx->model;
    struct checkpoint *checkpoint = take(fx);
    assert_int_equal(checkpoint_state(checkpoint).length, sizeof then);
    work(fx, 1500);
    settle(fx);
    (void)executor_manual_run(&fx->executor, 100000);
    check_copy(fx, checkpoint, "copy", &then);
    checkpoint_release(checkpoint);
    assert_content(fx->engine, NULL, &fx->model);
}

/* Two that were taken close together, one before and one after a flush, each stand for their own
 * moment, and share the tables that both have. */
static void two_are_two(void **state)
{
    struct fixture *fx = *state;
    work(fx, 800);
    settle(fx);
    struct model first_model = fx->model;
    struct checkpoint *first = take(fx);
    work(fx, 20);
    settle(fx);
    struct checkpoint *second = take(fx);
    struct model second_model = fx->model;
    work(fx, 800);
    (void)executor_manual_run(&fx->executor, 100000);
    check_copy(fx, second, "second", &second_model);
    checkpoint_release(second);
    check_copy(fx, first, "first", &first_model);
    checkpoint_release(first);
}

/* Without a seal there is no state, and an empty store. */
static void a_new_store_gives_an_empty_one(void **state)
{
    struct fixture *fx = *state;
    struct model nothing = {.events = 0};
    struct checkpoint *checkpoint = take(fx);
    assert_int_equal(checkpoint_state(checkpoint).length, 0);
    assert_int_equal(checkpoint_file_count(checkpoint), 2);
    check_copy(fx, checkpoint, "copy", &nothing);
    checkpoint_release(checkpoint);
}

static enum status count_name(void *context, const char *name, struct error *err)
{
    (void)err;
    *(size_t *)context += strstr(name, ".sst") != NULL;
    return STATUS_OK;
}

static size_t tables_on_disk(struct fixture *fx)
{
    size_t count = 0;
    assert_ok(fs_list(fs_crash_fs(fx->crash), "store", count_name, &count, &fx->err), &fx->err);
    return count;
}

/* Tables that were merged stay as long as the checkpoint, and no longer. */
static void tables_stay_as_long_as_it_is_held(void **state)
{
    struct fixture *fx = *state;
    struct engine_stats stats;
    work(fx, 1500);
    settle(fx);
    struct checkpoint *checkpoint = take(fx);
    work(fx, 1500);
    settle(fx);
    (void)executor_manual_run(&fx->executor, 100000);
    /* The writer lets go of what it last looked at. */
    (void)engine_should_seal(fx->engine);
    (void)executor_manual_run(&fx->executor, 100000);
    engine_stats(fx->engine, &stats);
    assert_true(tables_on_disk(fx) > stats.tables);
    checkpoint_release(checkpoint);
    (void)executor_manual_run(&fx->executor, 100000);
    assert_int_equal(tables_on_disk(fx), stats.tables);
}

/* A table that is cut or gone is damage, not an answer. */
static void a_cut_table_is_damage(void **state)
{
    struct fixture *fx = *state;
    struct checkpoint_file of;
    char path[PATH_BYTES_MAX];
    uint8_t byte;
    struct file *file = NULL;
    work(fx, 500);
    settle(fx);
    struct checkpoint *checkpoint = take(fx);
    checkpoint_file_at(checkpoint, 0, &of);
    assert_true(of.immutable);
    assert_ok(path_join(path, "store", of.name, &fx->err), &fx->err);
    assert_ok(fs_open(fs_crash_fs(fx->crash), path, FS_WRITE, &file, &fx->err), &fx->err);
    assert_ok(file_truncate(file, of.bytes - 1, &fx->err), &fx->err);
    file_close(file);
    assert_status(checkpoint_read(checkpoint, 0, of.bytes - 1, &byte, 1, &fx->err), STATUS_CORRUPT,
                  &fx->err);
    assert_non_null(strstr(fx->err.text, of.name));
    assert_ok(fs_unlink(fs_crash_fs(fx->crash), path, &fx->err), &fx->err);
    assert_status(checkpoint_read(checkpoint, 0, 0, &byte, 1, &fx->err), STATUS_CORRUPT, &fx->err);
    assert_non_null(strstr(fx->err.text, of.name));
    checkpoint_release(checkpoint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_copy_is_the_store_of_its_seal, setup, teardown),
        cmocka_unit_test_setup_teardown(two_are_two, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_store_gives_an_empty_one, setup, teardown),
        cmocka_unit_test_setup_teardown(tables_stay_as_long_as_it_is_held, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_table_is_damage, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
