/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/mem/key_filter.h"

#include <stdatomic.h>

#include "base/check.h"

enum { LINE_BYTES = 64, LINE_WORDS = 8, PROBES = 6, BITS_PER_KEY = 16 };

struct key_filter {
    struct key_filter *older;
    uint64_t keys_max;
    uint64_t lines_count;
    _Atomic uint64_t *words; /* lines_count * LINE_WORDS, aligned to a line, in `memory` */
    uint8_t memory[];
};

struct key_filter *key_filter_new(struct alloc *alloc, uint64_t keys_max, struct key_filter *older)
{
    CHECK(keys_max > 0);
    CHECK(keys_max < UINT32_MAX);
    uint64_t lines_count = (keys_max * BITS_PER_KEY + 8 * LINE_BYTES - 1) / (8 * LINE_BYTES);
    size_t bytes = sizeof(struct key_filter) + (lines_count + 1) * LINE_BYTES;
    struct key_filter *filter = alloc_zeroed(alloc, 1, bytes);
    if (filter == NULL) {
        return NULL;
    }
    uintptr_t start = ((uintptr_t)filter->memory + LINE_BYTES - 1) & ~(uintptr_t)(LINE_BYTES - 1);
    filter->older = older;
    filter->keys_max = keys_max;
    filter->lines_count = lines_count;
    filter->words = (_Atomic uint64_t *)start;
    return filter;
}

void key_filter_free(struct alloc *alloc, struct key_filter *filter)
{
    while (filter != NULL) {
        struct key_filter *older = filter->older;
        alloc_free(alloc, filter);
        filter = older;
    }
}

uint64_t key_filter_keys_max(const struct key_filter *filter)
{
    return filter->keys_max;
}

size_t key_filter_bytes(const struct key_filter *filter)
{
    return sizeof *filter + (filter->lines_count + 1) * LINE_BYTES;
}

/* The upper half of the hash chooses the line, a multiple of the whole the bits in it. */
static _Atomic uint64_t *line_of(const struct key_filter *filter, uint64_t hash)
{
    return filter->words + ((hash >> 32) * filter->lines_count >> 32) * LINE_WORDS;
}

static uint64_t probes_of(uint64_t hash)
{
    return (hash * 0xd6e8feb86659fd93U) >> 8;
}

void key_filter_add(struct key_filter *filter, uint64_t hash)
{
    _Atomic uint64_t *line = line_of(filter, hash);
    uint64_t probes = probes_of(hash);
    for (int i = 0; i < PROBES; i++, probes >>= 9) {
        _Atomic uint64_t *word = &line[(probes >> 6) & (LINE_WORDS - 1)];
        uint64_t bits = atomic_load_explicit(word, memory_order_relaxed);
        atomic_store_explicit(word, bits | UINT64_C(1) << (probes & 63), memory_order_relaxed);
    }
}

bool key_filter_may_contain(const struct key_filter *filter, uint64_t hash)
{
    const _Atomic uint64_t *line = line_of(filter, hash);
    uint64_t probes = probes_of(hash);
    for (int i = 0; i < PROBES; i++, probes >>= 9) {
        uint64_t bits =
            atomic_load_explicit(&line[(probes >> 6) & (LINE_WORDS - 1)], memory_order_relaxed);
        if ((bits >> (probes & 63) & 1) == 0) {
            return false;
        }
    }
    return true;
}
