/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/fail_alloc.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define MAGIC_LIVE 0x6c697665626c6f63ULL
#define MAGIC_FREED 0x6465616462656566ULL

/* Stands before each block. Its size keeps the block aligned as malloc's would be. */
struct header {
    _Alignas(max_align_t) uint64_t magic;
    uint64_t bytes;
};

static struct header *header_of(void *memory)
{
    struct header *header = (struct header *)memory - 1;
    CHECK(header->magic == MAGIC_LIVE); /* not ours, or freed already */
    return header;
}

static void count_bytes(struct fail_alloc *fail, uint64_t added, uint64_t gone)
{
    uint64_t now = atomic_fetch_add(&fail->bytes, added - gone) + added - gone;
    uint64_t most = atomic_load(&fail->bytes_most);
    while (now > most && !atomic_compare_exchange_weak(&fail->bytes_most, &most, now)) {
    }
}

static bool must_fail(struct fail_alloc *fail)
{
    uint64_t call = atomic_fetch_add(&fail->calls, 1);
    uint64_t fail_at = atomic_load(&fail->fail_at);
    return call == fail_at || (atomic_load(&fail->fail_after) && call > fail_at);
}

static void *resize(struct alloc *alloc, void *memory, size_t bytes)
{
    struct fail_alloc *fail = (struct fail_alloc *)alloc;
    struct header *old = memory == NULL ? NULL : header_of(memory);
    if (bytes == 0) {
        if (old != NULL) {
            atomic_fetch_sub(&fail->blocks, 1);
            count_bytes(fail, 0, old->bytes);
            old->magic = MAGIC_FREED;
            free(old);
        }
        return NULL;
    }
    if (must_fail(fail)) {
        return NULL;
    }
    /* Always a new block: who keeps a pointer into the old one is found out. */
    struct header *block = malloc(sizeof *block + bytes);
    CHECK(block != NULL);
    block->magic = MAGIC_LIVE;
    block->bytes = bytes;
    if (old == NULL) {
        memset(block + 1, 0xa5, bytes); /* nobody may count on zeros */
        atomic_fetch_add(&fail->blocks, 1);
        count_bytes(fail, bytes, 0);
    } else {
        size_t kept = old->bytes < bytes ? (size_t)old->bytes : bytes;
        memcpy(block + 1, memory, kept);
        memset((uint8_t *)(block + 1) + kept, 0xa5, bytes - kept);
        count_bytes(fail, bytes, old->bytes);
        old->magic = MAGIC_FREED;
        free(old);
    }
    return block + 1;
}

void fail_alloc_init(struct fail_alloc *fail)
{
    fail->alloc.resize = resize;
    atomic_init(&fail->calls, 0);
    atomic_init(&fail->blocks, 0);
    atomic_init(&fail->bytes, 0);
    atomic_init(&fail->bytes_most, 0);
    atomic_init(&fail->fail_at, FAIL_ALLOC_NEVER);
    fail->fail_after = false;
}

void fail_alloc_release(struct fail_alloc *fail)
{
    CHECK(fail_alloc_blocks(fail) == 0);
    CHECK(fail_alloc_bytes(fail) == 0);
}

void fail_alloc_arm(struct fail_alloc *fail, uint64_t n)
{
    atomic_store(&fail->fail_at, FAIL_ALLOC_NEVER);
    atomic_store(&fail->calls, 0);
    atomic_store(&fail->fail_at, n);
}

bool fail_alloc_hit(struct fail_alloc *fail)
{
    uint64_t fail_at = atomic_load(&fail->fail_at);
    return fail_at != FAIL_ALLOC_NEVER && atomic_load(&fail->calls) > fail_at;
}

uint64_t fail_alloc_blocks(struct fail_alloc *fail)
{
    return atomic_load(&fail->blocks);
}

uint64_t fail_alloc_bytes(struct fail_alloc *fail)
{
    return atomic_load(&fail->bytes);
}

uint64_t fail_alloc_bytes_most(struct fail_alloc *fail)
{
    return atomic_load(&fail->bytes_most);
}
