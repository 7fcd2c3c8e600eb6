/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/mem/arena.h"

#include "base/check.h"

struct arena_chunk {
    struct arena_chunk *next;
    uint64_t data[];
};

_Static_assert(sizeof(struct arena_chunk) % ARENA_ALIGNMENT == 0, "pieces are aligned");

/* A piece above this share of a chunk gets one of its own, so that little is left unused. */
enum { OWN_CHUNK_SHARE = 4 };

void arena_init(struct arena *arena, struct alloc *alloc)
{
    *arena = (struct arena){.alloc = alloc, .chunk_bytes = ARENA_CHUNK_BYTES_MIN};
}

void arena_release(struct arena *arena)
{
    struct arena_chunk *chunk = arena->chunks;
    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;
        alloc_free(arena->alloc, chunk);
        chunk = next;
    }
    arena_init(arena, arena->alloc);
}

/* Only the owning thread writes the counters: no read-modify-write is needed. */
static void counter_raise(_Atomic size_t *counter, size_t bytes)
{
    size_t before = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, before + bytes, memory_order_relaxed);
}

static struct arena_chunk *chunk_new(struct arena *arena, size_t data_bytes)
{
    struct arena_chunk *chunk = alloc_new(arena->alloc, sizeof *chunk + data_bytes);
    if (chunk == NULL) {
        return NULL;
    }
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    counter_raise(&arena->held, sizeof *chunk + data_bytes);
    return chunk;
}

void *arena_new(struct arena *arena, size_t bytes)
{
    CHECK(bytes > 0);
    CHECK(bytes <= SIZE_MAX / 2);
    bytes = (bytes + ARENA_ALIGNMENT - 1) & ~(ARENA_ALIGNMENT - 1);
    if (bytes > (size_t)(arena->end - arena->at)) {
        if (bytes > arena->chunk_bytes / OWN_CHUNK_SHARE) {
            struct arena_chunk *own = chunk_new(arena, bytes);
            if (own == NULL) {
                return NULL;
            }
            counter_raise(&arena->used, bytes);
            return own->data;
        }
        size_t data_bytes = arena->chunk_bytes - sizeof(struct arena_chunk);
        struct arena_chunk *chunk = chunk_new(arena, data_bytes);
        if (chunk == NULL) {
            return NULL;
        }
        arena->at = (uint8_t *)chunk->data;
        arena->end = arena->at + data_bytes;
        if (arena->chunk_bytes < ARENA_CHUNK_BYTES_MAX) {
            arena->chunk_bytes *= 2;
        }
    }
    void *piece = arena->at;
    arena->at += bytes;
    counter_raise(&arena->used, bytes);
    CHECK(arena->at <= arena->end);
    return piece;
}

size_t arena_bytes(const struct arena *arena)
{
    return atomic_load_explicit(&arena->held, memory_order_relaxed);
}

size_t arena_used_bytes(const struct arena *arena)
{
    return atomic_load_explicit(&arena->used, memory_order_relaxed);
}
