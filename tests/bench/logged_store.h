/* SPDX-License-Identifier: Apache-2.0
 *
 * Logged store: the engine alone, with a log of its own: each batch is an entry of a
 * WAL (storage/wal) before it goes into the memtables, and what the last flushed seal
 * does not hold is replayed from there at the open. What a program would put around
 * the engine that needs neither Raft nor RPC; the benches compare it with other stores.
 *
 * Threads: store_write() from any thread. Batches that come while others are written
 * wait, and one of their threads then writes them all, as one group of the log. The
 * log's writes are done by that thread itself, at once: an unsynced write is a copy into
 * the page cache and not worth waking a thread for.
 */
#ifndef ESTREAT_TESTS_BENCH_LOGGED_STORE_H
#define ESTREAT_TESTS_BENCH_LOGGED_STORE_H

#include "base/io_queue.h"
#include "base/sync.h"
#include "storage/engine.h"
#include "storage/wal/wal.h"

struct store_write;

struct logged_store {
    struct engine *engine; /* for reads */
    struct executor *executor;
    struct wal *wal;
    _Atomic uint64_t flushed_index; /* of the log: what the tables hold */
    uint64_t purged_index;          /* the leading writer's */

    struct io_queue queue; /* the log's: it only keeps the write for the leading writer */
    struct mutex mutex;
    struct condition changed; /* of the next three */
    struct io_write *posted;
    bool completed;
    bool sync; /* of the group under way */

    struct mutex writers_mutex;
    struct store_write *first;
    struct store_write *last;
};

/* Opens or makes a store in `dir` (its parent exists) and replays its log. `options`: all but fs,
 * executor, dir and the callbacks is used. */
enum status store_open(struct logged_store *store, const char *dir,
                       const struct engine_options *options, struct error *err) MUST_USE;

/* Flushes nothing: the log has it. No thread may be in the store. */
void store_close(struct logged_store *store);

/* Logs the batch, with an fdatasync if `sync`, and applies it. An error is final. */
enum status store_write(struct logged_store *store, const struct batch *batch, bool sync,
                        struct error *err) MUST_USE;

/* Seals and waits until all is in tables. No other thread may write. */
enum status store_flush(struct logged_store *store, struct error *err) MUST_USE;

#endif
