/* SPDX-License-Identifier: Apache-2.0
 *
 * Call map: the calls of one connection by id. Nodes are embedded in the calls,
 * so that nothing allocates. One owner; not thread-safe.
 */
#ifndef ESTREAT_RPC_CALL_MAP_H
#define ESTREAT_RPC_CALL_MAP_H

#include <stddef.h>
#include <stdint.h>

/* Ids are counted up, so the low bits spread them. A power of two. */
#define RPC_CALL_MAP_BUCKETS 256

struct rpc_call_node {
    struct rpc_call_node *next;
    uint64_t id;
};

struct rpc_call_map {
    struct rpc_call_node *buckets[RPC_CALL_MAP_BUCKETS];
    size_t count;
};

static inline struct rpc_call_node **rpc_call_map_place(struct rpc_call_map *map, uint64_t id)
{
    struct rpc_call_node **place = &map->buckets[id % RPC_CALL_MAP_BUCKETS];
    while (*place != NULL && (*place)->id != id) {
        place = &(*place)->next;
    }
    return place;
}

static inline struct rpc_call_node *rpc_call_map_find(struct rpc_call_map *map, uint64_t id)
{
    return *rpc_call_map_place(map, id);
}

/* The id must not be there. */
static inline void rpc_call_map_insert(struct rpc_call_map *map, struct rpc_call_node *node)
{
    struct rpc_call_node **bucket = &map->buckets[node->id % RPC_CALL_MAP_BUCKETS];
    node->next = *bucket;
    *bucket = node;
    map->count++;
}

/* The node must be there. */
static inline void rpc_call_map_remove(struct rpc_call_map *map, struct rpc_call_node *node)
{
    *rpc_call_map_place(map, node->id) = node->next;
    node->next = NULL;
    map->count--;
}

/* Removes and returns any one; NULL when empty. */
static inline struct rpc_call_node *rpc_call_map_pop(struct rpc_call_map *map)
{
    for (size_t i = 0; map->count > 0 && i < RPC_CALL_MAP_BUCKETS; i++) {
        struct rpc_call_node *node = map->buckets[i];
        if (node != NULL) {
            rpc_call_map_remove(map, node);
            return node;
        }
    }
    return NULL;
}

#endif
