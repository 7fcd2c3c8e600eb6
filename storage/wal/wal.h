/* SPDX-License-Identifier: Apache-2.0
 *
 * WAL: the write-ahead log, which is the Raft log and the only log of a node. It
 * holds entries (index, term, type, bytes) and the hard state (term, vote), in
 * segment files of one directory; the bytes are described in storage/FORMAT.md.
 *
 * Life of an entry: wal_append() copies it into the group that is being
 * collected; wal_submit() hands the whole group to the I/O queue as one write and
 * one fdatasync; on_complete() says that this is over; wal_finish() then tells
 * what is durable. While one group is under way the next one is collected.
 *
 * Threads
 * - The owner: one thread calls everything but the readers' functions. No call
 *   waits for the disk, but wal_open and wal_close (and, without an executor,
 *   wal_submit and wal_purge when they change files).
 * - Readers: any thread; each reader is used by one thread at a time, has file
 *   handles of its own, and takes the WAL's lock only to look positions up.
 * - The I/O queue's and the executor's threads, inside.
 *
 * Without syncs: an owner that sets options.unsynced may submit groups that are written
 * alone (wal_submit_unsynced). A crash of the machine may lose them, the last ones first; then
 * the log ends behind some record of theirs. The next group that is synced makes them durable
 * with itself. They cost no more than their bytes, and neither are files filled with zeros for
 * them, nor reused.
 *
 * Invariants
 * - Indexes are dense. The log is [wal_first_index, wal_last_index]; one that is
 *   empty has last = first - 1 and still knows the term of `last`.
 * - What wal_finish() called durable is there after any crash; what is found after
 *   a crash is the state at the end of some group, never less than the durable one.
 * - One group is under way at a time, and each says up to where the log was durable
 *   when it was written. So bad bytes below such a statement are damage (wal_open
 *   fails with CORRUPT, naming file and offset; salvage.h makes something of that), and others
 *   an unfinished write, which wal_open cuts off.
 * - Poison: a write or sync that failed in the I/O queue, whatever the reason, is
 *   final, since nobody knows what the disk holds then. wal_finish() returns it, and so
 *   does every later call of the owner; reading goes on. The node stops.
 * - A full disk is no poison: files are reserved in full before they are written, one
 *   ahead of need, and what cannot be reserved gives RESOURCE_EXHAUSTED with nothing
 *   lost: see wal_has_room, wal_submit, wal_finish.
 */
#ifndef ESTREAT_STORAGE_WAL_WAL_H
#define ESTREAT_STORAGE_WAL_WAL_H

#include "base/alloc.h"
#include "base/fs.h"
#include "base/io_queue.h"
#include "base/job.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "base/slice.h"

#define WAL_SEGMENT_BYTES_DEFAULT (64UL * MIB)
#define WAL_SEGMENT_BYTES_MIN (4UL * KIB)
#define WAL_FIRST_SEGMENT_BYTES (4UL * MIB) /* of a new log, if segments are not smaller */
#define WAL_IDENTITY_BYTES_MAX 64UL
/* What may be collected while a group is under way: a leader bounds its proposals far below. */
#define WAL_GROUP_BYTES_MAX (16UL * MIB)

_Static_assert(ENTRY_BYTES_MAX * 4 < WAL_GROUP_BYTES_MAX, "several of the largest entries fit");

struct wal;
struct wal_reader;

struct wal_entry {
    uint64_t index;
    uint64_t term;
    uint32_t type;     /* the owner's */
    struct slice data; /* at most ENTRY_BYTES_MAX */
};

/* Entries from first_index on, up to the next run, have this term. */
struct wal_term_run {
    uint64_t first_index;
    uint64_t term;
};

/* Zero or NULL means the default in brackets. What is pointed to is borrowed for the WAL's life. */
struct wal_options {
    struct fs *fs;
    struct io_queue *io;
    struct alloc *alloc;       /* [alloc_default()] */
    struct rng *rng;           /* salts the checksums [rng_system()] */
    struct executor *executor; /* makes and removes files [none: the owner's thread does] */
    const char *dir;           /* copied; made if absent (its parent is there). The caller locks. */
    uint64_t segment_bytes;    /* [WAL_SEGMENT_BYTES_DEFAULT] at least WAL_SEGMENT_BYTES_MIN */
    bool unsynced;             /* wal_submit_unsynced() is used; no hard state then */
    struct slice identity;     /* cluster and node; copied; up to WAL_IDENTITY_BYTES_MAX */

    /* Called once for each wal_submit() or wal_idle() that began something, on a thread of the I/O
     * queue or the executor: it has the owner call wal_finish(), and does nothing else. It may
     * still run when wal_close() returns, but not when the queue and the executor are closed. May
     * be NULL. */
    void (*on_complete)(void *context);
    /* If given, called over and over instead of sleeping where wal_close waits for the I/O queue
     * or the executor: a simulation runs them there. */
    void (*on_wait)(void *context);
    void *context; /* of both */
};

/* What wal_open found. */
struct wal_recovered {
    uint64_t term; /* hard state; 0, 0 if none was ever stored */
    uint64_t vote;
    uint64_t first_index;
    uint64_t last_index;             /* first_index - 1 when empty */
    uint64_t last_term;              /* also when empty: the snapshot's */
    const struct wal_term_run *runs; /* of the entries; valid until wal_close */
    size_t run_count;
    bool existed;       /* false: the directory held no log */
    bool dropped;       /* entries were there but did not connect to the snapshot */
    uint64_t cut_bytes; /* of an unfinished write that was cut off at the end (about) */
};

/* The log as all groups up to the last finished one leave it. */
struct wal_durable {
    uint64_t index;      /* of the last entry; of the snapshot's end if there is none */
    uint64_t entry_term; /* its term: an entry (index, other term) is not durable */
    uint64_t term;       /* hard state */
    uint64_t vote;
};

/* Opens or makes the log in options->dir and reads it through. All that it reports is durable.
 *
 * (snapshot_index, snapshot_term) is where storage's manifest ends, (0, 0) if it is empty. It wins:
 * if the log does not hold that entry (it ends before, or has another term there), its entries
 * are dropped and the log is empty after snapshot_index; the hard state stays. Entries below stay
 * until they are purged.
 *
 * Errors: CORRUPT, naming file and offset, for damage, and for a log that begins after
 * snapshot_index + 1; FAILED_PRECONDITION for one of another identity or a newer format; those of
 * the file system. Nothing is changed then, but unfinished files may be removed. Returns owned. */
enum status wal_open(const struct wal_options *options, uint64_t snapshot_index,
                     uint64_t snapshot_term, struct wal_recovered *recovered, struct wal **out,
                     struct error *err) MUST_USE;

/* Waits for the group under way and for work on files; forgets what was not submitted. NULL is
 * allowed. Readers must be closed before. The I/O queue and the executor are closed after. */
void wal_close(struct wal *wal);

/* Adds `count` consecutive entries, copied. If the first index is not above wal_last_index(), that
 * entry and all after it are removed first. It is at least wal_first_index() and at most
 * wal_last_index() + 1; terms do not fall. All or nothing: RESOURCE_EXHAUSTED when memory or
 * WAL_GROUP_BYTES_MAX is used up (submit and finish, then try again), INVALID_ARGUMENT for an
 * entry over ENTRY_BYTES_MAX. */
enum status wal_append(struct wal *wal, const struct wal_entry *entries, size_t count,
                       struct error *err) MUST_USE;

/* Errors as wal_append. */
enum status wal_set_hard_state(struct wal *wal, uint64_t term, uint64_t vote,
                               struct error *err) MUST_USE;

/* A snapshot was installed (durably, in storage): removes all entries; the log is empty after
 * (index, term). Errors as wal_append. */
enum status wal_reset(struct wal *wal, uint64_t index, uint64_t term, struct error *err) MUST_USE;

/* True if something was collected that is not under way. */
bool wal_pending(const struct wal *wal);

/* True from a wal_submit() that began something to its wal_finish(). */
bool wal_busy(const struct wal *wal);

/* Begins to write all that is pending as one group. Does nothing if nothing is pending or a group
 * is under way. If it began, on_complete will be called (without an executor, maybe before this
 * returns). RESOURCE_EXHAUSTED (memory): nothing began, and it may be tried again. */
enum status wal_submit(struct wal *wal, struct error *err) MUST_USE;

/* As wal_submit(), without the sync: what wal_finish() then tells of is written and can be read,
 * but not durable before a later group was synced. Requires options.unsynced. */
enum status wal_submit_unsynced(struct wal *wal, struct error *err) MUST_USE;

/* After on_complete. Ends the group and says what is durable now. An error is poison, but for
 * RESOURCE_EXHAUSTED: there was no room for a new segment file. Then the group is pending again,
 * and the next wal_submit tries it alone: what was appended after it is a group of its own, and
 * *out tells of the first one only. Poison never has that status. */
enum status wal_finish(struct wal *wal, struct wal_durable *out, struct error *err) MUST_USE;

/* Forgets what was collected, and a group that found no room: the log is as wal_finish() told last.
 * Requires that nothing is under way, and that nothing of it removes entries. */
void wal_forget(struct wal *wal);

/* For quiet moments: makes a SYNCED record pending and submits it, if nothing attests the last
 * group yet and nothing is under way or pending. If the last group was not synced this only makes
 * it durable, and the next call attests it. */
enum status wal_idle(struct wal *wal, struct error *err) MUST_USE;

/* Entries up to `index` are not needed any more: removes (or reuses) the files that hold only
 * such. wal_first_index() may rise, up to index + 1. The newest file stays, so the hard state and
 * the last index and term do. */
enum status wal_purge(struct wal *wal, uint64_t index, struct error *err) MUST_USE;

/* False if the next segment could not be reserved: a leader then refuses clients' appends, so that
 * what the cluster itself must write still finds room. Asking makes it try again. */
bool wal_has_room(struct wal *wal);

/* Of the log with what is pending and under way. */
uint64_t wal_first_index(const struct wal *wal);
uint64_t wal_last_index(const struct wal *wal);

/* The term of an entry in [first - 1, last], from memory; first - 1 only if it is known. False
 * elsewhere. */
bool wal_term_at(const struct wal *wal, uint64_t index, uint64_t *term);

/* Bytes of the files that hold the log. */
uint64_t wal_bytes(struct wal *wal);

struct wal_metrics {
    struct histogram fdatasync_ns;
    struct histogram group_entries;
    struct histogram group_bytes;
    struct counter entries;
    struct counter bytes;      /* written, with heads and padding */
    struct counter zero_bytes; /* and ahead of them; those that fill new files are not counted */
    struct counter segments_made;
    struct counter segments_recycled;
};

/* Any thread. Borrowed until wal_close. */
struct wal_metrics *wal_metrics(struct wal *wal);

/* Median of the syncs so far, for status displays. Any thread. */
uint64_t wal_fdatasync_p50_ns(struct wal *wal);

/* --- readers ----------------------------------------------------------------------------- */

/* The entry and its data are valid during the call. Returns OK to go on; else wal_read ends with
 * that status. */
typedef enum status (*wal_each_fn)(void *context, const struct wal_entry *entry, struct error *err);

/* Any thread. Returns owned. */
enum status wal_reader_open(struct wal *wal, struct wal_reader **out, struct error *err) MUST_USE;

/* NULL is allowed. */
void wal_reader_close(struct wal_reader *reader);

/* Calls `each` for the durable entries of [from, to), in order, until their data exceed bytes_max
 * (the first one always comes). Entries that are not durable yet do not come: that is OK, too.
 *
 * Each entry was checked (checksum, index, position). What comes from one call belongs to one
 * state of the log: if entries of the range were removed meanwhile by wal_append or wal_reset,
 * ABORTED ends the call, maybe after some entries that are not in the log any more.
 * Errors: NOT_FOUND if `from` was purged; CORRUPT, naming file and offset. */
enum status wal_read(struct wal_reader *reader, uint64_t from, uint64_t to, size_t bytes_max,
                     wal_each_fn each, void *context, struct error *err) MUST_USE;

#endif
