/* SPDX-License-Identifier: Apache-2.0
 *
 * Mirror_dirt: what was changed in a file since its last sync. It may name more
 * than that: bytes that were not changed are the same in the file and in the
 * mirror. Thread-safe.
 */
#ifndef ESTREAT_TESTLIB_MIRROR_DIRT_H
#define ESTREAT_TESTLIB_MIRROR_DIRT_H

#include <stddef.h>

#include "base/sync.h"

enum { MIRROR_RANGES_MAX = 64 };

/* [begin, end) */
struct mirror_range {
    uint64_t begin;
    uint64_t end;
};

struct mirror_changes {
    struct mirror_range ranges[MIRROR_RANGES_MAX];
    size_t count;
    uint64_t size_min; /* the file was cut to this in between; UINT64_MAX: it was not */
};

struct mirror_dirt {
    struct mutex mutex;
    struct mirror_changes changes; /* under the mutex */
};

void mirror_dirt_init(struct mirror_dirt *dirt);
void mirror_dirt_release(struct mirror_dirt *dirt);

void mirror_dirt_write(struct mirror_dirt *dirt, uint64_t offset, uint64_t length);
void mirror_dirt_cut(struct mirror_dirt *dirt, uint64_t bytes);

/* Returns what was changed and forgets it; give_back undoes that, after a sync that failed. */
struct mirror_changes mirror_dirt_take(struct mirror_dirt *dirt);
void mirror_dirt_give_back(struct mirror_dirt *dirt, const struct mirror_changes *changes);

#endif
