/* SPDX-License-Identifier: Apache-2.0
 *
 * Log: what the core knows of the log without reading it from disk: the term of
 * every index, as runs of equal terms (a few dozen bytes per election), and the
 * newest entries in memory.
 *
 *     snapshot_index <= stored_index <= handed_index <= last_index
 *
 *     ----------|----------------|-------------|------------|
 *            snapshot          stored        handed        last
 *               \_ on disk ______/\_ WAL busy __/\_ to store _/
 *
 * The cache holds [cache_first, last_index]; what is not yet stored is always in
 * it, so whatever is not in memory can be read from the WAL.
 *
 * Part of the core: one thread, no I/O.
 */
#ifndef ESTREAT_RAFT_LOG_H
#define ESTREAT_RAFT_LOG_H

#include "raft/raft.h"

struct raft_log {
    struct alloc *alloc;

    uint64_t snapshot_index; /* the log begins after it */
    uint64_t snapshot_term;
    uint64_t last_index;
    uint64_t handed_index; /* given to storage up to here */
    uint64_t stored_index; /* durable up to here */

    /* While storage has not confirmed the batch `cut_sequence`, which overwrites from cut_index
     * on, confirmations of earlier batches count only for what lies before cut_index. */
    uint64_t cut_index; /* 0: nothing outstanding */
    uint64_t cut_sequence;

    struct raft_term_run *runs; /* ascending by index and term; together (snapshot, last] */
    size_t run_count;
    size_t run_capacity;

    struct raft_entry **ring; /* entry i in slot i & (ring_capacity - 1) */
    size_t ring_capacity;     /* 0 or a power of two */
    uint64_t cache_first;
    size_t cache_bytes;
};

/* Takes over what was recovered, as raft_new. On an error nothing needs release. */
MUST_USE enum status raft_log_init(struct raft_log *log, const struct raft_options *options,
                                   struct error *err);
void raft_log_release(struct raft_log *log);

/* The term at `index`, which may be snapshot_index; false outside [snapshot_index, last_index]. */
bool raft_log_term_at(const struct raft_log *log, uint64_t index, uint64_t *term);
uint64_t raft_log_last_term(const struct raft_log *log);

/* True if the entry (index, term) is in the log. */
bool raft_log_has(const struct raft_log *log, uint64_t index, uint64_t term);

/* The largest index in [snapshot_index, index] whose term is at most `term`; snapshot_index if
 * there is none. Two logs cannot agree on anything between it and `index` if one of them has
 * `term` at `index` (Raft paper, end of 5.3). */
uint64_t raft_log_agreement(const struct raft_log *log, uint64_t index, uint64_t term);

/* Room for `count` more entries; false if there is no memory, and nothing has changed. */
bool raft_log_reserve(struct raft_log *log, size_t count);

/* Appends `entry`, whose index is last_index + 1; takes the reference. Needs reserved room. */
void raft_log_append(struct raft_log *log, struct raft_entry *entry);

/* Drops [from, last_index]. What was handed out there is overwritten by the batch with
 * `next_sequence`, the next one to be given to storage. */
void raft_log_truncate(struct raft_log *log, uint64_t from, uint64_t next_sequence);

/* Entries in memory. raft_log_at: borrowed, the index must be cached. */
bool raft_log_cached(const struct raft_log *log, uint64_t index);
struct raft_entry *raft_log_at(const struct raft_log *log, uint64_t index);

/* Lets go of stored entries: all up to `unneeded`, and more while over `bytes_max`. */
void raft_log_evict(struct raft_log *log, uint64_t unneeded, size_t bytes_max);

/* See raft_stored. Returns true if stored_index rose. */
bool raft_log_stored(struct raft_log *log, uint64_t sequence, uint64_t index, uint64_t term);

/* The log begins after `index` from now on. */
void raft_log_purge(struct raft_log *log, uint64_t index);

#endif
