/* SPDX-License-Identifier: Apache-2.0
 *
 * Cow_btree: an ordered map whose every version can be kept. It is a B-tree of nodes that
 * never change once made: a put or a removal makes the nodes on the path to its place anew,
 * shares all others with the tree that it came from, and yields a new root. (O. Rodeh,
 * "B-trees, shadowing, and clones", 2008; here nodes count their parents, too, but values and
 * nodes are memory, and the tree carries counts, so that an entry has an index.)
 *
 * A map is its root: a pointer to a node, NULL for the empty map. Whoever holds a reference on
 * a root has that version of the map, however many follow, at the cost of the nodes in which
 * they differ.
 *
 * Keys are a number, the group, and bytes; they are ordered by the number, then as bytes. One
 * tree so holds several sorted maps next to one another. Values are pointers, never NULL.
 * The bytes of a key belong to its value and live as long as the value. Nodes hold a reference
 * on each value that they name, so a value goes when no version names it any more.
 *
 * Invariants
 * - Keys rise strictly. All leaves have the same depth.
 * - A node has COW_FILL_MIN to COW_FILL_MAX slots; the root may have fewer, but one at least, and
 *   an inner root two.
 * - A slot of an inner node has the least key below it, and so borrows a key from a value that is
 *   held below it.
 *
 * Threads: any number may read, and take and give back references of, roots that they hold.
 * A writer works on a root of its own and needs nobody's leave; that writers follow one another,
 * and how a root is published, is its owner's: one atomic store, and epoch_retire() of what held
 * the root before (base/epoch.h, tree/catalog.c).
 */
#ifndef ESTREAT_STORAGE_TREE_COW_BTREE_H
#define ESTREAT_STORAGE_TREE_COW_BTREE_H

#include "base/alloc.h"
#include "base/slice.h"
#include "base/status.h"

/* A full node takes 1.3 KiB, and an edit copies one on each level. */
#define COW_FILL_MAX 32
#define COW_FILL_MIN (COW_FILL_MAX / 2)

struct cow_node;

struct cow_key {
    uint64_t group;
    struct slice bytes;
};

struct cow_entry {
    struct cow_key key;
    void *value;
};

/* How nodes are made and values held; the same for all versions of a map. */
struct cow_btree {
    struct alloc *alloc; /* borrowed */
    /* Called by any thread that holds, or lets go of, a root. */
    void (*ref)(void *value);
    void (*unref)(void *value);
};

/* <0, 0 or >0. */
int cow_key_compare(struct cow_key a, struct cow_key b);

/* --- roots --------------------------------------------------------------------------------- */

/* NULL is allowed in both. Any thread. */
void cow_btree_ref(struct cow_node *root);
void cow_btree_unref(const struct cow_btree *tree, struct cow_node *root);

/* --- reading: any thread that holds the root ------------------------------------------------ */

size_t cow_btree_count(const struct cow_node *root);

/* NULL: it is not there. */
void *cow_btree_get(const struct cow_node *root, struct cow_key key);

/* The first entry whose key is not less; NULL: there is none. Valid as long as the root. */
const struct cow_entry *cow_btree_ceiling(const struct cow_node *root, struct cow_key key);

/* How many entries have a lesser key: the index of the first that has not. */
size_t cow_btree_rank(const struct cow_node *root, struct cow_key key);

/* The entry at `index`, which is less than the count. Valid as long as the root. */
const struct cow_entry *cow_btree_at(const struct cow_node *root, size_t index);

/* A walk over the entries. Borrows the root. Past either end it is invalid, and stays so. */
struct cow_cursor {
    const struct cow_node *root;
    size_t index;
    const struct cow_node *leaf;
    size_t slot;
};

/* At the entry with this index; invalid if there is none. */
struct cow_cursor cow_cursor_at(const struct cow_node *root, size_t index);

/* At the first entry whose key is not less. */
struct cow_cursor cow_cursor_seek(const struct cow_node *root, struct cow_key key);

static inline bool cow_cursor_valid(const struct cow_cursor *cursor)
{
    return cursor->leaf != NULL;
}

/* These require that it is valid. */
const struct cow_entry *cow_cursor_entry(const struct cow_cursor *cursor);
void cow_cursor_next(struct cow_cursor *cursor);
void cow_cursor_prev(struct cow_cursor *cursor);

/* --- editing -------------------------------------------------------------------------------- */

/* `*root` is a reference of the caller's. It is given back and becomes one on the root of the map
 * that has `entry` besides, or instead of the one with its key. References the value.
 * False: no memory, and nothing has changed. */
bool cow_btree_put(const struct cow_btree *tree, struct cow_node **root,
                   const struct cow_entry *entry) MUST_USE;

/* Likewise without the entry of that key; nothing happens if there is none. */
bool cow_btree_remove(const struct cow_btree *tree, struct cow_node **root,
                      struct cow_key key) MUST_USE;

/* True if the invariants hold: reads the whole tree. For tests. */
bool cow_btree_is_sound(const struct cow_node *root);

#endif
