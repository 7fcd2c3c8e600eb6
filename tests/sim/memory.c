/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks of up to a page are taken from and given back to lists by their size, which is
 * what a simulated node mostly does. With AddressSanitizer each one is malloc's, so that
 * it sees who uses what was freed.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim.h"

#if defined(__SANITIZE_ADDRESS__)
#define POOLED_BYTES_MAX 0U
#else
#define POOLED_BYTES_MAX (64U * (SIM_POOL_LISTS - 1))
#endif

/* Stands before each block. */
struct sim_block {
    _Alignas(16) size_t bytes;
    struct sim_block *next; /* while it is free */
};

static size_t list_of(size_t bytes)
{
    return (bytes + 63) / 64;
}

static struct sim_block *take(struct sim_pool *pool, size_t bytes)
{
    bool pooled = bytes <= POOLED_BYTES_MAX;
    struct sim_block **list = pooled ? &pool->lists[list_of(bytes)] : NULL;
    struct sim_block *header = pooled ? *list : NULL;
    if (header != NULL) {
        *list = header->next;
    } else {
        header = malloc(sizeof *header + (pooled ? list_of(bytes) * 64 : bytes));
        CHECK(header != NULL);
    }
    header->bytes = bytes;
    return header;
}

static void give(struct sim_pool *pool, struct sim_block *header)
{
    if (header->bytes <= POOLED_BYTES_MAX) {
        struct sim_block **list = &pool->lists[list_of(header->bytes)];
        header->next = *list;
        *list = header;
    } else {
        free(header);
    }
}

void pool_release(struct sim_pool *pool)
{
    for (size_t i = 0; i < SIM_POOL_LISTS; i++) {
        while (pool->lists[i] != NULL) {
            struct sim_block *header = pool->lists[i];
            pool->lists[i] = header->next;
            free(header);
        }
    }
}

static bool must_fail(struct sim_alloc *memory)
{
    if (memory->fail == 0) {
        return false;
    }
    if (memory->pass > 0) {
        memory->pass--;
        return false;
    }
    memory->fail--;
    memory->failed = true;
    return true;
}

static void *resize(struct alloc *alloc, void *block, size_t bytes)
{
    struct sim_alloc *memory = (struct sim_alloc *)alloc;
    struct sim_block *old = block == NULL ? NULL : (struct sim_block *)block - 1;
    size_t before = old == NULL ? 0 : old->bytes;
    if (bytes > 0 && must_fail(memory)) {
        return NULL;
    }
    struct sim_block *header = NULL;
    if (bytes > 0 && before > POOLED_BYTES_MAX && bytes > POOLED_BYTES_MAX) {
        header = realloc(old, sizeof *header + bytes);
        CHECK(header != NULL);
        header->bytes = bytes;
        old = NULL;
    } else if (bytes > 0) {
        header = take(memory->pool, bytes);
        if (old != NULL) {
            memcpy(header + 1, block, before < bytes ? before : bytes);
        }
    }
    if (old != NULL) {
        give(memory->pool, old);
    }
    memory->bytes += bytes - before;
    if (memory->bytes > memory->bytes_most) {
        memory->bytes_most = memory->bytes;
    }
    return header == NULL ? NULL : header + 1;
}

void memory_init(struct sim_alloc *memory, struct sim_pool *pool)
{
    *memory = (struct sim_alloc){.alloc = {.resize = resize}, .pool = pool};
}
