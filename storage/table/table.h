/* SPDX-License-Identifier: Apache-2.0
 *
 * Table: what a writer makes and a reader opens: one immutable file of sorted entries. The
 * bytes are described in storage/FORMAT.md, section "Table".
 */
#ifndef ESTREAT_STORAGE_TABLE_TABLE_H
#define ESTREAT_STORAGE_TABLE_TABLE_H

#include "base/alloc.h"
#include "base/slice.h"
#include "storage/table/codec.h"
#include "storage/table/times.h"

#define TABLE_BLOCK_BYTES_DEFAULT (16UL * 1024UL)
#define TABLE_BLOCK_BYTES_MAX (1024UL * 1024UL)
#define TABLE_RESTART_INTERVAL_DEFAULT 16U
#define TABLE_RESTART_INTERVAL_MAX 1024U

/* What a table is made of; also stored in it, as its properties. */
struct table_info {
    uint64_t file_number;
    uint64_t file_bytes;
    uint64_t entries;    /* puts and deletions */
    uint64_t deletions;  /* of these */
    uint64_t raw_bytes;  /* of all internal keys and values */
    uint64_t data_bytes; /* of all data blocks as stored */
    uint64_t sequence_smallest;
    uint64_t sequence_largest;
    struct slice smallest; /* internal keys; owned by the info */
    struct slice largest;
    /* The settings that it was written with. */
    enum codec codec;
    int zstd_level;
    uint32_t block_bytes;
    uint32_t restart_interval;
    uint32_t bloom_bits_per_key; /* 0: no filter */
    bool columns;              /* blocks of the shape for that are stored as columns (columns.h) */
    uint32_t number_place;     /* then: where in each value its number is */
    struct time_bounds times;  /* known: each value has a time (times.h) */
    uint32_t time_place;       /* then: where in each value */
    bool times_rise;           /* then: they never fall from an entry to the next */
    uint32_t dictionary_bytes; /* of the dictionary in the file; 0: none */
    struct alloc *alloc;       /* of the two keys */
};

/* Frees the keys. Zeroed memory is allowed. */
void table_info_release(struct table_info *info);

#endif
