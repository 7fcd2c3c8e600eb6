/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/cow_btree.h"

#include <stdatomic.h>

#include "base/check.h"
#include "base/coding.h"

_Static_assert(COW_FILL_MIN >= 2, "what is left of a node after a removal is not empty");
_Static_assert(COW_FILL_MAX + 1 >= 2 * COW_FILL_MIN, "a node that is split makes two");

/* Most comparisons end with the first bytes of a key, and do not touch the value that has them
 * (G. Graefe, "Modern B-tree techniques", 2011, section 3.6: poor man's normalized keys). */
struct slot {
    uint64_t head;          /* of the key: see head_of() */
    struct cow_entry entry; /* in an inner node the value is the child */
};

struct cow_node {
    _Atomic uint64_t references;
    size_t count;    /* of the entries below */
    unsigned height; /* 0: a leaf */
    unsigned fill;   /* of slots */
    struct slot slots[];
};

/* The first 8 bytes as a number that orders as they do, zeros behind a shorter key: if the heads of
 * two keys differ, then so do the keys, and in the same way. */
static uint64_t head_of(struct slice bytes)
{
    if (bytes.length >= sizeof(uint64_t)) {
        return get_be64(bytes.data);
    }
    uint8_t padded[sizeof(uint64_t)] = {0};
    if (bytes.length > 0) {
        memcpy(padded, bytes.data, bytes.length);
    }
    return get_be64(padded);
}

static struct slot slot_of(struct cow_key key, void *value)
{
    return (struct slot){.head = head_of(key.bytes), .entry = {.key = key, .value = value}};
}

int cow_key_compare(struct cow_key a, struct cow_key b)
{
    if (a.group != b.group) {
        return a.group < b.group ? -1 : 1;
    }
    return slice_compare(a.bytes, b.bytes);
}

static inline int compare(const struct slot *a, const struct slot *b)
{
    if (a->entry.key.group == b->entry.key.group && a->head != b->head) {
        return a->head < b->head ? -1 : 1;
    }
    return cow_key_compare(a->entry.key, b->entry.key);
}

static struct cow_node *child_at(const struct cow_node *node, size_t index)
{
    return node->slots[index].entry.value;
}

/* --- references ---------------------------------------------------------------------------- */

void cow_btree_ref(struct cow_node *root)
{
    if (root != NULL) {
        uint64_t before = atomic_fetch_add_explicit(&root->references, 1, memory_order_relaxed);
        CHECK(before > 0);
    }
}

/* Recursion is as deep as the tree is high: 12 levels hold 2^48 entries. */
void cow_btree_unref(const struct cow_btree *tree, struct cow_node *root)
{
    if (root == NULL || atomic_fetch_sub(&root->references, 1) > 1) {
        return;
    }
    for (size_t i = 0; i < root->fill; i++) {
        if (root->height > 0) {
            cow_btree_unref(tree, child_at(root, i));
        } else {
            tree->unref(root->slots[i].entry.value);
        }
    }
    alloc_free(tree->alloc, root);
}

/* --- reading ------------------------------------------------------------------------------- */

/* The first slot whose key is not less, or with `past_equal` the first whose key is greater. */
static size_t search(const struct cow_node *node, const struct slot *wanted, bool past_equal)
{
    int least = past_equal ? 1 : 0;
    size_t low = 0;
    size_t high = node->fill;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(&node->slots[middle], wanted) < least) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static size_t lower_bound(const struct cow_node *node, const struct slot *wanted)
{
    return search(node, wanted, false);
}

/* The slot of an inner node below which the key is, or would be. */
static size_t way_down(const struct cow_node *node, const struct slot *wanted)
{
    size_t index = search(node, wanted, true);
    return index > 0 ? index - 1 : 0;
}

size_t cow_btree_count(const struct cow_node *root)
{
    return root == NULL ? 0 : root->count;
}

const struct cow_entry *cow_btree_ceiling(const struct cow_node *root, struct cow_key key)
{
    if (root == NULL) {
        return NULL;
    }
    struct slot wanted = slot_of(key, NULL);
    const struct cow_node *right = NULL; /* the nearest subtree behind the way */
    while (root->height > 0) {
        size_t index = way_down(root, &wanted);
        if (index + 1 < root->fill) {
            right = child_at(root, index + 1);
        }
        root = child_at(root, index);
    }
    size_t index = lower_bound(root, &wanted);
    if (index < root->fill) {
        return &root->slots[index].entry;
    }
    while (right != NULL && right->height > 0) {
        right = child_at(right, 0);
    }
    return right == NULL ? NULL : &right->slots[0].entry;
}

void *cow_btree_get(const struct cow_node *root, struct cow_key key)
{
    const struct cow_entry *entry = cow_btree_ceiling(root, key);
    return entry != NULL && cow_key_compare(entry->key, key) == 0 ? entry->value : NULL;
}

size_t cow_btree_rank(const struct cow_node *root, struct cow_key key)
{
    if (root == NULL) {
        return 0;
    }
    struct slot wanted = slot_of(key, NULL);
    size_t rank = 0;
    while (root->height > 0) {
        size_t index = way_down(root, &wanted);
        for (size_t i = 0; i < index; i++) {
            rank += child_at(root, i)->count;
        }
        root = child_at(root, index);
    }
    return rank + lower_bound(root, &wanted);
}

struct cow_cursor cow_cursor_at(const struct cow_node *root, size_t index)
{
    struct cow_cursor cursor = {.root = root, .index = index};
    if (index >= cow_btree_count(root)) {
        return cursor;
    }
    while (root->height > 0) {
        size_t i = 0;
        while (index >= child_at(root, i)->count) {
            index -= child_at(root, i)->count;
            i++;
            CHECK(i < root->fill);
        }
        root = child_at(root, i);
    }
    CHECK(index < root->fill);
    cursor.leaf = root;
    cursor.slot = index;
    return cursor;
}

const struct cow_entry *cow_btree_at(const struct cow_node *root, size_t index)
{
    CHECK(index < cow_btree_count(root));
    struct cow_cursor cursor = cow_cursor_at(root, index);
    return cow_cursor_entry(&cursor);
}

struct cow_cursor cow_cursor_seek(const struct cow_node *root, struct cow_key key)
{
    return cow_cursor_at(root, cow_btree_rank(root, key));
}

const struct cow_entry *cow_cursor_entry(const struct cow_cursor *cursor)
{
    CHECK(cursor->leaf != NULL);
    return &cursor->leaf->slots[cursor->slot].entry;
}

void cow_cursor_next(struct cow_cursor *cursor)
{
    CHECK(cursor->leaf != NULL);
    if (cursor->slot + 1 < cursor->leaf->fill) {
        cursor->slot++;
        cursor->index++;
    } else {
        *cursor = cow_cursor_at(cursor->root, cursor->index + 1);
    }
}

void cow_cursor_prev(struct cow_cursor *cursor)
{
    CHECK(cursor->leaf != NULL);
    if (cursor->slot > 0) {
        cursor->slot--;
        cursor->index--;
    } else {
        /* Before the first there is an index that no tree has. */
        *cursor = cow_cursor_at(cursor->root, cursor->index - 1);
    }
}

/* --- making nodes -------------------------------------------------------------------------- */

/* What takes the place of one node or of two neighbours: references of the caller's. */
struct nodes {
    struct cow_node *at[2];
    size_t count;
};

static void nodes_release(const struct cow_btree *tree, struct nodes *nodes)
{
    for (size_t i = 0; i < nodes->count; i++) {
        cow_btree_unref(tree, nodes->at[i]);
    }
}

/* Takes references on what the slots name. */
static struct cow_node *new_node(const struct cow_btree *tree, unsigned height,
                                 const struct slot *slots, size_t fill)
{
    CHECK(fill > 0 && fill <= COW_FILL_MAX);
    struct cow_node *node = alloc_new(tree->alloc, sizeof *node + fill * sizeof *slots);
    if (node == NULL) {
        return NULL;
    }
    *node = (struct cow_node){.references = 1, .height = height, .fill = (unsigned)fill};
    memcpy(node->slots, slots, fill * sizeof *slots);
    for (size_t i = 0; i < fill; i++) {
        if (height > 0) {
            cow_btree_ref(child_at(node, i));
            node->count += child_at(node, i)->count;
        } else {
            tree->ref(slots[i].entry.value);
            node->count++;
        }
    }
    return node;
}

/* One node of the slots, or two if they are too many for one. */
static bool make_nodes(const struct cow_btree *tree, unsigned height, const struct slot *slots,
                       size_t count, struct nodes *out)
{
    CHECK(count <= 2UL * COW_FILL_MAX);
    *out = (struct nodes){.count = 0};
    size_t first = count > COW_FILL_MAX ? count / 2 : count;
    for (size_t done = 0; done < count; done = first, first = count) {
        struct cow_node *node = new_node(tree, height, slots + done, first - done);
        if (node == NULL) {
            nodes_release(tree, out);
            return false;
        }
        out->at[out->count++] = node;
    }
    return true;
}

/* The slots of `node` with those of `below` in place of [begin, end). */
static size_t splice(const struct cow_node *node, size_t begin, size_t end,
                     const struct nodes *below, struct slot slots[COW_FILL_MAX + 1])
{
    CHECK(begin <= end && end <= node->fill);
    memcpy(slots, node->slots, begin * sizeof *slots);
    size_t count = begin;
    for (size_t i = 0; i < below->count; i++) {
        slots[count++] = slot_of(below->at[i]->slots[0].entry.key, below->at[i]);
    }
    memcpy(slots + count, node->slots + end, (node->fill - end) * sizeof *slots);
    return count + node->fill - end;
}

/* --- editing ------------------------------------------------------------------------------- */

static bool put_below(const struct cow_btree *tree, const struct cow_node *node,
                      const struct slot *entry, struct nodes *out)
{
    struct slot slots[COW_FILL_MAX + 1];
    if (node->height == 0) {
        size_t index = lower_bound(node, entry);
        size_t behind = index;
        if (index < node->fill && compare(&node->slots[index], entry) == 0) {
            behind++;
        }
        memcpy(slots, node->slots, index * sizeof *slots);
        slots[index] = *entry;
        memcpy(slots + index + 1, node->slots + behind, (node->fill - behind) * sizeof *slots);
        return make_nodes(tree, 0, slots, index + 1 + node->fill - behind, out);
    }
    size_t index = way_down(node, entry);
    struct nodes below;
    if (!put_below(tree, child_at(node, index), entry, &below)) {
        return false;
    }
    size_t count = splice(node, index, index + 1, &below, slots);
    bool made = make_nodes(tree, node->height, slots, count, out);
    nodes_release(tree, &below);
    return made;
}

/* Makes `below`, which has too few slots and is to take the place of the child at `*begin`, into
 * one or two nodes that take the place of [begin, end): with a neighbour's slots. */
static bool join(const struct cow_btree *tree, const struct cow_node *node, struct nodes *below,
                 size_t *begin, size_t *end)
{
    struct slot slots[2 * COW_FILL_MAX];
    const struct cow_node *left = below->at[0];
    const struct cow_node *right = NULL;
    if (*end < node->fill) {
        right = child_at(node, *end);
        (*end)++;
    } else {
        CHECK(*begin > 0);
        right = left;
        (*begin)--;
        left = child_at(node, *begin);
    }
    memcpy(slots, left->slots, left->fill * sizeof *slots);
    memcpy(slots + left->fill, right->slots, right->fill * sizeof *slots);
    struct nodes joined;
    if (!make_nodes(tree, left->height, slots, (size_t)left->fill + right->fill, &joined)) {
        return false;
    }
    nodes_release(tree, below);
    *below = joined;
    return true;
}

/* Requires that the key is there. */
static bool remove_below(const struct cow_btree *tree, const struct cow_node *node,
                         const struct slot *key, struct nodes *out)
{
    struct slot slots[COW_FILL_MAX + 1];
    struct nodes below = {.count = 0};
    if (node->height == 0) {
        size_t index = lower_bound(node, key);
        size_t count = splice(node, index, index + 1, &below, slots);
        return make_nodes(tree, 0, slots, count, out);
    }
    size_t begin = way_down(node, key);
    size_t end = begin + 1;
    if (!remove_below(tree, child_at(node, begin), key, &below)) {
        return false;
    }
    CHECK(below.count == 1);
    bool made = below.at[0]->fill >= COW_FILL_MIN || join(tree, node, &below, &begin, &end);
    if (made) {
        size_t count = splice(node, begin, end, &below, slots);
        made = make_nodes(tree, node->height, slots, count, out);
    }
    nodes_release(tree, &below);
    return made;
}

bool cow_btree_put(const struct cow_btree *tree, struct cow_node **root,
                   const struct cow_entry *entry)
{
    CHECK(entry->value != NULL);
    struct slot slot = slot_of(entry->key, entry->value);
    struct nodes made;
    if (!(*root == NULL ? make_nodes(tree, 0, &slot, 1, &made)
                        : put_below(tree, *root, &slot, &made))) {
        return false;
    }
    struct cow_node *next = made.at[0];
    if (made.count == 2) {
        struct slot slots[2] = {slot_of(made.at[0]->slots[0].entry.key, made.at[0]),
                                slot_of(made.at[1]->slots[0].entry.key, made.at[1])};
        next = new_node(tree, made.at[0]->height + 1, slots, 2);
        nodes_release(tree, &made);
        if (next == NULL) {
            return false;
        }
    }
    cow_btree_unref(tree, *root);
    *root = next;
    return true;
}

bool cow_btree_remove(const struct cow_btree *tree, struct cow_node **root, struct cow_key key)
{
    if (cow_btree_get(*root, key) == NULL) {
        return true;
    }
    struct slot slot = slot_of(key, NULL);
    struct nodes made;
    if (!remove_below(tree, *root, &slot, &made)) {
        return false;
    }
    struct cow_node *next = made.count == 0 ? NULL : made.at[0];
    if (next != NULL && next->height > 0 && next->fill == 1) {
        struct cow_node *only = child_at(next, 0);
        cow_btree_ref(only);
        cow_btree_unref(tree, next);
        next = only;
    }
    cow_btree_unref(tree, *root);
    *root = next;
    return true;
}

/* --- invariants ---------------------------------------------------------------------------- */

static bool is_sound_below(const struct cow_node *node, bool is_root)
{
    size_t least = !is_root ? COW_FILL_MIN : node->height > 0 ? 2 : 1;
    if (node->fill < least || node->fill > COW_FILL_MAX || node->references == 0) {
        return false;
    }
    size_t count = node->height > 0 ? 0 : node->fill;
    for (size_t i = 0; node->height > 0 && i < node->fill; i++) {
        const struct cow_node *child = child_at(node, i);
        /* The very bytes, not others like them: those would not be held. */
        if (child->height + 1 != node->height ||
            child->slots[0].entry.key.bytes.data != node->slots[i].entry.key.bytes.data ||
            compare(&child->slots[0], &node->slots[i]) != 0 || !is_sound_below(child, false)) {
            return false;
        }
        count += child->count;
    }
    return count == node->count;
}

bool cow_btree_is_sound(const struct cow_node *root)
{
    if (root == NULL) {
        return true;
    }
    if (!is_sound_below(root, true)) {
        return false;
    }
    struct cow_cursor cursor = cow_cursor_at(root, 0);
    for (size_t i = 1; i < root->count; i++) {
        struct cow_key before = cow_cursor_entry(&cursor)->key;
        cow_cursor_next(&cursor);
        if (!cow_cursor_valid(&cursor) ||
            cow_key_compare(before, cow_cursor_entry(&cursor)->key) >= 0) {
            return false;
        }
    }
    return true;
}
