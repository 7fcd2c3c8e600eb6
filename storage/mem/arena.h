/* SPDX-License-Identifier: Apache-2.0
 *
 * Arena: memory that is handed out piece by piece and given back all at once.
 *
 * Chunks start at 4 KiB, so that an empty keyspace costs little, and double up to 1 MiB,
 * so that a full one makes few calls. One thread allocates; arena_bytes() may be asked
 * by any.
 */
#ifndef ESTREAT_STORAGE_MEM_ARENA_H
#define ESTREAT_STORAGE_MEM_ARENA_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"

#define ARENA_CHUNK_BYTES_MIN 4096UL
#define ARENA_CHUNK_BYTES_MAX (1024UL * 1024UL)
#define ARENA_ALIGNMENT 8UL

struct arena_chunk;

struct arena {
    struct alloc *alloc;
    struct arena_chunk *chunks; /* the newest first */
    uint8_t *at;
    uint8_t *end;
    size_t chunk_bytes;  /* of the next chunk */
    _Atomic size_t held; /* taken from `alloc` */
    _Atomic size_t used; /* handed out */
};

/* Borrows `alloc`. Allocates nothing yet. */
void arena_init(struct arena *arena, struct alloc *alloc);

/* Frees every piece. */
void arena_release(struct arena *arena);

/* `bytes` > 0. Returns uninitialised memory aligned to ARENA_ALIGNMENT, valid until
 * arena_release(), or NULL if there is no memory; the arena is then as it was. */
void *arena_new(struct arena *arena, size_t bytes);

/* Memory taken from the allocator. */
size_t arena_bytes(const struct arena *arena);

/* Memory handed out; at most arena_bytes(). */
size_t arena_used_bytes(const struct arena *arena);

#endif
