/* SPDX-License-Identifier: Apache-2.0
 *
 * Entry: one entry of the Raft log with its bytes, counted by references.
 *
 * One body is shared by the core's cache, the write to the WAL, the messages to
 * all peers and the applier; nobody copies it. Whoever has a reference may read
 * it on any thread. Nobody writes to an entry that others can see: its maker
 * fills `data` before the first raft_propose, raft_receive or raft_loaded.
 */
#ifndef ESTREAT_RAFT_ENTRY_H
#define ESTREAT_RAFT_ENTRY_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/slice.h"

/* Types from 1 to RAFT_ENTRY_TYPE_MAX belong to the driver; the core does not look at them. */
#define RAFT_ENTRY_NOOP 0U /* the core's own, empty: the first entry of each term */
#define RAFT_ENTRY_DATA 1U
#define RAFT_ENTRY_TYPE_MAX 0x7fffffffU
#define RAFT_ENTRY_MEMBERSHIP 0x80000000U /* the core's own: membership.h */

struct raft_entry {
    atomic_uint refs;
    uint32_t type;
    uint32_t length; /* of data */
    struct alloc *alloc;
    uint64_t index;
    uint64_t term;
    uint8_t data[];
};

/* Returns owned, with one reference and `data` not filled in; NULL if there is no memory.
 * Borrows `alloc` for the entry's life; it must be thread-safe if threads share the entry.
 * For raft_propose index and term are set by the core; pass 0. */
struct raft_entry *raft_entry_new(struct alloc *alloc, uint64_t index, uint64_t term, uint32_t type,
                                  uint32_t length);

/* Adds a reference; returns `entry`. Any thread. */
struct raft_entry *raft_entry_ref(struct raft_entry *entry);

/* Drops one reference, the last one frees. NULL is allowed. Any thread. */
void raft_entry_unref(struct raft_entry *entry);

static inline struct slice raft_entry_slice(const struct raft_entry *entry)
{
    return slice_of(entry->data, entry->length);
}

/* What an entry counts against bounds in bytes: its data and the envelope around it. */
#define RAFT_ENTRY_OVERHEAD_BYTES 32U

static inline size_t raft_entry_bytes(const struct raft_entry *entry)
{
    return (size_t)entry->length + RAFT_ENTRY_OVERHEAD_BYTES;
}

#endif
