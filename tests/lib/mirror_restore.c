/* SPDX-License-Identifier: Apache-2.0
 *
 * From a mirror back to a directory. Plain copies with the holes left out: logs
 * are mostly reserved space.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "testlib/mirror_tree.h"

enum { COPY_BYTES = 128 << 10 };

/* Where each file with more names than one was put first. */
struct restored {
    struct restored *next;
    const struct mirror_inode *inode;
    char path[];
};

struct restore {
    struct mirror_tree *tree;
    struct restored *done;
};

static int copy_range(int from, int to, off_t begin, off_t end, uint8_t *buffer)
{
    while (begin < end) {
        size_t step = end - begin < COPY_BYTES ? (size_t)(end - begin) : COPY_BYTES;
        ssize_t got = pread(from, buffer, step, begin);
        if (got <= 0) {
            return got < 0 ? errno : EIO;
        }
        ssize_t put = pwrite(to, buffer, (size_t)got, begin);
        if (put != got) {
            return put < 0 ? errno : ENOSPC;
        }
        begin += got;
    }
    return 0;
}

/* Returns 0 or an errno. */
static int copy_data(int from, int to, off_t size, uint8_t *buffer)
{
    off_t end = 0;
    while (end < size) {
        off_t begin = lseek(from, end, SEEK_DATA);
        if (begin < 0 && errno == ENXIO) {
            break;
        }
        end = begin < 0 ? -1 : lseek(from, begin, SEEK_HOLE);
        if (end < 0) {
            return errno;
        }
        int errnum = copy_range(from, to, begin, end, buffer);
        if (errnum != 0) {
            return errnum;
        }
    }
    return ftruncate(to, size) == 0 ? 0 : errno;
}

static int copy_open_files(int from, int to)
{
    struct stat info;
    if (fstat(from, &info) != 0) {
        return errno;
    }
    uint8_t *buffer = malloc(COPY_BYTES);
    CHECK(buffer != NULL);
    int errnum = copy_data(from, to, info.st_size, buffer);
    free(buffer);
    return errnum;
}

static enum status copy_file(const char *from_path, const char *to_path, struct error *err)
{
    int from = open(from_path, O_RDONLY | O_CLOEXEC);
    if (from < 0 && errno != ENOENT) { /* absent: never synced, so it is empty */
        return error_set_errno(err, errno, "open %.300s", from_path);
    }
    enum status status = STATUS_OK;
    int to = open(to_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0) {
        status = error_set_errno(err, errno, "open %.300s", to_path);
    }
    if (status == STATUS_OK && from >= 0) {
        int errnum = copy_open_files(from, to);
        if (errnum != 0) {
            status = error_set_errno(err, errnum, "copy %.150s to %.150s", from_path, to_path);
        }
    }
    if (to >= 0) {
        (void)close(to);
    }
    if (from >= 0) {
        (void)close(from);
    }
    return status;
}

static enum status restore_file(struct restore *restore, const struct mirror_inode *inode,
                                const char *path, struct error *err)
{
    char content[PATH_BYTES_MAX];
    for (const struct restored *at = restore->done; at != NULL; at = at->next) {
        if (at->inode == inode) {
            return fs_link(fs_posix(), at->path, path, err);
        }
    }
    enum status status = mirror_content_path(restore->tree->mirror, inode->id, content, err);
    if (status == STATUS_OK) {
        status = copy_file(content, path, err);
    }
    if (status == STATUS_OK) {
        size_t path_bytes = strlen(path) + 1;
        struct restored *restored = malloc(sizeof *restored + path_bytes);
        CHECK(restored != NULL);
        restored->next = restore->done;
        restored->inode = inode;
        memcpy(restored->path, path, path_bytes);
        restore->done = restored;
    }
    return status;
}

static enum status restore_dir(struct restore *restore, const struct mirror_inode *dir,
                               const char *path, struct error *err)
{
    char name[PATH_BYTES_MAX];
    enum status status = STATUS_OK;
    for (const struct mirror_entry *at = dir->durable; at != NULL && status == STATUS_OK;
         at = at->next) {
        status = path_join(name, path, at->name, err);
        if (status != STATUS_OK) {
            break;
        }
        if (!at->inode->is_directory) {
            status = restore_file(restore, at->inode, name, err);
            continue;
        }
        status = fs_make_dir(fs_posix(), name, err);
        if (status == STATUS_OK) {
            status = restore_dir(restore, at->inode, name, err);
        }
    }
    return status;
}

enum status mirror_tree_restore(struct mirror_tree *tree, const char *parent, struct error *err)
{
    struct restore restore = {.tree = tree};
    enum status status = restore_dir(&restore, tree->root, parent, err);
    while (restore.done != NULL) {
        struct restored *restored = restore.done;
        restore.done = restored->next;
        free(restored);
    }
    return status;
}
