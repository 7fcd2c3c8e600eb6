/* SPDX-License-Identifier: Apache-2.0
 *
 * Codec memory: what CODEC_ADAPTIVE has seen of each keyspace, from one job to the next, so that
 * the blocks of a small flush need no samples of their own. Tables fresh from memtables and those
 * of compactions have different blocks and are remembered apart. Held in memory only.
 *
 * Any thread; of jobs that end at once the last one is remembered.
 */
#ifndef ESTREAT_STORAGE_TREE_CODEC_MEMORY_H
#define ESTREAT_STORAGE_TREE_CODEC_MEMORY_H

#include "base/sync.h"
#include "storage/keyspace.h"
#include "storage/table/codec_adaptive.h"

struct codec_memory {
    struct clock *clock; /* borrowed; NULL: fixed costs */
    struct mutex mutex;
    struct codec_adaptive of[KEYSPACES_MAX][2]; /* fresh, old */
};

void codec_memory_init(struct codec_memory *memory, struct clock *clock);
void codec_memory_release(struct codec_memory *memory);

/* What a job of keyspace `keyspace` begins with: as codec_adaptive_init() if nothing is known. */
struct codec_adaptive codec_memory_get(struct codec_memory *memory, unsigned keyspace, bool old);

/* What it has seen when a table of it is whole. Ignored if that is nothing. */
void codec_memory_set(struct codec_memory *memory, unsigned keyspace, bool old,
                      const struct codec_adaptive *seen);

#endif
