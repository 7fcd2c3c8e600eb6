/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/block_cache.h"

#include "base/check.h"
#include "base/sync.h"

/* SHARDS is a power of two, as are the sizes of the shards' indexes. */
enum { SHARDS = 16, BUCKETS_MIN = 64 };

struct shard {
    struct mutex mutex;
    struct cached_block **buckets; /* NULL until the first block */
    size_t buckets_count;
    struct cached_block *newest;
    struct cached_block *oldest;
    uint64_t blocks;
    uint64_t bytes;
    uint64_t hits;
    uint64_t misses;
    uint64_t evictions;
};

struct block_cache {
    struct alloc *alloc;
    size_t shard_bytes_max;
    struct shard shards[SHARDS];
};

struct cached_block *cached_block_new(struct alloc *alloc, size_t length)
{
    struct cached_block *block = alloc_new(alloc, sizeof *block + length);
    if (block == NULL) {
        return NULL;
    }
    *block = (struct cached_block){.alloc = alloc, .length = length};
    atomic_init(&block->references, 1);
    return block;
}

void cached_block_ref(struct cached_block *block)
{
    uint32_t before = atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);
    CHECK(before > 0);
}

void cached_block_unref(struct cached_block *block)
{
    if (block == NULL) {
        return;
    }
    uint32_t before = atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before == 1) {
        alloc_free(block->alloc, block);
    }
}

struct block_cache *block_cache_new(struct alloc *alloc, size_t bytes_max)
{
    struct block_cache *cache = alloc_zeroed(alloc, 1, sizeof *cache);
    if (cache == NULL) {
        return NULL;
    }
    cache->alloc = alloc;
    cache->shard_bytes_max = bytes_max / SHARDS;
    for (size_t i = 0; i < SHARDS; i++) {
        mutex_init(&cache->shards[i].mutex);
    }
    return cache;
}

static uint64_t hash_of(uint64_t file_number, uint64_t offset)
{
    uint64_t hash = (file_number * 0x9e3779b97f4a7c15U) ^ offset;
    hash ^= hash >> 31;
    hash *= 0xbf58476d1ce4e5b9U;
    return hash ^ (hash >> 32);
}

static struct shard *shard_of(struct block_cache *cache, uint64_t hash)
{
    return &cache->shards[hash >> 60];
}

_Static_assert(SHARDS == 16, "the shard is the hash's highest four bits");

/* What a block counts for: its bytes and what is around them. */
static uint64_t charge_of(const struct cached_block *block)
{
    return block->length + sizeof *block;
}

/* --- the shard's index and its order of use; all with the lock held ------------------------- */

static struct cached_block **slot_locked(struct shard *shard, uint64_t hash, uint64_t file_number,
                                         uint64_t offset)
{
    struct cached_block **slot = &shard->buckets[hash & (shard->buckets_count - 1)];
    while (*slot != NULL && ((*slot)->file_number != file_number || (*slot)->offset != offset)) {
        slot = &(*slot)->hash_next;
    }
    return slot;
}

static void push_newest_locked(struct shard *shard, struct cached_block *block)
{
    block->newer = NULL;
    block->older = shard->newest;
    if (shard->newest != NULL) {
        shard->newest->newer = block;
    } else {
        shard->oldest = block;
    }
    shard->newest = block;
}

static void unlink_order_locked(struct shard *shard, struct cached_block *block)
{
    if (block->newer != NULL) {
        block->newer->older = block->older;
    } else {
        shard->newest = block->older;
    }
    if (block->older != NULL) {
        block->older->newer = block->newer;
    } else {
        shard->oldest = block->newer;
    }
}

/* Takes the block out and returns the shard's reference to the caller. */
static void remove_locked(struct shard *shard, struct cached_block *block)
{
    uint64_t hash = hash_of(block->file_number, block->offset);
    struct cached_block **slot = slot_locked(shard, hash, block->file_number, block->offset);
    CHECK(*slot == block);
    *slot = block->hash_next;
    unlink_order_locked(shard, block);
    CHECK(shard->blocks > 0);
    CHECK(shard->bytes >= charge_of(block));
    shard->blocks--;
    shard->bytes -= charge_of(block);
}

/* Doubles the index when it has a block for each bucket. False: it is still empty-handed. */
static bool grow_index_locked(struct block_cache *cache, struct shard *shard)
{
    if (shard->buckets != NULL && shard->blocks < shard->buckets_count) {
        return true;
    }
    size_t count = shard->buckets == NULL ? BUCKETS_MIN : 2 * shard->buckets_count;
    struct cached_block **buckets = alloc_zeroed(cache->alloc, count, sizeof *buckets);
    if (buckets == NULL) {
        return shard->buckets != NULL; /* longer chains, but all is found */
    }
    alloc_free(cache->alloc, shard->buckets);
    shard->buckets = buckets;
    shard->buckets_count = count;
    for (struct cached_block *block = shard->newest; block != NULL; block = block->older) {
        uint64_t hash = hash_of(block->file_number, block->offset);
        struct cached_block **slot = &buckets[hash & (count - 1)];
        block->hash_next = *slot;
        *slot = block;
    }
    return true;
}

/* Evicts until the shard keeps its budget; collects the blocks in a list by `hash_next`. */
static struct cached_block *evict_locked(struct block_cache *cache, struct shard *shard)
{
    struct cached_block *evicted = NULL;
    while (shard->bytes > cache->shard_bytes_max) {
        struct cached_block *block = shard->oldest;
        CHECK(block != NULL);
        remove_locked(shard, block);
        shard->evictions++;
        block->hash_next = evicted;
        evicted = block;
    }
    return evicted;
}

/* Frees outside of the lock: freeing takes longer than linking. */
static void unref_list(struct cached_block *list)
{
    while (list != NULL) {
        struct cached_block *next = list->hash_next;
        cached_block_unref(list);
        list = next;
    }
}

/* --- the cache ----------------------------------------------------------------------------- */

void block_cache_free(struct block_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        while (shard->oldest != NULL) {
            struct cached_block *block = shard->oldest;
            unlink_order_locked(shard, block);
            cached_block_unref(block);
        }
        alloc_free(cache->alloc, shard->buckets);
        mutex_release(&shard->mutex);
    }
    alloc_free(cache->alloc, cache);
}

struct cached_block *block_cache_get(struct block_cache *cache, uint64_t file_number,
                                     uint64_t offset)
{
    uint64_t hash = hash_of(file_number, offset);
    struct shard *shard = shard_of(cache, hash);
    mutex_lock(&shard->mutex);
    struct cached_block *block = NULL;
    if (shard->buckets != NULL) {
        block = *slot_locked(shard, hash, file_number, offset);
    }
    if (block != NULL) {
        shard->hits++;
        cached_block_ref(block);
        unlink_order_locked(shard, block);
        push_newest_locked(shard, block);
    } else {
        shard->misses++;
    }
    mutex_unlock(&shard->mutex);
    return block;
}

void block_cache_put(struct block_cache *cache, uint64_t file_number, uint64_t offset,
                     struct cached_block *block)
{
    if (charge_of(block) > cache->shard_bytes_max) {
        return;
    }
    uint64_t hash = hash_of(file_number, offset);
    struct shard *shard = shard_of(cache, hash);
    struct cached_block *evicted = NULL;
    mutex_lock(&shard->mutex);
    if (grow_index_locked(cache, shard)) {
        struct cached_block **slot = slot_locked(shard, hash, file_number, offset);
        if (*slot == NULL) {
            cached_block_ref(block);
            block->file_number = file_number;
            block->offset = offset;
            block->hash_next = NULL;
            *slot = block;
            push_newest_locked(shard, block);
            shard->blocks++;
            shard->bytes += charge_of(block);
            evicted = evict_locked(cache, shard);
        }
    }
    mutex_unlock(&shard->mutex);
    unref_list(evicted);
}

void block_cache_erase_file(struct block_cache *cache, uint64_t file_number)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        struct cached_block *erased = NULL;
        mutex_lock(&shard->mutex);
        struct cached_block *block = shard->newest;
        while (block != NULL) {
            struct cached_block *older = block->older;
            if (block->file_number == file_number) {
                remove_locked(shard, block);
                block->hash_next = erased;
                erased = block;
            }
            block = older;
        }
        mutex_unlock(&shard->mutex);
        unref_list(erased);
    }
}

void block_cache_stats(struct block_cache *cache, struct block_cache_stats *out)
{
    *out = (struct block_cache_stats){.bytes_max = cache->shard_bytes_max * SHARDS};
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        mutex_lock(&shard->mutex);
        out->hits += shard->hits;
        out->misses += shard->misses;
        out->evictions += shard->evictions;
        out->blocks += shard->blocks;
        out->bytes += shard->bytes;
        mutex_unlock(&shard->mutex);
    }
}
