/* SPDX-License-Identifier: Apache-2.0
 *
 * Files: makes segment files ahead of need, and removes or reuses those that are
 * not needed any more, on an executor, so that the log's owner never waits for it.
 *
 * A segment file has its final name only once it is whole: reserved in full, with a
 * synced head. So a file of that name with a bad head is damage, never a torn write.
 * A new file is filled with zeros: then no block changes from "reserved" to "written"
 * when groups come, and their syncs take two thirds of the time. A reused file has that
 * already; its old records do not pass the checksum any more, since that covers the
 * file's number.
 * Where the owner may write without syncing (version WAL_VERSION_CHAINS) neither is done: zeros
 * would be written for nothing (if it does sync, groups bring them, see flight.c), and so would
 * the old bytes of a file that is reused while the system has not written them yet.
 *
 * Such a log has segments that are not synced. They are when a sync is asked for; if they
 * are removed before, that must be durable by then, too: else a crash could bring back a
 * file with a hole, and the log would end there.
 *
 * Threads: what ends in _locked is called with the WAL's lock; the work itself runs
 * without it, one piece at a time.
 */
#ifndef ESTREAT_STORAGE_WAL_FILES_H
#define ESTREAT_STORAGE_WAL_FILES_H

#include "base/job.h"
#include "base/sync.h"
#include "storage/wal/index.h"

/* Files that wait to be reused: what one flush of the memtables lets go at once. */
#define WAL_SPARES_MAX 2
#define WAL_TEMPORARY_SUFFIX ".tmp"

struct wal_files {
    struct fs *fs;
    struct alloc *alloc;
    struct executor *executor; /* NULL: the caller's thread works */
    struct wal_metrics *metrics;
    struct mutex *mutex;
    struct condition *changed;
    const char *dir;
    struct wal_head head;    /* of every segment, but for the number */
    struct wal_index *index; /* the log's, for what is not synced */
    uint64_t segment_bytes;
    /* Called with the lock after each attempt to make the next segment, and when a segment was
     * synced. If it returns true, `notify` is called without the lock. */
    bool (*attempted_locked)(void *context);
    void *context;
    void (*notify)(void *context); /* NULL is allowed */
    void *notify_context;
    struct job job;
    uint64_t spares[WAL_SPARES_MAX]; /* the worker's */
    size_t spare_count;
    struct wal_segment *making; /* the worker's: not whole yet */
    uint64_t filled;            /* bytes of it that are written */
    /* under the lock */
    bool working;
    bool wanted; /* `next` is to be made, or to be made larger */
    uint64_t wanted_id;
    uint64_t wanted_bytes;
    struct wal_segment *next; /* ready for use; NULL if there is none */
    enum status next_status;  /* of the last attempt */
    struct error next_error;
    struct wal_segment *retired;
    bool removing_unsynced;
    uint64_t sync_before;    /* segments below this file are to be synced */
    enum status sync_status; /* the first one that failed: final */
    struct error sync_error;
    enum status remove_status; /* of the last file that could not be removed */
    struct error remove_error;
};

/* Frees what is in memory; nothing may be working. */
void wal_files_release(struct wal_files *files);

/* Makes a segment of `bytes`, at once. Returns owned. */
enum status wal_files_make(struct wal_files *files, uint64_t id, uint64_t bytes,
                           struct wal_segment **out, struct error *err) MUST_USE;

/* Segment `id` of at least `bytes` is to be the next one. wal_files_kick() begins it. */
void wal_files_want_locked(struct wal_files *files, uint64_t id, uint64_t bytes);

/* Segments below `file_id` are to be synced. wal_files_kick() begins it. */
void wal_files_sync_locked(struct wal_files *files, uint64_t file_id);

/* True if all segments below `file_id` are synced, and those that were not are durably gone. */
bool wal_files_synced_locked(const struct wal_files *files, uint64_t file_id);

/* Takes the list. wal_files_kick() begins to remove them. */
void wal_files_retire_locked(struct wal_files *files, struct wal_segment *list);

/* Without the lock: begins the work that there is, unless it is under way. Without an executor,
 * does it. */
void wal_files_kick(struct wal_files *files);

#endif
