/* SPDX-License-Identifier: Apache-2.0
 *
 * Backup_fixture: an engine with its model, in memory, and backups of it; a store that is
 * restored is held against the model of the moment that its seal tells.
 */
#ifndef ESTREAT_TESTS_BACKUP_FIXTURE_H
#define ESTREAT_TESTS_BACKUP_FIXTURE_H

#include "engine_model.h"
#include "storage/backup/backup.h"
#include "storage/backup/check.h"
#include "storage/backup/restore.h"
#include "testlib/clock_manual.h"
#include "testlib/fs_crash.h"

#define BACKUPS "backups"

struct backup_fixture {
    struct fs_crash *crash;
    struct fs *fs; /* what is worked with; of `crash` unless the test puts another before it */
    struct executor_manual executor;
    struct engine_options options;
    struct backup_options backup;
    struct engine *engine;
    struct model model;
    struct clock_manual clock;
    struct rng_seeded rng;
    struct error err;
};

/* --- a store ------------------------------------------------------------------------------- */

static inline void backup_open(struct backup_fixture *fx)
{
    executor_manual_init(&fx->executor, 3);
    fx->options.fs = fx->fs;
    assert_ok(engine_open(&fx->options, &fx->engine, &fx->err), &fx->err);
}

static inline void backup_close(struct backup_fixture *fx)
{
    executor_close(&fx->executor.executor);
    engine_close(fx->engine);
    fx->engine = NULL;
}

static inline void backup_fixture_init(struct backup_fixture *fx, uint64_t seed)
{
    memset(fx, 0, sizeof *fx);
    fx->crash = fs_crash_new();
    fx->fs = fs_crash_fs(fx->crash);
    rng_seeded_init(&fx->rng, seed);
    clock_manual_init(&fx->clock, NS_PER_S);
    fx->options = model_options(fx->fs, &fx->executor.executor, "store");
    fx->options.on_wait = step_while_waiting;
    fx->options.context = &fx->executor;
    fx->backup = (struct backup_options){
        .dir = BACKUPS, .clock = &fx->clock.clock, .rng = &fx->rng.rng, .step_bytes = 1000};
    backup_open(fx);
}

static inline void backup_fixture_release(struct backup_fixture *fx)
{
    if (fx->engine != NULL) {
        backup_close(fx);
    }
    fs_crash_free(fx->crash);
}

static inline void backup_work(struct backup_fixture *fx, unsigned turns)
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
static inline void backup_settle(struct backup_fixture *fx)
{
    assert_ok(engine_seal(fx->engine, model_blob(&fx->model), &fx->err), &fx->err);
    assert_ok(engine_flush(fx->engine, &fx->err), &fx->err);
}

/* --- backups ------------------------------------------------------------------------------- */

/* *made only if it is. */
static inline enum status backup_try(struct backup_fixture *fx, struct backup_made *made)
{
    struct backup *backup = NULL;
    enum status status = backup_start(fx->engine, &fx->backup, &backup, &fx->err);
    if (status == STATUS_OK) {
        status = backup_run(backup, &fx->err);
    }
    if (backup != NULL && backup_is_made(backup) && made != NULL) {
        *made = *backup_result(backup);
    }
    backup_free(backup);
    return status;
}

static inline struct backup_made backup_make(struct backup_fixture *fx)
{
    struct backup_made made;
    assert_ok(backup_try(fx, &made), &fx->err);
    return made;
}

static inline enum status restore_try(struct backup_fixture *fx, uint64_t number, const char *to)
{
    struct restore *restore = NULL;
    const struct restore_options options = {.fs = fx->fs,
                                            .alloc = alloc_default(),
                                            .from = BACKUPS,
                                            .number = number,
                                            .to = to,
                                            .step_bytes = 1000};
    enum status status = restore_start(&options, &restore, &fx->err);
    if (status == STATUS_OK) {
        status = restore_run(restore, &fx->err);
    }
    restore_free(restore);
    return status;
}

/* The store in `dir` holds what its seal says, all of it sound; *out is that (may be NULL). */
static inline void assert_store(struct backup_fixture *fx, const char *dir, struct model *out)
{
    struct model found;
    struct executor_manual executor;
    struct engine *engine = NULL;
    struct engine_options options = fx->options;
    executor_manual_init(&executor, 7);
    options.fs = fx->fs;
    options.dir = dir;
    options.executor = &executor.executor;
    options.context = &executor;
    assert_ok(engine_open(&options, &engine, &fx->err), &fx->err);
    read_sealed_model(engine, &found);
    assert_content(engine, NULL, &found);
    assert_ok(engine_verify(engine, &fx->err), &fx->err);
    executor_close(&executor.executor);
    engine_close(engine);
    if (out != NULL) {
        *out = found;
    }
}

static inline enum status remove_each(void *context, const char *name, struct error *err)
{
    struct backup_fixture *fx = context;
    char path[PATH_BYTES_MAX];
    enum status status = path_join(path, "restored", name, err);
    return status == STATUS_OK ? fs_unlink(fx->fs, path, err) : status;
}

/* Removes the directory "restored" with its files. */
static inline void remove_restored(struct backup_fixture *fx)
{
    bool exists = false;
    assert_ok(fs_exists(fx->fs, "restored", &exists, &fx->err), &fx->err);
    if (exists) {
        assert_ok(fs_list(fx->fs, "restored", remove_each, fx, &fx->err), &fx->err);
        assert_ok(fs_remove_dir(fx->fs, "restored", &fx->err), &fx->err);
    }
}

/* The backup, restored, is the store that it was when the model was `expected`. */
static inline void assert_backup(struct backup_fixture *fx, uint64_t number,
                                 const struct model *expected)
{
    struct model found;
    assert_ok(restore_try(fx, number, "restored"), &fx->err);
    assert_store(fx, "restored", &found);
    assert_memory_equal(&found, expected, sizeof found);
    remove_restored(fx);
}

struct faults {
    uint64_t count;
    struct error first;
};

static inline void count_fault(void *context, const struct error *fault)
{
    struct faults *faults = context;
    assert_int_equal(fault->status, STATUS_CORRUPT);
    assert_non_null(strstr(fault->text, " at "));
    faults->first = faults->count == 0 ? *fault : faults->first;
    faults->count++;
}

/* Returns how many faults a look at all backups finds. */
static inline struct faults verify_backups(struct backup_fixture *fx,
                                           struct backup_checked *checked)
{
    struct faults faults = {.count = 0};
    struct backup_check *check = NULL;
    const struct backup_check_options options = {.fs = fx->fs,
                                                 .alloc = alloc_default(),
                                                 .dir = BACKUPS,
                                                 .step_bytes = 1000,
                                                 .on_fault = count_fault,
                                                 .context = &faults};
    assert_ok(backup_check_start(&options, &check, &fx->err), &fx->err);
    assert_ok(backup_check_run(check, &fx->err), &fx->err);
    if (checked != NULL) {
        *checked = *backup_check_result(check);
    }
    backup_check_free(check);
    return faults;
}

static inline void assert_sound(struct backup_fixture *fx)
{
    struct faults faults = verify_backups(fx, NULL);
    if (faults.count > 0) {
        fail_msg("%s", faults.first.text);
    }
}

/* --- files --------------------------------------------------------------------------------- */

enum { NAMES_MAX = 1024 };

struct name_list {
    char names[NAMES_MAX][64];
    size_t count;
};

static inline enum status add_name(void *context, const char *name, struct error *err)
{
    struct name_list *list = context;
    (void)err;
    assert_true(list->count < NAMES_MAX);
    (void)snprintf(list->names[list->count++], 64, "%s", name);
    return STATUS_OK;
}

static inline void list_names(struct backup_fixture *fx, const char *dir, struct name_list *out)
{
    out->count = 0;
    assert_ok(fs_list(fx->fs, dir, add_name, out, &fx->err), &fx->err);
}

/* Names in `dir` that contain `part`. */
static inline size_t count_names(struct backup_fixture *fx, const char *dir, const char *part)
{
    struct name_list list;
    size_t count = 0;
    list_names(fx, dir, &list);
    for (size_t i = 0; i < list.count; i++) {
        count += strstr(list.names[i], part) != NULL ? 1 : 0;
    }
    return count;
}

/* The path of the first name in `dir` that contains `part`. */
static inline void find_name(struct backup_fixture *fx, const char *dir, const char *part,
                             char out[PATH_BYTES_MAX])
{
    struct name_list list;
    list_names(fx, dir, &list);
    for (size_t i = 0; i < list.count; i++) {
        if (strstr(list.names[i], part) != NULL) {
            assert_ok(path_join(out, dir, list.names[i], &fx->err), &fx->err);
            return;
        }
    }
    fail_msg("no %s in %s", part, dir);
}

#endif
