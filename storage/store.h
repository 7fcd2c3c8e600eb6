/* SPDX-License-Identifier: Apache-2.0
 *
 * Store: the engine by itself, with a log of its own: a program's keyed data that
 * survives crashes, without Raft and RPC. Each batch is an entry of a WAL (wal/wal.h)
 * before it is in the memtables; what the last flushed seal does not hold is written again
 * from there at the open; what it holds is purged from there.
 *
 *   DIR/lock     held while the store is open
 *   DIR/tables   the engine's
 *   DIR/log      the WAL
 *   DIR/metrics  what the store had done when it was last closed (metrics.h)
 *
 * Life of a write: batches that come while others are written wait, and one of their threads
 * then writes them all: as one group of the log, with one fdatasync if any of them asked for
 * it, then one after the other into the memtables. It writes the log itself, at once: a write
 * into the system's cache is not worth waking a thread for. In a store with a KEYSPACE_APPEND
 * batches are written one by one, since each must be checked against the one before it.
 *
 * Threads
 * - Any thread calls what is here, but store_open and store_close.
 * - Jobs (flush, compaction, the log's files) run on the given executor, or on two threads of
 *   the store's.
 *
 * Invariants
 * - A batch is visible, and after a crash there, whole or not at all, and never without those
 *   before it.
 * - One that was written with `sync`, or before a store_sync() or a synced one, survives a crash of
 *   the machine; every other one that of the process.
 * - An error that leaves log or tables in doubt is final: all writes return it until the store is
 *   opened anew; reads go on. RESOURCE_EXHAUSTED (a full disk, memory) is none: the batch is not
 *   there, and may be tried again.
 */
#ifndef ESTREAT_STORAGE_STORE_H
#define ESTREAT_STORAGE_STORE_H

#include "storage/engine.h"
#include "storage/wal/wal.h"

#define STORE_BATCH_BYTES_MAX (8 * MIB)

struct store;

/* Zero or NULL means the default in brackets. What is pointed to is borrowed for the store's life.
 */
struct store_options {
    struct fs *fs;             /* [fs_posix()] */
    struct alloc *alloc;       /* [alloc_default()] */
    struct clock *clock;       /* [clock_system()] */
    struct rng *rng;           /* [rng_system()] */
    struct executor *executor; /* taken: closed with the store [two threads] */
    const char *dir; /* made if absent; its parent is there, and the caller's to sync. Copied. */
    uint64_t segment_bytes; /* of the log [WAL_SEGMENT_BYTES_DEFAULT] */
    /* What is said of the engine here (fs to dir) and its callbacks are the store's. */
    struct engine_options engine;
    /* See engine.h. May be NULL. */
    void (*on_damage)(void *context, const struct error *err);
    /* If given, called over and over wherever the store would wait for its jobs: a simulation
     * runs the executor there. */
    void (*on_wait)(void *context);
    void *context; /* of both */
};

/* Opens or makes the store, and writes again what the log has. Returns owned.
 * Errors: FAILED_PRECONDITION if it is open elsewhere, or has other keyspaces or a newer format;
 * CORRUPT, naming file and offset; those of the file system. The executor is closed then, too. */
enum status store_open(const struct store_options *options, struct store **out,
                       struct error *err) MUST_USE;

/* Flushes nothing: the log has it. Leaves its metrics in DIR, if that can be. No thread may be in
 * the store; iterators and snapshots are gone. NULL is allowed. */
void store_close(struct store *store);

/* Writes the batch, which stays the caller's; `sync`: and makes it durable, with all before it.
 * May wait as engine_write() does. Errors: INVALID_ARGUMENT for a failed batch, one over
 * STORE_BATCH_BYTES_MAX or what a KEYSPACE_APPEND refuses; RESOURCE_EXHAUSTED; else final. */
enum status store_write(struct store *store, const struct batch *batch, bool sync,
                        struct error *err) MUST_USE;

/* Makes all batches durable that were written before. Damage to them is told from then on: so it is
 * for quiet moments, too. Errors as store_write(). */
enum status store_sync(struct store *store, struct error *err) MUST_USE;

/* Waits until all batches that were written before are in tables; what the log had of them is
 * purged. Writers wait meanwhile. Errors as store_write(). */
enum status store_flush(struct store *store, struct error *err) MUST_USE;

/* engine_compact(); writers wait meanwhile. */
enum status store_compact(struct store *store, struct error *err) MUST_USE;

/* Repeats work that failed for want of room; see engine_poll(). */
void store_poll(struct store *store);

/* For reads, iterators, snapshots and statistics; whatever writes is the store's. Borrowed until
 * store_close(). */
struct engine *store_engine(struct store *store);
struct wal_metrics *store_log_metrics(struct store *store);

/* Bytes of the log's files. */
uint64_t store_log_bytes(struct store *store);

#endif
