/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/mirror_dirt.h"

void mirror_dirt_init(struct mirror_dirt *dirt)
{
    mutex_init(&dirt->mutex);
    dirt->changes.count = 0;
    dirt->changes.size_min = UINT64_MAX;
}

void mirror_dirt_release(struct mirror_dirt *dirt)
{
    mutex_release(&dirt->mutex);
}

static struct mirror_range around(struct mirror_range a, struct mirror_range b)
{
    return (struct mirror_range){.begin = a.begin < b.begin ? a.begin : b.begin,
                                 .end = a.end > b.end ? a.end : b.end};
}

static void add(struct mirror_changes *changes, struct mirror_range range)
{
    for (size_t i = 0; i < changes->count; i++) {
        struct mirror_range *at = &changes->ranges[i];
        if (range.begin <= at->end && at->begin <= range.end) {
            *at = around(*at, range);
            return;
        }
    }
    if (changes->count == MIRROR_RANGES_MAX) { /* one around them all: more to copy, never less */
        for (size_t i = 0; i < changes->count; i++) {
            range = around(range, changes->ranges[i]);
        }
        changes->count = 0;
    }
    changes->ranges[changes->count++] = range;
}

void mirror_dirt_write(struct mirror_dirt *dirt, uint64_t offset, uint64_t length)
{
    if (length == 0) {
        return;
    }
    mutex_lock(&dirt->mutex);
    add(&dirt->changes, (struct mirror_range){.begin = offset, .end = offset + length});
    mutex_unlock(&dirt->mutex);
}

void mirror_dirt_cut(struct mirror_dirt *dirt, uint64_t bytes)
{
    mutex_lock(&dirt->mutex);
    if (bytes < dirt->changes.size_min) {
        dirt->changes.size_min = bytes;
    }
    mutex_unlock(&dirt->mutex);
}

struct mirror_changes mirror_dirt_take(struct mirror_dirt *dirt)
{
    mutex_lock(&dirt->mutex);
    struct mirror_changes changes = dirt->changes;
    dirt->changes.count = 0;
    dirt->changes.size_min = UINT64_MAX;
    mutex_unlock(&dirt->mutex);
    return changes;
}

void mirror_dirt_give_back(struct mirror_dirt *dirt, const struct mirror_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        mirror_dirt_write(dirt, changes->ranges[i].begin,
                          changes->ranges[i].end - changes->ranges[i].begin);
    }
    mirror_dirt_cut(dirt, changes->size_min);
}
