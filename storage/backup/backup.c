/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/backup/backup.h"

#include <inttypes.h>

#include "base/check.h"
#include "storage/backup/copy.h"
#include "storage/backup/directory.h"
#include "storage/backup/lineage.h"
#include "storage/checkpoint.h"
#include "storage/engine_internal.h"
#include "storage/tree/manifest_read.h"
#include "storage/tree/store_file.h"

/* What is compared of a table that seems to be there already: its end, with footer, properties
 * and most of the index, and pieces all over it. */
enum { COMPARED_END_BYTES = 64 * 1024, COMPARED_PIECES = 8, COMPARED_BYTES = 4096 };

enum phase { PHASE_TABLE, PHASE_COPY, PHASE_READ_BACK, PHASE_NAME, PHASE_REMOVE, PHASE_DONE };

struct backup {
    struct job job; /* first: the step finds the rest from it */
    struct engine *engine;
    struct backup_options options; /* defaults filled in */
    struct backup_directory directory;
    struct backup_names names;
    struct checkpoint *checkpoint;
    struct manifest_state state; /* of the checkpoint's manifest */
    struct buf image;            /* its bytes */
    struct backup_manifest manifest;
    enum phase phase;
    size_t table;            /* index of the present one, in state.tables */
    size_t *order;           /* index in the checkpoint of each table of state.tables */
    struct backup_file file; /* the present one */
    struct file_copy copy;
    uint8_t *piece; /* options.step_bytes, at least twice COMPARED_END_BYTES */
    char path[PATH_BYTES_MAX];
    struct backup_made made;
    uint64_t bytes_all;   /* of all tables */
    uint64_t bytes_moved; /* copied and read back */
    bool found_damage;    /* of the engine's, not of the copy */
    bool stopped;         /* an error, or done */
    void (*on_end)(void *context, enum status status, const struct error *err);
    void *context;
};

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a backup");
}

static enum status file_path(const struct backup *backup, const struct backup_file *file, char *out,
                             struct error *err)
{
    char name[BACKUP_NAME_BYTES];
    return path_join(out, backup->directory.path, backup_file_name(name, file), err);
}

/* --- the moment ---------------------------------------------------------------------------- */

/* Which of the checkpoint's files each table of the manifest is. */
static enum status find_order(struct backup *backup, struct error *err)
{
    size_t count = edit_add_count(&backup->state.tables);
    CHECK(checkpoint_file_count(backup->checkpoint) == count + 2);
    backup->order = alloc_zeroed(backup->engine->alloc, count + 1, sizeof *backup->order);
    if (backup->order == NULL) {
        return no_memory(err);
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
        return no_memory(err);
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
    room = room < 2UL * COMPARED_END_BYTES ? 2UL * COMPARED_END_BYTES : room;
    struct engine *engine = backup->engine;
    backup->piece = alloc_new(engine->alloc, room);
    if (backup->piece == NULL) {
        return no_memory(err);
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
        return no_memory(err);
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
    CHECK(backup->phase == PHASE_DONE);
    return &backup->made;
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

/* --- a table ------------------------------------------------------------------------------- */

static enum status read_source(void *context, uint64_t offset, void *out, size_t length,
                               struct error *err)
{
    struct backup *backup = context;
    enum status status =
        checkpoint_read(backup->checkpoint, backup->order[backup->table], offset, out, length, err);
    backup->found_damage = backup->found_damage || status == STATUS_CORRUPT;
    return status;
}

static enum status compare_piece(struct backup *backup, struct file *there, uint64_t offset,
                                 size_t length, bool *same, struct error *err)
{
    uint8_t *other = backup->piece + COMPARED_END_BYTES;
    size_t read = 0;
    enum status status = read_source(backup, offset, backup->piece, length, err);
    if (status == STATUS_OK) {
        status = file_read(there, offset, other, length, &read, err);
    }
    *same = status == STATUS_OK && read == length && memcmp(backup->piece, other, length) == 0;
    return status;
}

static enum status compare_pieces(struct backup *backup, struct file *there, bool *same,
                                  struct error *err)
{
    uint64_t bytes = backup->file.bytes;
    uint64_t there_bytes = 0;
    size_t end = bytes < COMPARED_END_BYTES ? (size_t)bytes : COMPARED_END_BYTES;
    enum status status = file_size(there, &there_bytes, err);
    *same = status == STATUS_OK && there_bytes == bytes;
    if (*same) {
        status = compare_piece(backup, there, bytes - end, end, same, err);
    }
    for (uint64_t i = 0; *same && i < COMPARED_PIECES && bytes > COMPARED_END_BYTES; i++) {
        uint64_t offset = (bytes - COMPARED_BYTES) / COMPARED_PIECES * i;
        status = compare_piece(backup, there, offset, COMPARED_BYTES, same, err);
    }
    return status;
}

/* Whether the file that a backup names is there and has this table; what is found missing or
 * different is copied anew. Why it is not read whole: see lineage.h, and verifying does it. */
static enum status is_same(struct backup *backup, const struct backup_file *known, bool *same,
                           struct error *err)
{
    struct file *there = NULL;
    enum status status = file_path(backup, known, backup->path, err);
    *same = false;
    if (status == STATUS_OK) {
        status = fs_open(backup->directory.fs, backup->path, FS_READ, &there, err);
    }
    if (status != STATUS_OK) {
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    }
    status = compare_pieces(backup, there, same, err);
    file_close(there);
    return status;
}

static enum status link_table(struct backup *backup, struct error *err)
{
    char name[TABLE_FILE_NAME_BYTES];
    char from[PATH_BYTES_MAX];
    bool exists = false;
    struct fs *fs = backup->directory.fs;
    (void)table_file_name(name, backup->file.table);
    enum status status = path_join(from, backup->engine->dir, name, err);
    if (status == STATUS_OK) {
        status = fs_exists(fs, backup->path, &exists, err);
    }
    if (status == STATUS_OK && exists) {
        status = fs_unlink(fs, backup->path, err); /* of one that did not end */
    }
    if (status == STATUS_OK) {
        status = fs_link(fs, from, backup->path, err);
    }
    if (status == STATUS_NOT_FOUND) {
        backup->found_damage = true;
        return error_set(err, STATUS_CORRUPT, "%.300s at 0: the table is missing", from);
    }
    return status == STATUS_OK ? STATUS_OK
                               : error_wrap(err, "link a table (another file system wants copies)");
}

static void next_table(struct backup *backup)
{
    backup_file_add(&backup->manifest, &backup->file);
    backup->made.bytes += backup->file.bytes;
    if (backup->file.made_by == backup->manifest.number) {
        backup->made.tables_copied++;
        backup->made.bytes_copied += backup->file.linked ? 0 : backup->file.bytes;
    }
    backup->table++;
    backup->phase = PHASE_TABLE;
}

/* The next table: there already, linked, or to be copied. */
static enum status begin_table(struct backup *backup, struct error *err)
{
    if (backup->table == backup->made.tables) {
        backup->phase = PHASE_NAME;
        return STATUS_OK;
    }
    struct edit_add add = edit_add_at(&backup->state.tables, backup->table);
    struct backup_file known;
    bool same = false;
    enum status status = STATUS_OK;
    backup->file = (struct backup_file){.table = add.number,
                                        .bytes = add.bytes,
                                        .made_by = backup->manifest.number,
                                        .linked = backup->options.link};
    if (!backup->manifest.full &&
        backup_names_find(&backup->names, backup->manifest.lineage, add.number, add.bytes,
                          backup->options.link, &known)) {
        status = is_same(backup, &known, &same, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (same) {
        backup->file = known;
        next_table(backup);
        return STATUS_OK;
    }
    status = file_path(backup, &backup->file, backup->path, err);
    if (status == STATUS_OK && backup->file.linked) {
        status = link_table(backup, err);
        if (status == STATUS_OK) {
            next_table(backup);
        }
        return status;
    }
    backup->phase = PHASE_COPY;
    return status == STATUS_OK ? file_copy_begin(&backup->copy, backup->directory.fs, backup->path,
                                                 backup->file.bytes, err)
                               : status;
}

static enum status copy_table(struct backup *backup, struct error *err)
{
    bool done = false;
    uint64_t before = backup->copy.at;
    enum status status =
        file_copy_step(&backup->copy, read_source, backup, backup->piece,
                       backup->options.step_bytes, &done, &backup->file.digest, err);
    backup->bytes_moved += backup->copy.at - before;
    if (status == STATUS_OK && done) {
        backup->phase = PHASE_READ_BACK;
    }
    return status;
}

static enum status read_back(struct backup *backup, struct error *err)
{
    const struct copy_check check = {.fs = backup->directory.fs,
                                     .alloc = backup->engine->alloc,
                                     .path = backup->path,
                                     .tables = &backup->state.tables,
                                     .expected = edit_add_at(&backup->state.tables, backup->table)};
    enum status status = copy_check_table(&check, err);
    backup->bytes_moved += backup->file.bytes;
    if (status == STATUS_CORRUPT) {
        /* The copy has what was read of the store, or its disk is bad: looking at the store's
         * table tells which. */
        struct error source = ERROR_INIT;
        enum status looked =
            checkpoint_verify(backup->checkpoint, backup->order[backup->table], &source);
        backup->found_damage = looked == STATUS_CORRUPT;
        if (looked == STATUS_CORRUPT && err != NULL) {
            *err = source;
        }
        return looked == STATUS_CORRUPT ? error_wrap(err, "the store is damaged")
                                        : error_wrap(err, "the copy is damaged");
    }
    if (status == STATUS_OK) {
        next_table(backup);
    }
    return status;
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
        status = no_memory(err);
    }
    if (status == STATUS_OK) {
        backup_manifest_encode(&backup->manifest, &bytes);
        status = buf_failed(&bytes) ? no_memory(err) : STATUS_OK;
    }
    if (status == STATUS_OK) {
        status = fs_sync_dir(fs, backup->directory.path, err);
    }
    if (status == STATUS_OK) {
        status = fs_replace_file(fs, backup->directory.path, backup->path, buf_slice(&bytes), err);
    }
    buf_release(&bytes);
    backup->phase = PHASE_REMOVE;
    return status;
}

static uint64_t number_in(const struct buf *numbers, size_t index)
{
    uint64_t number;
    memcpy(&number, numbers->data + index * sizeof number, sizeof number);
    return number;
}

/* The manifests of the oldest, `count` of them; what only they named is left over then. */
static enum status remove_manifests(struct backup *backup, size_t count, struct error *err)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        char name[BACKUP_NAME_BYTES];
        (void)backup_manifest_name(name, number_in(&backup->names.number, i));
        status = path_join(backup->path, backup->directory.path, name, err);
        if (status == STATUS_OK) {
            status = fs_unlink(backup->directory.fs, backup->path, err);
        }
    }
    /* A manifest that a crash brings back must find its files. */
    return status == STATUS_OK ? fs_sync_dir(backup->directory.fs, backup->directory.path, err)
                               : status;
}

/* What the manifests name that are there now. */
static enum status look_again(struct backup *backup, struct error *err)
{
    backup_names_release(&backup->names);
    backup->names = (struct backup_names){.damaged = 0};
    struct backup_directory now;
    const struct backup_directory *then = &backup->directory;
    enum status status =
        backup_directory_open(&now, then->fs, then->alloc, then->path, false, false, err);
    if (status == STATUS_OK) {
        status = backup_names_read(&backup->names, &now, err);
    }
    backup_directory_release(&now);
    return status;
}

static enum status remove_expired(struct backup *backup, struct error *err)
{
    struct backup_names *names = &backup->names;
    uint64_t made_at_ns = backup->manifest.made_at_ns;
    buf_append(&names->made, &made_at_ns, sizeof made_at_ns);
    if (buf_failed(&names->made)) {
        return no_memory(err);
    }
    /* The allocator's memory is aligned. */
    size_t expired =
        backup_expired(&backup->options.policy, (const uint64_t *)(const void *)names->made.data,
                       names->made.length / sizeof(uint64_t), made_at_ns);
    if (expired == 0) {
        return STATUS_OK;
    }
    enum status status = remove_manifests(backup, expired, err);
    if (status == STATUS_OK) {
        status = look_again(backup, err);
    }
    if (status == STATUS_OK) {
        status = backup_directory_sweep(&backup->directory, names, err);
    }
    backup->made.removed = expired;
    return status;
}

static enum status remove_older(struct backup *backup, struct error *err)
{
    if (remove_expired(backup, err) != STATUS_OK) {
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
        status = begin_table(backup, err);
        break;
    case PHASE_COPY:
        status = copy_table(backup, err);
        break;
    case PHASE_READ_BACK:
        status = read_back(backup, err);
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

/* --- when the next one is due -------------------------------------------------------------- */

enum status backup_look(struct engine *engine, const char *dir, struct clock *clock,
                        struct backup_figures *out, struct error *err)
{
    struct backup_directory directory;
    struct backup_names names = {.damaged = 0};
    enum status status = backup_directory_open(&directory, engine->options.fs, engine->alloc, dir,
                                               false, false, err);
    if (status == STATUS_OK) {
        status = backup_names_read(&names, &directory, err);
    } else if (status == STATUS_NOT_FOUND) {
        status = STATUS_OK;
    }
    if (status == STATUS_OK) {
        size_t count = names.made.length / sizeof(uint64_t);
        mutex_lock(&engine->edit_mutex);
        uint64_t sequence = engine->durable_sequence;
        mutex_unlock(&engine->edit_mutex);
        *out = (struct backup_figures){
            .has_last = count > 0,
            .last_ns = count > 0 ? number_in(&names.made, count - 1) : 0,
            .last_sequence = names.last_sequence,
            .increments = names.increments,
            .now_ns = clock_realtime_ns(clock == NULL ? clock_system() : clock),
            .sequence = sequence};
    }
    backup_names_release(&names);
    backup_directory_release(&directory);
    return status;
}
