/* SPDX-License-Identifier: Apache-2.0
 *
 * Keyspace: one sorted map of the engine, known by its index in the array of
 * options with which the engine is opened. The manifest remembers the names in
 * their order; later versions may add keyspaces at the end, never reorder them.
 */
#ifndef ESTREAT_STORAGE_KEYSPACE_H
#define ESTREAT_STORAGE_KEYSPACE_H

#include "storage/table/codec.h"
#include "storage/table/key.h"

#define KEYSPACE_KEY_BYTES_MAX USER_KEY_BYTES_MAX
#define KEYSPACE_VALUE_BYTES_MAX VALUE_BYTES_MAX
#define KEYSPACE_NAME_BYTES_MAX 32
#define KEYSPACES_MAX 32

enum keyspace_layout {
    /* Any key in any order: level 0 of whole flushes, below it levels of disjoint tables. */
    KEYSPACE_LEVELED,
    /* Each put has a key above all before it, and nothing is deleted (engine_write refuses
     * anything else): tables never overlap. Fresh ones are gathered into partitions, larger and
     * better compressed. For `events`. Tiles whose keys sort by (level, index) do not ascend and
     * belong in a leveled keyspace. */
    KEYSPACE_APPEND,
};

/* Of a KEYSPACE_APPEND. */
#define KEYSPACE_FRESH_LEVEL 1U
#define KEYSPACE_PARTITION_LEVEL 2U

struct keyspace_options {
    const char *name; /* borrowed for the engine's life; [a-z0-9_], 1 to 32 bytes */
    enum keyspace_layout layout;
    unsigned bloom_bits;  /* for each key; 0 for no filter */
    size_t block_bytes;   /* 0: the table format's default */
    enum codec codec_new; /* of tables that a flush writes; may be CODEC_ADAPTIVE, as the next */
    /* Of tables that a compaction writes: */
    enum codec codec_old;
    size_t block_bytes_old;        /* 0: block_bytes */
    int zstd_level_old;            /* 0: the default */
    unsigned dictionary_bytes_old; /* at most, where it pays, with CODEC_ZSTD; 0: none */
    bool columns_old; /* keys are 8-byte numbers, values have one at number_place: columns.h */
    /* Of a KEYSPACE_APPEND: the number at number_place is each value's time, so that tables know
     * theirs (table/times.h), queries by time read only what they must, and a floor may be set.
     * May be turned on for a store that has tables: those may hold any time. */
    bool timed;
    unsigned number_place;
    /* Bounds of partitions: a compaction ends one that has so many bytes, and one that an entry
     * would make span more time, unless it is small. */
    uint64_t partition_bytes;     /* 0: the engine's table_bytes */
    uint64_t partition_bytes_min; /* 0: 64 KiB */
    uint64_t partition_span;      /* in the times' unit; 0: a day of nanoseconds */
    /* A partition is rewritten if so much of it is below the floor, and it has so many bytes: */
    unsigned rewrite_percent;   /* 0: 50 */
    uint64_t rewrite_bytes_min; /* 0: 1 MiB */
};

static inline bool keyspace_is_timed(const struct keyspace_options *keyspace)
{
    return keyspace->layout == KEYSPACE_APPEND && keyspace->timed;
}

#define KEYSPACE_PARTITION_SPAN_DEFAULT (UINT64_C(24) * 3600 * 1000000000)

static inline uint64_t keyspace_partition_bytes(const struct keyspace_options *keyspace,
                                                uint64_t table_bytes)
{
    return keyspace->partition_bytes == 0 ? table_bytes : keyspace->partition_bytes;
}

static inline uint64_t keyspace_partition_bytes_min(const struct keyspace_options *keyspace)
{
    return keyspace->partition_bytes_min == 0 ? 64 * KIB : keyspace->partition_bytes_min;
}

static inline uint64_t keyspace_partition_span(const struct keyspace_options *keyspace)
{
    return keyspace->partition_span == 0 ? KEYSPACE_PARTITION_SPAN_DEFAULT
                                         : keyspace->partition_span;
}

#endif
