/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/block_cache.h"

#include "base/check.h"
#include "base/sync.h"

/* SHARDS is a power of two, as are the sizes of the shards' indexes. */
enum { SHARDS = 16, SLOTS_MIN = 16 };

/* Of a shard's index: at most so many of so many slots are taken. */
enum { TAKEN_OF = 3, TAKEN_PARTS = 4 };

/* Of the budget: what blocks have at least, however much is pinned (one part in so many). */
enum { BLOCKS_PART_MIN = 10 };

/* Of a shard's room: what protected blocks have at most. At least a fifth is left for those on
 * probation. */
enum { PROTECTED_OF = 3, PROTECTED_PARTS = 5 };
_Static_assert(BLOCK_CACHE_HOT_PART >= 5, "what is protected and what is hot leave some room");

/* A place of the index: open addressing with linear probing, so that to look for what is not there
 * reads a line or two of the index, and none of the blocks, which are seldom in the processor's
 * caches. */
struct slot {
    uint64_t hash;
    struct cached_block *block; /* NULL: free */
};

/* Around each block: the allocator's. */
enum { AROUND_BYTES = 16 };

enum { PROBATION, PROTECTED, HOT, SEGMENTS };

/* What a shard refused is remembered in sets of so many. */
enum { REFUSED_WAYS = 4 };
_Static_assert(SLOTS_MIN / 2 >= REFUSED_WAYS, "the smallest index has a set");

/* Blocks in the order of their use. */
struct segment {
    struct cached_block *newest;
    struct cached_block *oldest;
    uint64_t bytes;
};

struct shard {
    struct mutex mutex;
    struct slot *slots; /* NULL until the first block */
    size_t slots_count;
    uint32_t *refused; /* half as many: a part of the hash of a block that was not taken; or 0 */
    struct segment segments[SEGMENTS];
    size_t hot_count;
    uint64_t hot_files[BLOCK_CACHE_HOT_MAX];
    uint64_t blocks;
    struct block_kind_stats kinds[BLOCK_KINDS]; /* but for pinned_bytes */
};

struct block_cache {
    struct alloc *alloc;
    size_t bytes_max;
    _Atomic uint64_t pinned_bytes[BLOCK_KINDS];
    _Atomic uint64_t pinned_count[BLOCK_KINDS]; /* so far */
    struct codec_pool codecs;
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

/* What the shard takes without its blocks. */
static uint64_t own_bytes_locked(const struct shard *shard)
{
    return sizeof *shard + shard->slots_count * sizeof *shard->slots +
           shard->slots_count / 2 * sizeof *shard->refused;
}

/* The room that a shard's blocks have beside what is pinned, and beside the shard itself. */
static uint64_t room_locked(const struct block_cache *cache, const struct shard *shard)
{
    uint64_t pinned = pinned_bytes(cache);
    uint64_t room = pinned < cache->bytes_max ? cache->bytes_max - pinned : 0;
    uint64_t least = cache->bytes_max / BLOCKS_PART_MIN;
    room = (room > least ? room : least) / SHARDS;
    uint64_t own = own_bytes_locked(shard);
    return own < room ? room - own : 0;
}

/* --- the shard's index and its segments; all with the lock held ------------------------------ */

/* The slot of the block at this place, or the free one where it would be. */
static struct slot *slot_locked(const struct shard *shard, uint64_t hash, uint64_t file_number,
                                uint64_t offset)
{
    for (size_t i = hash;; i++) {
        struct slot *slot = &shard->slots[i & (shard->slots_count - 1)];
        if (slot->block == NULL || (slot->hash == hash && slot->block->file_number == file_number &&
                                    slot->block->offset == offset)) {
            return slot;
        }
    }
}

/* Frees the slot, and moves up those behind it that would not be found any more. */
static void free_slot_locked(struct shard *shard, struct slot *slot)
{
    size_t mask = shard->slots_count - 1;
    size_t gap = (size_t)(slot - shard->slots);
    for (size_t i = (gap + 1) & mask; shard->slots[i].block != NULL; i = (i + 1) & mask) {
        /* How far it is from where its probing begins, and how far that is from the gap. */
        size_t from_home = (i - shard->slots[i].hash) & mask;
        size_t from_gap = (i - gap) & mask;
        if (from_home >= from_gap) {
            shard->slots[gap] = shard->slots[i];
            gap = i;
        }
    }
    shard->slots[gap].block = NULL;
}

static struct segment *segment_of(struct shard *shard, const struct cached_block *block)
{
    return &shard->segments[block->segment];
}

static bool is_hot_locked(const struct shard *shard, uint64_t file_number)
{
    for (size_t i = 0; i < shard->hot_count; i++) {
        if (shard->hot_files[i] == file_number) {
            return true;
        }
    }
    return false;
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

static void move_locked(struct shard *shard, struct cached_block *block, uint8_t segment)
{
    unlink_order_locked(shard, block);
    block->segment = segment;
    push_newest_locked(shard, block);
}

/* What has no place in the segment any more goes on probation, and stays in the shard. */
static void shrink_locked(struct shard *shard, uint8_t segment, uint64_t bytes_max)
{
    while (shard->segments[segment].bytes > bytes_max) {
        struct cached_block *oldest = shard->segments[segment].oldest;
        CHECK(oldest != NULL);
        move_locked(shard, oldest, PROBATION);
    }
}

static void shrink_protected_locked(struct shard *shard, uint64_t room)
{
    shrink_locked(shard, PROTECTED, room / PROTECTED_PARTS * PROTECTED_OF);
}

/* The block is used again. */
static void use_locked(struct shard *shard, struct cached_block *block, uint64_t room)
{
    move_locked(shard, block, block->segment == HOT ? HOT : PROTECTED);
    shrink_protected_locked(shard, room);
}

static uint8_t first_segment_locked(const struct shard *shard, const struct cached_block *block)
{
    if (is_hot_locked(shard, block->file_number)) {
        return HOT;
    }
    return block->kind == BLOCK_INDEX ? PROTECTED : PROBATION;
}

/* Takes the block out and returns the shard's reference to the caller. */
static void remove_locked(struct shard *shard, struct cached_block *block)
{
    uint64_t hash = hash_of(block->file_number, block->offset);
    struct slot *slot = slot_locked(shard, hash, block->file_number, block->offset);
    CHECK(slot->block == block);
    free_slot_locked(shard, slot);
    unlink_order_locked(shard, block);
    CHECK(shard->blocks > 0);
    shard->blocks--;
}

/* Doubles the index when it is as full as it may be. False: there is no free slot to be had. */
static bool grow_index_locked(struct block_cache *cache, struct shard *shard)
{
    if (shard->blocks < shard->slots_count / TAKEN_PARTS * TAKEN_OF) {
        return true;
    }
    size_t count = shard->slots == NULL ? SLOTS_MIN : 2 * shard->slots_count;
    struct slot *slots = alloc_zeroed(cache->alloc, count, sizeof *slots);
    uint32_t *refused = alloc_zeroed(cache->alloc, count / 2, sizeof *refused);
    if (slots == NULL || refused == NULL) {
        alloc_free(cache->alloc, slots);
        alloc_free(cache->alloc, refused);
        /* Longer probes, but all is found: one slot stays free, where they end. */
        return shard->blocks + 1 < shard->slots_count;
    }
    struct slot *old = shard->slots;
    size_t old_count = shard->slots_count;
    CHECK(old != NULL || old_count == 0);
    shard->slots = slots;
    shard->slots_count = count;
    for (size_t i = 0; i < old_count; i++) {
        size_t to = old[i].hash;
        while (old[i].block != NULL && slots[to & (count - 1)].block != NULL) {
            to++;
        }
        if (old[i].block != NULL) {
            slots[to & (count - 1)] = old[i];
        }
    }
    alloc_free(cache->alloc, old);
    alloc_free(cache->alloc, shard->refused); /* what it said is forgotten */
    shard->refused = refused;
    return true;
}

static uint64_t shard_bytes_locked(const struct shard *shard)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < SEGMENTS; i++) {
        bytes += shard->segments[i].bytes;
    }
    return bytes;
}

/* Whether a shard takes the block: one that is full takes data only when it comes again soon. */
static bool takes_locked(struct shard *shard, const struct cached_block *block,
                         enum block_kind kind, uint64_t file_number, uint64_t hash, uint64_t room)
{
    if (kind != BLOCK_DATA || shard_bytes_locked(shard) + charge_of(block) <= room ||
        is_hot_locked(shard, file_number)) {
        return true;
    }
    uint32_t part = (uint32_t)hash | 1U; /* never 0 */
    uint64_t sets = shard->slots_count / 2 / REFUSED_WAYS;
    uint32_t *set = &shard->refused[(hash >> 32 & (sets - 1)) * REFUSED_WAYS];
    for (size_t i = 0; i < REFUSED_WAYS; i++) {
        if (set[i] == part) {
            set[i] = 0;
            return true;
        }
    }
    /* Any of them makes room, by no pattern that those who come by turns may have. */
    set[(shard->kinds[kind].misses * 0x9e3779b97f4a7c15U) >> 62] = part;
    return false;
}

/* Evicts until the shard keeps its room; collects the blocks in a list by `next`. */
static struct cached_block *evict_locked(struct shard *shard, uint64_t room)
{
    struct cached_block *evicted = NULL;
    shrink_locked(shard, HOT, room / BLOCK_CACHE_HOT_PART);
    while (shard_bytes_locked(shard) > room) {
        struct cached_block *block = shard->segments[PROBATION].oldest;
        if (block == NULL) {
            block = shard->segments[PROTECTED].oldest; /* what is pinned has taken its room */
        }
        CHECK(block != NULL); /* those of hot files alone have no more than their part */
        remove_locked(shard, block);
        shard->kinds[block->kind].evictions++;
        block->next = evicted;
        evicted = block;
    }
    return evicted;
}

/* Frees outside of the lock: freeing takes longer than linking. */
static void unref_list(struct cached_block *list)
{
    while (list != NULL) {
        struct cached_block *next = list->next;
        cached_block_unref(list);
        list = next;
    }
}

/* --- hints to the processor ------------------------------------------------------------------ */

/* What is put soon makes the oldest block go: what that touches is seldom in the processor's
 * caches, and arrives while the block is read and decompressed. */
static void foresee_eviction_locked(const struct shard *shard)
{
    const struct cached_block *oldest = shard->segments[PROBATION].oldest;
    if (oldest != NULL) {
        uint64_t hash = hash_of(oldest->file_number, oldest->offset);
        __builtin_prefetch(&shard->slots[hash & (shard->slots_count - 1)], 1);
        __builtin_prefetch(oldest->newer, 1);
        __builtin_prefetch(oldest->data + oldest->length, 1); /* the allocator's */
    }
}

/* Who gets a block looks for a key in it: at the restarts in its end, and from the middle on. */
static void foresee_search(const struct cached_block *block)
{
    __builtin_prefetch(block->data + block->length - 1);
    __builtin_prefetch(block->data + block->length / 2);
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
        for (size_t j = 0; j < SEGMENTS; j++) {
            unref_segment(&shard->segments[j]);
        }
        alloc_free(cache->alloc, shard->slots);
        alloc_free(cache->alloc, shard->refused);
        mutex_release(&shard->mutex);
    }
    codec_pool_release(&cache->codecs);
    alloc_free(cache->alloc, cache);
}

struct codec_pool *block_cache_codecs(struct block_cache *cache)
{
    return &cache->codecs;
}

struct cached_block *block_cache_get(struct block_cache *cache, enum block_kind kind,
                                     uint64_t file_number, uint64_t offset, bool put_follows)
{
    uint64_t hash = hash_of(file_number, offset);
    struct shard *shard = shard_of(cache, hash);
    mutex_lock(&shard->mutex);
    struct cached_block *block = NULL;
    if (shard->slots != NULL) {
        block = slot_locked(shard, hash, file_number, offset)->block;
    }
    if (block != NULL) {
        shard->kinds[kind].hits++;
        foresee_search(block);
        cached_block_ref(block);
        use_locked(shard, block, room_locked(cache, shard));
    } else {
        shard->kinds[kind].misses++;
        if (put_follows) {
            foresee_eviction_locked(shard);
        }
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
    if (charge_of(block) <= room_locked(cache, shard) && grow_index_locked(cache, shard)) {
        uint64_t room = room_locked(cache, shard);
        struct slot *slot = slot_locked(shard, hash, file_number, offset);
        if (slot->block == NULL && takes_locked(shard, block, kind, file_number, hash, room)) {
            cached_block_ref(block);
            block->file_number = file_number;
            block->offset = offset;
            block->kind = kind;
            block->segment = first_segment_locked(shard, block);
            *slot = (struct slot){.hash = hash, .block = block};
            push_newest_locked(shard, block);
            shrink_protected_locked(shard, room);
            shard->blocks++;
            shard->kinds[kind].insertions++;
            evicted = evict_locked(shard, room);
        }
    }
    mutex_unlock(&shard->mutex);
    unref_list(evicted);
}

/* Of the blocks of hot files, those whose files are not hot any more go on probation. */
static void cool_locked(struct shard *shard)
{
    struct cached_block *block = shard->segments[HOT].oldest;
    while (block != NULL) {
        struct cached_block *newer = block->newer;
        if (!is_hot_locked(shard, block->file_number)) {
            move_locked(shard, block, PROBATION);
        }
        block = newer;
    }
}

void block_cache_set_hot(struct block_cache *cache, const uint64_t *file_numbers, size_t count)
{
    CHECK(count <= BLOCK_CACHE_HOT_MAX);
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        mutex_lock(&shard->mutex);
        shard->hot_count = count;
        for (size_t j = 0; j < count; j++) {
            shard->hot_files[j] = file_numbers[j];
        }
        cool_locked(shard);
        mutex_unlock(&shard->mutex);
    }
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
        struct cached_block *evicted = evict_locked(shard, room_locked(cache, shard));
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

/* Takes the blocks of a file out of one segment, into a list by `next`. */
static struct cached_block *erase_locked(struct shard *shard, const struct segment *segment,
                                         uint64_t file_number, struct cached_block *erased)
{
    struct cached_block *block = segment->newest;
    while (block != NULL) {
        struct cached_block *older = block->older;
        if (block->file_number == file_number) {
            remove_locked(shard, block);
            block->next = erased;
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
        struct cached_block *erased = NULL;
        for (size_t j = 0; j < SEGMENTS; j++) {
            erased = erase_locked(shard, &shard->segments[j], file_number, erased);
        }
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
        out->bytes += shard_bytes_locked(shard) + own_bytes_locked(shard);
        mutex_unlock(&shard->mutex);
    }
    for (size_t kind = 0; kind < BLOCK_KINDS; kind++) {
        add_kind(&out->all, &out->kinds[kind]);
    }
    out->bytes += out->all.pinned_bytes;
}
