/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/check.h"
#include "storage/backup/inside.h"
#include "storage/backup/lineage.h"
#include "storage/engine_internal.h"
#include "storage/tree/manifest_read.h"
#include "storage/tree/store_file.h"

/* --- the moment ---------------------------------------------------------------------------- */

/* Which of the checkpoint's files each table of the manifest is. */
static enum status find_order(struct backup *backup, struct error *err)
{
    size_t count = edit_add_count(&backup->state.tables);
    CHECK(checkpoint_file_count(backup->checkpoint) == count + 2);
    backup->order = alloc_zeroed(backup->engine->alloc, count + 1, sizeof *backup->order);
    if (backup->order == NULL) {
        return backup_no_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        struct checkpoint_file of;
        uint64_t number = 0;
        checkpoint_file_at(backup->checkpoint, i, &of);
        size_t table = 0;
        CHECK(store_file_of(of.name, &number) == STORE_FILE_TABLE);
        CHECK(edit_find_add(&backup->state.tables, number, &table));
        backup->order[table] = i;
    }
    return STATUS_OK;
}

/* The manifest that the checkpoint made, as those read it who open the store. */
static enum status read_image(struct backup *backup, struct error *err)
{
    struct checkpoint_file of;
    struct manifest_reading reading;
    size_t index = checkpoint_file_count(backup->checkpoint) - 2;
    checkpoint_file_at(backup->checkpoint, index, &of);
    CHECK(store_file_of(of.name, &backup->manifest.store_manifest) == STORE_FILE_MANIFEST);
    uint8_t *bytes = buf_extend(&backup->image, (size_t)of.bytes);
    if (bytes == NULL) {
        return backup_no_memory(err);
    }
    enum status status =
        checkpoint_read(backup->checkpoint, index, 0, bytes, (size_t)of.bytes, err);
    if (status != STATUS_OK) {
        return status;
    }
    backup->manifest.image = buf_slice(&backup->image);
    const struct manifest_options options = {.alloc = backup->engine->alloc,
                                             .dir = backup->engine->dir};
    return manifest_replay(&options, backup->manifest.store_manifest, backup->manifest.image,
                           &backup->state, NULL, NULL, &reading, err);
}

static enum status pin(struct backup *backup, struct error *err)
{
    enum status status = checkpoint_take(backup->engine, &backup->checkpoint, err);
    if (status == STATUS_OK) {
        status = read_image(backup, err);
    }
    return status == STATUS_OK ? find_order(backup, err) : status;
}

/* --- life ---------------------------------------------------------------------------------- */

static struct backup *new_backup(struct engine *engine, const struct backup_options *options)
{
    struct alloc *alloc = engine->alloc;
    struct backup *backup = alloc_zeroed(alloc, 1, sizeof *backup);
    if (backup == NULL) {
        return NULL;
    }
    backup->engine = engine;
    backup->options = *options;
    backup->options.clock = options->clock == NULL ? clock_system() : options->clock;
    backup->options.rng = options->rng == NULL ? rng_system() : options->rng;
    backup->options.step_bytes = options->step_bytes == 0 ? BACKUP_STEP_BYTES : options->step_bytes;
    buf_init(&backup->image, alloc, BACKUP_BYTES_MAX);
    manifest_state_init(&backup->state, alloc);
    backup_manifest_init(&backup->manifest, alloc);
    return backup;
}

static enum status prepare(struct backup *backup, struct error *err)
{
    size_t room = backup->options.step_bytes;
    room = room < BACKUP_PIECE_BYTES_MIN ? BACKUP_PIECE_BYTES_MIN : room;
    struct engine *engine = backup->engine;
    backup->piece = alloc_new(engine->alloc, room);
    if (backup->piece == NULL) {
        return backup_no_memory(err);
    }
    enum status status = backup_directory_open(&backup->directory, engine->options.fs,
                                               engine->alloc, backup->options.dir, true, true, err);
    if (status == STATUS_OK) {
        status = backup_names_read(&backup->names, &backup->directory, err);
    }
    if (status == STATUS_OK) {
        status = backup_directory_sweep(&backup->directory, &backup->names, err);
    }
    if (status == STATUS_OK) {
        status = lineage_of(engine->options.fs, backup->options.rng, engine->dir,
                            backup->manifest.lineage, err);
    }
    return status == STATUS_OK ? pin(backup, err) : status;
}

enum status backup_start(struct engine *engine, const struct backup_options *options,
                         struct backup **out, struct error *err)
{
    struct backup *backup = new_backup(engine, options);
    if (backup == NULL) {
        return backup_no_memory(err);
    }
    enum status status = prepare(backup, err);
    if (status != STATUS_OK) {
        backup_free(backup);
        return status;
    }
    size_t count = backup_directory_count(&backup->directory);
    struct backup_manifest *manifest = &backup->manifest;
    manifest->number =
        1 + (count == 0 ? 0 : backup_directory_number(&backup->directory, count - 1));
    manifest->made_at_ns = clock_realtime_ns(backup->options.clock);
    manifest->full = options->full || backup->names.made.length == 0;
    backup->made = (struct backup_made){.number = manifest->number,
                                        .tables = edit_add_count(&backup->state.tables),
                                        .damaged = backup->names.damaged,
                                        .damage = backup->names.damage};
    for (size_t i = 0; i < backup->made.tables; i++) {
        backup->bytes_all += edit_add_at(&backup->state.tables, i).bytes;
    }
    *out = backup;
    return STATUS_OK;
}

void backup_free(struct backup *backup)
{
    if (backup == NULL) {
        return;
    }
    struct alloc *alloc = backup->engine->alloc;
    file_copy_end(&backup->copy);
    checkpoint_release(backup->checkpoint);
    backup_names_release(&backup->names);
    backup_directory_release(&backup->directory);
    backup_manifest_release(&backup->manifest);
    manifest_state_release(&backup->state);
    buf_release(&backup->image);
    alloc_free(alloc, backup->order);
    alloc_free(alloc, backup->piece);
    alloc_free(alloc, backup);
}

const struct backup_made *backup_result(const struct backup *backup)
{
    CHECK(backup_is_made(backup));
    return &backup->made;
}

bool backup_is_made(const struct backup *backup)
{
    return backup->phase >= PHASE_REMOVE;
}

bool backup_found_damage(const struct backup *backup)
{
    return backup->found_damage;
}

void backup_progress(const struct backup *backup, struct backup_progress *out)
{
    *out = (struct backup_progress){.bytes = backup->made.bytes,
                                    .bytes_all = backup->bytes_all,
                                    .bytes_moved = backup->bytes_moved};
}

struct slice backup_owner_state(const struct backup *backup)
{
    return buf_slice(&backup->state.owner_state);
}

/* --- the backup ---------------------------------------------------------------------------- */

/* From here on it is there. */
static enum status name_it(struct backup *backup, struct error *err)
{
    char name[BACKUP_NAME_BYTES];
    struct buf bytes;
    struct fs *fs = backup->directory.fs;
    buf_init(&bytes, backup->engine->alloc, BACKUP_BYTES_MAX);
    enum status status = path_join(backup->path, backup->directory.path,
                                   backup_manifest_name(name, backup->manifest.number), err);
    if (status == STATUS_OK && buf_failed(&backup->manifest.files)) {
        status = backup_no_memory(err);
    }
    if (status == STATUS_OK) {
        backup_manifest_encode(&backup->manifest, &bytes);
        status = buf_failed(&bytes) ? backup_no_memory(err) : STATUS_OK;
    }
    if (status == STATUS_OK) {
        status = fs_sync_dir(fs, backup->directory.path, err);
    }
    if (status == STATUS_OK) {
        status = fs_replace_file(fs, backup->directory.path, backup->path, buf_slice(&bytes), err);
    }
    buf_release(&bytes);
    if (status == STATUS_OK) {
        backup->phase = PHASE_REMOVE;
    }
    return status;
}

static enum status remove_older(struct backup *backup, struct error *err)
{
    if (backup_remove_expired(backup, err) != STATUS_OK) {
        return error_wrap(err, "backup %" PRIu64 " is made, but older ones could not be removed",
                          backup->manifest.number);
    }
    backup->phase = PHASE_DONE;
    return STATUS_OK;
}

enum status backup_step(struct backup *backup, bool *done, struct error *err)
{
    CHECK(!backup->stopped);
    enum status status = STATUS_OK;
    switch (backup->phase) {
    case PHASE_TABLE:
        status = backup_begin_table(backup, err);
        break;
    case PHASE_COPY:
        status = backup_copy_table(backup, err);
        break;
    case PHASE_READ_BACK:
        status = backup_read_back(backup, err);
        break;
    case PHASE_NAME:
        status = name_it(backup, err);
        break;
    default:
        status = remove_older(backup, err);
        break;
    }
    *done = status == STATUS_OK && backup->phase == PHASE_DONE;
    backup->stopped = status != STATUS_OK || *done;
    return status;
}

enum status backup_run(struct backup *backup, struct error *err)
{
    bool done = false;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !done) {
        status = backup_step(backup, &done, err);
    }
    return status;
}

static enum job_result step_job(struct job *job)
{
    struct backup *backup = (struct backup *)(void *)job;
    struct error err = ERROR_INIT;
    bool done = false;
    enum status status = backup_step(backup, &done, &err);
    if (status == STATUS_OK && !done) {
        return JOB_AGAIN;
    }
    backup->on_end(backup->context, status, &err);
    return JOB_DONE;
}

void backup_submit(struct backup *backup, struct executor *executor,
                   void (*on_end)(void *context, enum status status, const struct error *err),
                   void *context)
{
    backup->on_end = on_end;
    backup->context = context;
    job_init(&backup->job, step_job);
    job_submit(executor, &backup->job);
}
