/* SPDX-License-Identifier: Apache-2.0 */
#include "node/snapshot_fetch.h"

#include "base/check.h"
#include "base/plant.h"

#define BUFFER_BYTES (1 * MIB)

enum status snapshot_fetch_init(struct snapshot_fetch *fetch, struct alloc *alloc, struct fs *fs,
                                const char *dir, uint64_t reserve_bytes,
                                struct snapshot_questions *questions, struct error *err)
{
    *fetch = (struct snapshot_fetch){.alloc = alloc,
                                     .fs = fs,
                                     .dir = dir,
                                     .reserve_bytes = reserve_bytes,
                                     .questions = questions};
    return hasher_init(&fetch->hasher, err);
}

void snapshot_fetch_release(struct snapshot_fetch *fetch)
{
    snapshot_fetch_end(fetch);
    hasher_release(&fetch->hasher);
}

void snapshot_fetch_end(struct snapshot_fetch *fetch)
{
    file_close(fetch->file);
    fetch->file = NULL;
    if (fetch->buffer != NULL) {
        alloc_free(fetch->alloc, fetch->buffer);
        fetch->buffer = NULL;
    }
    fetch->plan = NULL;
}

uint64_t snapshot_fetch_done_bytes(const struct snapshot_fetch *fetch)
{
    return fetch->done_bytes + (fetch->file == NULL ? 0 : fetch->offset);
}

/* --- the directory ------------------------------------------------------------------------ */

static enum status remove_others(void *context, const char *name, struct error *err)
{
    const struct snapshot_fetch *fetch = context;
    char path[PATH_BYTES_MAX];
    if (snapshot_plan_find(fetch->plan, name) != NULL) {
        return STATUS_OK;
    }
    enum status status = path_join(path, fetch->dir, name, err);
    return status == STATUS_OK ? fs_unlink(fetch->fs, path, err) : status;
}

enum status snapshot_fetch_begin(struct snapshot_fetch *fetch, struct snapshot_plan *plan,
                                 uint64_t source, struct error *err)
{
    CHECK(fetch->plan == NULL && fetch->file == NULL);
    fetch->buffer = alloc_new(fetch->alloc, BUFFER_BYTES);
    if (fetch->buffer == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to stage a snapshot");
    }
    fetch->plan = plan;
    fetch->source = source;
    fetch->next = 0;
    fetch->done_bytes = 0;
    fetch->kept_bytes = 0;
    fetch->anew = false;
    return fs_list(fetch->fs, fetch->dir, remove_others, fetch, err);
}

/* --- a file ------------------------------------------------------------------------------- */

static struct snapshot_plan_file *current(const struct snapshot_fetch *fetch)
{
    return &fetch->plan->files[fetch->next];
}

/* The old tables are still there: a snapshot must not take the room that the log needs. */
static enum status check_room(struct snapshot_fetch *fetch, uint64_t bytes, struct error *err)
{
    uint64_t free_bytes = 0;
    enum status status = fs_free_bytes(fetch->fs, fetch->dir, &free_bytes, err);
    if (status == STATUS_OK && (free_bytes < bytes || free_bytes - bytes < fetch->reserve_bytes)) {
        status = error_set(err, STATUS_RESOURCE_EXHAUSTED,
                           "no room for the snapshot: %lu MiB are free, %lu are to stay",
                           (unsigned long)(free_bytes / MIB),
                           (unsigned long)(fetch->reserve_bytes / MIB));
    }
    return status;
}

static enum status open_file(struct snapshot_fetch *fetch, struct error *err)
{
    char path[PATH_BYTES_MAX];
    uint64_t bytes = 0;
    enum status status = path_join(path, fetch->dir, current(fetch)->name, err);
    if (status == STATUS_OK) {
        status = fs_open(fetch->fs, path, FS_READ | FS_WRITE | FS_CREATE, &fetch->file, err);
    }
    if (status == STATUS_OK) {
        status = file_size(fetch->file, &bytes, err);
    }
    if (status == STATUS_OK && bytes > 0 && (fetch->anew || bytes > current(fetch)->bytes)) {
        bytes = 0;
        status = file_truncate(fetch->file, 0, err);
    }
    if (status == STATUS_OK) {
        status = check_room(fetch, current(fetch)->bytes - bytes, err);
    }
    fetch->kept = bytes;
    /* What was hashed and synced in this life of the process need not be read again. */
    current(fetch)->fetched = current(fetch)->fetched && bytes == current(fetch)->bytes;
    fetch->offset = current(fetch)->fetched ? bytes : 0;
    fetch->asked = bytes;
    hash_begin(&fetch->hasher);
    return status;
}

/* Hashes on what was there. */
static enum status hash_kept(struct snapshot_fetch *fetch, struct error *err)
{
    uint64_t left = fetch->kept - fetch->offset;
    size_t length = left < BUFFER_BYTES ? (size_t)left : BUFFER_BYTES;
    size_t read = 0;
    enum status status = file_read(fetch->file, fetch->offset, fetch->buffer, length, &read, err);
    if (status == STATUS_OK && read != length) {
        status = error_set(err, STATUS_CORRUPT, "a staged file is shorter than it was");
    }
    if (status == STATUS_OK) {
        hash_more(&fetch->hasher, slice_of(fetch->buffer, length));
        fetch->offset += length;
    }
    return status;
}

/* Keeps the line full. False: the source cannot be asked. */
static bool ask_on(struct snapshot_fetch *fetch)
{
    const struct snapshot_plan_file *file = current(fetch);
    while (fetch->asked < file->bytes && snapshot_questions_room(fetch->questions) > 0) {
        Estreat__V1__SnapshotReadRequest request = ESTREAT__V1__SNAPSHOT_READ_REQUEST__INIT;
        uint64_t left = file->bytes - fetch->asked;
        request.checkpoint = fetch->plan->checkpoint;
        request.file = file->number;
        request.offset = fetch->asked;
        request.length =
            left < SNAPSHOT_PIECE_BYTES ? (uint32_t)left : (uint32_t)SNAPSHOT_PIECE_BYTES;
        if (!snapshot_questions_ask(fetch->questions, fetch->source, SNAPSHOT_READ,
                                    &request.base)) {
            return false;
        }
        fetch->asked += request.length;
    }
    return true;
}

static enum snapshot_fetch_result take_piece(struct snapshot_fetch *fetch, struct error *err)
{
    struct snapshot_reply reply;
    uint64_t left = current(fetch)->bytes - fetch->offset;
    if (!snapshot_questions_take(fetch->questions, &reply)) {
        return SNAPSHOT_FETCH_WAIT;
    }
    if (reply.status != STATUS_OK) {
        (void)error_set(err, reply.status, "%s", reply.text);
        return SNAPSHOT_FETCH_SOURCE;
    }
    if (reply.bytes.length != (left < SNAPSHOT_PIECE_BYTES ? left : SNAPSHOT_PIECE_BYTES)) {
        (void)error_set(err, STATUS_INVALID_ARGUMENT, "a piece of another length");
        return SNAPSHOT_FETCH_SOURCE;
    }
    if (file_write(fetch->file, fetch->offset, reply.bytes, err) != STATUS_OK) {
        return SNAPSHOT_FETCH_DISK;
    }
    hash_more(&fetch->hasher, reply.bytes);
    fetch->offset += reply.bytes.length;
    return SNAPSHOT_FETCH_AGAIN;
}

/* A file that could not be synced, or that is wrong, must not be taken for a beginning. */
static void unlink_current(struct snapshot_fetch *fetch)
{
    char path[PATH_BYTES_MAX];
    if (path_join(path, fetch->dir, current(fetch)->name, NULL) == STATUS_OK) {
        (void)(fs_unlink(fetch->fs, path, NULL) == STATUS_OK);
    }
}

static enum snapshot_fetch_result finish_file(struct snapshot_fetch *fetch, struct error *err)
{
    struct snapshot_plan_file *file = current(fetch);
    struct hash sum = hash_end(&fetch->hasher);
    bool fits = file->fetched || hash_equal(&sum, &file->sum);
    /* What was there may never have been synced. */
    bool unsynced = fits && !file->fetched && !PLANTED(SNAPSHOT_NO_SYNC);
    enum status status = unsynced ? file_sync(fetch->file, err) : STATUS_OK;
    file_close(fetch->file);
    fetch->file = NULL;
    if (status != STATUS_OK) {
        unlink_current(fetch);
        return SNAPSHOT_FETCH_DISK;
    }
    if (!fits && fetch->kept > 0) {
        fetch->anew = true; /* what was there was another file's, or torn */
        return SNAPSHOT_FETCH_AGAIN;
    }
    if (!fits) {
        unlink_current(fetch);
        (void)error_set(err, STATUS_CORRUPT, "file %s does not have the hash that was said",
                        file->name);
        return SNAPSHOT_FETCH_SOURCE;
    }
    file->fetched = true;
    fetch->anew = false;
    fetch->done_bytes += file->bytes;
    fetch->kept_bytes += fetch->kept;
    fetch->next++;
    return SNAPSHOT_FETCH_AGAIN;
}

enum snapshot_fetch_result snapshot_fetch_step(struct snapshot_fetch *fetch, struct error *err)
{
    CHECK(fetch->plan != NULL);
    if (fetch->next == fetch->plan->count) {
        return fs_sync_dir(fetch->fs, fetch->dir, err) == STATUS_OK ? SNAPSHOT_FETCH_DONE
                                                                    : SNAPSHOT_FETCH_DISK;
    }
    if (fetch->file == NULL) {
        return open_file(fetch, err) == STATUS_OK ? SNAPSHOT_FETCH_AGAIN : SNAPSHOT_FETCH_DISK;
    }
    if (fetch->offset < fetch->kept) {
        return hash_kept(fetch, err) == STATUS_OK ? SNAPSHOT_FETCH_AGAIN : SNAPSHOT_FETCH_DISK;
    }
    if (fetch->offset == current(fetch)->bytes) {
        return finish_file(fetch, err);
    }
    if (!ask_on(fetch)) {
        (void)error_set(err, STATUS_UNAVAILABLE, "not connected");
        return SNAPSHOT_FETCH_SOURCE;
    }
    return take_piece(fetch, err);
}
