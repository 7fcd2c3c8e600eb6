/* SPDX-License-Identifier: Apache-2.0
 *
 * Block cache: raw (decompressed) blocks of tables, by file number and offset, within a
 * budget of bytes. File numbers must be unique among all tables that share a cache, and
 * never used twice.
 *
 * Sixteen shards, each with a lock of its own that is held for a lookup or a link, never
 * for I/O; each shard evicts its least recently used blocks. A block that is referenced
 * stays in memory after its eviction, until its last reference goes. Any thread.
 */
#ifndef ESTREAT_STORAGE_TABLE_BLOCK_CACHE_H
#define ESTREAT_STORAGE_TABLE_BLOCK_CACHE_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/slice.h"

struct block_cache;

/* A raw block in memory. The bytes may be written by whoever made it, until it is shared. */
struct cached_block {
    struct alloc *alloc;
    _Atomic uint32_t references;
    size_t length;
    /* The links belong to the shard that holds the block. */
    uint64_t file_number;
    uint64_t offset;
    struct cached_block *hash_next;
    struct cached_block *newer;
    struct cached_block *older;
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

struct block_cache_stats {
    uint64_t hits;
    uint64_t misses;
    uint64_t evictions;
    uint64_t blocks;
    uint64_t bytes;
    uint64_t bytes_max;
};

/* Returns owned; NULL if there is no memory. Borrows `alloc`. */
struct block_cache *block_cache_new(struct alloc *alloc, size_t bytes_max);
/* Referenced blocks live on. NULL is allowed. */
void block_cache_free(struct block_cache *cache);

/* Returns a reference that the caller gives back, or NULL. */
struct cached_block *block_cache_get(struct block_cache *cache, uint64_t file_number,
                                     uint64_t offset);

/* Links `block`, taking a reference of its own; it must not be in a cache. Does nothing if the
 * place is taken, if the block alone exceeds a shard's budget, or if there is no memory for
 * the shard's index. From now on the block's bytes must not change. */
void block_cache_put(struct block_cache *cache, uint64_t file_number, uint64_t offset,
                     struct cached_block *block);

/* Drops all blocks of a file, e.g. when its table was deleted. */
void block_cache_erase_file(struct block_cache *cache, uint64_t file_number);

void block_cache_stats(struct block_cache *cache, struct block_cache_stats *out);

#endif
