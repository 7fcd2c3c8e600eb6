/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/shape.h"

#include "storage/tree/pick.h"

static uint64_t lowest_bytes(const struct version *version, unsigned keyspace)
{
    unsigned level = TREE_LEVELS - 1;
    while (level > 0 && version_count(version, keyspace, level) == 0) {
        level--;
    }
    return version_bytes(version, keyspace, level);
}

struct shape shape_of(const struct version *version, unsigned keyspace, enum keyspace_layout layout)
{
    struct shape shape = {.runs = version_count(version, keyspace, 0)};
    for (unsigned level = 0; level < TREE_LEVELS; level++) {
        shape.bytes += version_bytes(version, keyspace, level);
        shape.runs += level > 0 && version_count(version, keyspace, level) > 0 ? 1 : 0;
    }
    shape.live_bytes =
        layout == KEYSPACE_LEVELED
            ? lowest_bytes(version, keyspace)
            : shape.bytes - pick_dead_bytes(version, keyspace, version_floor(version, keyspace));
    return shape;
}
