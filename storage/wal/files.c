/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/wal/files.h"

#include <stdio.h>

#include "base/check.h"

#define FILL_BYTES (1 * MIB) /* at a time, so that other work of the executor gets its turn */
/* A write: Linux caches the pages that one write brings as one folio, and each later write into a
 * folio of ext4 looks at all of its blocks, so that a small group would cost as a large one. */
#define FILL_WRITE_BYTES (16 * KIB)

void wal_files_release(struct wal_files *files)
{
    CHECK(!files->working);
    wal_segment_free(files->alloc, files->next);
    files->next = NULL;
    wal_segment_free(files->alloc, files->making); /* wal_open removes the file */
    files->making = NULL;
    while (files->retired != NULL) {
        struct wal_segment *segment = files->retired;
        files->retired = segment->next;
        wal_segment_free(files->alloc, segment);
    }
}

static bool is_always_synced(const struct wal_files *files)
{
    return files->head.version == WAL_VERSION_GROUPS;
}

/* --- making ------------------------------------------------------------------------------ */

static enum status spare_path(const struct wal_files *files, uint64_t id, char *out,
                              struct error *err)
{
    char name[32];
    (void)snprintf(name, sizeof name, "%016llx" WAL_TEMPORARY_SUFFIX, (unsigned long long)id);
    return path_join(out, files->dir, name, err);
}

static enum status open_reserved(struct wal_files *files, const char *path, uint64_t bytes,
                                 struct file **out, struct error *err)
{
    enum status status =
        fs_open(files->fs, path, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNCATE, out, err);
    if (status != STATUS_OK) {
        return status;
    }
    status = file_allocate(*out, bytes, err);
    if (status != STATUS_OK) {
        file_close(*out);
    }
    return status;
}

/* The new name must be durable before the first byte of the new use is written: else a crash could
 * show a file of the old name with the new content. */
static enum status open_spare(struct wal_files *files, const char *path, struct file **out,
                              struct error *err)
{
    char spare[PATH_BYTES_MAX];
    CHECK(files->spare_count > 0);
    files->spare_count--;
    enum status status = spare_path(files, files->spares[files->spare_count], spare, err);
    if (status == STATUS_OK) {
        status = fs_rename(files->fs, spare, path, err);
    }
    if (status == STATUS_OK) {
        status = fs_sync_dir(files->fs, files->dir, err);
    }
    if (status == STATUS_OK) {
        status = fs_open(files->fs, path, FS_READ | FS_WRITE, out, err);
    }
    return status;
}

static enum status finish_file(struct wal_files *files, const char *temporary, uint64_t id,
                               struct file *file, struct error *err)
{
    char path[PATH_BYTES_MAX];
    uint8_t block[WAL_BLOCK_BYTES];
    struct wal_head head = files->head;
    head.file = id;
    wal_head_encode(&head, block);
    enum status status = wal_segment_path(path, files->dir, id, err);
    if (status == STATUS_OK) {
        status = file_write(file, 0, slice_of(block, sizeof block), err);
    }
    if (status == STATUS_OK) {
        status = file_sync(file, err);
    }
    if (status == STATUS_OK) {
        status = fs_rename(files->fs, temporary, path, err);
    }
    if (status == STATUS_OK) {
        status = fs_sync_dir(files->fs, files->dir, err);
    }
    return status;
}

/* Writes zeros into a piece of what the file has reserved. */
static enum status fill(struct wal_files *files, struct error *err)
{
    struct wal_segment *segment = files->making;
    uint64_t left = segment->bytes - files->filled;
    uint64_t end = files->filled + (left < FILL_BYTES ? left : FILL_BYTES);
    void *zeros = alloc_zeroed(files->alloc, 1, FILL_WRITE_BYTES);
    if (zeros == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to fill a segment");
    }
    enum status status = STATUS_OK;
    while (status == STATUS_OK && files->filled < end) {
        uint64_t rest = end - files->filled;
        size_t length = rest < FILL_WRITE_BYTES ? (size_t)rest : FILL_WRITE_BYTES;
        status = file_write(segment->file, files->filled, slice_of(zeros, length), err);
        files->filled += status == STATUS_OK ? length : 0;
    }
    alloc_free(files->alloc, zeros);
    return status;
}

static enum status begin(struct wal_files *files, const char *temporary, uint64_t id,
                         uint64_t bytes, struct error *err)
{
    struct file *file = NULL;
    struct wal_segment *segment = wal_segment_new(files->alloc, id, bytes, NULL);
    if (segment == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a segment");
    }
    bool reuse = files->spare_count > 0 && bytes == files->segment_bytes;
    enum status status = reuse ? open_spare(files, temporary, &file, err)
                               : open_reserved(files, temporary, bytes, &file, err);
    if (status != STATUS_OK) {
        wal_segment_free(files->alloc, segment);
        return status;
    }
    counter_add(reuse ? &files->metrics->segments_recycled : &files->metrics->segments_made, 1);
    segment->file = file;
    segment->version = files->head.version;
    files->making = segment;
    files->filled = reuse || !is_always_synced(files) ? bytes : 0;
    return STATUS_OK;
}

/* One piece of the work. `out` is set when the segment is whole. */
static enum status make_some(struct wal_files *files, uint64_t id, uint64_t bytes,
                             struct wal_segment **out, struct error *err)
{
    char temporary[PATH_BYTES_MAX];
    enum status status = path_join(temporary, files->dir, "next" WAL_TEMPORARY_SUFFIX, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (files->making == NULL) {
        status = begin(files, temporary, id, bytes, err);
    } else if (files->filled < files->making->bytes) {
        status = fill(files, err);
    } else {
        status = finish_file(files, temporary, id, files->making->file, err);
        if (status == STATUS_OK) {
            *out = files->making;
            files->making = NULL;
        }
    }
    if (status != STATUS_OK) {
        (void)error_wrap(err, "make log segment %llu", (unsigned long long)id);
        /* If this fails, too, wal_open removes it one day. */
        enum status removed = fs_unlink(files->fs, temporary, NULL);
        (void)removed;
        wal_segment_free(files->alloc, files->making);
        files->making = NULL;
    }
    return status;
}

enum status wal_files_make(struct wal_files *files, uint64_t id, uint64_t bytes,
                           struct wal_segment **out, struct error *err)
{
    CHECK(id > 0);
    CHECK(files->making == NULL);
    struct wal_segment *made = NULL;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && made == NULL) {
        status = make_some(files, id, bytes, &made, err);
    }
    if (status == STATUS_OK) {
        *out = made;
    }
    return status;
}

static enum status grow(struct wal_segment *segment, uint64_t bytes, struct error *err)
{
    enum status status = file_allocate(segment->file, bytes, err);
    if (status == STATUS_OK) {
        status = file_sync(segment->file, err);
    }
    return status;
}

/* --- removing ---------------------------------------------------------------------------- */

/* The name need not be durably gone: a file that comes back after a crash is history that was
 * purged already, and is whole. */
static enum status remove_file(struct wal_files *files, const struct wal_segment *segment,
                               struct error *err)
{
    char path[PATH_BYTES_MAX];
    char spare[PATH_BYTES_MAX];
    enum status status = wal_segment_path(path, files->dir, segment->file_id, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (segment->bytes != files->segment_bytes || files->spare_count == WAL_SPARES_MAX ||
        !is_always_synced(files)) {
        return fs_unlink(files->fs, path, err);
    }
    status = spare_path(files, segment->file_id, spare, err);
    if (status == STATUS_OK) {
        status = fs_rename(files->fs, path, spare, err);
    }
    if (status == STATUS_OK) {
        files->spares[files->spare_count++] = segment->file_id;
    }
    return status;
}

/* --- work -------------------------------------------------------------------------------- */

static void note_sync_locked(struct wal_files *files, enum status status, const struct error *err)
{
    if (status != STATUS_OK && files->sync_status == STATUS_OK) {
        /* No want of space that passes: nobody knows what the disk holds. */
        files->sync_status = status == STATUS_RESOURCE_EXHAUSTED ? STATUS_INTERNAL : status;
        files->sync_error = *err;
        files->sync_error.status = files->sync_status;
    }
}

/* Of a segment that is not synced: durably gone, or else whole. */
static enum status settle_removal(struct wal_files *files, struct wal_segment *segment,
                                  enum status removed, struct error *err)
{
    if (removed == STATUS_OK && fs_sync_dir(files->fs, files->dir, NULL) == STATUS_OK) {
        return STATUS_OK;
    }
    return file_sync(segment->file, err);
}

static void remove_one_locked(struct wal_files *files, bool *notify)
{
    struct error err = ERROR_INIT;
    struct error sync_err = ERROR_INIT;
    struct wal_segment *segment = files->retired;
    bool unsynced = segment->file != NULL;
    files->retired = segment->next;
    files->removing_unsynced = unsynced;
    mutex_unlock(files->mutex);
    enum status status = remove_file(files, segment, &err);
    enum status synced = unsynced ? settle_removal(files, segment, status, &sync_err) : STATUS_OK;
    wal_segment_free(files->alloc, segment);
    mutex_lock(files->mutex);
    files->removing_unsynced = false;
    if (status != STATUS_OK) {
        files->remove_status = status;
        files->remove_error = err;
    }
    note_sync_locked(files, synced, &sync_err);
    *notify = unsynced && files->attempted_locked(files->context);
}

/* --- syncing ----------------------------------------------------------------------------- */

/* The owner may retire the segment meanwhile; it is freed by this worker alone. */
static void sync_one_locked(struct wal_files *files, struct wal_segment *segment, bool *notify)
{
    struct error err = ERROR_INIT;
    mutex_unlock(files->mutex);
    enum status status = file_sync(segment->file, &err);
    mutex_lock(files->mutex);
    note_sync_locked(files, status, &err);
    if (status == STATUS_OK) {
        file_close(segment->file);
        segment->file = NULL;
    }
    *notify = files->attempted_locked(files->context);
}

static struct wal_segment *to_sync_locked(const struct wal_files *files)
{
    return files->sync_status == STATUS_OK ? wal_index_unsynced(files->index, files->sync_before)
                                           : NULL;
}

void wal_files_sync_locked(struct wal_files *files, uint64_t file_id)
{
    files->sync_before = file_id;
}

bool wal_files_synced_locked(const struct wal_files *files, uint64_t file_id)
{
    const struct wal_segment *segment = files->retired;
    while (segment != NULL && segment->file == NULL) {
        segment = segment->next;
    }
    return segment == NULL && !files->removing_unsynced &&
           wal_index_unsynced(files->index, file_id) == NULL;
}

/* One piece of it. False if it failed. */
static bool make_next_locked(struct wal_files *files, bool *notify)
{
    struct error err = ERROR_INIT;
    struct wal_segment *segment = files->next;
    uint64_t id = files->wanted_id;
    uint64_t bytes = wal_block_up(files->wanted_bytes);
    bool grows = segment != NULL;
    CHECK(!grows || segment->file_id == id);
    mutex_unlock(files->mutex);
    enum status status =
        grows ? grow(segment, bytes, &err) : make_some(files, id, bytes, &segment, &err);
    mutex_lock(files->mutex);
    if (status == STATUS_OK && segment == NULL) {
        return true; /* there is more to do */
    }
    files->next_status = status;
    files->next_error = err;
    if (status == STATUS_OK) {
        files->next = segment;
        segment->bytes = grows ? bytes : segment->bytes;
        files->wanted = wal_block_up(files->wanted_bytes) > segment->bytes;
    }
    *notify = files->attempted_locked(files->context);
    return status == STATUS_OK;
}

static bool has_work_locked(const struct wal_files *files)
{
    return files->retired != NULL || files->wanted || to_sync_locked(files) != NULL;
}

static enum job_result work(struct job *job)
{
    struct wal_files *files = (struct wal_files *)((char *)job - offsetof(struct wal_files, job));
    void (*notify)(void *context) = files->notify;
    void *notify_context = files->notify_context;
    bool go_on = true;
    bool call = false;
    mutex_lock(files->mutex);
    CHECK(files->working);
    struct wal_segment *unsynced = to_sync_locked(files);
    if (files->retired != NULL) {
        remove_one_locked(files, &call);
    } else if (unsynced != NULL) {
        sync_one_locked(files, unsynced, &call);
    } else if (files->wanted) {
        go_on = make_next_locked(files, &call); /* if not, the next kick tries again */
    }
    go_on = go_on && has_work_locked(files);
    if (!go_on) {
        files->working = false;
        condition_broadcast(files->changed);
    }
    mutex_unlock(files->mutex);
    /* If the work is done, the owner may have closed the WAL by now. */
    if (call && notify != NULL) {
        notify(notify_context);
    }
    return go_on ? JOB_AGAIN : JOB_DONE;
}

void wal_files_want_locked(struct wal_files *files, uint64_t id, uint64_t bytes)
{
    CHECK(files->next == NULL || files->next->file_id == id);
    files->wanted = true;
    files->wanted_id = id;
    files->wanted_bytes = bytes;
    /* Not known yet: a failure before this one says nothing. */
    files->next_status = STATUS_OK;
}

void wal_files_retire_locked(struct wal_files *files, struct wal_segment *list)
{
    while (list != NULL) {
        struct wal_segment *segment = list;
        list = segment->next;
        segment->next = files->retired;
        files->retired = segment;
    }
}

void wal_files_kick(struct wal_files *files)
{
    mutex_lock(files->mutex);
    bool begin = !files->working && has_work_locked(files);
    if (begin) {
        files->working = true;
        job_init(&files->job, work);
    }
    mutex_unlock(files->mutex);
    if (!begin) {
        return;
    }
    if (files->executor != NULL) {
        job_submit(files->executor, &files->job);
        return;
    }
    while (work(&files->job) != JOB_DONE) {
    }
}
