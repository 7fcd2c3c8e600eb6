/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/mem/skiplist.h"

#include "base/check.h"

typedef _Atomic(struct skiplist_node *) node_link;

/* A node's links lie before it, level 0 nearest, so that the key is at a fixed place and the
 * links that are used most share its cache line. */
struct skiplist_node {
    uint64_t prefix; /* the user key's first eight bytes, big-endian, zeros behind a short key */
    uint32_t internal_length;
    uint32_t value_length;
    uint8_t bytes[]; /* internal key, then value */
};

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

struct target {
    struct slice user;
    uint64_t prefix;
    uint64_t trailer;
};

static struct target target_of(struct slice user, uint64_t trailer)
{
    return (struct target){.user = user, .prefix = prefix_of(user), .trailer = trailer};
}

/* True if the node's key is before the target. Prefixes that differ decide: zeros behind a
 * short key sort no later than the bytes of a longer one, and where they are equal to those,
 * the prefixes are equal and the whole keys are compared. */
static bool node_is_before(const struct skiplist_node *node, const struct target *target)
{
    if (node->prefix != target->prefix) {
        return node->prefix < target->prefix;
    }
    struct slice key = slice_of(node->bytes, node->internal_length);
    int order = slice_compare(internal_key_user(key), target->user);
    if (order != 0) {
        return order < 0;
    }
    return internal_key_trailer(key) < target->trailer;
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
    atomic_init(&list->height, 1);
    for (int level = 0; level < SKIPLIST_HEIGHT_MAX; level++) {
        atomic_init(node_link_at(head, level), NULL);
        list->before[level] = head;
    }
    return true;
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
                                        const struct target *target, struct skiplist_node **bound)
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
static struct skiplist_node *search(const struct skiplist *list, const struct target *target,
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

/* As search, for an insert, beginning at the place of the last one (a finger): inserts that
 * ascend, or nearly do, find their places after a few steps.
 *
 * No link of list->before lies behind the last insert. If the target does, then from the first
 * level whose next node is not before the target, all higher levels hold as they are, since their
 * nodes are among that level's. Below it, each level's next node is before the target, so its walk
 * leads past the last insert, and past what the finger has for the levels below. */
static void search_from_finger(struct skiplist *list, const struct target *target)
{
    struct skiplist_node **before = list->before;
    if (before[0] == list->head || !node_is_before(before[0], target)) {
        (void)search(list, target, before);
        return;
    }
    int height = atomic_load_explicit(&list->height, memory_order_relaxed);
    struct skiplist_node *bound = NULL;
    int level = 0;
    for (; level < height; level++) {
        bound = node_next(before[level], level);
        if (bound == NULL || !node_is_before(bound, target)) {
            break;
        }
    }
    if (level == height) {
        bound = NULL;
    }
    struct skiplist_node *node = level > 0 ? before[level - 1] : NULL;
    for (level--; level >= 0; level--) {
        node = walk_level(node, level, target, &bound);
        before[level] = node;
    }
}

const struct skiplist_node *skiplist_insert(struct skiplist *list, struct slice user,
                                            uint64_t sequence, enum key_type type,
                                            struct slice value)
{
    CHECK(user.length <= USER_KEY_BYTES_MAX);
    CHECK(value.length <= VALUE_BYTES_MAX);
    struct target target = target_of(user, key_trailer(sequence, type));
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

    search_from_finger(list, &target);
    int list_height = atomic_load_explicit(&list->height, memory_order_relaxed);
    for (int level = list_height; level < height; level++) {
        list->before[level] = list->head;
    }
    if (height > list_height) {
        /* A reader that sees the new height before the links finds NULL there, and goes on. */
        atomic_store_explicit(&list->height, height, memory_order_relaxed);
    }
    for (int level = 0; level < height; level++) {
        struct skiplist_node *before = list->before[level];
        atomic_store_explicit(node_link_at(node, level), node_next(before, level),
                              memory_order_relaxed);
        atomic_store_explicit(node_link_at(before, level), node, memory_order_release);
        list->before[level] = node;
    }
    uint64_t count = atomic_load_explicit(&list->count, memory_order_relaxed);
    atomic_store_explicit(&list->count, count + 1, memory_order_relaxed);
    return node;
}

const struct skiplist_node *skiplist_seek(const struct skiplist *list, struct slice user,
                                          uint64_t trailer)
{
    struct target target = target_of(user, trailer);
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
    struct target target = target_of(internal_key_user(key), internal_key_trailer(key));
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
