/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/arena.h"

#include "base/check.h"

enum { ALIGNMENT = 16 };

struct rpc_arena_block {
    struct rpc_arena_block *next;
    uint64_t unused; /* keeps what follows aligned */
};

_Static_assert(sizeof(struct rpc_arena_block) % ALIGNMENT == 0, "blocks begin aligned");

void rpc_arena_init(struct rpc_arena *arena, struct alloc *alloc, size_t block_bytes,
                    size_t bytes_max)
{
    CHECK(block_bytes > 0);
    *arena = (struct rpc_arena){
        .alloc = alloc,
        .block_bytes = block_bytes,
        .bytes_max = bytes_max,
    };
}

void rpc_arena_init_with(struct rpc_arena *arena, struct alloc *alloc, void *memory,
                         size_t memory_bytes, size_t block_bytes, size_t bytes_max)
{
    CHECK((uintptr_t)memory % ALIGNMENT == 0);
    rpc_arena_init(arena, alloc, block_bytes, bytes_max);
    arena->at = memory;
    arena->end = arena->at + memory_bytes;
}

/* A new block that holds `bytes`, within the budget; what is left of the old one is given up. */
static bool add_block(struct rpc_arena *arena, size_t bytes)
{
    size_t left = arena->bytes_max - arena->bytes;
    size_t wanted = bytes > arena->block_bytes ? bytes : arena->block_bytes;
    if (wanted > left) {
        wanted = left;
    }
    if (wanted < bytes) {
        return false;
    }
    struct rpc_arena_block *block = alloc_new(arena->alloc, sizeof *block + wanted);
    if (block == NULL) {
        return false;
    }
    block->next = arena->blocks;
    arena->blocks = block;
    arena->bytes += wanted;
    arena->at = (uint8_t *)(block + 1);
    arena->end = arena->at + wanted;
    /* Few blocks for a message that turns out larger than was guessed. */
    if (arena->block_bytes < SIZE_MAX / 2) {
        arena->block_bytes *= 2;
    }
    return true;
}

void *rpc_arena_alloc(struct rpc_arena *arena, size_t bytes)
{
    CHECK(arena->bytes <= arena->bytes_max);
    if (bytes > SIZE_MAX - ALIGNMENT) {
        arena->exhausted = true;
        return NULL;
    }
    size_t rounded = (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (rounded == 0) {
        rounded = ALIGNMENT;
    }
    if (rounded > (size_t)(arena->end - arena->at) && !add_block(arena, rounded)) {
        arena->exhausted = true;
        return NULL;
    }
    void *memory = arena->at;
    arena->at += rounded;
    return memory;
}

char *rpc_arena_copy(struct rpc_arena *arena, struct slice bytes)
{
    char *copy = bytes.length == SIZE_MAX ? NULL : rpc_arena_alloc(arena, bytes.length + 1);
    if (copy != NULL) {
        if (bytes.length > 0) {
            memcpy(copy, bytes.data, bytes.length);
        }
        copy[bytes.length] = '\0';
    }
    return copy;
}

void rpc_arena_release(struct rpc_arena *arena)
{
    struct rpc_arena_block *block = arena->blocks;
    while (block != NULL) {
        struct rpc_arena_block *next = block->next;
        alloc_free(arena->alloc, block);
        block = next;
    }
    arena->blocks = NULL;
    arena->at = NULL;
    arena->end = NULL;
    arena->bytes = 0;
}

static void *allocate(void *context, size_t bytes)
{
    return rpc_arena_alloc(context, bytes);
}

static void forget(void *context, void *memory)
{
    (void)context;
    (void)memory;
}

ProtobufCAllocator rpc_arena_protobuf(struct rpc_arena *arena)
{
    return (ProtobufCAllocator){.alloc = allocate, .free = forget, .allocator_data = arena};
}
