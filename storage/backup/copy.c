/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/backup/copy.h"

#include <inttypes.h>

#include "base/check.h"
#include "storage/engine_internal.h"

/* --- copying ------------------------------------------------------------------------------- */

enum status file_copy_begin(struct file_copy *copy, struct fs *fs, const char *path, uint64_t bytes,
                            struct error *err)
{
    *copy = (struct file_copy){.fs = fs, .bytes = bytes};
    digester_init(&copy->digester);
    return fs_open(fs, path, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNCATE, &copy->to, err);
}

enum status file_copy_step(struct file_copy *copy, copy_read_fn read, void *context, uint8_t *piece,
                           size_t piece_bytes, bool *done, struct digest *digest, struct error *err)
{
    CHECK(copy->to != NULL && copy->at <= copy->bytes);
    uint64_t left = copy->bytes - copy->at;
    size_t length = left < piece_bytes ? (size_t)left : piece_bytes;
    enum status status = STATUS_OK;
    *done = false;
    if (length > 0) {
        status = read(context, copy->at, piece, length, err);
    }
    if (status == STATUS_OK && length > 0) {
        status = file_write(copy->to, copy->at, slice_of(piece, length), err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    digester_update(&copy->digester, slice_of(piece, length));
    copy->at += length;
    if (copy->at < copy->bytes) {
        return STATUS_OK;
    }
    status = file_sync(copy->to, err);
    if (status == STATUS_OK) {
        *digest = digester_final(&copy->digester);
        *done = true;
        file_copy_end(copy);
    }
    return status;
}

void file_copy_end(struct file_copy *copy)
{
    file_close(copy->to);
    copy->to = NULL;
}

enum status copy_open_source(struct fs *fs, const char *path, uint64_t bytes, struct file **out,
                             struct error *err)
{
    uint64_t found = 0;
    enum status status = fs_open(fs, path, FS_READ, out, err);
    if (status == STATUS_NOT_FOUND) {
        return error_set(err, STATUS_CORRUPT, "%.300s at 0: the file is missing", path);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = file_size(*out, &found, err);
    if (status == STATUS_OK && found != bytes) {
        status = error_set(err, STATUS_CORRUPT,
                           "%.300s at %" PRIu64 ": the file has %" PRIu64 " bytes, not %" PRIu64,
                           path, found < bytes ? found : bytes, found, bytes);
    }
    if (status != STATUS_OK) {
        file_close(*out);
        *out = NULL;
    }
    return status;
}

enum status copy_read_whole(struct file *file, const char *path, uint64_t offset, void *out,
                            size_t length, struct error *err)
{
    size_t read = 0;
    enum status status = file_read(file, offset, out, length, &read, err);
    if (status == STATUS_OK && read < length) {
        return error_set(err, STATUS_CORRUPT, "%.300s at %" PRIu64 ": the file is cut", path,
                         offset + read);
    }
    return status;
}

/* --- checking ------------------------------------------------------------------------------ */

static enum status tell(const struct copy_check *check, enum status status,
                        const struct error *found, struct error *err)
{
    if (status == STATUS_CORRUPT && check->on_fault != NULL) {
        check->on_fault(check->context, found);
        return STATUS_OK;
    }
    if (status != STATUS_OK && err != NULL) {
        *err = *found;
    }
    return status;
}

enum status copy_check_table(const struct copy_check *check, struct error *err)
{
    struct table *table = NULL;
    struct error found = ERROR_INIT;
    const struct edit_add *add = &check->expected;
    const struct table_file expected = {.number = add->number,
                                        .entries = add->entries,
                                        .smallest = edit_smallest(check->tables, add),
                                        .largest = edit_largest(check->tables, add)};
    const struct table_open_options options = {.fs = check->fs,
                                               .alloc = check->alloc,
                                               .path = check->path,
                                               .file_number = add->number,
                                               .file_bytes = add->bytes};
    enum status status = table_open(&options, &table, &found);
    if (status == STATUS_NOT_FOUND) {
        status = error_set(&found, STATUS_CORRUPT, "%.300s at 0: the file is missing", check->path);
    }
    if (status == STATUS_OK) {
        status = check->on_fault != NULL
                     ? table_find_faults(table, check->on_fault, check->context, &found)
                     : table_verify(table, NULL, &found);
    }
    if (status == STATUS_OK) {
        status = engine_check_table_is(&expected, table, &found);
    }
    table_unref(table);
    return tell(check, status, &found, err);
}
