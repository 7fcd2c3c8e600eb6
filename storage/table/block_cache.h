/* SPDX-License-Identifier: Apache-2.0
 *
 * Block cache: raw (decompressed) blocks of tables, by file number and offset. One budget of
 * bytes for them and for what open tables hold in memory besides (filters and indexes, which
 * are pinned here: counted, not kept). File numbers must be unique among all tables that share
 * a cache, and never used twice.
 *
 * Sixteen shards, each with a lock of its own that is held for a lookup or a link, never for
 * I/O. A shard is a segmented LRU (Karedla, Love, Wherry: Caching Strategies to Improve Disk
 * System Performance, 1994): a new block is on probation, and becomes protected when it is asked
 * for again. The block that goes is the one on probation that was not used for the longest.
 * Protected blocks take three fifths of the room at most; the one of them that was not used for
 * the longest goes back on probation. So blocks that are used once, however many, as a scan's,
 * never push out one that is protected. The price: what is used in a cycle longer than the room
 * on probation counts as a scan, and does not displace what is protected.
 *
 * A shard that is full takes a block of data only if it was put before, not long ago: it remembers
 * about as many that it refused as it has (the doorkeeper of Einziger, Friedman, Manes: TinyLFU,
 * 2017). What is read once then evicts nothing, and its memory is used for the next one while it is
 * still in the processor's caches: random reads of 1.5 GB of tables through 64 MiB take a sixth
 * less time, seeks a quarter. The price: what comes into use is read twice.
 *
 * Files may be named hot, the newest partitions say: what is read of them has a fifth of the room
 * of its own, from its first use on, and goes on probation when that is full. So neither a scan of
 * other files nor what they use often displaces it; and a scan of hot files displaces no more of
 * the others than any scan.
 *
 * The budget: blocks give way to what is pinned, but for a tenth of the budget, without which
 * every read would go to the disk. While no more is pinned than the budget, both together are
 * within 110 % of it. A block that is referenced stays in memory after its eviction, until its
 * last reference goes. Any thread.
 */
#ifndef ESTREAT_STORAGE_TABLE_BLOCK_CACHE_H
#define ESTREAT_STORAGE_TABLE_BLOCK_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/slice.h"
#include "storage/table/codec_pool.h"

struct block_cache;

/* What a block is, for the statistics; and a block of an index (a partition, table_index.h) begins
 * as protected, since a hundred blocks of data and all lookups in them need it. */
enum block_kind {
    BLOCK_DATA,
    BLOCK_INDEX,
    BLOCK_FILTER,
    BLOCK_KINDS,
};

/* A raw block in memory. The bytes may be written by whoever made it, until it is shared. */
struct cached_block {
    struct alloc *alloc;
    _Atomic uint32_t references;
    size_t length;
    /* The links belong to the shard that holds the block. */
    uint64_t file_number;
    uint64_t offset;
    struct cached_block *next; /* of those that are on their way out */
    struct cached_block *newer;
    struct cached_block *older;
    enum block_kind kind;
    uint8_t segment; /* of the shard */
    uint8_t data[];
};

/* Returns owned, with one reference and uninitialised bytes; NULL if there is no memory. */
struct cached_block *cached_block_new(struct alloc *alloc, size_t length);
void cached_block_ref(struct cached_block *block);
/* NULL is allowed. */
void cached_block_unref(struct cached_block *block);

static inline struct slice cached_block_slice(const struct cached_block *block)
{
    return slice_of(block->data, block->length);
}

struct block_kind_stats {
    uint64_t hits;
    uint64_t misses;
    uint64_t insertions; /* blocks linked, and pinned */
    uint64_t evictions;  /* for want of room */
    uint64_t pinned_bytes;
};

struct block_cache_stats {
    struct block_kind_stats kinds[BLOCK_KINDS];
    struct block_kind_stats all; /* their sums */
    uint64_t blocks;             /* linked */
    uint64_t bytes;              /* of these, of the cache itself, and of what is pinned */
    uint64_t bytes_max;
};

/* Returns owned; NULL if there is no memory. Borrows `alloc`. */
struct block_cache *block_cache_new(struct alloc *alloc, size_t bytes_max);
/* Nothing may be pinned any more. Referenced blocks live on. NULL is allowed. */
void block_cache_free(struct block_cache *cache);

/* Decompressors for those who fill the cache; valid as long as it is. Not counted: they are some
 * 100 KiB each. */
struct codec_pool *block_cache_codecs(struct block_cache *cache);

/* Returns a reference that the caller gives back, or NULL. `put_follows` is a hint: who finds
 * nothing puts the block. */
struct cached_block *block_cache_get(struct block_cache *cache, enum block_kind kind,
                                     uint64_t file_number, uint64_t offset, bool put_follows);

/* Links `block`, taking a reference of its own; it must not be in a cache. Does nothing if the
 * place is taken, if the shard is full and was not asked before, if the block alone exceeds a
 * shard's budget, or if there is no memory for the shard's index. From now on the block's bytes
 * must not change. */
void block_cache_put(struct block_cache *cache, enum block_kind kind, uint64_t file_number,
                     uint64_t offset, struct cached_block *block);

/* Drops all blocks of a file, e.g. when its table was deleted. */
void block_cache_erase_file(struct block_cache *cache, uint64_t file_number);

/* Hot files, at most, and their share: one part in so many. */
#define BLOCK_CACHE_HOT_MAX 8U
#define BLOCK_CACHE_HOT_PART 5U

/* From now on these files are hot, and no others. Blocks of those that were, and are not any more,
 * go on probation. Any thread. */
void block_cache_set_hot(struct block_cache *cache, const uint64_t *file_numbers, size_t count);

/* Counts memory that the caller holds until it unpins as many bytes of the kind; evicts what has
 * no room beside it. Never fails. */
void block_cache_pin(struct block_cache *cache, enum block_kind kind, size_t bytes);
void block_cache_unpin(struct block_cache *cache, enum block_kind kind, size_t bytes);

void block_cache_stats(struct block_cache *cache, struct block_cache_stats *out);

#endif
