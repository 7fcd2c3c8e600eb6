/* SPDX-License-Identifier: Apache-2.0 */
#include "raft/grow.h"

#include <stdint.h>

#include "base/check.h"

#define CAPACITY_MIN 16U

void *raft_grow(struct alloc *alloc, void *items, size_t *capacity, size_t needed,
                size_t item_bytes)
{
    CHECK(needed > *capacity);
    CHECK(item_bytes > 0);
    size_t grown = *capacity < CAPACITY_MIN ? CAPACITY_MIN : *capacity * 2;
    if (grown < needed) {
        grown = needed;
    }
    if (grown > SIZE_MAX / item_bytes) {
        return NULL;
    }
    void *moved = alloc_resize(alloc, items, grown * item_bytes);
    if (moved != NULL) {
        *capacity = grown;
    }
    return moved;
}
