/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls of fs_crash: each takes the mutex, looks whether the power is on,
 * acts on crash_names and crash_inode, and looks again: the call in which the
 * power fails has acted, but does not say so.
 */
#include "testlib/fs_crash.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/sync.h"
#include "testlib/crash_damage.h"

#define FREE_BYTES_WITHOUT_LIMIT (1ULL << 40)

struct fs_crash {
    struct fs fs;
    struct mutex mutex;
    /* under the mutex */
    struct crash_names names;
    uint64_t bytes_used;
    uint64_t capacity;
    struct crash_damage damage;
    uint64_t changes;
    uint64_t stop_at;    /* number of the change in which the power fails */
    uint64_t generation; /* counts crashes: older files are lost */
    size_t files_open;
    bool stopped;
    bool sync_lies;
};

struct crash_file {
    struct file file;
    struct fs_crash *crash;
    struct crash_inode *inode; /* a reference */
    uint64_t generation;
    int flags;
    bool holds_lock;
    char path[];
};

static struct fs_crash *crash_of(struct fs *fs)
{
    return (struct fs_crash *)((char *)fs - offsetof(struct fs_crash, fs));
}

static struct crash_file *file_of(struct file *file)
{
    return (struct crash_file *)((char *)file - offsetof(struct crash_file, file));
}

/* --- power -------------------------------------------------------------------------- */

static enum status power_is_off(const char *path, struct error *err)
{
    return error_set(err, STATUS_UNAVAILABLE, "%.200s: the power is off", path);
}

/* Takes the mutex if it returns OK. */
static enum status begin(struct fs_crash *crash, const char *path, bool changes, struct error *err)
{
    mutex_lock(&crash->mutex);
    if (crash->stopped) {
        mutex_unlock(&crash->mutex);
        return power_is_off(path, err);
    }
    if (changes) {
        crash->stopped = crash->changes == crash->stop_at;
        crash->changes++;
    }
    return STATUS_OK;
}

/* Gives the mutex back. `errnum` 0 is success. */
static enum status end(struct fs_crash *crash, const char *call, const char *path, int errnum,
                       struct error *err)
{
    bool stopped = crash->stopped;
    mutex_unlock(&crash->mutex);
    if (stopped) {
        return power_is_off(path, err);
    }
    return errnum == 0 ? STATUS_OK : error_set_errno(err, errnum, "%s %.200s", call, path);
}

static enum status begin_file(struct crash_file *self, bool changes, struct error *err)
{
    enum status status = begin(self->crash, self->path, changes, err);
    if (status == STATUS_OK && self->generation != self->crash->generation) {
        mutex_unlock(&self->crash->mutex);
        status = error_set(err, STATUS_UNAVAILABLE, "%.200s: was open when the power failed",
                           self->path);
    }
    return status;
}

/* --- files -------------------------------------------------------------------------- */

static enum status crash_read(struct file *file, uint64_t offset, void *out, size_t length,
                              size_t *length_read, struct error *err)
{
    struct crash_file *self = file_of(file);
    CHECK((self->flags & FS_READ) != 0);
    enum status status = begin_file(self, false, err);
    if (status != STATUS_OK) {
        return status;
    }
    *length_read = crash_inode_read(self->inode, offset, out, length);
    return end(self->crash, "read", self->path, 0, err);
}

/* How many of `wanted` bytes more the capacity has room for. */
static uint64_t room_for(const struct fs_crash *crash, uint64_t wanted)
{
    uint64_t room = crash->capacity > crash->bytes_used ? crash->capacity - crash->bytes_used : 0;
    return room < wanted ? room : wanted;
}

static enum status crash_write(struct file *file, uint64_t offset, struct slice data,
                               struct error *err)
{
    struct crash_file *self = file_of(file);
    CHECK((self->flags & FS_WRITE) != 0);
    CHECK(data.length <= UINT64_MAX - offset);
    enum status status = begin_file(self, data.length > 0, err);
    if (status != STATUS_OK) {
        return status;
    }
    uint64_t end_offset = offset + data.length;
    int errnum = 0;
    if (end_offset > self->inode->size) {
        uint64_t wanted = end_offset - self->inode->size;
        uint64_t missing = wanted - room_for(self->crash, wanted);
        if (missing > 0) { /* as much as fits is written, as a real disk does */
            errnum = ENOSPC;
            data.length = missing < data.length ? data.length - (size_t)missing : 0;
        }
    }
    struct fs_crash *crash = self->crash;
    if (!crash_damage_write(&crash->damage, &crash->names, self->inode, offset, data)) {
        crash_inode_write(self->inode, offset, data);
    } else {
        crash_inode_lose(self->inode, offset, data.length);
    }
    return end(crash, "write", self->path, errnum, err);
}

static enum status crash_sync(struct file *file, struct error *err)
{
    struct crash_file *self = file_of(file);
    enum status status = begin_file(self, true, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct fs_crash *crash = self->crash;
    if (!crash->stopped && !crash->sync_lies) {
        crash_damage_sync(&crash->damage, &crash->names, self->inode);
        crash_inode_sync(self->inode);
    }
    return end(self->crash, "fdatasync", self->path, 0, err);
}

void fs_crash_sync_failed(struct file *file)
{
    struct crash_file *self = file_of(file);
    mutex_lock(&self->crash->mutex);
    if (!self->crash->stopped && self->generation == self->crash->generation) {
        crash_inode_sync_failed(self->inode);
    }
    mutex_unlock(&self->crash->mutex);
}

static enum status crash_size(struct file *file, uint64_t *bytes, struct error *err)
{
    struct crash_file *self = file_of(file);
    enum status status = begin_file(self, false, err);
    if (status != STATUS_OK) {
        return status;
    }
    *bytes = self->inode->size;
    return end(self->crash, "fstat", self->path, 0, err);
}

static enum status resize(struct crash_file *self, const char *call, uint64_t bytes,
                          bool only_to_grow, struct error *err)
{
    CHECK((self->flags & FS_WRITE) != 0);
    enum status status = begin_file(self, true, err);
    if (status != STATUS_OK) {
        return status;
    }
    int errnum = 0;
    uint64_t size = self->inode->size;
    if (bytes > size && room_for(self->crash, bytes - size) < bytes - size) {
        errnum = ENOSPC;
    } else if (bytes > size || !only_to_grow) {
        crash_inode_resize(self->inode, bytes);
    }
    return end(self->crash, call, self->path, errnum, err);
}

static enum status crash_truncate(struct file *file, uint64_t bytes, struct error *err)
{
    return resize(file_of(file), "ftruncate", bytes, false, err);
}

static enum status crash_allocate(struct file *file, uint64_t bytes, struct error *err)
{
    return resize(file_of(file), "allocate", bytes, true, err);
}

static void crash_drop_cache(struct file *file)
{
    (void)file;
}

static void crash_close(struct file *file)
{
    struct crash_file *self = file_of(file);
    struct fs_crash *crash = self->crash;
    mutex_lock(&crash->mutex);
    if (self->holds_lock && self->generation == crash->generation) {
        self->inode->locked = false;
    }
    crash_inode_unref(self->inode);
    CHECK(crash->files_open > 0);
    crash->files_open--;
    mutex_unlock(&crash->mutex);
    free(self);
}

static const struct file_ops file_ops_crash = {
    .read = crash_read,
    .write = crash_write,
    .sync = crash_sync,
    .size = crash_size,
    .truncate = crash_truncate,
    .allocate = crash_allocate,
    .drop_cache = crash_drop_cache,
    .close = crash_close,
};

/* --- names -------------------------------------------------------------------------- */

static struct crash_file *new_file(struct fs_crash *crash, const char *path, int flags,
                                   struct crash_inode *inode)
{
    size_t path_bytes = strlen(path) + 1;
    struct crash_file *self = calloc(1, sizeof *self + path_bytes);
    CHECK(self != NULL);
    self->file.ops = &file_ops_crash;
    self->crash = crash;
    self->inode = crash_inode_ref(inode);
    self->generation = crash->generation;
    self->flags = flags;
    memcpy(self->path, path, path_bytes);
    crash->files_open++;
    return self;
}

/* Finds or makes the file. Returns 0 or an errno. */
static int open_inode(struct fs_crash *crash, const char *path, int flags, struct crash_inode **out)
{
    struct crash_place place;
    int errnum = crash_names_find(&crash->names, path, &place);
    if (errnum != 0) {
        return errnum;
    }
    if (place.inode == NULL) {
        if ((flags & FS_CREATE) == 0) {
            return ENOENT;
        }
        struct crash_inode *inode = crash_inode_new(false, &crash->bytes_used);
        crash_names_assign(&crash->names, &place, inode);
        crash_inode_unref(inode); /* the name keeps it */
        *out = inode;
        return 0;
    }
    if (place.inode->is_directory) {
        return EISDIR;
    }
    if ((flags & FS_EXCLUSIVE) != 0) {
        return EEXIST;
    }
    if ((flags & FS_TRUNCATE) != 0) {
        crash_inode_resize(place.inode, 0);
    }
    *out = place.inode;
    return 0;
}

static enum status crash_open(struct fs *fs, const char *path, int flags, struct file **out,
                              struct error *err)
{
    struct fs_crash *crash = crash_of(fs);
    CHECK((flags & (FS_READ | FS_WRITE)) != 0);
    CHECK((flags & FS_EXCLUSIVE) == 0 || (flags & FS_CREATE) != 0);
    CHECK((flags & FS_TRUNCATE) == 0 || (flags & FS_WRITE) != 0);
    enum status status = begin(crash, path, (flags & (FS_CREATE | FS_TRUNCATE)) != 0, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct crash_inode *inode = NULL;
    int errnum = open_inode(crash, path, flags, &inode);
    if (errnum == 0 && !crash->stopped) {
        *out = &new_file(crash, path, flags, inode)->file;
    }
    return end(crash, "open", path, errnum, err);
}

static enum status crash_lock(struct fs *fs, const char *path, struct file **out, struct error *err)
{
    struct fs_crash *crash = crash_of(fs);
    enum status status = begin(crash, path, true, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct crash_inode *inode = NULL;
    int errnum = open_inode(crash, path, FS_CREATE | FS_WRITE, &inode);
    bool taken = errnum == 0 && inode->locked;
    if (errnum == 0 && !taken && !crash->stopped) {
        struct crash_file *self = new_file(crash, path, FS_READ | FS_WRITE, inode);
        self->holds_lock = true;
        inode->locked = true;
        *out = &self->file;
    }
    status = end(crash, "lock", path, errnum, err);
    if (status == STATUS_OK && taken) {
        status = error_set(err, STATUS_FAILED_PRECONDITION,
                           "lock %.200s: in use by another process", path);
    }
    return status;
}

static int rename_names(struct crash_names *names, const char *from_path, const char *to_path)
{
    struct crash_place from;
    struct crash_place to;
    int errnum = crash_names_find(names, from_path, &from);
    if (errnum == 0) {
        errnum = crash_names_find(names, to_path, &to);
    }
    if (errnum != 0) {
        return errnum;
    }
    if (from.inode == NULL) {
        return ENOENT;
    }
    if (from.dir == NULL || to.dir == NULL) {
        return EBUSY;
    }
    if (to.inode == from.inode) {
        return 0;
    }
    if (to.inode != NULL && to.inode->is_directory != from.inode->is_directory) {
        return to.inode->is_directory ? EISDIR : ENOTDIR;
    }
    if (to.inode != NULL && to.inode->now != NULL) {
        return ENOTEMPTY;
    }
    crash_names_rename(names, &from, &to);
    return 0;
}

static enum status crash_rename(struct fs *fs, const char *from, const char *to, struct error *err)
{
    struct fs_crash *crash = crash_of(fs);
    enum status status = begin(crash, from, true, err);
    if (status != STATUS_OK) {
        return status;
    }
    int errnum = rename_names(&crash->names, from, to);
    crash_damage_renamed(&crash->damage, &crash->names);
    return end(crash, "rename", from, errnum, err);
}

static enum status crash_unlink(struct fs *fs, const char *path, struct error *err)
{
    struct fs_crash *crash = crash_of(fs);
    enum status status = begin(crash, path, true, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct crash_place place;
    int errnum = crash_names_find(&crash->names, path, &place);
    if (errnum == 0) {
        errnum = place.inode == NULL ? ENOENT : place.inode->is_directory ? EISDIR : 0;
    }
    if (errnum == 0) {
        crash_names_assign(&crash->names, &place, NULL);
    }
    return end(crash, "unlink", path, errnum, err);
}

static int link_names(struct crash_names *names, const char *from_path, const char *to_path)
{
    struct crash_place from;
    struct crash_place to;
    int errnum = crash_names_find(names, from_path, &from);
    if (errnum == 0) {
        errnum = crash_names_find(names, to_path, &to);
    }
    if (errnum != 0) {
        return errnum;
    }
    if (from.inode == NULL) {
        return ENOENT;
    }
    if (to.inode != NULL) {
        return EEXIST;
    }
    if (from.inode->is_directory) {
        return EPERM;
    }
    crash_names_assign(names, &to, from.inode);
    return 0;
}

static enum status crash_link(struct fs *fs, const char *from, const char *to, struct error *err)
{
    struct fs_crash *crash = crash_of(fs);
    enum status status = begin(crash, from, true, err);
    if (status != STATUS_OK) {
        return status;
    }
    return end(crash, "link", to, link_names(&crash->names, from, to), err);
}

static enum status crash_make_dir(struct fs *fs, const char *path, struct error *err)
{
    struct fs_crash *crash = crash_of(fs);
    enum status status = begin(crash, path, true, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct crash_place place;
    int errnum = crash_names_find(&crash->names, path, &place);
    if (errnum == 0 && place.inode != NULL && !place.inode->is_directory) {
        errnum = EEXIST;
    }
    if (errnum == 0 && place.inode == NULL) {
        struct crash_inode *inode = crash_inode_new(true, &crash->bytes_used);
        crash_names_assign(&crash->names, &place, inode);
        crash_inode_unref(inode);
    }
    return end(crash, "mkdir", path, errnum, err);
}

static enum status crash_remove_dir(struct fs *fs, const char *path, struct error *err)
{
    struct fs_crash *crash = crash_of(fs);
    enum status status = begin(crash, path, true, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct crash_place place;
    int errnum = crash_names_find(&crash->names, path, &place);
    if (errnum == 0) {
        errnum = place.inode == NULL          ? ENOENT
                 : !place.inode->is_directory ? ENOTDIR
                 : place.dir == NULL          ? EBUSY
                 : place.inode->now != NULL   ? ENOTEMPTY
                                              : 0;
    }
    if (errnum == 0) {
        crash_names_assign(&crash->names, &place, NULL);
    }
    return end(crash, "rmdir", path, errnum, err);
}

/* The directory that the path names. Returns 0 or an errno. */
static int find_dir(struct fs_crash *crash, const char *path, struct crash_inode **out)
{
    struct crash_place place;
    int errnum = crash_names_find(&crash->names, path, &place);
    if (errnum == 0) {
        errnum = place.inode == NULL ? ENOENT : !place.inode->is_directory ? ENOTDIR : 0;
    }
    if (errnum == 0) {
        *out = place.inode;
    }
    return errnum;
}

static enum status crash_sync_dir(struct fs *fs, const char *path, struct error *err)
{
    struct fs_crash *crash = crash_of(fs);
    enum status status = begin(crash, path, true, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct crash_inode *dir = NULL;
    int errnum = find_dir(crash, path, &dir);
    if (errnum == 0 && !crash->stopped && !crash->sync_lies) {
        crash_names_sync(&crash->names, dir);
    }
    return end(crash, "fsync directory", path, errnum, err);
}

static enum status crash_list(struct fs *fs, const char *path, fs_list_fn each, void *context,
                              struct error *err)
{
    struct fs_crash *crash = crash_of(fs);
    enum status status = begin(crash, path, false, err);
    if (status != STATUS_OK) {
        return status;
    }
    /* A copy: `each` may call us. */
    struct crash_entry *copy = NULL;
    struct crash_inode *dir = NULL;
    int errnum = find_dir(crash, path, &dir);
    if (errnum == 0) {
        crash_entries_copy(&copy, dir->now);
    }
    status = end(crash, "opendir", path, errnum, err);
    for (struct crash_entry *at = copy; at != NULL && status == STATUS_OK; at = at->next) {
        status = each(context, at->name, err);
    }
    mutex_lock(&crash->mutex);
    crash_entries_clear(&copy);
    mutex_unlock(&crash->mutex);
    return status;
}

static enum status crash_exists(struct fs *fs, const char *path, bool *out, struct error *err)
{
    struct fs_crash *crash = crash_of(fs);
    enum status status = begin(crash, path, false, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct crash_place place;
    int errnum = crash_names_find(&crash->names, path, &place);
    *out = errnum == 0 && place.inode != NULL;
    if (errnum == ENOENT || errnum == ENOTDIR) {
        errnum = 0;
    }
    return end(crash, "stat", path, errnum, err);
}

static enum status crash_free_bytes(struct fs *fs, const char *path, uint64_t *bytes,
                                    struct error *err)
{
    struct fs_crash *crash = crash_of(fs);
    enum status status = begin(crash, path, false, err);
    if (status != STATUS_OK) {
        return status;
    }
    *bytes = room_for(crash, FREE_BYTES_WITHOUT_LIMIT);
    return end(crash, "statvfs", path, 0, err);
}

static const struct fs_ops fs_ops_crash = {
    .open = crash_open,
    .rename = crash_rename,
    .unlink = crash_unlink,
    .link = crash_link,
    .make_dir = crash_make_dir,
    .remove_dir = crash_remove_dir,
    .sync_dir = crash_sync_dir,
    .list = crash_list,
    .exists = crash_exists,
    .lock = crash_lock,
    .free_bytes = crash_free_bytes,
};

/* --- the test's side ---------------------------------------------------------------- */

struct fs_crash *fs_crash_new(void)
{
    struct fs_crash *crash = calloc(1, sizeof *crash);
    CHECK(crash != NULL);
    crash->fs.ops = &fs_ops_crash;
    crash->capacity = UINT64_MAX;
    crash->stop_at = UINT64_MAX;
    mutex_init(&crash->mutex);
    crash_names_init(&crash->names, &crash->bytes_used);
    return crash;
}

void fs_crash_free(struct fs_crash *crash)
{
    CHECK(crash->files_open == 0);
    crash_damage_release(&crash->damage);
    crash_names_release(&crash->names);
    CHECK(crash->bytes_used == 0);
    mutex_release(&crash->mutex);
    free(crash);
}

struct fs *fs_crash_fs(struct fs_crash *crash)
{
    return &crash->fs;
}

void fs_crash_stop(struct fs_crash *crash)
{
    mutex_lock(&crash->mutex);
    crash->stopped = true;
    mutex_unlock(&crash->mutex);
}

void fs_crash_stop_at(struct fs_crash *crash, uint64_t n)
{
    mutex_lock(&crash->mutex);
    crash->stop_at = n > UINT64_MAX - crash->changes ? UINT64_MAX : crash->changes + n;
    mutex_unlock(&crash->mutex);
}

bool fs_crash_stopped(struct fs_crash *crash)
{
    mutex_lock(&crash->mutex);
    bool stopped = crash->stopped;
    mutex_unlock(&crash->mutex);
    return stopped;
}

static void crash_with(struct fs_crash *crash, struct rng *rng)
{
    mutex_lock(&crash->mutex);
    crash_damage_crashed(&crash->damage);
    crash_names_crash(&crash->names, rng);
    crash->generation++;
    crash->stopped = false;
    crash->stop_at = UINT64_MAX;
    mutex_unlock(&crash->mutex);
}

void fs_crash_now(struct fs_crash *crash, uint64_t seed)
{
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, seed);
    crash_with(crash, &seeded.rng);
}

void fs_crash_now_losing_all(struct fs_crash *crash)
{
    crash_with(crash, NULL);
}

void fs_crash_set_sync_lies(struct fs_crash *crash, bool lies)
{
    mutex_lock(&crash->mutex);
    crash->sync_lies = lies;
    mutex_unlock(&crash->mutex);
}

void fs_crash_set_capacity(struct fs_crash *crash, uint64_t bytes)
{
    mutex_lock(&crash->mutex);
    crash->capacity = bytes;
    mutex_unlock(&crash->mutex);
}

void fs_crash_now_losing_nothing(struct fs_crash *crash)
{
    mutex_lock(&crash->mutex);
    crash_names_unlock(&crash->names);
    crash->generation++;
    crash->stopped = false;
    crash->stop_at = UINT64_MAX;
    mutex_unlock(&crash->mutex);
}

uint64_t fs_crash_used(struct fs_crash *crash)
{
    mutex_lock(&crash->mutex);
    uint64_t bytes = crash->bytes_used;
    mutex_unlock(&crash->mutex);
    return bytes;
}

bool fs_crash_damage(struct fs_crash *crash, enum crash_damage_kind kind, const char *name,
                     bool is_log, uint64_t seed)
{
    mutex_lock(&crash->mutex);
    bool done = crash_damage_begin(&crash->damage, &crash->names, kind, name, is_log, seed);
    mutex_unlock(&crash->mutex);
    return done;
}

enum crash_damage_state fs_crash_damage_state(struct fs_crash *crash)
{
    mutex_lock(&crash->mutex);
    enum crash_damage_state state = crash_damage_state(&crash->damage, &crash->names);
    mutex_unlock(&crash->mutex);
    return state;
}

bool fs_crash_damage_is_below(struct fs_crash *crash, const char *path)
{
    mutex_lock(&crash->mutex);
    bool below = crash_damage_is_below(&crash->damage, &crash->names, path);
    mutex_unlock(&crash->mutex);
    return below;
}

uint64_t fs_crash_changes(struct fs_crash *crash)
{
    mutex_lock(&crash->mutex);
    uint64_t changes = crash->changes;
    mutex_unlock(&crash->mutex);
    return changes;
}
