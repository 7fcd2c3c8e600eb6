/* SPDX-License-Identifier: Apache-2.0
 *
 * Retain: which entries of a sorted run survive a flush or a compaction. Of each
 * user key there survive the newest version, and of the older ones those that a
 * snapshot sees. A deletion goes too once nothing older can lie below it and no
 * snapshot is as old.
 *
 * One owner; fed with internal keys in their order.
 */
#ifndef ESTREAT_STORAGE_TREE_RETAIN_H
#define ESTREAT_STORAGE_TREE_RETAIN_H

#include "base/buf.h"
#include "base/status.h"

/* True if an older version of `user_key` may lie below what is written. */
typedef bool (*retain_below_fn)(void *context, struct slice user_key);

struct retain {
    const uint64_t *snapshots; /* ascending; borrowed */
    size_t snapshot_count;
    retain_below_fn below; /* NULL: always */
    void *context;
    struct buf user; /* of the entry before */
    uint64_t sequence;
    bool started;
};

void retain_init(struct retain *retain, struct alloc *alloc, const uint64_t *snapshots,
                 size_t snapshot_count, retain_below_fn below, void *context);
void retain_release(struct retain *retain);

/* Begins another run. */
void retain_reset(struct retain *retain);

/* True if every reader, now and later, sees what has this sequence. */
bool retain_is_seen_by_all(const struct retain *retain, uint64_t sequence);

/* Decides on the next entry: *keep. RESOURCE_EXHAUSTED: no memory. CORRUPT: the
 * versions of a key do not fall. */
enum status retain_next(struct retain *retain, struct slice internal_key, bool *keep,
                        struct error *err) MUST_USE;

#endif
