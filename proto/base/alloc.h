/* SPDX-License-Identifier: Apache-2.0
 *
 * Alloc: the allocator seam. Modules take a `struct alloc *` and use nothing
 * else, so that a test can make the n-th allocation fail and a simulator can
 * count bytes. Thread-safe if the implementation is; the default one is.
 */
#ifndef ESTREAT_BASE_ALLOC_H
#define ESTREAT_BASE_ALLOC_H

#include <stddef.h>

struct alloc {
    /* As realloc: `memory` NULL allocates, `bytes` 0 frees and returns NULL. */
    void *(*resize)(struct alloc *alloc, void *memory, size_t bytes);
};

/* The process's allocator (malloc). Borrowed for ever. */
struct alloc *alloc_default(void);

/* `bytes` > 0. Returns owned, uninitialised memory, or NULL. */
void *alloc_new(struct alloc *alloc, size_t bytes);

/* `count` items of `bytes` each, zeroed; NULL also if the product overflows. */
void *alloc_zeroed(struct alloc *alloc, size_t count, size_t bytes);

/* Grows or shrinks; NULL leaves `memory` as it was. `bytes` > 0. */
void *alloc_resize(struct alloc *alloc, void *memory, size_t bytes);

/* NULL is allowed. */
void alloc_free(struct alloc *alloc, void *memory);

#endif
