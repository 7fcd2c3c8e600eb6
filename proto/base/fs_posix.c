/* SPDX-License-Identifier: Apache-2.0
 *
 * Fs on POSIX calls. Paths in errors are cut at 300 bytes, so that the cause
 * still fits behind them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/fs_posix.h"

enum { FILE_MODE = 0600, DIRECTORY_MODE = 0700 };

struct posix_file {
    struct file file;
    int fd;
    char path[]; /* for errors */
};

static struct posix_file *posix_of(struct file *file)
{
    return (struct posix_file *)((char *)file - offsetof(struct posix_file, file));
}

static const struct posix_file *const_posix_of(const struct file *file)
{
    return (const struct posix_file *)((const char *)file - offsetof(struct posix_file, file));
}

/* --- files -------------------------------------------------------------------------- */

/* Offsets may come from damaged bytes: the kernel's are signed. */
static enum status range_check(const struct posix_file *posix, const char *call, uint64_t offset,
                               uint64_t length, struct error *err)
{
    if (offset > INT64_MAX || length > INT64_MAX - offset) {
        return error_set(err, STATUS_OUT_OF_RANGE, "%s %.300s at %llu: past the largest file", call,
                         posix->path, (unsigned long long)offset);
    }
    return STATUS_OK;
}

static enum status posix_read(struct file *file, uint64_t offset, void *out, size_t length,
                              size_t *length_read, struct error *err)
{
    struct posix_file *posix = posix_of(file);
    enum status status = range_check(posix, "read", offset, length, err);
    if (status != STATUS_OK) {
        return status;
    }
    size_t done = 0;
    while (done < length) {
        ssize_t got =
            pread(posix->fd, (uint8_t *)out + done, length - done, (off_t)(offset + done));
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            return error_set_errno(err, errno, "read %.300s at %llu", posix->path,
                                   (unsigned long long)(offset + done));
        }
        if (got == 0) {
            break;
        }
        done += (size_t)got;
    }
    *length_read = done;
    return STATUS_OK;
}

enum status fs_posix_write_failed(const struct file *file, uint64_t offset, int errnum,
                                  struct error *err)
{
    return error_set_errno(err, errnum, "write %.300s at %llu", const_posix_of(file)->path,
                           (unsigned long long)offset);
}

static enum status posix_write(struct file *file, uint64_t offset, struct slice data,
                               struct error *err)
{
    struct posix_file *posix = posix_of(file);
    enum status status = range_check(posix, "write", offset, data.length, err);
    if (status != STATUS_OK) {
        return status;
    }
    size_t done = 0;
    while (done < data.length) {
        ssize_t put =
            pwrite(posix->fd, data.data + done, data.length - done, (off_t)(offset + done));
        if (put < 0) {
            if (errno == EINTR) {
                continue;
            }
            return fs_posix_write_failed(file, offset + done, errno, err);
        }
        if (put == 0) { /* no regular file does this; never spin on one that does */
            return fs_posix_write_failed(file, offset + done, EIO, err);
        }
        done += (size_t)put;
    }
    return STATUS_OK;
}

enum status fs_posix_sync_failed(const struct file *file, int errnum, struct error *err)
{
    return error_set_errno(err, errnum, "fdatasync %.300s", const_posix_of(file)->path);
}

static enum status posix_sync(struct file *file, struct error *err)
{
    struct posix_file *posix = posix_of(file);
    /* No second try but after EINTR, which says that nothing was tried: after any other failure
     * the kernel may have dropped the pages, and a second call would succeed without them. */
    while (fdatasync(posix->fd) != 0) {
        if (errno != EINTR) {
            return fs_posix_sync_failed(file, errno, err);
        }
    }
    return STATUS_OK;
}

static enum status posix_size(struct file *file, uint64_t *bytes, struct error *err)
{
    struct posix_file *posix = posix_of(file);
    struct stat info;
    if (fstat(posix->fd, &info) != 0) {
        return error_set_errno(err, errno, "fstat %.300s", posix->path);
    }
    *bytes = (uint64_t)info.st_size;
    return STATUS_OK;
}

static enum status posix_truncate(struct file *file, uint64_t bytes, struct error *err)
{
    struct posix_file *posix = posix_of(file);
    enum status status = range_check(posix, "ftruncate", bytes, 0, err);
    if (status != STATUS_OK) {
        return status;
    }
    while (ftruncate(posix->fd, (off_t)bytes) != 0) {
        if (errno != EINTR) {
            return error_set_errno(err, errno, "ftruncate %.300s to %llu", posix->path,
                                   (unsigned long long)bytes);
        }
    }
    return STATUS_OK;
}

static enum status posix_allocate(struct file *file, uint64_t bytes, struct error *err)
{
    struct posix_file *posix = posix_of(file);
    enum status status = range_check(posix, "allocate", bytes, 0, err);
    if (status != STATUS_OK || bytes == 0) {
        return status;
    }
    int result;
    do {
        result = posix_fallocate(posix->fd, 0, (off_t)bytes);
    } while (result == EINTR);
    if (result == EOPNOTSUPP || result == EINVAL || result == ENOSYS) {
        /* A file system that cannot reserve: the size at least is as promised. */
        uint64_t present = 0;
        status = posix_size(file, &present, err);
        if (status == STATUS_OK && present < bytes) {
            status = posix_truncate(file, bytes, err);
        }
        return status;
    }
    if (result != 0) {
        return error_set_errno(err, result, "allocate %llu bytes for %.300s",
                               (unsigned long long)bytes, posix->path);
    }
    return STATUS_OK;
}

static void posix_drop_cache(struct file *file)
{
    /* Advice: where it is not taken, the read comes from memory and is still right. */
    (void)posix_fadvise(posix_of(file)->fd, 0, 0, POSIX_FADV_DONTNEED);
}

static void posix_close(struct file *file)
{
    struct posix_file *posix = posix_of(file);
    /* Linux has released the descriptor whatever close() says; durability is sync's matter. */
    (void)close(posix->fd);
    alloc_free(alloc_default(), posix);
}

static const struct file_ops file_ops_posix = {
    .read = posix_read,
    .write = posix_write,
    .sync = posix_sync,
    .size = posix_size,
    .truncate = posix_truncate,
    .allocate = posix_allocate,
    .drop_cache = posix_drop_cache,
    .close = posix_close,
};

int fs_posix_descriptor(const struct file *file)
{
    return file->ops == &file_ops_posix ? const_posix_of(file)->fd : -1;
}

/* --- names -------------------------------------------------------------------------- */

static enum status open_with(const char *path, int open_flags, struct file **out, struct error *err)
{
    size_t path_bytes = strlen(path) + 1;
    struct posix_file *posix = alloc_new(alloc_default(), sizeof *posix + path_bytes);
    if (posix == NULL) {
        return error_set_errno(err, ENOMEM, "open %.300s", path);
    }
    posix->file.ops = &file_ops_posix;
    memcpy(posix->path, path, path_bytes);
    do {
        posix->fd = open(path, open_flags | O_CLOEXEC, FILE_MODE);
    } while (posix->fd < 0 && errno == EINTR);
    if (posix->fd < 0) {
        int errnum = errno;
        alloc_free(alloc_default(), posix);
        return error_set_errno(err, errnum, "open %.300s", path);
    }
    *out = &posix->file;
    return STATUS_OK;
}

static enum status posix_open(struct fs *fs, const char *path, int flags, struct file **out,
                              struct error *err)
{
    (void)fs;
    CHECK((flags & (FS_READ | FS_WRITE)) != 0);
    CHECK((flags & FS_EXCLUSIVE) == 0 || (flags & FS_CREATE) != 0);
    CHECK((flags & FS_TRUNCATE) == 0 || (flags & FS_WRITE) != 0);
    int open_flags = (flags & FS_WRITE) == 0  ? O_RDONLY
                     : (flags & FS_READ) == 0 ? O_WRONLY
                                              : O_RDWR;
    open_flags |= (flags & FS_CREATE) != 0 ? O_CREAT : 0;
    open_flags |= (flags & FS_EXCLUSIVE) != 0 ? O_EXCL : 0;
    open_flags |= (flags & FS_TRUNCATE) != 0 ? O_TRUNC : 0;
    return open_with(path, open_flags, out, err);
}

static enum status posix_rename(struct fs *fs, const char *from, const char *to, struct error *err)
{
    (void)fs;
    if (rename(from, to) != 0) {
        return error_set_errno(err, errno, "rename %.150s to %.150s", from, to);
    }
    return STATUS_OK;
}

static enum status posix_unlink(struct fs *fs, const char *path, struct error *err)
{
    (void)fs;
    if (unlink(path) != 0) {
        return error_set_errno(err, errno, "unlink %.300s", path);
    }
    return STATUS_OK;
}

static enum status posix_link(struct fs *fs, const char *from, const char *to, struct error *err)
{
    (void)fs;
    if (link(from, to) != 0) {
        return error_set_errno(err, errno, "link %.150s to %.150s", from, to);
    }
    return STATUS_OK;
}

static enum status posix_make_dir(struct fs *fs, const char *path, struct error *err)
{
    (void)fs;
    if (mkdir(path, DIRECTORY_MODE) == 0) {
        return STATUS_OK;
    }
    int errnum = errno;
    struct stat info;
    if (errnum == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        return STATUS_OK;
    }
    return error_set_errno(err, errnum, "mkdir %.300s", path);
}

static enum status posix_remove_dir(struct fs *fs, const char *path, struct error *err)
{
    (void)fs;
    if (rmdir(path) != 0) {
        return error_set_errno(err, errno, "rmdir %.300s", path);
    }
    return STATUS_OK;
}

static enum status posix_sync_dir(struct fs *fs, const char *path, struct error *err)
{
    (void)fs;
    struct file *file = NULL;
    enum status status = open_with(path, O_RDONLY | O_DIRECTORY, &file, err);
    if (status != STATUS_OK) {
        return status;
    }
    while (fsync(posix_of(file)->fd) != 0) {
        if (errno != EINTR) {
            status = error_set_errno(err, errno, "fsync directory %.300s", path);
            break;
        }
    }
    file_close(file);
    return status;
}

static enum status posix_list(struct fs *fs, const char *path, fs_list_fn each, void *context,
                              struct error *err)
{
    (void)fs;
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return error_set_errno(err, errno, "opendir %.300s", path);
    }
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            if (errno != 0) {
                status = error_set_errno(err, errno, "readdir %.300s", path);
            }
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            status = each(context, entry->d_name, err);
        }
    }
    (void)closedir(directory);
    return status;
}

static enum status posix_exists(struct fs *fs, const char *path, bool *out, struct error *err)
{
    (void)fs;
    struct stat info;
    if (lstat(path, &info) == 0) {
        *out = true;
        return STATUS_OK;
    }
    if (errno != ENOENT && errno != ENOTDIR) {
        return error_set_errno(err, errno, "stat %.300s", path);
    }
    *out = false;
    return STATUS_OK;
}

/* Open-file-description locks: unlike POSIX's older ones they also hold between two opens in one
 * process, and are not lost when some other descriptor of the file is closed. */
static enum status posix_lock(struct fs *fs, const char *path, struct file **out, struct error *err)
{
    (void)fs;
    struct file *file = NULL;
    enum status status = open_with(path, O_RDWR | O_CREAT, &file, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(posix_of(file)->fd, F_OFD_SETLK, &whole) != 0) {
        int errnum = errno;
        file_close(file);
        if (errnum == EAGAIN || errnum == EACCES) {
            return error_set(err, STATUS_FAILED_PRECONDITION,
                             "lock %.300s: in use by another process", path);
        }
        return error_set_errno(err, errnum, "lock %.300s", path);
    }
    *out = file;
    return STATUS_OK;
}

static enum status posix_free_bytes(struct fs *fs, const char *path, uint64_t *bytes,
                                    struct error *err)
{
    (void)fs;
    struct statvfs info;
    if (statvfs(path, &info) != 0) {
        return error_set_errno(err, errno, "statvfs %.300s", path);
    }
    *bytes = (uint64_t)info.f_bavail * info.f_frsize;
    return STATUS_OK;
}

static const struct fs_ops fs_ops_posix = {
    .open = posix_open,
    .rename = posix_rename,
    .unlink = posix_unlink,
    .link = posix_link,
    .make_dir = posix_make_dir,
    .remove_dir = posix_remove_dir,
    .sync_dir = posix_sync_dir,
    .list = posix_list,
    .exists = posix_exists,
    .lock = posix_lock,
    .free_bytes = posix_free_bytes,
};

struct fs *fs_posix(void)
{
    static struct fs posix = {.ops = &fs_ops_posix};
    return &posix;
}
