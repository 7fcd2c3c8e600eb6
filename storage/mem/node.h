/* SPDX-License-Identifier: Apache-2.0
 *
 * Node: an entry of a skip list (skiplist.h) as it lies in memory, and its order, for
 * skiplist.c and guide.c alone.
 */
#ifndef ESTREAT_STORAGE_MEM_NODE_H
#define ESTREAT_STORAGE_MEM_NODE_H

#include "storage/mem/skiplist.h"

/* A node's links lie before it, level 0 nearest, so that the key is at a fixed place and the
 * links that are used most share its cache line. */
struct skiplist_node {
    uint64_t prefix; /* the user key's first eight bytes, big-endian, zeros behind a short key */
    uint32_t internal_length;
    uint32_t value_length;
    uint8_t bytes[]; /* internal key, then value */
};

/* What is looked for. */
struct node_target {
    struct slice user;
    uint64_t prefix; /* of the user key, as a node has it */
    uint64_t trailer;
};

/* Given that the prefixes are equal: true if the node's key is before the target. */
static inline bool node_is_before_in_full(const struct skiplist_node *node,
                                          const struct node_target *target)
{
    struct slice key = slice_of(node->bytes, node->internal_length);
    int order = slice_compare(internal_key_user(key), target->user);
    if (order != 0) {
        return order < 0;
    }
    return internal_key_trailer(key) < target->trailer;
}

/* True if the node's key is before the target. Prefixes that differ decide: zeros behind a
 * short key sort no later than the bytes of a longer one, and where they are equal to those,
 * the prefixes are equal and the whole keys are compared. */
static inline bool node_is_before(const struct skiplist_node *node,
                                  const struct node_target *target)
{
    return node->prefix != target->prefix ? node->prefix < target->prefix
                                          : node_is_before_in_full(node, target);
}

#endif
