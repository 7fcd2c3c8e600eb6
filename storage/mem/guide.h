/* SPDX-License-Identifier: Apache-2.0
 *
 * Guide: shows the writer of a skip list where an entry goes. A search of the list from node
 * to node waits for memory a dozen times, since each next one lies anywhere; the guide has the
 * nodes in the order of their keys in a B-tree, whose pages have the keys' first bytes side by
 * side: one page to wait for, and one node.
 *
 * The writer's alone: readers search the list. Nothing is ever taken out. The pages lie in an arena
 * of their own, since among the values they would need an entry of the processor's page tables
 * each; but the first one, so that a short list costs little, lies with the nodes.
 *
 * Invariants
 * - The leaves have all nodes of the list, each page at least one entry.
 * - Entries of an inner page have the prefix of the first node below them. Only on the way to what
 * is before all nodes that node changes, and the prefix with it.
 */
#ifndef ESTREAT_STORAGE_MEM_GUIDE_H
#define ESTREAT_STORAGE_MEM_GUIDE_H

#include <stdbool.h>

#include "base/status.h"
#include "storage/mem/arena.h"

struct guide_page;
struct node_target;
struct skiplist_node;

struct guide {
    struct arena *nodes;
    struct arena pages;
    struct guide_page *root; /* NULL: nothing was put yet */
    unsigned height;         /* of the root above the leaves */
};

/* Where an entry goes: right before the entry `at` of a leaf. */
struct guide_place {
    struct guide_page *leaf;
    unsigned at;
    unsigned above_at;              /* the leaf's entry of */
    const struct guide_page *above; /* NULL: the leaf is the root */
};

/* Borrows `nodes`, which holds the list's nodes, and its allocator. Allocates nothing yet. */
void guide_init(struct guide *guide, struct arena *nodes);

/* Before `nodes` is released. */
void guide_release(struct guide *guide);

/* The target's place, valid until the next call but those on it below. False if there is no memory
 * for pages that its put would need: the guide holds what it held. */
bool guide_seek(struct guide *guide, const struct node_target *target,
                struct guide_place *out) MUST_USE;

/* The last node before the place that is more than `level` high, if the leaf has one; NULL does not
 * say that there is none, but for level 0. */
struct skiplist_node *guide_before(const struct guide_place *place, int level);

/* Puts the node of the sought target, `height` links high, at its place. */
void guide_put(const struct guide_place *place, struct skiplist_node *node, int height);

#endif
