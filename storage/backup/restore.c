/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/backup/restore.h"

#include <stdio.h>

#include "base/check.h"
#include "storage/backup/copy.h"
#include "storage/backup/directory.h"
#include "storage/inspect/place.h"
#include "storage/tree/catalog.h"
#include "storage/tree/manifest.h"

enum phase { PHASE_TABLE, PHASE_COPY, PHASE_READ_BACK, PHASE_MANIFEST, PHASE_CURRENT, PHASE_DONE };

struct restore {
    struct restore_options options; /* defaults filled in */
    struct backup_directory directory;
    struct backup_read read;
    bool has_read;
    enum phase phase;
    size_t table; /* index of the present one */
    struct file *source;
    struct file_copy copy;
    uint8_t *piece;
    struct restored restored;
    bool stopped;              /* an error, or done */
    char from[PATH_BYTES_MAX]; /* the present file */
    char path[PATH_BYTES_MAX]; /* and where it goes */
    char to[PATH_BYTES_MAX];
};

/* --- life ---------------------------------------------------------------------------------- */

static enum status each_name(void *context, const char *name, struct error *err)
{
    const char *dir = context;
    return error_set(err, STATUS_FAILED_PRECONDITION,
                     "%.300s: not empty (%.64s): a restore makes a directory of its own; remove "
                     "what an earlier one left, or name another",
                     dir, name);
}

static enum status make_directory(struct restore *restore, struct error *err)
{
    char parent[PATH_BYTES_MAX];
    struct fs *fs = restore->options.fs;
    enum status status = fs_make_dir(fs, restore->to, err);
    if (status == STATUS_OK) {
        status = fs_list(fs, restore->to, each_name, restore->to, err);
    }
    if (status == STATUS_OK) {
        status = store_place_parent(parent, restore->to, err);
    }
    return status == STATUS_OK ? fs_sync_dir(fs, parent, err) : status;
}

static enum status find_backup(struct restore *restore, struct error *err)
{
    const struct restore_options *options = &restore->options;
    struct backup_directory *directory = &restore->directory;
    enum status status = backup_directory_open(directory, options->fs, options->alloc,
                                               options->from, false, true, err);
    if (status != STATUS_OK) {
        return status;
    }
    size_t count = backup_directory_count(directory);
    if (count == 0) {
        return error_set(err, STATUS_NOT_FOUND, "%.300s: no backup (BACKUP-*)", options->from);
    }
    uint64_t number =
        options->number != 0 ? options->number : backup_directory_number(directory, count - 1);
    restore->restored.number = number;
    restore->has_read = true;
    return backup_directory_read(directory, number, &restore->read, err);
}

enum status restore_start(const struct restore_options *options, struct restore **out,
                          struct error *err)
{
    size_t length = strlen(options->to);
    struct restore *restore = alloc_zeroed(options->alloc, 1, sizeof *restore);
    if (restore == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a restore");
    }
    restore->options = *options;
    restore->options.step_bytes =
        options->step_bytes == 0 ? BACKUP_STEP_BYTES : options->step_bytes;
    enum status status = find_backup(restore, err);
    if (status == STATUS_OK && (length == 0 || length >= PATH_BYTES_MAX - BACKUP_NAME_BYTES)) {
        status = error_set(err, STATUS_INVALID_ARGUMENT, "a directory's name of %zu bytes", length);
    }
    if (status == STATUS_OK) {
        memcpy(restore->to, options->to, length + 1);
        restore->piece = alloc_new(options->alloc, restore->options.step_bytes);
        status = restore->piece == NULL
                     ? error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a restore")
                     : make_directory(restore, err);
    }
    if (status != STATUS_OK) {
        restore_free(restore);
        return status;
    }
    *out = restore;
    return STATUS_OK;
}

void restore_free(struct restore *restore)
{
    if (restore == NULL) {
        return;
    }
    struct alloc *alloc = restore->options.alloc;
    file_copy_end(&restore->copy);
    file_close(restore->source);
    if (restore->has_read) {
        backup_read_release(&restore->read);
    }
    backup_directory_release(&restore->directory);
    alloc_free(alloc, restore->piece);
    alloc_free(alloc, restore);
}

const struct restored *restore_result(const struct restore *restore)
{
    CHECK(restore->phase == PHASE_DONE);
    return &restore->restored;
}

/* --- a table ------------------------------------------------------------------------------- */

static enum status open_source(struct restore *restore, const struct backup_file *file,
                               struct error *err)
{
    char name[BACKUP_NAME_BYTES];
    enum status status =
        path_join(restore->from, restore->directory.path, backup_file_name(name, file), err);
    return status == STATUS_OK ? copy_open_source(restore->options.fs, restore->from, file->bytes,
                                                  &restore->source, err)
                               : status;
}

static enum status begin_table(struct restore *restore, struct error *err)
{
    if (restore->table == backup_file_count(&restore->read.manifest)) {
        restore->phase = PHASE_MANIFEST;
        return STATUS_OK;
    }
    char name[TABLE_FILE_NAME_BYTES];
    struct backup_file file = backup_file_at(&restore->read.manifest, restore->table);
    enum status status = open_source(restore, &file, err);
    if (status == STATUS_OK) {
        status = path_join(restore->path, restore->to, table_file_name(name, file.table), err);
    }
    if (status == STATUS_OK) {
        status =
            file_copy_begin(&restore->copy, restore->options.fs, restore->path, file.bytes, err);
    }
    restore->phase = PHASE_COPY;
    return status;
}

static enum status read_source(void *context, uint64_t offset, void *out, size_t length,
                               struct error *err)
{
    struct restore *restore = context;
    return copy_read_whole(restore->source, restore->from, offset, out, length, err);
}

static enum status copy_table(struct restore *restore, struct error *err)
{
    struct digest digest;
    bool done = false;
    struct backup_file file = backup_file_at(&restore->read.manifest, restore->table);
    enum status status = file_copy_step(&restore->copy, read_source, restore, restore->piece,
                                        restore->options.step_bytes, &done, &digest, err);
    if (status != STATUS_OK || !done) {
        return status;
    }
    file_close(restore->source);
    restore->source = NULL;
    restore->phase = PHASE_READ_BACK;
    if (!file.linked && !digest_equal(&digest, &file.digest)) {
        return error_set(err, STATUS_CORRUPT, "%.300s at 0: the bytes are not those of the backup",
                         restore->from);
    }
    return STATUS_OK;
}

static enum status read_back(struct restore *restore, struct error *err)
{
    const struct edit *tables = &restore->read.state.tables;
    const struct copy_check check = {.fs = restore->options.fs,
                                     .alloc = restore->options.alloc,
                                     .path = restore->path,
                                     .tables = tables,
                                     .expected = edit_add_at(tables, restore->table)};
    enum status status = copy_check_table(&check, err);
    if (status == STATUS_OK) {
        restore->restored.bytes += check.expected.bytes;
        restore->restored.tables++;
        restore->table++;
        restore->phase = PHASE_TABLE;
    }
    return status == STATUS_CORRUPT ? error_wrap(err, "copied from %.200s", restore->from) : status;
}

/* --- what makes it a store ----------------------------------------------------------------- */

static enum status write_manifest(struct restore *restore, struct error *err)
{
    char name[MANIFEST_NAME_BYTES];
    struct fs *fs = restore->options.fs;
    const struct backup_manifest *manifest = &restore->read.manifest;
    enum status status = path_join(restore->path, restore->to,
                                   manifest_file_name(name, manifest->store_manifest), err);
    /* Syncs the directory, too: the tables' names are durable then. */
    if (status == STATUS_OK) {
        status = fs_replace_file(fs, restore->to, restore->path, manifest->image, err);
    }
    restore->phase = PHASE_CURRENT;
    return status;
}

static enum status write_current(struct restore *restore, struct error *err)
{
    char name[MANIFEST_NAME_BYTES];
    char text[MANIFEST_NAME_BYTES + 1];
    enum status status = path_join(restore->path, restore->to, "CURRENT", err);
    int length = snprintf(text, sizeof text, "%s\n",
                          manifest_file_name(name, restore->read.manifest.store_manifest));
    CHECK(length > 0 && (size_t)length < sizeof text);
    if (status == STATUS_OK) {
        status = fs_replace_file(restore->options.fs, restore->to, restore->path,
                                 slice_of(text, (size_t)length), err);
    }
    restore->phase = PHASE_DONE;
    return status;
}

enum status restore_step(struct restore *restore, bool *done, struct error *err)
{
    CHECK(!restore->stopped);
    enum status status = STATUS_OK;
    switch (restore->phase) {
    case PHASE_TABLE:
        status = begin_table(restore, err);
        break;
    case PHASE_COPY:
        status = copy_table(restore, err);
        break;
    case PHASE_READ_BACK:
        status = read_back(restore, err);
        break;
    case PHASE_MANIFEST:
        status = write_manifest(restore, err);
        break;
    default:
        status = write_current(restore, err);
        break;
    }
    *done = status == STATUS_OK && restore->phase == PHASE_DONE;
    restore->stopped = status != STATUS_OK || *done;
    return status;
}

enum status restore_run(struct restore *restore, struct error *err)
{
    bool done = false;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !done) {
        status = restore_step(restore, &done, err);
    }
    return status;
}
