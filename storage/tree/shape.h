/* SPDX-License-Identifier: Apache-2.0
 *
 * Shape: what the way in which a keyspace's tables lie costs its readers and the disk. Pure
 * functions of a version; any thread.
 */
#ifndef ESTREAT_STORAGE_TREE_SHAPE_H
#define ESTREAT_STORAGE_TREE_SHAPE_H

#include "storage/keyspace.h"
#include "storage/tree/catalog.h"

struct shape {
    /* Read amplification: places that a lookup or a scan has to look at. Each table of level 0, and
     * each level below that is not empty. */
    size_t runs;
    uint64_t bytes; /* of all tables */
    /* As far as sizes tell, what a merge of all would leave. Of a KEYSPACE_LEVELED the lowest level
     * that is not empty, which has each of its keys once: keys that are only above it count as
     * waste. Of a KEYSPACE_APPEND, in which nothing is overwritten, all but what is below the
     * floor. */
    uint64_t live_bytes;
};

struct shape shape_of(const struct version *version, unsigned keyspace,
                      enum keyspace_layout layout);

#endif
