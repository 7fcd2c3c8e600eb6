/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fs.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/plant.h"

enum { READ_STEP_BYTES = 64 * 1024, PIECE_BYTES = 16 * 1024 };

enum status path_join(char *out, const char *dir, const char *name, struct error *err)
{
    size_t dir_length = strlen(dir);
    CHECK(dir_length > 0);
    CHECK(name[0] != '\0');
    size_t separator_length = dir[dir_length - 1] == '/' ? 0 : 1;
    size_t name_length = strlen(name);
    size_t length = dir_length + separator_length + name_length;
    if (length >= PATH_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "path of %zu bytes is too long: %.64s...",
                         length, dir);
    }
    memcpy(out, dir, dir_length);
    memcpy(out + dir_length, "/", separator_length);
    memcpy(out + dir_length + separator_length, name, name_length + 1);
    return STATUS_OK;
}

enum status file_write_again(struct file *file, uint64_t begin, uint64_t end, struct error *err)
{
    uint8_t piece[PIECE_BYTES];
    while (begin < end && !PLANTED(FOUND_IS_DURABLE)) {
        size_t length = 0;
        size_t wanted = end - begin < sizeof piece ? (size_t)(end - begin) : sizeof piece;
        enum status status = file_read(file, begin, piece, wanted, &length, err);
        if (status == STATUS_OK && length > 0) {
            status = file_write(file, begin, slice_of(piece, length), err);
        }
        if (status != STATUS_OK) {
            return status;
        }
        begin = length < wanted ? end : begin + length;
    }
    return file_sync(file, err);
}

/* Reads to the end of the file. The size that fstat tells is not asked for: files in /proc have
 * none, and a file that grows is read as far as it goes. */
static enum status read_all(struct file *file, const char *path, struct buf *out, struct error *err)
{
    uint64_t offset = 0;
    for (;;) {
        size_t room = out->length_max - out->length;
        size_t step = room < READ_STEP_BYTES ? room : READ_STEP_BYTES;
        uint8_t probe;
        uint8_t *place = step == 0 ? &probe : buf_reserve(out, step);
        if (place == NULL) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "read %.300s: no memory", path);
        }
        size_t length = 0;
        enum status status = file_read(file, offset, place, step == 0 ? 1 : step, &length, err);
        if (status != STATUS_OK) {
            return status;
        }
        if (step == 0 && length > 0) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                             "read %.300s: longer than the %zu bytes allowed", path,
                             out->length_max);
        }
        if (step > 0) {
            (void)buf_extend(out, length);
            offset += length;
        }
        if (step == 0 || length < step) {
            return STATUS_OK;
        }
    }
}

enum status fs_read_file(struct fs *fs, const char *path, struct buf *out, struct error *err)
{
    CHECK(!buf_failed(out));
    struct file *file = NULL;
    enum status status = fs_open(fs, path, FS_READ, &file, err);
    if (status != STATUS_OK) {
        return status;
    }
    size_t length_before = out->length;
    status = read_all(file, path, out, err);
    file_close(file);
    if (status != STATUS_OK) {
        out->length = length_before;
    }
    return status;
}

static enum status write_new(struct fs *fs, const char *path, struct slice data, bool sync,
                             struct error *err)
{
    struct file *file = NULL;
    enum status status = fs_open(fs, path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &file, err);
    if (status != STATUS_OK) {
        return status;
    }
    status = file_write(file, 0, data, err);
    if (status == STATUS_OK && sync) {
        status = file_sync(file, err);
    }
    file_close(file);
    return status;
}

static enum status replace(struct fs *fs, const char *path, struct slice data, bool sync,
                           struct error *err)
{
    static const char suffix[] = ".new";
    char path_new[PATH_BYTES_MAX];
    if (strlen(path) + sizeof suffix > sizeof path_new) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "path too long: %.64s...", path);
    }
    (void)snprintf(path_new, sizeof path_new, "%s%s", path, suffix);
    enum status status = write_new(fs, path_new, data, sync, err);
    if (status == STATUS_OK) {
        status = fs_rename(fs, path_new, path, err);
    }
    if (status != STATUS_OK) {
        /* What it leaves behind would do no harm; the first error is the one to tell. */
        enum status ignored = fs_unlink(fs, path_new, NULL);
        (void)ignored;
    }
    return status;
}

enum status fs_replace_file(struct fs *fs, const char *dir, const char *path, struct slice data,
                            struct error *err)
{
    enum status status = replace(fs, path, data, true, err);
    return status == STATUS_OK ? fs_sync_dir(fs, dir, err) : status;
}

enum status fs_replace_file_unsynced(struct fs *fs, const char *path, struct slice data,
                                     struct error *err)
{
    return replace(fs, path, data, false, err);
}
