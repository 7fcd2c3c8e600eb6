/* SPDX-License-Identifier: Apache-2.0
 *
 * Store_fixture: a small store with all kinds of files, in memory: tables of several levels
 * and a log of several segments below data/, and a copy of the tables made from a
 * checkpoint in copy/. Its files are kept, so that a test may spoil one and have all as it
 * was again.
 *
 * Everything in the log is attested. What the store holds is `model`, what the log holds the
 * entries [1, log_last]. With `chains` most of the log's groups were not synced when they came.
 */
#ifndef ESTREAT_TESTS_STORE_FIXTURE_H
#define ESTREAT_TESTS_STORE_FIXTURE_H

#include "engine_model.h"
#include "storage/checkpoint.h"
#include "wal_fixture.h"

#define STORE_TABLES "data/tables"
#define STORE_LOG "data/wal"
#define STORE_COPY "copy"
#define STORE_FILES_MAX 128

struct store_file_bytes {
    char path[64];
    const char *dir; /* one of the above */
    struct buf bytes;
};

struct store_fixture {
    struct wal_fixture log; /* its file system is that of all */
    struct fs *fs;
    struct executor_manual executor;
    struct engine_options options;
    struct engine *engine;
    struct model model;
    uint64_t log_last;
    struct store_file_bytes files[STORE_FILES_MAX];
    size_t count;
    struct error err;
};

/* --- files --------------------------------------------------------------------------------- */

struct store_adding {
    struct store_fixture *fx;
    const char *dir;
};

static inline enum status store_add_file(void *context, const char *name, struct error *err)
{
    struct store_adding *adding = context;
    struct store_fixture *fx = adding->fx;
    (void)err;
    assert_true(fx->count < STORE_FILES_MAX);
    struct store_file_bytes *file = &fx->files[fx->count++];
    (void)snprintf(file->path, sizeof file->path, "%s/%s", adding->dir, name);
    file->dir = adding->dir;
    return STATUS_OK;
}

/* Keeps the directory's files as they are now. */
static inline void store_keep(struct store_fixture *fx, const char *dir)
{
    struct store_adding adding = {.fx = fx, .dir = dir};
    size_t from = fx->count;
    assert_ok(fs_list(fx->fs, dir, store_add_file, &adding, &fx->err), &fx->err);
    for (size_t i = from; i < fx->count; i++) {
        buf_init(&fx->files[i].bytes, alloc_default(), 16 * MIB);
        assert_ok(fs_read_file(fx->fs, fx->files[i].path, &fx->files[i].bytes, &fx->err), &fx->err);
    }
}

/* What was kept is kept no longer. */
static inline void store_forget(struct store_fixture *fx)
{
    for (size_t i = 0; i < fx->count; i++) {
        buf_release(&fx->files[i].bytes);
    }
    fx->count = 0;
}

static inline void store_write_file(struct store_fixture *fx, const char *path, struct slice bytes)
{
    struct file *file = NULL;
    assert_ok(fs_open(fx->fs, path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &file, &fx->err), &fx->err);
    assert_ok(file_write(file, 0, bytes, &fx->err), &fx->err);
    file_close(file);
}

struct store_name {
    char name[64];
    bool found;
};

static inline enum status store_take_name(void *context, const char *name, struct error *err)
{
    struct store_name *one = context;
    (void)err;
    (void)snprintf(one->name, sizeof one->name, "%s", name);
    one->found = true;
    return STATUS_OK;
}

/* Removes all files of the directory. */
static inline void store_empty(struct store_fixture *fx, const char *dir)
{
    struct store_name one = {.found = true};
    while (one.found) {
        char path[PATH_BYTES_MAX];
        one.found = false;
        assert_ok(fs_list(fx->fs, dir, store_take_name, &one, &fx->err), &fx->err);
        if (one.found) {
            assert_ok(path_join(path, dir, one.name, &fx->err), &fx->err);
            assert_ok(fs_unlink(fx->fs, path, &fx->err), &fx->err);
        }
    }
}

/* The directory is as it was kept. */
static inline void store_restore(struct store_fixture *fx, const char *dir)
{
    store_empty(fx, dir);
    for (size_t i = 0; i < fx->count; i++) {
        if (strcmp(fx->files[i].dir, dir) == 0) {
            store_write_file(fx, fx->files[i].path, buf_slice(&fx->files[i].bytes));
        }
    }
}

/* The first kept file of the directory whose name contains `part`. */
static inline struct store_file_bytes *store_find(struct store_fixture *fx, const char *dir,
                                                  const char *part)
{
    for (size_t i = 0; i < fx->count; i++) {
        if (strcmp(fx->files[i].dir, dir) == 0 && strstr(fx->files[i].path, part) != NULL) {
            return &fx->files[i];
        }
    }
    fail_msg("no file with %s in %s", part, dir);
    return NULL;
}

/* Bit `bit` of the file on disk is flipped. */
static inline void store_flip(struct store_fixture *fx, const struct store_file_bytes *file,
                              uint64_t bit)
{
    struct file *handle = NULL;
    uint8_t byte = file->bytes.data[bit / 8] ^ (uint8_t)(1U << bit % 8);
    assert_ok(fs_open(fx->fs, file->path, FS_WRITE, &handle, &fx->err), &fx->err);
    assert_ok(file_write(handle, bit / 8, slice_of(&byte, 1), &fx->err), &fx->err);
    file_close(handle);
}

static inline void store_truncate(struct store_fixture *fx, const char *path, uint64_t bytes)
{
    struct file *handle = NULL;
    assert_ok(fs_open(fx->fs, path, FS_WRITE, &handle, &fx->err), &fx->err);
    assert_ok(file_truncate(handle, bytes, &fx->err), &fx->err);
    file_close(handle);
}

/* --- building ------------------------------------------------------------------------------ */

static inline void store_close_engine(struct store_fixture *fx)
{
    executor_close(&fx->executor.executor);
    engine_close(fx->engine);
    fx->engine = NULL;
}

/* Opens the tables in `dir`; no job is run unless the test does. */
static inline enum status store_open_engine(struct store_fixture *fx, const char *dir)
{
    executor_manual_init(&fx->executor, 3);
    fx->options.dir = dir;
    return engine_open(&fx->options, &fx->engine, &fx->err);
}

static inline void store_copy_checkpoint(struct store_fixture *fx)
{
    struct checkpoint *checkpoint = NULL;
    assert_ok(checkpoint_take(fx->engine, &checkpoint, &fx->err), &fx->err);
    for (size_t i = 0; i < checkpoint_file_count(checkpoint); i++) {
        struct checkpoint_file of;
        char path[PATH_BYTES_MAX];
        checkpoint_file_at(checkpoint, i, &of);
        struct buf bytes;
        buf_init(&bytes, alloc_default(), 16 * MIB);
        assert_non_null(buf_extend(&bytes, (size_t)of.bytes));
        assert_ok(checkpoint_read(checkpoint, i, 0, bytes.data, (size_t)of.bytes, &fx->err),
                  &fx->err);
        assert_ok(path_join(path, STORE_COPY, of.name, &fx->err), &fx->err);
        store_write_file(fx, path, buf_slice(&bytes));
        buf_release(&bytes);
    }
    checkpoint_release(checkpoint);
}

static inline void store_build_tables(struct store_fixture *fx, uint64_t seed, unsigned batches)
{
    struct batch batch;
    struct rng_seeded rng;
    rng_seeded_init(&rng, seed);
    batch_init(&batch, alloc_default());
    assert_ok(store_open_engine(fx, STORE_TABLES), &fx->err);
    for (unsigned i = 0; i < batches; i++) {
        model_random_batch(&fx->model, &batch, &rng.rng);
        assert_ok(engine_write(fx->engine, &batch, &fx->err), &fx->err);
        if (engine_should_seal(fx->engine) || i + 1 == batches) {
            assert_ok(engine_seal(fx->engine, model_blob(&fx->model), &fx->err), &fx->err);
            assert_ok(engine_flush(fx->engine, &fx->err), &fx->err);
            if (i + 1 < batches) {
                (void)executor_manual_run(&fx->executor, 10000);
            }
        }
    }
    batch_release(&batch);
    store_copy_checkpoint(fx);
    store_close_engine(fx);
}

static inline void store_build_log(struct store_fixture *fx, bool chains)
{
    fx->log.options.dir = STORE_LOG;
    fx->log.options.unsynced = chains;
    fx->log.entry_bytes = 60;
    fixture_open(&fx->log);
    if (!chains) {
        fixture_vote(&fx->log, 1, 2);
    }
    uint64_t next = 1;
    for (unsigned group = 0; group < 18; group++) {
        uint64_t from = group % 5 == 4 ? next - 1 : next; /* sometimes a tail is replaced */
        next = from + 1 + group % 4;
        fixture_append(&fx->log, from, next, 1 + group / 5);
        if (chains && group % 7 != 3) {
            fixture_write(&fx->log);
        } else {
            fixture_commit(&fx->log);
        }
    }
    fixture_idle(&fx->log);
    fixture_idle(&fx->log); /* the first one only makes a chain durable */
    fixture_close(&fx->log);
    fx->log_last = next - 1;
}

static inline void store_wait(void *context)
{
    (void)executor_manual_step(&((struct store_fixture *)context)->executor);
}

static inline void store_init_log(struct store_fixture *fx, uint64_t seed, unsigned batches,
                                  bool chains)
{
    memset(fx, 0, sizeof *fx);
    fixture_init(&fx->log, 4 * KIB);
    fx->fs = fx->log.fs;
    fx->options = model_options(fx->fs, &fx->executor.executor, STORE_TABLES);
    fx->options.on_wait = store_wait;
    fx->options.context = fx;
    assert_ok(fs_make_dir(fx->fs, "data", &fx->err), &fx->err);
    assert_ok(fs_make_dir(fx->fs, STORE_COPY, &fx->err), &fx->err);
    store_build_tables(fx, seed, batches);
    store_build_log(fx, chains);
    store_keep(fx, STORE_TABLES);
    store_keep(fx, STORE_LOG);
    store_keep(fx, STORE_COPY);
}

static inline void store_init(struct store_fixture *fx, uint64_t seed, unsigned batches)
{
    store_init_log(fx, seed, batches, false);
}

static inline void store_release(struct store_fixture *fx)
{
    store_forget(fx);
    fixture_release(&fx->log);
}

#endif
