/* SPDX-License-Identifier: Apache-2.0
 *
 * Grow: room in an array that its owner counts himself.
 */
#ifndef ESTREAT_RAFT_GROW_H
#define ESTREAT_RAFT_GROW_H

#include <stdbool.h>

#include "base/alloc.h"

/* Makes room for `needed` items of `item_bytes`, at least doubling. Returns the array, moved or
 * not, and sets *capacity; NULL if there is no memory, and the old array stays. `needed` > 0. */
void *raft_grow(struct alloc *alloc, void *items, size_t *capacity, size_t needed,
                size_t item_bytes);

/* RAFT_GROW(alloc, &items, &capacity, needed): true if there is room. */
#define RAFT_GROW(alloc, items, capacity, needed)                                                  \
    ((needed) <= *(capacity) ||                                                                    \
     raft_grow_into((alloc), (void *)(items), (capacity), (needed), sizeof **(items)))

static inline bool raft_grow_into(struct alloc *alloc, void *items, size_t *capacity, size_t needed,
                                  size_t item_bytes)
{
    void **array = items;
    void *grown = raft_grow(alloc, *array, capacity, needed, item_bytes);
    if (grown != NULL) {
        *array = grown;
    }
    return grown != NULL;
}

#endif
