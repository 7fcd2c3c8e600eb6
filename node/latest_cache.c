/* SPDX-License-Identifier: Apache-2.0 */
#include "node/latest_cache.h"

#include "base/check.h"
#include "base/crc32c.h"

enum { SLOTS_MIN = 1024, CHUNK_BYTES = 64 * 1024 };

/* One allocation for each key would cost more than the lookup that it saves. */
struct chunk {
    struct chunk *next;
    size_t used;
    uint8_t bytes[CHUNK_BYTES];
};

struct slot {
    const uint8_t *key; /* NULL: free; in a chunk */
    uint32_t key_length;
    uint32_t hash;
    struct latest_row row;
    bool changed; /* since the last flush */
};

struct latest_cache {
    struct alloc *alloc;
    struct slot *slots;
    size_t slot_count; /* a power of two */
    size_t used;
    struct chunk *chunks;
    size_t bytes;
    size_t bytes_max;
    size_t changed; /* rows */
};

struct latest_cache *latest_cache_new(struct alloc *alloc, size_t bytes_max)
{
    struct latest_cache *cache = alloc_zeroed(alloc, 1, sizeof *cache);
    if (cache == NULL) {
        return NULL;
    }
    cache->alloc = alloc;
    cache->bytes_max = bytes_max;
    cache->slot_count = SLOTS_MIN;
    cache->slots = alloc_zeroed(alloc, cache->slot_count, sizeof *cache->slots);
    if (cache->slots == NULL) {
        alloc_free(alloc, cache);
        return NULL;
    }
    return cache;
}

static void free_chunks(struct latest_cache *cache)
{
    while (cache->chunks != NULL) {
        struct chunk *chunk = cache->chunks;
        cache->chunks = chunk->next;
        alloc_free(cache->alloc, chunk);
    }
}

void latest_cache_free(struct latest_cache *cache)
{
    if (cache != NULL) {
        free_chunks(cache);
        alloc_free(cache->alloc, cache->slots);
        alloc_free(cache->alloc, cache);
    }
}

/* The slot that holds the key, or the free one where it belongs. */
static struct slot *slot_find(const struct latest_cache *cache, struct slice key, uint32_t hash)
{
    size_t mask = cache->slot_count - 1;
    size_t at = hash & mask;
    for (;;) {
        struct slot *slot = &cache->slots[at];
        if (slot->key == NULL || (slot->hash == hash && slot->key_length == key.length &&
                                  memcmp(slot->key, key.data, key.length) == 0)) {
            return slot;
        }
        at = (at + 1) & mask;
    }
}

static uint32_t hash_of(struct slice key)
{
    /* CRC leaves neighbouring keys neighbours; the multiplication parts them. */
    return crc32c_extend(0, key.data, key.length) * 0x9e3779b1U;
}

const struct latest_row *latest_cache_get(const struct latest_cache *cache, struct slice key)
{
    const struct slot *slot = slot_find(cache, key, hash_of(key));
    return slot->key == NULL ? NULL : &slot->row;
}

static bool grow(struct latest_cache *cache)
{
    size_t slot_count = cache->slot_count * 2;
    struct slot *slots = alloc_zeroed(cache->alloc, slot_count, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    struct slot *old = cache->slots;
    size_t old_count = cache->slot_count;
    cache->slots = slots;
    cache->slot_count = slot_count;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].key != NULL) {
            *slot_find(cache, slice_of(old[i].key, old[i].key_length), old[i].hash) = old[i];
        }
    }
    alloc_free(cache->alloc, old);
    return true;
}

static const uint8_t *copy_key(struct latest_cache *cache, struct slice key)
{
    struct chunk *chunk = cache->chunks;
    if (chunk == NULL || CHUNK_BYTES - chunk->used < key.length) {
        chunk = alloc_new(cache->alloc, sizeof *chunk);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->used = 0;
        chunk->next = cache->chunks;
        cache->chunks = chunk;
    }
    uint8_t *copy = chunk->bytes + chunk->used;
    memcpy(copy, key.data, key.length);
    chunk->used += key.length;
    return copy;
}

bool latest_cache_put(struct latest_cache *cache, struct slice key, const struct latest_row *row)
{
    CHECK(key.length > 0);
    CHECK(key.length <= KEY_BYTES_MAX);
    uint32_t hash = hash_of(key);
    struct slot *slot = slot_find(cache, key, hash);
    if (slot->key != NULL) {
        slot->row = *row;
        cache->changed += !slot->changed;
        slot->changed = true;
        return true;
    }
    if (cache->used * 4 >= cache->slot_count * 3) {
        if (!grow(cache)) {
            return false;
        }
        slot = slot_find(cache, key, hash);
    }
    const uint8_t *copy = copy_key(cache, key);
    if (copy == NULL) {
        return false;
    }
    *slot = (struct slot){.key = copy,
                          .key_length = (uint32_t)key.length,
                          .hash = hash,
                          .row = *row,
                          .changed = true};
    cache->used++;
    cache->changed++;
    cache->bytes += key.length + sizeof *slot;
    return true;
}

static struct slice key_of(const struct slot *slot)
{
    return slice_of(slot->key, slot->key_length);
}

static int by_key(const void *a, const void *b)
{
    return slice_compare(key_of(*(struct slot *const *)a), key_of(*(struct slot *const *)b));
}

static void forget_all(struct latest_cache *cache)
{
    CHECK(cache->changed == 0);
    free_chunks(cache);
    memset(cache->slots, 0, cache->slot_count * sizeof *cache->slots);
    cache->used = 0;
    cache->bytes = 0;
}

enum status latest_cache_flush(struct latest_cache *cache, latest_row_fn each, void *context,
                               struct error *err)
{
    if (cache->changed == 0) {
        return STATUS_OK;
    }
    struct slot **changed = alloc_zeroed(cache->alloc, cache->changed, sizeof(struct slot *));
    if (changed == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to sort the newest rows");
    }
    size_t count = 0;
    for (size_t i = 0; i < cache->slot_count; i++) {
        if (cache->slots[i].changed) {
            changed[count++] = &cache->slots[i];
        }
    }
    CHECK(count == cache->changed);
    qsort(changed, count, sizeof(struct slot *), by_key);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        status = each(context, key_of(changed[i]), &changed[i]->row, err);
        changed[i]->changed = false;
        cache->changed--;
    }
    alloc_free(cache->alloc, changed);
    if (status == STATUS_OK && cache->bytes > cache->bytes_max) {
        forget_all(cache);
    }
    return status;
}
