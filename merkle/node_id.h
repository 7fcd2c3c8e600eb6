/* SPDX-License-Identifier: Apache-2.0
 *
 * Node id: where a complete subtree stands. Level 0 holds the leaves; the node
 * (level, index) covers the leaves [index << level, (index + 1) << level).
 * Trees have at most 2^64 - 1 leaves, so complete subtrees have levels 0 to 63.
 */
#ifndef ESTREAT_MERKLE_NODE_ID_H
#define ESTREAT_MERKLE_NODE_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"

#define NODE_LEVELS 64U

struct node_id {
    uint64_t index;
    unsigned level;
};

static inline struct node_id node_id_of(unsigned level, uint64_t index)
{
    return (struct node_id){.level = level, .index = index};
}

static inline struct node_id node_id_parent(struct node_id id)
{
    return node_id_of(id.level + 1, id.index >> 1);
}

static inline struct node_id node_id_sibling(struct node_id id)
{
    return node_id_of(id.level, id.index ^ 1);
}

/* The first leaf that it covers. */
static inline uint64_t node_id_begin(struct node_id id)
{
    return id.index << id.level;
}

/* True if a tree of `size` leaves has all of its leaves. */
static inline bool node_id_complete_in(struct node_id id, uint64_t size)
{
    return id.level < NODE_LEVELS && id.index < size >> id.level;
}

/* floor(log2(value)); `value` > 0. */
static inline unsigned log2_floor(uint64_t value)
{
    CHECK(value > 0);
    return 63U - (unsigned)__builtin_clzll(value);
}

/* The largest complete subtree that begins at leaf `begin` and ends within `end`: taking one
 * after the other cuts [begin, end) into the nodes of its compact range. `begin` < `end`. */
static inline struct node_id node_id_largest(uint64_t begin, uint64_t end)
{
    CHECK(begin < end);
    unsigned level = log2_floor(end - begin);
    if (begin != 0 && (unsigned)__builtin_ctzll(begin) < level) {
        level = (unsigned)__builtin_ctzll(begin);
    }
    return node_id_of(level, begin >> level);
}

#endif
