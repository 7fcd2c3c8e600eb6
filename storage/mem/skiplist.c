/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/mem/skiplist.h"

#include "base/check.h"
#include "storage/mem/node.h"

typedef _Atomic(struct skiplist_node *) node_link;

static node_link *node_link_at(const struct skiplist_node *node, int level)
{
    return (node_link *)(uintptr_t)node - 1 - level;
}

static struct skiplist_node *node_next(const struct skiplist_node *node, int level)
{
    return atomic_load_explicit(node_link_at(node, level), memory_order_acquire);
}

static uint64_t prefix_of(struct slice user)
{
    if (user.length >= 8) {
        return get_be64(user.data);
    }
    uint64_t prefix = 0;
    for (size_t i = 0; i < user.length; i++) {
        prefix |= (uint64_t)user.data[i] << (56 - 8 * i);
    }
    return prefix;
}

static struct node_target target_of(struct slice user, uint64_t trailer)
{
    return (struct node_target){.user = user, .prefix = prefix_of(user), .trailer = trailer};
}

static struct skiplist_node *node_new(struct arena *arena, int height, size_t internal_length,
                                      size_t value_length)
{
    CHECK(height >= 1 && height <= SKIPLIST_HEIGHT_MAX);
    size_t links_bytes = (size_t)height * sizeof(node_link);
    uint8_t *memory = arena_new(arena, links_bytes + sizeof(struct skiplist_node) +
                                           internal_length + value_length);
    if (memory == NULL) {
        return NULL;
    }
    struct skiplist_node *node = (struct skiplist_node *)(void *)(memory + links_bytes);
    node->internal_length = (uint32_t)internal_length;
    node->value_length = (uint32_t)value_length;
    return node;
}

bool skiplist_init(struct skiplist *list, struct arena *arena)
{
    struct skiplist_node *head = node_new(arena, SKIPLIST_HEIGHT_MAX, 0, 0);
    if (head == NULL) {
        return false;
    }
    *list = (struct skiplist){.arena = arena, .head = head, .random = 0x9e3779b97f4a7c15U};
    guide_init(&list->guide, arena);
    atomic_init(&list->height, 1);
    for (int level = 0; level < SKIPLIST_HEIGHT_MAX; level++) {
        atomic_init(node_link_at(head, level), NULL);
    }
    return true;
}

void skiplist_release(struct skiplist *list)
{
    guide_release(&list->guide);
}

/* xorshift64: which nodes are high need not be unpredictable, only spread. */
static int random_height(struct skiplist *list)
{
    list->random ^= list->random << 13;
    list->random ^= list->random >> 7;
    list->random ^= list->random << 17;
    uint64_t bits = list->random >> 16;
    int height = 1;
    while (height < SKIPLIST_HEIGHT_MAX && (bits & 3) == 0) {
        height++;
        bits >>= 2;
    }
    return height;
}

/* Goes along `level` from `node` to the last node that is before the target. A node that the
 * level above found not to be before it (`bound`) is not compared again. */
static struct skiplist_node *walk_level(struct skiplist_node *node, int level,
                                        const struct node_target *target,
                                        struct skiplist_node **bound)
{
    for (;;) {
        struct skiplist_node *next = node_next(node, level);
        if (next == *bound) {
            return node;
        }
        if (!node_is_before(next, target)) {
            *bound = next;
            return node;
        }
        node = next;
    }
}

/* Fills `before` for every level; returns the first node at or after the target, or NULL. */
static struct skiplist_node *search(const struct skiplist *list, const struct node_target *target,
                                    struct skiplist_node **before)
{
    struct skiplist_node *node = list->head;
    struct skiplist_node *bound = NULL;
    int height = atomic_load_explicit(&list->height, memory_order_relaxed);
    for (int level = height - 1; level >= 0; level--) {
        node = walk_level(node, level, target, &bound);
        if (before != NULL) {
            before[level] = node;
        }
    }
    return bound;
}

/* Fills `before` for the levels below `height`. Of most nodes that are higher than one link the
 * guide's page has those before them; few are so high that the list is searched. */
static void find_before(const struct skiplist *list, const struct node_target *target,
                        const struct guide_place *place, int height, struct skiplist_node **before)
{
    int level = 0;
    do {
        before[level] = guide_before(place, level);
    } while (before[level] != NULL && ++level < height);
    if (level == 0) {
        /* Nothing is before the target. */
        for (; level < height; level++) {
            before[level] = list->head;
        }
    } else if (level < height) {
        for (int above = atomic_load_explicit(&list->height, memory_order_relaxed); above < height;
             above++) {
            before[above] = list->head;
        }
        (void)search(list, target, before);
    }
}

static void link_node(struct skiplist *list, struct skiplist_node *node, int height,
                      struct skiplist_node *const *before)
{
    if (height > atomic_load_explicit(&list->height, memory_order_relaxed)) {
        /* A reader that sees the new height before the links finds NULL there, and goes on. */
        atomic_store_explicit(&list->height, height, memory_order_relaxed);
    }
    for (int level = 0; level < height; level++) {
        atomic_store_explicit(node_link_at(node, level), node_next(before[level], level),
                              memory_order_relaxed);
        atomic_store_explicit(node_link_at(before[level], level), node, memory_order_release);
    }
    uint64_t count = atomic_load_explicit(&list->count, memory_order_relaxed);
    atomic_store_explicit(&list->count, count + 1, memory_order_relaxed);
}

const struct skiplist_node *skiplist_insert(struct skiplist *list, struct slice user,
                                            uint64_t sequence, enum key_type type,
                                            struct slice value)
{
    CHECK(user.length <= USER_KEY_BYTES_MAX);
    CHECK(value.length <= VALUE_BYTES_MAX);
    struct node_target target = target_of(user, key_trailer(sequence, type));
    struct guide_place place;
    if (!guide_seek(&list->guide, &target, &place)) {
        return NULL;
    }
    __builtin_prefetch(guide_before(&place, 0), 1); /* it comes while the entry is written */
    int height = random_height(list);
    struct skiplist_node *node =
        node_new(list->arena, height, user.length + KEY_TRAILER_BYTES, value.length);
    if (node == NULL) {
        return NULL;
    }
    node->prefix = target.prefix;
    size_t internal_length = internal_key_put(node->bytes, user, sequence, type);
    if (value.length > 0) {
        memcpy(node->bytes + internal_length, value.data, value.length);
    }
    struct skiplist_node *before[SKIPLIST_HEIGHT_MAX];
    find_before(list, &target, &place, height, before);
    link_node(list, node, height, before);
    guide_put(&place, node, height);
    return node;
}

const struct skiplist_node *skiplist_seek(const struct skiplist *list, struct slice user,
                                          uint64_t trailer)
{
    struct node_target target = target_of(user, trailer);
    return search(list, &target, NULL);
}

const struct skiplist_node *skiplist_first(const struct skiplist *list)
{
    return node_next(list->head, 0);
}

const struct skiplist_node *skiplist_last(const struct skiplist *list)
{
    const struct skiplist_node *node = list->head;
    int height = atomic_load_explicit(&list->height, memory_order_relaxed);
    for (int level = height - 1; level >= 0; level--) {
        for (const struct skiplist_node *next = node_next(node, level); next != NULL;
             next = node_next(node, level)) {
            node = next;
        }
    }
    return node == list->head ? NULL : node;
}

const struct skiplist_node *skiplist_next(const struct skiplist_node *node)
{
    return node_next(node, 0);
}

const struct skiplist_node *skiplist_prev(const struct skiplist *list,
                                          const struct skiplist_node *node)
{
    struct slice key = skiplist_key(node);
    struct node_target target = target_of(internal_key_user(key), internal_key_trailer(key));
    struct skiplist_node *before[SKIPLIST_HEIGHT_MAX] = {list->head};
    (void)search(list, &target, before);
    CHECK(before[0] != node);
    return before[0] == list->head ? NULL : before[0];
}

struct slice skiplist_key(const struct skiplist_node *node)
{
    return slice_of(node->bytes, node->internal_length);
}

struct slice skiplist_value(const struct skiplist_node *node)
{
    return slice_of(node->bytes + node->internal_length, node->value_length);
}
