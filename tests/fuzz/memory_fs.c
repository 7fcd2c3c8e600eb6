/* SPDX-License-Identifier: Apache-2.0 */
#include "memory_fs.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/check.h"

struct memory_file {
    struct file file; /* first: operations find the rest from it */
    struct memory_bytes *of;
};

static struct memory_bytes *bytes_of(struct file *file)
{
    return ((struct memory_file *)file)->of;
}

static enum status read_bytes(struct file *file, uint64_t offset, void *out, size_t length,
                              size_t *length_read, struct error *err)
{
    struct slice bytes = bytes_of(file)->bytes;
    size_t left = offset < bytes.length ? bytes.length - (size_t)offset : 0;
    (void)err;
    *length_read = length < left ? length : left;
    if (*length_read > 0) {
        memcpy(out, bytes.data + offset, *length_read);
    }
    return STATUS_OK;
}

static enum status write_bytes(struct file *file, uint64_t offset, struct slice data,
                               struct error *err)
{
    struct slice bytes = bytes_of(file)->bytes;
    bool within = offset <= bytes.length && data.length <= bytes.length - offset;
    if (data.length > 0 && within && memcmp(bytes.data + offset, data.data, data.length) == 0) {
        return STATUS_OK;
    }
    return error_set(err, STATUS_UNIMPLEMENTED, "nothing else is written here");
}

static enum status sync_file(struct file *file, struct error *err)
{
    (void)file;
    (void)err;
    return STATUS_OK;
}

static enum status size_of(struct file *file, uint64_t *bytes, struct error *err)
{
    (void)err;
    *bytes = bytes_of(file)->bytes.length;
    return STATUS_OK;
}

static enum status truncate_file(struct file *file, uint64_t bytes, struct error *err)
{
    struct slice *slice = &bytes_of(file)->bytes;
    (void)err;
    CHECK(bytes <= slice->length);
    slice->length = (size_t)bytes;
    return STATUS_OK;
}

static enum status allocate(struct file *file, uint64_t bytes, struct error *err)
{
    return write_bytes(file, bytes, slice_of(NULL, 0), err);
}

static void drop_cache(struct file *file)
{
    (void)file;
}

static void close_file(struct file *file)
{
    alloc_free(alloc_default(), file);
}

static const struct file_ops file_operations = {.read = read_bytes,
                                                .write = write_bytes,
                                                .sync = sync_file,
                                                .size = size_of,
                                                .truncate = truncate_file,
                                                .allocate = allocate,
                                                .drop_cache = drop_cache,
                                                .close = close_file};

static struct memory_bytes *find(struct fs *fs, const char *path)
{
    struct memory_fs *memory = (struct memory_fs *)fs;
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    for (size_t i = 0; i < memory->count; i++) {
        if (strcmp(memory->files[i].name, name) == 0) {
            return &memory->files[i];
        }
    }
    return NULL;
}

static enum status open_file(struct fs *fs, const char *path, int flags, struct file **out,
                             struct error *err)
{
    struct memory_bytes *of = find(fs, path);
    if (of == NULL || (flags & (FS_CREATE | FS_TRUNCATE)) != 0) {
        return error_set(err, of == NULL ? STATUS_NOT_FOUND : STATUS_UNIMPLEMENTED, "open %.300s",
                         path);
    }
    struct memory_file *file = alloc_zeroed(alloc_default(), 1, sizeof *file);
    CHECK(file != NULL);
    file->file.ops = &file_operations;
    file->of = of;
    *out = &file->file;
    return STATUS_OK;
}

static enum status list_files(struct fs *fs, const char *path, fs_list_fn each, void *context,
                              struct error *err)
{
    struct memory_fs *memory = (struct memory_fs *)fs;
    enum status status = STATUS_OK;
    (void)path;
    for (size_t i = 0; i < memory->count && status == STATUS_OK; i++) {
        status = each(context, memory->files[i].name, err);
    }
    return status;
}

static enum status file_exists(struct fs *fs, const char *path, bool *out, struct error *err)
{
    (void)err;
    *out = find(fs, path) != NULL;
    return STATUS_OK;
}

/* Directories are there, and names stay. */
static enum status do_nothing(struct fs *fs, const char *path, struct error *err)
{
    (void)fs;
    (void)path;
    (void)err;
    return STATUS_OK;
}

static const struct fs_ops operations = {.open = open_file,
                                         .unlink = do_nothing,
                                         .make_dir = do_nothing,
                                         .sync_dir = do_nothing,
                                         .list = list_files,
                                         .exists = file_exists};

void memory_fs_init(struct memory_fs *memory)
{
    *memory = (struct memory_fs){.fs = {.ops = &operations}};
}

void memory_fs_add(struct memory_fs *memory, const char *name, struct slice bytes)
{
    CHECK(memory->count < MEMORY_FILES_MAX);
    struct memory_bytes *file = &memory->files[memory->count++];
    (void)snprintf(file->name, sizeof file->name, "%s", name);
    file->bytes = bytes;
}
