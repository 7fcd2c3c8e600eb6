/* SPDX-License-Identifier: Apache-2.0
 *
 * Arena: memory for one unpacked message, given out by moving a pointer and freed
 * at once, with a budget, so that few bytes from the wire cannot become many in
 * memory, and 256 events are unpacked without 1,000 calls of malloc.
 *
 * One owner; not thread-safe, but may be handed from thread to thread.
 */
#ifndef ESTREAT_RPC_ARENA_H
#define ESTREAT_RPC_ARENA_H

#include <protobuf-c/protobuf-c.h>

#include "base/alloc.h"
#include "base/slice.h"

struct rpc_arena_block;

struct rpc_arena {
    struct alloc *alloc;
    struct rpc_arena_block *blocks;
    uint8_t *at; /* the free part of the newest block */
    uint8_t *end;
    size_t bytes;     /* asked of `alloc` so far */
    size_t bytes_max; /* the budget */
    size_t block_bytes;
    bool exhausted; /* something was refused */
};

/* Borrows `alloc`. Blocks are about `block_bytes`; nothing is allocated yet. */
void rpc_arena_init(struct rpc_arena *arena, struct alloc *alloc, size_t block_bytes,
                    size_t bytes_max);

/* Uses `memory` (borrowed, aligned to 16) before it allocates. */
void rpc_arena_init_with(struct rpc_arena *arena, struct alloc *alloc, void *memory,
                         size_t memory_bytes, size_t block_bytes, size_t bytes_max);

/* Aligned to 16, uninitialised, valid until release; NULL past the budget or without memory. */
void *rpc_arena_alloc(struct rpc_arena *arena, size_t bytes);

/* A copy with a NUL behind it, or NULL. */
char *rpc_arena_copy(struct rpc_arena *arena, struct slice bytes);

/* Frees all. The arena may be initialised again. */
void rpc_arena_release(struct rpc_arena *arena);

/* An allocator for protobuf-c that takes from the arena and never frees; valid as long as the
 * arena stays where it is. */
ProtobufCAllocator rpc_arena_protobuf(struct rpc_arena *arena);

#endif
