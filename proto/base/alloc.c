/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static void *resize_by_malloc(struct alloc *alloc, void *memory, size_t bytes)
{
    (void)alloc;
    if (bytes == 0) {
        free(memory);
        return NULL;
    }
    return realloc(memory, bytes);
}

struct alloc *alloc_default(void)
{
    static struct alloc by_malloc = {.resize = resize_by_malloc};
    return &by_malloc;
}

void *alloc_new(struct alloc *alloc, size_t bytes)
{
    CHECK(bytes > 0);
    return alloc->resize(alloc, NULL, bytes);
}

void *alloc_zeroed(struct alloc *alloc, size_t count, size_t bytes)
{
    CHECK(count > 0);
    CHECK(bytes > 0);
    if (count > SIZE_MAX / bytes) {
        return NULL;
    }
    void *memory = alloc_new(alloc, count * bytes);
    if (memory != NULL) {
        memset(memory, 0, count * bytes);
    }
    return memory;
}

void *alloc_resize(struct alloc *alloc, void *memory, size_t bytes)
{
    CHECK(bytes > 0);
    return alloc->resize(alloc, memory, bytes);
}

void alloc_free(struct alloc *alloc, void *memory)
{
    if (memory != NULL) {
        (void)alloc->resize(alloc, memory, 0);
    }
}
