/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls of fs_mirror. Those on names hold the mirror's mutex around the real
 * call and what they note of it, so that the tree never differs from DIR. Those
 * on content note what they changed after the real call: a sync in between then
 * takes it for unsynced, and the next one copies it.
 */
#include "testlib/fs_mirror.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "testlib/mirror_tree.h"

enum { COPY_BYTES = 64 << 10, WALK_DESCRIPTORS = 16 };

struct fs_mirror {
    struct fs fs;
    struct fs *under;
    enum fs_mirror_lie lie;
    char mirror[PATH_BYTES_MAX];
    char parent[PATH_BYTES_MAX]; /* of DIR; "" for the root */
    size_t parent_length;
    size_t dir_length; /* of DIR's whole path, of which `dir` is the last name */
    char dir[PATH_BYTES_MAX];
    struct file *lock;
    struct mutex mutex;
    /* under the mutex */
    struct mirror_tree tree;
    size_t files_open;
};

struct mirror_file {
    struct file file;
    struct file *under; /* owned */
    struct fs_mirror *mirror;
    struct mirror_inode *inode; /* a reference */
};

static struct fs_mirror *mirror_of(struct fs *fs)
{
    return (struct fs_mirror *)((char *)fs - offsetof(struct fs_mirror, fs));
}

static struct mirror_file *file_of(struct file *file)
{
    return (struct mirror_file *)((char *)file - offsetof(struct mirror_file, file));
}

/* --- copying ------------------------------------------------------------------------------ */

static enum status copy_range(struct file *from, struct file *to, struct mirror_range range,
                              struct error *err)
{
    uint8_t buffer[COPY_BYTES];
    enum status status = STATUS_OK;
    while (status == STATUS_OK && range.begin < range.end) {
        uint64_t left = range.end - range.begin;
        size_t step = left < sizeof buffer ? (size_t)left : sizeof buffer;
        size_t got = 0;
        status = file_read(from, range.begin, buffer, step, &got, err);
        if (status == STATUS_OK) {
            status = file_write(to, range.begin, slice_of(buffer, got), err);
        }
        if (got < step) {
            break; /* cut in the meantime: that is the next sync's */
        }
        range.begin += got;
    }
    return status;
}

/* Brings the file's content in the mirror up to `size` bytes of `from`. */
static enum status copy_changes(struct mirror_file *self, const struct mirror_changes *changes,
                                uint64_t size, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct file *to = NULL;
    struct fs *under = self->mirror->under;
    uint64_t size_before = 0;
    enum status status = mirror_content_path(self->mirror->mirror, self->inode->id, path, err);
    if (status == STATUS_OK) {
        status = fs_open(under, path, FS_WRITE | FS_CREATE, &to, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = file_size(to, &size_before, err);
    /* What was cut and grew again is zeros in between. */
    if (status == STATUS_OK && changes->size_min < size_before) {
        status = file_truncate(to, changes->size_min, err);
    }
    if (status == STATUS_OK) {
        status = file_truncate(to, size, err);
    }
    for (size_t i = 0; i < changes->count && status == STATUS_OK; i++) {
        struct mirror_range range = changes->ranges[i];
        range.end = range.end < size ? range.end : size;
        status = copy_range(self->under, to, range, err);
    }
    file_close(to);
    return status;
}

/* --- files -------------------------------------------------------------------------------- */

static enum status mirror_read(struct file *file, uint64_t offset, void *out, size_t length,
                               size_t *length_read, struct error *err)
{
    return file_read(file_of(file)->under, offset, out, length, length_read, err);
}

static enum status mirror_write(struct file *file, uint64_t offset, struct slice data,
                                struct error *err)
{
    struct mirror_file *self = file_of(file);
    enum status status = file_write(self->under, offset, data, err);
    if (offset <= INT64_MAX) { /* a failed one may have written a part */
        mirror_dirt_write(&self->inode->dirt, offset, data.length);
    }
    return status;
}

static bool is_lie(const struct mirror_file *self)
{
    switch (self->mirror->lie) {
    case FS_MIRROR_NO_SYNC:
        return true;
    case FS_MIRROR_NO_LATER_SYNC:
        return self->inode->synced;
    case FS_MIRROR_HONEST:
        break;
    }
    return false;
}

static enum status mirror_sync(struct file *file, struct error *err)
{
    struct mirror_file *self = file_of(file);
    uint64_t size = 0;
    enum status status = STATUS_OK;
    mutex_lock(&self->inode->sync_mutex);
    if (!is_lie(self)) {
        struct mirror_changes changes = mirror_dirt_take(&self->inode->dirt);
        status = file_sync(self->under, err);
        if (status == STATUS_OK) {
            status = file_size(self->under, &size, err);
        }
        if (status == STATUS_OK) {
            status = copy_changes(self, &changes, size, err);
        }
        if (status == STATUS_OK) {
            self->inode->synced = true;
        } else {
            mirror_dirt_give_back(&self->inode->dirt, &changes);
        }
    }
    mutex_unlock(&self->inode->sync_mutex);
    return status;
}

static enum status mirror_size(struct file *file, uint64_t *bytes, struct error *err)
{
    return file_size(file_of(file)->under, bytes, err);
}

static enum status mirror_truncate(struct file *file, uint64_t bytes, struct error *err)
{
    struct mirror_file *self = file_of(file);
    enum status status = file_truncate(self->under, bytes, err);
    if (status == STATUS_OK) {
        mirror_dirt_cut(&self->inode->dirt, bytes);
    }
    return status;
}

static enum status mirror_allocate(struct file *file, uint64_t bytes, struct error *err)
{
    return file_allocate(file_of(file)->under, bytes, err); /* a sync looks at the size anyway */
}

static void mirror_drop_cache(struct file *file)
{
    file_drop_cache(file_of(file)->under);
}

static void mirror_close(struct file *file)
{
    struct mirror_file *self = file_of(file);
    struct fs_mirror *mirror = self->mirror;
    file_close(self->under);
    mutex_lock(&mirror->mutex);
    mirror_inode_unref(&mirror->tree, self->inode);
    CHECK(mirror->files_open > 0);
    mirror->files_open--;
    mutex_unlock(&mirror->mutex);
    free(self);
}

static const struct file_ops file_ops_mirror = {
    .read = mirror_read,
    .write = mirror_write,
    .sync = mirror_sync,
    .size = mirror_size,
    .truncate = mirror_truncate,
    .allocate = mirror_allocate,
    .drop_cache = mirror_drop_cache,
    .close = mirror_close,
};

/* --- names -------------------------------------------------------------------------------- */

/* The rest of the path behind DIR's parent if it is DIR, in DIR, or the parent itself; else NULL:
 * not ours. */
static const char *inside(const struct fs_mirror *mirror, const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') {
        length--;
    }
    bool is_root = mirror->parent_length == 0 && length == 1 && path[0] == '/';
    if (is_root || (length == mirror->parent_length && memcmp(path, mirror->parent, length) == 0)) {
        return "";
    }
    if (length < mirror->dir_length || memcmp(path, mirror->dir, mirror->dir_length) != 0 ||
        (path[mirror->dir_length] != '\0' && path[mirror->dir_length] != '/')) {
        return NULL;
    }
    return path + mirror->parent_length + 1;
}

/* After a call that the kernel allowed the tree knows the name: else the two differ. */
static void find(struct fs_mirror *mirror, const char *rest, struct mirror_place *out)
{
    CHECK(mirror_tree_find(&mirror->tree, rest, out) == 0);
}

/* Takes what `under` opened; under the mutex. */
static struct file *new_file(struct fs_mirror *mirror, const char *rest, struct file *under)
{
    struct mirror_place place;
    find(mirror, rest, &place);
    if (place.inode == NULL) {
        place.inode = mirror_tree_new(&mirror->tree, false);
        mirror_tree_assign(&mirror->tree, &place, place.inode);
    }
    struct mirror_file *self = calloc(1, sizeof *self);
    CHECK(self != NULL);
    CHECK(!place.inode->is_directory);
    self->file.ops = &file_ops_mirror;
    self->under = under;
    self->mirror = mirror;
    self->inode = place.inode;
    mirror_inode_ref(self->inode);
    mirror->files_open++;
    return &self->file;
}

static enum status mirror_open(struct fs *fs, const char *path, int flags, struct file **out,
                               struct error *err)
{
    struct fs_mirror *mirror = mirror_of(fs);
    struct file *under = NULL;
    const char *rest = inside(mirror, path);
    if (rest == NULL) {
        return fs_open(mirror->under, path, flags, out, err);
    }
    mutex_lock(&mirror->mutex);
    /* Reading too, since a sync reads what it copies. */
    enum status status = fs_open(mirror->under, path, flags | FS_READ, &under, err);
    if (status == STATUS_OK) {
        *out = new_file(mirror, rest, under);
        if ((flags & FS_TRUNCATE) != 0) {
            mirror_dirt_cut(&file_of(*out)->inode->dirt, 0);
        }
    }
    mutex_unlock(&mirror->mutex);
    return status;
}

static enum status mirror_lock(struct fs *fs, const char *path, struct file **out,
                               struct error *err)
{
    struct fs_mirror *mirror = mirror_of(fs);
    struct file *under = NULL;
    const char *rest = inside(mirror, path);
    if (rest == NULL) {
        return fs_lock(mirror->under, path, out, err);
    }
    mutex_lock(&mirror->mutex);
    enum status status = fs_lock(mirror->under, path, &under, err);
    if (status == STATUS_OK) {
        *out = new_file(mirror, rest, under);
    }
    mutex_unlock(&mirror->mutex);
    return status;
}

static void note_rename(struct fs_mirror *mirror, const char *from_rest, const char *to_rest)
{
    struct mirror_place from;
    struct mirror_place to;
    find(mirror, from_rest, &from);
    find(mirror, to_rest, &to);
    CHECK(from.inode != NULL);
    if (from.inode != to.inode) { /* two names of one file: rename does nothing */
        mirror_tree_assign(&mirror->tree, &to, from.inode);
        mirror_tree_assign(&mirror->tree, &from, NULL);
    }
}

static enum status mirror_rename(struct fs *fs, const char *from, const char *to, struct error *err)
{
    struct fs_mirror *mirror = mirror_of(fs);
    const char *from_rest = inside(mirror, from);
    const char *to_rest = inside(mirror, to);
    if (from_rest == NULL && to_rest == NULL) {
        return fs_rename(mirror->under, from, to, err);
    }
    const char *from_name = strrchr(from, '/');
    const char *to_name = strrchr(to, '/');
    if (from_rest == NULL || to_rest == NULL || from_name - from != to_name - to ||
        memcmp(from, to, (size_t)(from_name - from)) != 0) {
        return error_set(err, STATUS_UNIMPLEMENTED, "rename %.150s to %.150s: another directory",
                         from, to);
    }
    mutex_lock(&mirror->mutex);
    enum status status = fs_rename(mirror->under, from, to, err);
    if (status == STATUS_OK) {
        note_rename(mirror, from_rest, to_rest);
    }
    mutex_unlock(&mirror->mutex);
    return status;
}

static void note_name(struct fs_mirror *mirror, const char *rest, struct mirror_inode *inode)
{
    struct mirror_place place;
    find(mirror, rest, &place);
    mirror_tree_assign(&mirror->tree, &place, inode);
}

static enum status mirror_unlink(struct fs *fs, const char *path, struct error *err)
{
    struct fs_mirror *mirror = mirror_of(fs);
    const char *rest = inside(mirror, path);
    if (rest == NULL) {
        return fs_unlink(mirror->under, path, err);
    }
    mutex_lock(&mirror->mutex);
    enum status status = fs_unlink(mirror->under, path, err);
    if (status == STATUS_OK) {
        note_name(mirror, rest, NULL);
    }
    mutex_unlock(&mirror->mutex);
    return status;
}

static enum status mirror_link(struct fs *fs, const char *from, const char *to, struct error *err)
{
    struct fs_mirror *mirror = mirror_of(fs);
    const char *from_rest = inside(mirror, from);
    const char *to_rest = inside(mirror, to);
    if (from_rest == NULL && to_rest == NULL) {
        return fs_link(mirror->under, from, to, err);
    }
    if (from_rest == NULL || to_rest == NULL) {
        return error_set(err, STATUS_UNIMPLEMENTED, "link %.150s to %.150s: in and out", from, to);
    }
    mutex_lock(&mirror->mutex);
    enum status status = fs_link(mirror->under, from, to, err);
    if (status == STATUS_OK) {
        struct mirror_place place;
        find(mirror, from_rest, &place);
        note_name(mirror, to_rest, place.inode);
    }
    mutex_unlock(&mirror->mutex);
    return status;
}

static enum status mirror_make_dir(struct fs *fs, const char *path, struct error *err)
{
    struct fs_mirror *mirror = mirror_of(fs);
    const char *rest = inside(mirror, path);
    if (rest == NULL) {
        return fs_make_dir(mirror->under, path, err);
    }
    mutex_lock(&mirror->mutex);
    enum status status = fs_make_dir(mirror->under, path, err);
    if (status == STATUS_OK) {
        struct mirror_place place;
        find(mirror, rest, &place);
        if (place.inode == NULL) {
            mirror_tree_assign(&mirror->tree, &place, mirror_tree_new(&mirror->tree, true));
        }
    }
    mutex_unlock(&mirror->mutex);
    return status;
}

static enum status mirror_remove_dir(struct fs *fs, const char *path, struct error *err)
{
    struct fs_mirror *mirror = mirror_of(fs);
    const char *rest = inside(mirror, path);
    if (rest == NULL) {
        return fs_remove_dir(mirror->under, path, err);
    }
    mutex_lock(&mirror->mutex);
    enum status status = fs_remove_dir(mirror->under, path, err);
    if (status == STATUS_OK) {
        note_name(mirror, rest, NULL);
    }
    mutex_unlock(&mirror->mutex);
    return status;
}

static enum status mirror_sync_dir(struct fs *fs, const char *path, struct error *err)
{
    struct fs_mirror *mirror = mirror_of(fs);
    const char *rest = inside(mirror, path);
    if (rest == NULL) {
        return fs_sync_dir(mirror->under, path, err);
    }
    mutex_lock(&mirror->mutex);
    enum status status = fs_sync_dir(mirror->under, path, err);
    if (status == STATUS_OK) {
        struct mirror_place place;
        find(mirror, rest, &place);
        CHECK(place.inode != NULL);
        status = mirror_tree_sync(&mirror->tree, place.inode, err);
    }
    mutex_unlock(&mirror->mutex);
    return status;
}

static enum status mirror_list(struct fs *fs, const char *path, fs_list_fn each, void *context,
                               struct error *err)
{
    return fs_list(mirror_of(fs)->under, path, each, context, err);
}

static enum status mirror_exists(struct fs *fs, const char *path, bool *out, struct error *err)
{
    return fs_exists(mirror_of(fs)->under, path, out, err);
}

static enum status mirror_free_bytes(struct fs *fs, const char *path, uint64_t *bytes,
                                     struct error *err)
{
    return fs_free_bytes(mirror_of(fs)->under, path, bytes, err);
}

static const struct fs_ops fs_ops_mirror = {
    .open = mirror_open,
    .rename = mirror_rename,
    .unlink = mirror_unlink,
    .link = mirror_link,
    .make_dir = mirror_make_dir,
    .remove_dir = mirror_remove_dir,
    .sync_dir = mirror_sync_dir,
    .list = mirror_list,
    .exists = mirror_exists,
    .lock = mirror_lock,
    .free_bytes = mirror_free_bytes,
};

/* --- power on ------------------------------------------------------------------------------ */

static enum status set_paths(struct fs_mirror *mirror, const char *dir, const char *mirror_path,
                             struct error *err)
{
    size_t length = strlen(dir);
    while (length > 1 && dir[length - 1] == '/') {
        length--;
    }
    if (dir[0] != '/' || length < 2 || length >= PATH_BYTES_MAX ||
        strlen(mirror_path) >= PATH_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "%.300s: not an absolute path", dir);
    }
    memcpy(mirror->dir, dir, length);
    mirror->dir_length = length;
    const char *name = strrchr(mirror->dir, '/');
    mirror->parent_length = (size_t)(name - mirror->dir);
    memcpy(mirror->parent, mirror->dir, mirror->parent_length);
    memcpy(mirror->mirror, mirror_path, strlen(mirror_path) + 1);
    if (inside(mirror, mirror->mirror) != NULL) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "%.150s holds its mirror %.150s", dir,
                         mirror_path);
    }
    return STATUS_OK;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

static enum status remove_dir(const char *dir, struct error *err)
{
    if (nftw(dir, remove_one, WALK_DESCRIPTORS, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
        return error_set_errno(err, errno, "remove %.300s", dir);
    }
    return STATUS_OK;
}

/* With the lock. A new mirror makes itself; an old one makes DIR. */
static enum status power_on(struct fs_mirror *mirror, struct error *err)
{
    bool exists = false;
    enum status status = mirror_tree_load(&mirror->tree, mirror->mirror, err);
    if (status == STATUS_NOT_FOUND) {
        status = fs_exists(mirror->under, mirror->dir, &exists, err);
        if (status == STATUS_OK && exists) {
            status = error_set(err, STATUS_FAILED_PRECONDITION,
                               "%.150s exists, but its mirror %.150s is new", mirror->dir,
                               mirror->mirror);
        }
        if (status == STATUS_OK) {
            status = mirror_tree_make(mirror->mirror, err);
        }
        return status == STATUS_OK ? mirror_tree_load(&mirror->tree, mirror->mirror, err) : status;
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = mirror_tree_sweep(&mirror->tree, err);
    if (status == STATUS_OK) {
        status = remove_dir(mirror->dir, err);
    }
    if (status == STATUS_OK) {
        status = mirror_tree_restore(&mirror->tree, mirror->parent, err);
    }
    if (status != STATUS_OK) {
        mirror_tree_release(&mirror->tree);
    }
    return status;
}

enum status fs_mirror_open(const struct fs_mirror_options *options, struct fs_mirror **out,
                           struct error *err)
{
    char lock_path[PATH_BYTES_MAX];
    struct fs_mirror *mirror = calloc(1, sizeof *mirror);
    CHECK(mirror != NULL);
    mirror->fs.ops = &fs_ops_mirror;
    mirror->under = fs_posix();
    mirror->lie = options->lie;
    enum status status = set_paths(mirror, options->dir, options->mirror, err);
    if (status == STATUS_OK) {
        status = fs_make_dir(mirror->under, mirror->mirror, err);
    }
    if (status == STATUS_OK) {
        status = path_join(lock_path, mirror->mirror, "lock", err);
    }
    if (status == STATUS_OK) {
        status = fs_lock(mirror->under, lock_path, &mirror->lock, err);
    }
    if (status == STATUS_OK) {
        status = power_on(mirror, err);
    }
    if (status != STATUS_OK) {
        file_close(mirror->lock);
        free(mirror);
        return status;
    }
    mutex_init(&mirror->mutex);
    *out = mirror;
    return STATUS_OK;
}

void fs_mirror_close(struct fs_mirror *mirror)
{
    if (mirror == NULL) {
        return;
    }
    CHECK(mirror->files_open == 0);
    mirror_tree_release(&mirror->tree);
    mutex_release(&mirror->mutex);
    file_close(mirror->lock);
    free(mirror);
}

struct fs *fs_mirror_fs(struct fs_mirror *mirror)
{
    return &mirror->fs;
}

enum status fs_mirror_restore(const char *mirror, const char *dir, struct error *err)
{
    struct fs_mirror *opened = NULL;
    const struct fs_mirror_options options = {.dir = dir, .mirror = mirror};
    bool exists = false;
    enum status status = fs_exists(fs_posix(), mirror, &exists, err);
    if (status == STATUS_OK && !exists) {
        status = error_set(err, STATUS_NOT_FOUND, "there is no mirror %.300s", mirror);
    }
    if (status == STATUS_OK) {
        status = fs_mirror_open(&options, &opened, err);
    }
    fs_mirror_close(opened);
    return status;
}
