/* SPDX-License-Identifier: Apache-2.0 */
#include <malloc.h>
#include <stdlib.h>

#include "base/check.h"
#include "sim.h"

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
    size_t before = block == NULL ? 0 : malloc_usable_size(block);
    if (bytes == 0) {
        memory->bytes -= before;
        free(block);
        return NULL;
    }
    if (must_fail(memory)) {
        return NULL;
    }
    void *grown = realloc(block, bytes);
    CHECK(grown != NULL);
    memory->bytes += malloc_usable_size(grown) - before;
    if (memory->bytes > memory->bytes_most) {
        memory->bytes_most = memory->bytes;
    }
    return grown;
}

void memory_init(struct sim_alloc *memory)
{
    *memory = (struct sim_alloc){.alloc = {.resize = resize}};
}
