/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/fs_faulty.h"

#include <errno.h>
#include <stddef.h>

#include "base/alloc.h"
#include "base/check.h"

struct faulty_file {
    struct file file;
    struct fs_faulty *faulty;
    struct file *under;
    char path[];
};

static const char *const call_names[FS_CALLS] = {
    "any",    "open", "read",    "write", "sync",    "size", "truncate", "allocate", "rename",
    "unlink", "link", "makedir", "rmdir", "syncdir", "list", "exists",   "lock",     "free",
};

static struct fs_faulty *faulty_of(struct fs *fs)
{
    return (struct fs_faulty *)((char *)fs - offsetof(struct fs_faulty, fs));
}

static struct faulty_file *file_of(struct file *file)
{
    return (struct faulty_file *)((char *)file - offsetof(struct faulty_file, file));
}

/* Counts the call. True if it is to fail; then *fault is what with. */
static bool is_due(struct fs_faulty *faulty, enum fs_call call, const char *path,
                   struct fs_fault *fault)
{
    if (faulty->before != NULL) {
        faulty->before(faulty->context, call, path);
    }
    mutex_lock(&faulty->mutex);
    faulty->calls[FS_CALL_ANY]++;
    faulty->calls[call]++;
    *fault = faulty->fault;
    bool due = false;
    if (faulty->armed && (fault->call == FS_CALL_ANY || fault->call == call) &&
        (fault->path_contains == NULL || strstr(path, fault->path_contains) != NULL)) {
        uint64_t n = faulty->matched++;
        due = n == fault->at || (fault->for_ever && n > fault->at);
        faulty->failed += due ? 1 : 0;
    }
    mutex_unlock(&faulty->mutex);
    return due;
}

static enum status fail(const struct fs_fault *fault, enum fs_call call, const char *path,
                        struct error *err)
{
    return error_set_errno(err, fault->errnum == 0 ? EIO : fault->errnum, "injected: %s %.200s",
                           call_names[call], path);
}

/* Leaves the function that it stands in if the call is to fail. */
#define FAULT_POINT(faulty, call, path)                                                            \
    do {                                                                                           \
        struct fs_fault fault;                                                                     \
        if (is_due((faulty), (call), (path), &fault)) {                                            \
            return fail(&fault, (call), (path), err);                                              \
        }                                                                                          \
    } while (0)

/* --- files -------------------------------------------------------------------------- */

static enum status faulty_read(struct file *file, uint64_t offset, void *out, size_t length,
                               size_t *length_read, struct error *err)
{
    struct faulty_file *self = file_of(file);
    FAULT_POINT(self->faulty, FS_CALL_READ, self->path);
    return file_read(self->under, offset, out, length, length_read, err);
}

static enum status faulty_write(struct file *file, uint64_t offset, struct slice data,
                                struct error *err)
{
    struct faulty_file *self = file_of(file);
    struct fs_fault fault;
    if (is_due(self->faulty, FS_CALL_WRITE, self->path, &fault)) {
        if (fault.half) {
            /* Not even that on a disk that is full, or whose power fails. */
            (void)!file_write(self->under, offset, slice_of(data.data, data.length / 2), err);
        }
        return fail(&fault, FS_CALL_WRITE, self->path, err);
    }
    return file_write(self->under, offset, data, err);
}

static enum status faulty_sync(struct file *file, struct error *err)
{
    struct faulty_file *self = file_of(file);
    struct fs_fault fault;
    if (is_due(self->faulty, FS_CALL_SYNC, self->path, &fault)) {
        if (self->faulty->sync_failed != NULL) {
            self->faulty->sync_failed(self->under);
        }
        return fail(&fault, FS_CALL_SYNC, self->path, err);
    }
    return file_sync(self->under, err);
}

static enum status faulty_size(struct file *file, uint64_t *bytes, struct error *err)
{
    struct faulty_file *self = file_of(file);
    FAULT_POINT(self->faulty, FS_CALL_SIZE, self->path);
    return file_size(self->under, bytes, err);
}

static enum status faulty_truncate(struct file *file, uint64_t bytes, struct error *err)
{
    struct faulty_file *self = file_of(file);
    FAULT_POINT(self->faulty, FS_CALL_TRUNCATE, self->path);
    return file_truncate(self->under, bytes, err);
}

static enum status faulty_allocate(struct file *file, uint64_t bytes, struct error *err)
{
    struct faulty_file *self = file_of(file);
    FAULT_POINT(self->faulty, FS_CALL_ALLOCATE, self->path);
    return file_allocate(self->under, bytes, err);
}

static void faulty_drop_cache(struct file *file)
{
    file_drop_cache(file_of(file)->under);
}

static void faulty_close(struct file *file)
{
    struct faulty_file *self = file_of(file);
    mutex_lock(&self->faulty->mutex);
    CHECK(self->faulty->files_open > 0);
    self->faulty->files_open--;
    mutex_unlock(&self->faulty->mutex);
    file_close(self->under);
    alloc_free(alloc_default(), self);
}

static const struct file_ops file_ops_faulty = {
    .read = faulty_read,
    .write = faulty_write,
    .sync = faulty_sync,
    .size = faulty_size,
    .truncate = faulty_truncate,
    .allocate = faulty_allocate,
    .drop_cache = faulty_drop_cache,
    .close = faulty_close,
};

static struct file *wrap(struct fs_faulty *faulty, const char *path, struct file *under)
{
    size_t path_bytes = strlen(path) + 1;
    struct faulty_file *self = alloc_new(alloc_default(), sizeof *self + path_bytes);
    CHECK(self != NULL);
    self->file.ops = &file_ops_faulty;
    self->faulty = faulty;
    self->under = under;
    memcpy(self->path, path, path_bytes);
    mutex_lock(&faulty->mutex);
    faulty->files_open++;
    mutex_unlock(&faulty->mutex);
    return &self->file;
}

/* --- names -------------------------------------------------------------------------- */

static enum status faulty_open(struct fs *fs, const char *path, int flags, struct file **out,
                               struct error *err)
{
    struct fs_faulty *faulty = faulty_of(fs);
    FAULT_POINT(faulty, FS_CALL_OPEN, path);
    struct file *under = NULL;
    enum status status = fs_open(faulty->under, path, flags, &under, err);
    if (status == STATUS_OK) {
        *out = wrap(faulty, path, under);
    }
    return status;
}

static enum status faulty_rename(struct fs *fs, const char *from, const char *to, struct error *err)
{
    struct fs_faulty *faulty = faulty_of(fs);
    FAULT_POINT(faulty, FS_CALL_RENAME, to);
    return fs_rename(faulty->under, from, to, err);
}

static enum status faulty_unlink(struct fs *fs, const char *path, struct error *err)
{
    struct fs_faulty *faulty = faulty_of(fs);
    FAULT_POINT(faulty, FS_CALL_UNLINK, path);
    return fs_unlink(faulty->under, path, err);
}

static enum status faulty_link(struct fs *fs, const char *from, const char *to, struct error *err)
{
    struct fs_faulty *faulty = faulty_of(fs);
    FAULT_POINT(faulty, FS_CALL_LINK, to);
    return fs_link(faulty->under, from, to, err);
}

static enum status faulty_make_dir(struct fs *fs, const char *path, struct error *err)
{
    struct fs_faulty *faulty = faulty_of(fs);
    FAULT_POINT(faulty, FS_CALL_MAKE_DIR, path);
    return fs_make_dir(faulty->under, path, err);
}

static enum status faulty_remove_dir(struct fs *fs, const char *path, struct error *err)
{
    struct fs_faulty *faulty = faulty_of(fs);
    FAULT_POINT(faulty, FS_CALL_REMOVE_DIR, path);
    return fs_remove_dir(faulty->under, path, err);
}

static enum status faulty_sync_dir(struct fs *fs, const char *path, struct error *err)
{
    struct fs_faulty *faulty = faulty_of(fs);
    FAULT_POINT(faulty, FS_CALL_SYNC_DIR, path);
    return fs_sync_dir(faulty->under, path, err);
}

static enum status faulty_list(struct fs *fs, const char *path, fs_list_fn each, void *context,
                               struct error *err)
{
    struct fs_faulty *faulty = faulty_of(fs);
    FAULT_POINT(faulty, FS_CALL_LIST, path);
    return fs_list(faulty->under, path, each, context, err);
}

static enum status faulty_exists(struct fs *fs, const char *path, bool *out, struct error *err)
{
    struct fs_faulty *faulty = faulty_of(fs);
    FAULT_POINT(faulty, FS_CALL_EXISTS, path);
    return fs_exists(faulty->under, path, out, err);
}

static enum status faulty_lock(struct fs *fs, const char *path, struct file **out,
                               struct error *err)
{
    struct fs_faulty *faulty = faulty_of(fs);
    FAULT_POINT(faulty, FS_CALL_LOCK, path);
    struct file *under = NULL;
    enum status status = fs_lock(faulty->under, path, &under, err);
    if (status == STATUS_OK) {
        *out = wrap(faulty, path, under);
    }
    return status;
}

static enum status faulty_free_bytes(struct fs *fs, const char *path, uint64_t *bytes,
                                     struct error *err)
{
    struct fs_faulty *faulty = faulty_of(fs);
    FAULT_POINT(faulty, FS_CALL_FREE_BYTES, path);
    return fs_free_bytes(faulty->under, path, bytes, err);
}

static const struct fs_ops fs_ops_faulty = {
    .open = faulty_open,
    .rename = faulty_rename,
    .unlink = faulty_unlink,
    .link = faulty_link,
    .make_dir = faulty_make_dir,
    .remove_dir = faulty_remove_dir,
    .sync_dir = faulty_sync_dir,
    .list = faulty_list,
    .exists = faulty_exists,
    .lock = faulty_lock,
    .free_bytes = faulty_free_bytes,
};

/* --- the test's side ---------------------------------------------------------------- */

void fs_faulty_init(struct fs_faulty *faulty, struct fs *under)
{
    *faulty = (struct fs_faulty){.fs = {.ops = &fs_ops_faulty}, .under = under};
    mutex_init(&faulty->mutex);
}

void fs_faulty_release(struct fs_faulty *faulty)
{
    CHECK(faulty->files_open == 0);
    mutex_release(&faulty->mutex);
}

void fs_faulty_arm(struct fs_faulty *faulty, struct fs_fault fault)
{
    CHECK(fault.call < FS_CALLS);
    mutex_lock(&faulty->mutex);
    faulty->armed = true;
    faulty->fault = fault;
    faulty->matched = 0;
    faulty->failed = 0;
    memset(faulty->calls, 0, sizeof faulty->calls);
    mutex_unlock(&faulty->mutex);
}

void fs_faulty_disarm(struct fs_faulty *faulty)
{
    mutex_lock(&faulty->mutex);
    faulty->armed = false;
    mutex_unlock(&faulty->mutex);
}

uint64_t fs_faulty_hit(struct fs_faulty *faulty)
{
    mutex_lock(&faulty->mutex);
    uint64_t failed = faulty->failed;
    mutex_unlock(&faulty->mutex);
    return failed;
}

uint64_t fs_faulty_calls(struct fs_faulty *faulty, enum fs_call call)
{
    mutex_lock(&faulty->mutex);
    uint64_t calls = faulty->calls[call];
    mutex_unlock(&faulty->mutex);
    return calls;
}
