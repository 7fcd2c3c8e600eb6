/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/backup/check.h"

#include "base/check.h"
#include "storage/backup/copy.h"
#include "storage/backup/directory.h"

enum phase { PHASE_BACKUP, PHASE_FILE, PHASE_DIGEST, PHASE_INSIDE, PHASE_DONE };

struct backup_check {
    struct backup_check_options options; /* defaults filled in */
    struct backup_directory directory;
    struct backup_names seen; /* of the backups before */
    enum phase phase;
    size_t backup; /* index of the present one */
    struct backup_read read;
    bool has_read;
    size_t file; /* index of the present one of it */
    struct file *open;
    uint64_t at;
    struct digester digester;
    uint64_t faults; /* told so far */
    uint8_t *piece;
    struct backup_checked checked;
    char path[PATH_BYTES_MAX];
};

/* --- life ---------------------------------------------------------------------------------- */

enum status backup_check_start(const struct backup_check_options *options,
                               struct backup_check **out, struct error *err)
{
    struct backup_check *check = alloc_zeroed(options->alloc, 1, sizeof *check);
    if (check == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to verify backups");
    }
    check->options = *options;
    check->options.step_bytes = options->step_bytes == 0 ? BACKUP_STEP_BYTES : options->step_bytes;
    backup_names_init(&check->seen, options->alloc);
    enum status status = backup_directory_open(&check->directory, options->fs, options->alloc,
                                               options->dir, false, true, err);
    if (status == STATUS_OK) {
        check->piece = alloc_new(options->alloc, check->options.step_bytes);
        if (check->piece == NULL) {
            status = error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to verify backups");
        }
    }
    if (status != STATUS_OK) {
        backup_check_free(check);
        return status;
    }
    *out = check;
    return STATUS_OK;
}

static void drop_backup(struct backup_check *check)
{
    if (check->has_read) {
        backup_read_release(&check->read);
        check->has_read = false;
    }
}

void backup_check_free(struct backup_check *check)
{
    if (check == NULL) {
        return;
    }
    struct alloc *alloc = check->options.alloc;
    file_close(check->open);
    drop_backup(check);
    backup_names_release(&check->seen);
    backup_directory_release(&check->directory);
    alloc_free(alloc, check->piece);
    alloc_free(alloc, check);
}

const struct backup_checked *backup_check_result(const struct backup_check *check)
{
    return &check->checked;
}

static void tell(void *context, const struct error *fault)
{
    struct backup_check *check = context;
    check->faults++;
    check->options.on_fault(check->options.context, fault);
}

/* --- steps --------------------------------------------------------------------------------- */

static enum status begin_backup(struct backup_check *check, struct error *err)
{
    struct error found = ERROR_INIT;
    drop_backup(check);
    if (check->backup == backup_directory_count(&check->directory)) {
        check->phase = PHASE_DONE;
        return STATUS_OK;
    }
    uint64_t number = backup_directory_number(&check->directory, check->backup++);
    check->has_read = true;
    enum status status = backup_directory_read(&check->directory, number, &check->read, &found);
    if (status == STATUS_CORRUPT) {
        tell(check, &found);
        return STATUS_OK; /* the next one */
    }
    if (status != STATUS_OK) {
        if (err != NULL) {
            *err = found;
        }
        return status;
    }
    check->checked.backups++;
    check->file = 0;
    check->phase = PHASE_FILE;
    return STATUS_OK;
}

/* Looked at with a backup before, which expected the same of it. */
static bool was_seen(const struct backup_check *check, const struct backup_file *file)
{
    const struct backup_file *seen = backup_names_get(&check->seen, file);
    return seen != NULL && seen->bytes == file->bytes && digest_equal(&seen->digest, &file->digest);
}

static enum status end_backup(struct backup_check *check, struct error *err)
{
    backup_names_add(&check->seen, &check->read);
    check->phase = PHASE_BACKUP;
    return backup_names_failed(&check->seen)
               ? error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to verify backups")
               : STATUS_OK;
}

static enum status begin_file(struct backup_check *check, struct error *err)
{
    if (check->file == backup_file_count(&check->read.manifest)) {
        return end_backup(check, err);
    }
    char name[BACKUP_NAME_BYTES];
    struct error found = ERROR_INIT;
    struct backup_file file = backup_file_at(&check->read.manifest, check->file);
    if (was_seen(check, &file)) {
        check->file++;
        return STATUS_OK;
    }
    enum status status =
        path_join(check->path, check->directory.path, backup_file_name(name, &file), &found);
    if (status == STATUS_OK) {
        status = copy_open_source(check->options.fs, check->path, file.bytes, &check->open, &found);
    }
    check->phase = PHASE_DIGEST;
    check->at = 0;
    digester_init(&check->digester);
    if (status == STATUS_OK) {
        file_drop_cache(check->open);
        return STATUS_OK;
    }
    if (status == STATUS_CORRUPT) {
        tell(check, &found);
        check->file++;
        check->phase = PHASE_FILE;
        return STATUS_OK;
    }
    if (err != NULL) {
        *err = found;
    }
    return status;
}

/* A link has no digest: the checksums inside are all that there is. */
static enum status digest_piece(struct backup_check *check, struct error *err)
{
    struct backup_file file = backup_file_at(&check->read.manifest, check->file);
    uint64_t left = file.linked ? 0 : file.bytes - check->at;
    size_t length = left < check->options.step_bytes ? (size_t)left : check->options.step_bytes;
    enum status status = STATUS_OK;
    if (length > 0) {
        status = copy_read_whole(check->open, check->path, check->at, check->piece, length, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    digester_update(&check->digester, slice_of(check->piece, length));
    check->at += length;
    if (length == left) {
        file_close(check->open);
        check->open = NULL;
        check->phase = PHASE_INSIDE;
    }
    return STATUS_OK;
}

static enum status look_inside(struct backup_check *check, struct error *err)
{
    struct backup_file file = backup_file_at(&check->read.manifest, check->file);
    const struct edit *tables = &check->read.state.tables;
    uint64_t faults = check->faults;
    const struct copy_check inside = {.fs = check->options.fs,
                                      .alloc = check->options.alloc,
                                      .path = check->path,
                                      .tables = tables,
                                      .expected = edit_add_at(tables, check->file),
                                      .on_fault = tell,
                                      .context = check};
    enum status status = copy_check_table(&inside, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct digest digest = digester_final(&check->digester);
    if (!file.linked && check->faults == faults && !digest_equal(&digest, &file.digest)) {
        struct error fault = ERROR_INIT;
        (void)error_set(&fault, STATUS_CORRUPT,
                        "%.300s at 0: the bytes are not those that were copied", check->path);
        tell(check, &fault);
    }
    check->checked.files++;
    check->checked.bytes += file.bytes;
    check->file++;
    check->phase = PHASE_FILE;
    return STATUS_OK;
}

enum status backup_check_step(struct backup_check *check, bool *done, struct error *err)
{
    enum status status = STATUS_OK;
    switch (check->phase) {
    case PHASE_BACKUP:
        status = begin_backup(check, err);
        break;
    case PHASE_FILE:
        status = begin_file(check, err);
        break;
    case PHASE_DIGEST:
        status = digest_piece(check, err);
        break;
    case PHASE_INSIDE:
        status = look_inside(check, err);
        break;
    default:
        break;
    }
    *done = status == STATUS_OK && check->phase == PHASE_DONE;
    return status;
}

enum status backup_check_run(struct backup_check *check, struct error *err)
{
    bool done = false;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !done) {
        status = backup_check_step(check, &done, err);
    }
    return status;
}
