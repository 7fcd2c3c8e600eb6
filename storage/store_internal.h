/* SPDX-License-Identifier: Apache-2.0
 *
 * The store's inside, for store.c (writes), store_log.c (the log) and store_open.c.
 */
#ifndef ESTREAT_STORAGE_STORE_INTERNAL_H
#define ESTREAT_STORAGE_STORE_INTERNAL_H

#include <stdatomic.h>

#include "base/sync.h"
#include "storage/store.h"

/* Of all entries: the log has no leaders. */
#define STORE_TERM 1U
/* What a seal's blob is: the index of its last entry. */
#define STORE_STATE_BYTES 8U

/* Types of entries: a batch is one entry, or several if it is larger than an entry may be. */
#define STORE_ENTRY_FIRST 1U
#define STORE_ENTRY_LAST 2U

struct store_request;

struct store {
    struct store_options options; /* defaults filled in; dir points to the copy below */
    char dir[PATH_BYTES_MAX];
    struct file *lock;
    struct engine *engine;
    struct wal *wal;
    bool opened; /* whole, with what the log had */
    bool groups; /* several batches may be checked one by one: no KEYSPACE_APPEND */

    _Atomic uint64_t flushed_index; /* of the log: what the tables hold */
    /* the leader's */
    uint64_t purged_index;
    struct buf encoded; /* of the batch that is logged */
    enum status failed; /* final */
    struct error failure;

    /* The log's I/O queue only keeps the write for the leader, who runs it: it is submitted with
     * the WAL's lock held, which its `done` takes. */
    struct io_queue queue;
    struct mutex io_mutex;
    struct condition io_changed; /* of the next two */
    struct io_write *posted;
    bool completed;

    struct mutex mutex;
    struct store_request *first; /* the leader's, or who will be */
    struct store_request *last;
};

/* --- store_log.c (the leader) -------------------------------------------------------------- */

/* Prepares the queue and its lock. */
void store_log_init(struct store *store);
void store_log_release(struct store *store);

/* As options of the WAL. */
struct wal_options store_log_options(struct store *store, const char *dir);

/* Collects the batch. RESOURCE_EXHAUSTED: forget. */
enum status store_log_append(struct store *store, const struct batch *batch,
                             struct error *err) MUST_USE;

/* Writes what was collected. RESOURCE_EXHAUSTED: nothing of it is written; it is forgotten. */
enum status store_log_write(struct store *store, bool sync, struct error *err) MUST_USE;

/* Makes all durable, and attests it. */
enum status store_log_sync(struct store *store, struct error *err) MUST_USE;

/* --- store.c ------------------------------------------------------------------------------- */

/* Seals what was written up to the entry. */
enum status store_seal(struct store *store, uint64_t index, struct error *err) MUST_USE;

#endif
