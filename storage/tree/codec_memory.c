/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/codec_memory.h"

#include "base/check.h"

void codec_memory_init(struct codec_memory *memory, struct clock *clock)
{
    memory->clock = clock;
    mutex_init(&memory->mutex);
    for (unsigned i = 0; i < KEYSPACES_MAX; i++) {
        codec_adaptive_init(&memory->of[i][false], clock, 0);
        codec_adaptive_init(&memory->of[i][true], clock, 0);
    }
}

void codec_memory_release(struct codec_memory *memory)
{
    mutex_release(&memory->mutex);
}

struct codec_adaptive codec_memory_get(struct codec_memory *memory, unsigned keyspace, bool old)
{
    CHECK(keyspace < KEYSPACES_MAX);
    mutex_lock(&memory->mutex);
    struct codec_adaptive seen = memory->of[keyspace][old];
    mutex_unlock(&memory->mutex);
    return seen;
}

void codec_memory_set(struct codec_memory *memory, unsigned keyspace, bool old,
                      const struct codec_adaptive *seen)
{
    CHECK(keyspace < KEYSPACES_MAX);
    if (!seen->known) {
        return;
    }
    mutex_lock(&memory->mutex);
    memory->of[keyspace][old] = *seen;
    mutex_unlock(&memory->mutex);
}
