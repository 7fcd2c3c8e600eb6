/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/mem/key_index.h"

#include "base/check.h"
#include "storage/table/bloom.h"

/* A slot is (tag << 48) | address of the node; user space ends below 2^48. */
enum { TAG_SHIFT = 48, SLOTS_MIN = 1024, PREFETCH_AHEAD = 16 };

#define ADDRESS_MASK ((UINT64_C(1) << TAG_SHIFT) - 1)

struct key_index {
    struct key_index *older;
    uint64_t slots_count; /* a power of two; at most half are taken */
    uint64_t keys;        /* writer only */
    _Atomic uint64_t slots[];
};

uint64_t key_index_hash(struct slice user_key)
{
    return bloom_hash(user_key);
}

static uint64_t slot_of_node(uint64_t hash, const struct skiplist_node *node)
{
    uint64_t address = (uint64_t)(uintptr_t)node;
    CHECK((address & ~ADDRESS_MASK) == 0);
    return (hash >> TAG_SHIFT << TAG_SHIFT) | address;
}

static const struct skiplist_node *node_of_slot(uint64_t slot)
{
    return (const struct skiplist_node *)(uintptr_t)(slot & ADDRESS_MASK);
}

/* The key's slot, or the empty one where it would be. `*content` is what is in it. */
static size_t find_slot(const struct key_index *index, struct slice user_key, uint64_t hash,
                        uint64_t *content)
{
    uint64_t mask = index->slots_count - 1;
    for (uint64_t i = hash & mask;; i = (i + 1) & mask) {
        uint64_t slot = atomic_load_explicit(&index->slots[i], memory_order_acquire);
        if (slot == 0 ||
            (slot >> TAG_SHIFT == hash >> TAG_SHIFT &&
             slice_equal(internal_key_user(skiplist_key(node_of_slot(slot))), user_key))) {
            *content = slot;
            return (size_t)i;
        }
    }
}

/* Entries of one key follow each other, the newest first: the first one of each goes in. Nodes
 * are asked for ahead of their turn, since they lie anywhere in memory. */
static void fill(struct key_index *index, const struct skiplist *list)
{
    const struct skiplist_node *last = NULL;
    for (const struct skiplist_node *node = skiplist_first(list); node != NULL;
         node = skiplist_next(node)) {
        struct slice user = internal_key_user(skiplist_key(node));
        if (last == NULL || !slice_equal(internal_key_user(skiplist_key(last)), user)) {
            key_index_put(index, key_index_hash(user), node);
        }
        last = node;
    }
}

/* As fill, from the slots of an older index that knows every entry. */
static void fill_from(struct key_index *index, const struct key_index *older)
{
    for (uint64_t i = 0; i < older->slots_count; i++) {
        if (i + PREFETCH_AHEAD < older->slots_count) {
            uint64_t ahead =
                atomic_load_explicit(&older->slots[i + PREFETCH_AHEAD], memory_order_relaxed);
            __builtin_prefetch(node_of_slot(ahead));
        }
        uint64_t slot = atomic_load_explicit(&older->slots[i], memory_order_relaxed);
        if (slot != 0) {
            const struct skiplist_node *node = node_of_slot(slot);
            key_index_put(index, key_index_hash(internal_key_user(skiplist_key(node))), node);
        }
    }
}

struct key_index *key_index_new(struct alloc *alloc, const struct skiplist *list,
                                struct key_index *older)
{
    uint64_t keys = older == NULL ? skiplist_count(list) : older->keys;
    uint64_t slots_count = SLOTS_MIN;
    while (slots_count / 2 < 2 * keys) {
        slots_count *= 2;
    }
    struct key_index *index =
        alloc_zeroed(alloc, 1, sizeof *index + slots_count * sizeof index->slots[0]);
    if (index == NULL) {
        return NULL;
    }
    index->older = older;
    index->slots_count = slots_count;
    if (older == NULL) {
        fill(index, list);
    } else {
        fill_from(index, older);
    }
    CHECK(!key_index_is_full(index));
    return index;
}

void key_index_free(struct alloc *alloc, struct key_index *index)
{
    while (index != NULL) {
        struct key_index *older = index->older;
        alloc_free(alloc, index);
        index = older;
    }
}

size_t key_index_bytes(const struct key_index *index)
{
    return sizeof *index + index->slots_count * sizeof index->slots[0];
}

bool key_index_is_full(const struct key_index *index)
{
    return index->keys >= index->slots_count / 2;
}

void key_index_put(struct key_index *index, uint64_t hash, const struct skiplist_node *node)
{
    struct slice key = skiplist_key(node);
    uint64_t present = 0;
    size_t i = find_slot(index, internal_key_user(key), hash, &present);
    if (present == 0) {
        CHECK(!key_index_is_full(index));
        index->keys++;
    } else if (internal_key_trailer(skiplist_key(node_of_slot(present))) <
               internal_key_trailer(key)) {
        return; /* the one that is there is newer */
    }
    atomic_store_explicit(&index->slots[i], slot_of_node(hash, node), memory_order_release);
}

const struct skiplist_node *key_index_find(const struct key_index *index, struct slice user_key,
                                           uint64_t hash)
{
    uint64_t slot = 0;
    (void)find_slot(index, user_key, hash, &slot);
    return slot == 0 ? NULL : node_of_slot(slot);
}
