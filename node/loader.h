/* SPDX-License-Identifier: Apache-2.0
 *
 * Loader: reads old entries from the WAL for a member that lags, on an executor,
 * so that the driver never waits for the disk.
 */
#ifndef ESTREAT_NODE_LOADER_H
#define ESTREAT_NODE_LOADER_H

#include "base/alloc.h"
#include "base/job.h"
#include "node/intake.h"
#include "raft/raft.h"
#include "storage/wal/wal.h"

#define LOAD_ENTRIES_MAX 1024U

struct loader;

/* One load; comes back to the driver's intake, which gives `entries` to raft_loaded and frees it
 * with entry_load_free(), also after the loader was closed. */
struct entry_load {
    struct intake intake; /* first */
    struct job job;
    struct alloc *alloc;
    struct loader *loader;
    struct entry_load *next; /* the loader's */
    struct raft_load load;
    bool damaged; /* DATA_LOSS: the log is, where `error` says; what is before that was read */
    struct error error;
    size_t count;
    struct raft_entry *entries[LOAD_ENTRIES_MAX];
};

/* Borrows wal and intake; takes the executor, also on failure, which runs one step at a time.
 * Returns owned. */
enum status loader_open(struct alloc *alloc, struct wal *wal, struct intake_queue *intake,
                        struct executor *executor, struct loader **out, struct error *err) MUST_USE;

/* Waits for the load under way; those behind it do not come back. NULL is allowed. */
void loader_close(struct loader *loader);

/* Driver only. False without memory. */
bool loader_submit(struct loader *loader, const struct raft_load *load);

void entry_load_free(struct entry_load *load);

#endif
