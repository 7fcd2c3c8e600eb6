/* SPDX-License-Identifier: Apache-2.0
 *
 * Fs: the file system seam. Everything Estreat stores goes through one of
 * these, so that tests can lose what was not synced, tear writes, and make the
 * n-th call fail. fs_posix() is the real one; tests/lib has the others.
 *
 * Rules that the implementations keep and the callers rely on:
 * - What file_sync() returned OK for survives a crash; so does a name after
 *   fs_sync_dir() of its directory. Nothing else does.
 * - A failed file_sync() says nothing about the data: the caller must not write
 *   on as if a later one repaired it. Who finds data in a file that a process left
 *   which may have ended for that makes it durable by file_write_again().
 * - Reads and writes are whole: file_read() returns fewer bytes only at the end
 *   of the file; file_write() writes all or fails.
 *
 * Thread-safe. A `struct file` may be read by many threads at once; writing
 * needs one writer. Errors name the path. Paths are NUL-terminated.
 */
#ifndef ESTREAT_BASE_FS_H
#define ESTREAT_BASE_FS_H

#include <stdint.h>

#include "base/plant.h"
#include "base/slice.h"
#include "base/status.h"

enum fs_open_flags {
    FS_READ = 1 << 0,
    FS_WRITE = 1 << 1,
    FS_CREATE = 1 << 2,    /* creates it if absent */
    FS_EXCLUSIVE = 1 << 3, /* with FS_CREATE: fails with ALREADY_EXISTS if present */
    FS_TRUNCATE = 1 << 4,
};

struct fs;
struct file;

/* Called for each name in a directory but "." and "..". Returns OK to go on. */
typedef enum status (*fs_list_fn)(void *context, const char *name, struct error *err);

struct file_ops {
    enum status (*read)(struct file *file, uint64_t offset, void *out, size_t length,
                        size_t *length_read, struct error *err);
    enum status (*write)(struct file *file, uint64_t offset, struct slice data, struct error *err);
    enum status (*sync)(struct file *file, struct error *err); /* fdatasync */
    enum status (*size)(struct file *file, uint64_t *bytes, struct error *err);
    enum status (*truncate)(struct file *file, uint64_t bytes, struct error *err);
    /* Reserves space and extends the size; what was never written reads as zeros. */
    enum status (*allocate)(struct file *file, uint64_t bytes, struct error *err);
    /* Asks the kernel to forget its cached pages, so that the next read reaches the disk. */
    void (*drop_cache)(struct file *file);
    void (*close)(struct file *file);
};

struct file {
    const struct file_ops *ops;
};

struct fs_ops {
    enum status (*open)(struct fs *fs, const char *path, int flags, struct file **out,
                        struct error *err);
    enum status (*rename)(struct fs *fs, const char *from, const char *to, struct error *err);
    enum status (*unlink)(struct fs *fs, const char *path, struct error *err);
    enum status (*link)(struct fs *fs, const char *from, const char *to, struct error *err);
    enum status (*make_dir)(struct fs *fs, const char *path, struct error *err); /* present: OK */
    enum status (*remove_dir)(struct fs *fs, const char *path, struct error *err);
    enum status (*sync_dir)(struct fs *fs, const char *path, struct error *err);
    enum status (*list)(struct fs *fs, const char *path, fs_list_fn each, void *context,
                        struct error *err);
    enum status (*exists)(struct fs *fs, const char *path, bool *out, struct error *err);
    /* Takes an exclusive advisory lock on `path`, which it creates; held until closed.
     * FAILED_PRECONDITION if another process holds it. */
    enum status (*lock)(struct fs *fs, const char *path, struct file **out, struct error *err);
    enum status (*free_bytes)(struct fs *fs, const char *path, uint64_t *bytes, struct error *err);
};

struct fs {
    const struct fs_ops *ops;
};

/* The real file system. Borrowed for ever. What it creates only the owner may read (0600, 0700):
 * the bytes are an audit trail, some of them are keys. */
struct fs *fs_posix(void);

#define PATH_BYTES_MAX 4096

/* dir + "/" + name into out[PATH_BYTES_MAX]. INVALID_ARGUMENT if it does not fit. */
enum status path_join(char *out, const char *dir, const char *name, struct error *err) MUST_USE;

/* --- thin calls ------------------------------------------------------------------------ */

MUST_USE static inline enum status fs_open(struct fs *fs, const char *path, int flags,
                                           struct file **out, struct error *err)
{
    return fs->ops->open(fs, path, flags, out, err);
}
MUST_USE static inline enum status fs_rename(struct fs *fs, const char *from, const char *to,
                                             struct error *err)
{
    return fs->ops->rename(fs, from, to, err);
}
MUST_USE static inline enum status fs_unlink(struct fs *fs, const char *path, struct error *err)
{
    return fs->ops->unlink(fs, path, err);
}
MUST_USE static inline enum status fs_link(struct fs *fs, const char *from, const char *to,
                                           struct error *err)
{
    return fs->ops->link(fs, from, to, err);
}
MUST_USE static inline enum status fs_make_dir(struct fs *fs, const char *path, struct error *err)
{
    return fs->ops->make_dir(fs, path, err);
}
MUST_USE static inline enum status fs_remove_dir(struct fs *fs, const char *path, struct error *err)
{
    return fs->ops->remove_dir(fs, path, err);
}
MUST_USE static inline enum status fs_sync_dir(struct fs *fs, const char *path, struct error *err)
{
    return PLANTED(SKIP_DIR_SYNC) ? STATUS_OK : fs->ops->sync_dir(fs, path, err);
}
MUST_USE static inline enum status fs_list(struct fs *fs, const char *path, fs_list_fn each,
                                           void *context, struct error *err)
{
    return fs->ops->list(fs, path, each, context, err);
}
MUST_USE static inline enum status fs_exists(struct fs *fs, const char *path, bool *out,
                                             struct error *err)
{
    return fs->ops->exists(fs, path, out, err);
}
MUST_USE static inline enum status fs_lock(struct fs *fs, const char *path, struct file **out,
                                           struct error *err)
{
    return fs->ops->lock(fs, path, out, err);
}
MUST_USE static inline enum status fs_free_bytes(struct fs *fs, const char *path, uint64_t *bytes,
                                                 struct error *err)
{
    return fs->ops->free_bytes(fs, path, bytes, err);
}
MUST_USE static inline enum status file_read(struct file *file, uint64_t offset, void *out,
                                             size_t length, size_t *length_read, struct error *err)
{
    return file->ops->read(file, offset, out, length, length_read, err);
}
MUST_USE static inline enum status file_write(struct file *file, uint64_t offset, struct slice data,
                                              struct error *err)
{
    return file->ops->write(file, offset, data, err);
}
MUST_USE static inline enum status file_sync(struct file *file, struct error *err)
{
    return file->ops->sync(file, err);
}
/* Reads [begin, end), or what there is of it, writes the same in its place, and syncs. After a sync
 * that failed the system's cache may have what no later sync writes to the disk. */
enum status file_write_again(struct file *file, uint64_t begin, uint64_t end,
                             struct error *err) MUST_USE;
MUST_USE static inline enum status file_size(struct file *file, uint64_t *bytes, struct error *err)
{
    return file->ops->size(file, bytes, err);
}
MUST_USE static inline enum status file_truncate(struct file *file, uint64_t bytes,
                                                 struct error *err)
{
    return file->ops->truncate(file, bytes, err);
}
MUST_USE static inline enum status file_allocate(struct file *file, uint64_t bytes,
                                                 struct error *err)
{
    return file->ops->allocate(file, bytes, err);
}
static inline void file_drop_cache(struct file *file)
{
    file->ops->drop_cache(file);
}
/* NULL is allowed. */
static inline void file_close(struct file *file)
{
    if (file != NULL) {
        file->ops->close(file);
    }
}

/* --- whole small files ------------------------------------------------------------------ */

struct buf;

/* Appends the file's content to `out`; RESOURCE_EXHAUSTED if it exceeds the buf's maximum. */
enum status fs_read_file(struct fs *fs, const char *path, struct buf *out,
                         struct error *err) MUST_USE;

/* Replaces the file atomically and durably: writes "<path>.new", syncs, renames, syncs `dir`
 * (the directory that holds `path`). After an error the old content stands, but if the last
 * step failed, then the new one is seen now and either may be found after a crash. */
enum status fs_replace_file(struct fs *fs, const char *dir, const char *path, struct slice data,
                            struct error *err) MUST_USE;

/* As above, without the syncs: for what nobody misses. Who reads the file sees the old content or
 * the new one; after a crash of the machine there may be either, part of the new one, or none. */
enum status fs_replace_file_unsynced(struct fs *fs, const char *path, struct slice data,
                                     struct error *err) MUST_USE;

#endif
