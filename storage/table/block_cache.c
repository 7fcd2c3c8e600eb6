/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/block_cache.h"

#include "base/check.h"
#include "base/sync.h"

/* SHARDS is a power of two, as are the sizes of the shards' indexes. */
enum { SHARDS = 16, BUCKETS_MIN = 64 };

/* Of the budget: what blocks have at least, however much is pinned (one part in so many). */
enum { BLOCKS_PART_MIN = 10 };

/* Of a shard's room: what protected blocks have at most. */
enum { PROTECTED_OF = 3, PROTECTED_PARTS = 5 };

/* Around each block: its share of the shard's index, and of the allocator's. */
enum { AROUND_BYTES = 2 * sizeof(void *) + 16 };

/* Blocks in the order of their use. */
struct segment {
    struct cached_block *newest;
    struct cached_block *oldest;
    uint64_t bytes;
};

struct shard {
    struct mutex mutex;
    struct cached_block **buckets; /* NULL until the first block */
    size_t buckets_count;
    struct segment probation;
    struct segment protected;
    uint64_t blocks;
    struct block_kind_stats kinds[BLOCK_KINDS]; /* but for pinned_bytes */
};

struct block_cache {
    struct alloc *alloc;
    size_t bytes_max;
    _Atomic uint64_t pinned_bytes[BLOCK_KINDS];
    _Atomic uint64_t pinned_count[BLOCK_KINDS]; /* so far */
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
    cache->bytes_max = bytes_max;
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
    return block->length + sizeof *block + AROUND_BYTES;
}

static uint64_t pinned_bytes(const struct block_cache *cache)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < BLOCK_KINDS; i++) {
        sum += atomic_load_explicit(&cache->pinned_bytes[i], memory_order_relaxed);
    }
    return sum;
}

/* The room that a shard's blocks have beside what is pinned. */
static uint64_t room_of_shard(const struct block_cache *cache)
{
    uint64_t pinned = pinned_bytes(cache);
    uint64_t room = pinned < cache->bytes_max ? cache->bytes_max - pinned : 0;
    uint64_t least = cache->bytes_max / BLOCKS_PART_MIN;
    return (room > least ? room : least) / SHARDS;
}

/* --- the shard's index and its segments; all with the lock held ------------------------------ */

static struct cached_block **slot_locked(struct shard *shard, uint64_t hash, uint64_t file_number,
                                         uint64_t offset)
{
    struct cached_block **slot = &shard->buckets[hash & (shard->buckets_count - 1)];
    while (*slot != NULL && ((*slot)->file_number != file_number || (*slot)->offset != offset)) {
        slot = &(*slot)->hash_next;
    }
    return slot;
}

static struct segment *segment_of(struct shard *shard, const struct cached_block *block)
{
    return block->is_protected ? &shard->protected : &shard->probation;
}

static void push_newest_locked(struct shard *shard, struct cached_block *block)
{
    struct segment *segment = segment_of(shard, block);
    block->newer = NULL;
    block->older = segment->newest;
    if (segment->newest != NULL) {
        segment->newest->newer = block;
    } else {
        segment->oldest = block;
    }
    segment->newest = block;
    segment->bytes += charge_of(block);
}

static void unlink_order_locked(struct shard *shard, struct cached_block *block)
{
    struct segment *segment = segment_of(shard, block);
    if (block->newer != NULL) {
        block->newer->older = block->older;
    } else {
        segment->newest = block->older;
    }
    if (block->older != NULL) {
        block->older->newer = block->newer;
    } else {
        segment->oldest = block->newer;
    }
    CHECK(segment->bytes >= charge_of(block));
    segment->bytes -= charge_of(block);
}

/* The block is used again. Those that lose their protection for it stay in the shard. */
static void protect_locked(struct shard *shard, struct cached_block *block, uint64_t room)
{
    unlink_order_locked(shard, block);
    block->is_protected = true;
    push_newest_locked(shard, block);
    while (shard->protected.bytes > room / PROTECTED_PARTS * PROTECTED_OF) {
        struct cached_block *oldest = shard->protected.oldest;
        CHECK(oldest != NULL);
        unlink_order_locked(shard, oldest);
        oldest->is_protected = false;
        push_newest_locked(shard, oldest);
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
    shard->blocks--;
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
    CHECK(shard->buckets != NULL || shard->buckets_count == 0);
    for (size_t i = 0; i < shard->buckets_count; i++) {
        struct cached_block *block = shard->buckets[i];
        while (block != NULL) {
            struct cached_block *next = block->hash_next;
            uint64_t hash = hash_of(block->file_number, block->offset);
            struct cached_block **slot = &buckets[hash & (count - 1)];
            block->hash_next = *slot;
            *slot = block;
            block = next;
        }
    }
    alloc_free(cache->alloc, shard->buckets);
    shard->buckets = buckets;
    shard->buckets_count = count;
    return true;
}

/* Evicts until the shard keeps its room; collects the blocks in a list by `hash_next`. */
static struct cached_block *evict_locked(struct shard *shard, uint64_t room)
{
    struct cached_block *evicted = NULL;
    while (shard->probation.bytes + shard->protected.bytes > room) {
        struct cached_block *block = shard->probation.oldest;
        if (block == NULL) {
            block = shard->protected.oldest; /* what is pinned has taken its room */
        }
        CHECK(block != NULL);
        remove_locked(shard, block);
        shard->kinds[block->kind].evictions++;
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

static void unref_segment(struct segment *segment)
{
    struct cached_block *block = segment->oldest;
    while (block != NULL) {
        struct cached_block *newer = block->newer;
        cached_block_unref(block);
        block = newer;
    }
}

void block_cache_free(struct block_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    CHECK(pinned_bytes(cache) == 0);
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        unref_segment(&shard->probation);
        unref_segment(&shard->protected);
        alloc_free(cache->alloc, shard->buckets);
        mutex_release(&shard->mutex);
    }
    alloc_free(cache->alloc, cache);
}

struct cached_block *block_cache_get(struct block_cache *cache, enum block_kind kind,
                                     uint64_t file_number, uint64_t offset)
{
    uint64_t hash = hash_of(file_number, offset);
    struct shard *shard = shard_of(cache, hash);
    mutex_lock(&shard->mutex);
    struct cached_block *block = NULL;
    if (shard->buckets != NULL) {
        block = *slot_locked(shard, hash, file_number, offset);
    }
    if (block != NULL) {
        shard->kinds[kind].hits++;
        cached_block_ref(block);
        protect_locked(shard, block, room_of_shard(cache));
    } else {
        shard->kinds[kind].misses++;
    }
    mutex_unlock(&shard->mutex);
    return block;
}

void block_cache_put(struct block_cache *cache, enum block_kind kind, uint64_t file_number,
                     uint64_t offset, struct cached_block *block)
{
    uint64_t hash = hash_of(file_number, offset);
    struct shard *shard = shard_of(cache, hash);
    struct cached_block *evicted = NULL;
    mutex_lock(&shard->mutex);
    uint64_t room = room_of_shard(cache);
    if (charge_of(block) <= room && grow_index_locked(cache, shard)) {
        struct cached_block **slot = slot_locked(shard, hash, file_number, offset);
        if (*slot == NULL) {
            cached_block_ref(block);
            block->file_number = file_number;
            block->offset = offset;
            block->hash_next = NULL;
            block->kind = kind;
            block->is_protected = false;
            *slot = block;
            push_newest_locked(shard, block);
            shard->blocks++;
            shard->kinds[kind].insertions++;
            evicted = evict_locked(shard, room);
        }
    }
    mutex_unlock(&shard->mutex);
    unref_list(evicted);
}

void block_cache_pin(struct block_cache *cache, enum block_kind kind, size_t bytes)
{
    atomic_fetch_add_explicit(&cache->pinned_bytes[kind], bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&cache->pinned_count[kind], 1, memory_order_relaxed);
    /* A put in a shard comes before its lock here, and is trimmed, or after it, and sees the sum.
     */
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        mutex_lock(&shard->mutex);
        struct cached_block *evicted = evict_locked(shard, room_of_shard(cache));
        mutex_unlock(&shard->mutex);
        unref_list(evicted);
    }
}

void block_cache_unpin(struct block_cache *cache, enum block_kind kind, size_t bytes)
{
    uint64_t before =
        atomic_fetch_sub_explicit(&cache->pinned_bytes[kind], bytes, memory_order_relaxed);
    CHECK(before >= bytes);
}

/* Takes the blocks of a file out of one segment, into a list by `hash_next`. */
static struct cached_block *erase_locked(struct shard *shard, const struct segment *segment,
                                         uint64_t file_number, struct cached_block *erased)
{
    struct cached_block *block = segment->newest;
    while (block != NULL) {
        struct cached_block *older = block->older;
        if (block->file_number == file_number) {
            remove_locked(shard, block);
            block->hash_next = erased;
            erased = block;
        }
        block = older;
    }
    return erased;
}

void block_cache_erase_file(struct block_cache *cache, uint64_t file_number)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        mutex_lock(&shard->mutex);
        struct cached_block *erased = erase_locked(shard, &shard->probation, file_number, NULL);
        erased = erase_locked(shard, &shard->protected, file_number, erased);
        mutex_unlock(&shard->mutex);
        unref_list(erased);
    }
}

static void add_kind(struct block_kind_stats *to, const struct block_kind_stats *from)
{
    to->hits += from->hits;
    to->misses += from->misses;
    to->insertions += from->insertions;
    to->evictions += from->evictions;
    to->pinned_bytes += from->pinned_bytes;
}

void block_cache_stats(struct block_cache *cache, struct block_cache_stats *out)
{
    *out = (struct block_cache_stats){.bytes_max = cache->bytes_max};
    for (size_t kind = 0; kind < BLOCK_KINDS; kind++) {
        out->kinds[kind].pinned_bytes =
            atomic_load_explicit(&cache->pinned_bytes[kind], memory_order_relaxed);
        out->kinds[kind].insertions =
            atomic_load_explicit(&cache->pinned_count[kind], memory_order_relaxed);
    }
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        mutex_lock(&shard->mutex);
        for (size_t kind = 0; kind < BLOCK_KINDS; kind++) {
            add_kind(&out->kinds[kind], &shard->kinds[kind]);
        }
        out->blocks += shard->blocks;
        out->bytes += shard->probation.bytes + shard->protected.bytes;
        mutex_unlock(&shard->mutex);
    }
    for (size_t kind = 0; kind < BLOCK_KINDS; kind++) {
        add_kind(&out->all, &out->kinds[kind]);
    }
    out->bytes += out->all.pinned_bytes;
}
