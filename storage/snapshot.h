/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshot: a sequence number that is held, and the floors that it sees. While it is in the list,
 * flush and compaction keep, of each key, the newest version at or below it. The list is ordered by
 * sequence, since snapshots are taken of a present that only moves on.
 *
 * The list is guarded by its owner's lock.
 */
#ifndef ESTREAT_STORAGE_SNAPSHOT_H
#define ESTREAT_STORAGE_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/tree/floor.h"

struct snapshot {
    uint64_t sequence;
    struct snapshot *older;
    struct snapshot *newer;
    struct floor floors[]; /* one a keyspace, as this sequence sees them */
};

struct snapshot_list {
    struct snapshot *oldest;
    struct snapshot *newest;
    size_t count;
};

/* Links `snapshot`, whose sequence is at least the newest's. */
void snapshot_list_add(struct snapshot_list *list, struct snapshot *snapshot);
void snapshot_list_remove(struct snapshot_list *list, struct snapshot *snapshot);

/* Writes the sequences, ascending and distinct, to out[room]; returns how many there are, which
 * may exceed `room`. */
size_t snapshot_list_sequences(const struct snapshot_list *list, uint64_t *out, size_t room);

/* True if one of the ascending `sequences` lies in [from, to). */
bool snapshot_between(const uint64_t *sequences, size_t count, uint64_t from, uint64_t to);

#endif
