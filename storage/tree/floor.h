/* SPDX-License-Identifier: Apache-2.0
 *
 * Floor: the key below which a keyspace that only appends holds nothing any more. It never falls.
 */
#ifndef ESTREAT_STORAGE_TREE_FLOOR_H
#define ESTREAT_STORAGE_TREE_FLOOR_H

#include <stdbool.h>

#include "base/check.h"
#include "base/slice.h"

/* Positions have 8 bytes; floors are held by value, one a keyspace in each version and snapshot. */
#define FLOOR_BYTES_MAX 16U

/* Zeroed: there is none, nothing lies below it. */
struct floor {
    uint8_t length;
    uint8_t bytes[FLOOR_BYTES_MAX];
};

/* Valid as long as the floor. */
static inline struct slice floor_key(const struct floor *floor)
{
    return slice_of(floor->bytes, floor->length);
}

/* Requires at most FLOOR_BYTES_MAX bytes. */
static inline void floor_set(struct floor *floor, struct slice key)
{
    CHECK(key.length <= FLOOR_BYTES_MAX);
    floor->length = (uint8_t)key.length;
    memcpy(floor->bytes, key.data, key.length);
}

/* True if `key` is below: gone. */
static inline bool floor_hides(const struct floor *floor, struct slice key)
{
    return floor->length > 0 && slice_compare(key, floor_key(floor)) < 0;
}

#endif
