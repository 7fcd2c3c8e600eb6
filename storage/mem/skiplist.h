/* SPDX-License-Identifier: Apache-2.0
 *
 * Skiplist: sorted entries in an arena, with one writer and any number of readers that
 * take no lock (W. Pugh, "Skip lists: a probabilistic alternative to balanced trees", 1990).
 *
 * Invariants:
 * - Nodes are never removed nor changed once linked; they live as long as the arena.
 * - A node is written completely before a release store links it; readers follow links
 *   with acquire loads. A reader thus sees each entry whole or not at all.
 * - skiplist_insert() is called by one thread at a time.
 *
 * Entries are ordered as internal keys are (table/key.h). The writer finds their places by a
 * guide (mem/guide.h), some five times as fast as a search of the list.
 */
#ifndef ESTREAT_STORAGE_MEM_SKIPLIST_H
#define ESTREAT_STORAGE_MEM_SKIPLIST_H

#include "base/status.h"
#include "storage/mem/guide.h"
#include "storage/table/key.h"

/* One node in four reaches the next level: enough for 4^12, some 16 million entries. */
#define SKIPLIST_HEIGHT_MAX 12

struct skiplist_node;

struct skiplist {
    struct arena *arena;
    struct skiplist_node *head; /* higher than all, holds no entry */
    struct guide guide;         /* writer only */
    uint64_t random;            /* writer only */
    _Atomic int height;
    _Atomic uint64_t count;
};

/* Borrows `arena`, and its allocator for the guide. False if there is no memory. */
bool skiplist_init(struct skiplist *list, struct arena *arena) MUST_USE;

/* Frees the guide; the nodes are the arena's. */
void skiplist_release(struct skiplist *list);

/* Memory besides the arena's. Any thread. */
static inline size_t skiplist_guide_bytes(const struct skiplist *list)
{
    return arena_bytes(&list->guide.pages);
}

/* Copies key and value. No entry with the same user key, sequence and type may be present.
 * Returns the entry; NULL if there is no memory: the list is then as it was. Writer only. */
const struct skiplist_node *skiplist_insert(struct skiplist *list, struct slice user,
                                            uint64_t sequence, enum key_type type,
                                            struct slice value) MUST_USE;

static inline uint64_t skiplist_count(const struct skiplist *list)
{
    return atomic_load_explicit(&list->count, memory_order_relaxed);
}

/* The first node at or after (user, trailer), or NULL. Any thread. */
const struct skiplist_node *skiplist_seek(const struct skiplist *list, struct slice user,
                                          uint64_t trailer);
const struct skiplist_node *skiplist_first(const struct skiplist *list);
const struct skiplist_node *skiplist_last(const struct skiplist *list);

/* NULL at the end. */
const struct skiplist_node *skiplist_next(const struct skiplist_node *node);

/* NULL at the beginning. Searches, since nodes hold no backward links. */
const struct skiplist_node *skiplist_prev(const struct skiplist *list,
                                          const struct skiplist_node *node);

/* Valid as long as the arena. */
struct slice skiplist_key(const struct skiplist_node *node); /* the internal key */
struct slice skiplist_value(const struct skiplist_node *node);

#endif
