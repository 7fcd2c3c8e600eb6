/* SPDX-License-Identifier: Apache-2.0
 *
 * A table of a backup: taken from an earlier one, linked, or copied and read back.
 */
#include "base/check.h"
#include "storage/backup/inside.h"
#include "storage/engine_internal.h"
#include "storage/tree/store_file.h"

/* What is compared of a table that seems to be there already: its end, with footer, properties
 * and most of the index, and pieces all over it. */
enum { COMPARED_END_BYTES = 64 * 1024, COMPARED_PIECES = 8, COMPARED_BYTES = 4096 };
_Static_assert(BACKUP_PIECE_BYTES_MIN >= 2UL * COMPARED_END_BYTES, "two pieces are compared");

static enum status file_path(const struct backup *backup, const struct backup_file *file, char *out,
                             struct error *err)
{
    char name[BACKUP_NAME_BYTES];
    return path_join(out, backup->directory.path, backup_file_name(name, file), err);
}

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

enum status backup_begin_table(struct backup *backup, struct error *err)
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

enum status backup_copy_table(struct backup *backup, struct error *err)
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

enum status backup_read_back(struct backup *backup, struct error *err)
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
