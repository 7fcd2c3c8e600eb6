/* SPDX-License-Identifier: Apache-2.0
 *
 * Table reader: an open table file. Footer, properties, index (of a large one the top level:
 * table_index.h) and filter are read, checked and held in memory; data blocks, and partitions of
 * the index, are read when needed, through the block cache.
 *
 * Reference counted. Any number of threads look up and iterate (each with an iterator of
 * its own). Nothing is believed: every byte that is used has passed its checksum, and what
 * a checksum cannot vouch for (it can be recomputed) is checked against its bounds. What
 * fails is CORRUPT, and the error names the file and the offset of the block.
 */
#ifndef ESTREAT_STORAGE_TABLE_TABLE_READER_H
#define ESTREAT_STORAGE_TABLE_TABLE_READER_H

#include "base/buf.h"
#include "base/fs.h"
#include "storage/table/block_cache.h"
#include "storage/table/bloom.h"
#include "storage/table/iter.h"
#include "storage/table/key.h"
#include "storage/table/table.h"

struct table;

struct table_open_options {
    struct fs *fs;                   /* borrowed, as long as the table */
    struct alloc *alloc;             /* likewise */
    const char *path;                /* copied */
    uint64_t file_number;            /* must be the file's own; 0: whatever it is */
    uint64_t file_bytes;             /* must be the file's size; 0: whatever it is */
    struct block_cache *cache;       /* may be NULL; borrowed, as long as the table */
    struct codec_counters *counters; /* may be NULL; borrowed, likewise, as the next */
    struct bloom_counters *bloom_counters;
};

/* `*out` is owned, with one reference. NOT_FOUND: no such file. CORRUPT: size or file number
 * differ, or the file is damaged in what is read on opening. */
enum status table_open(const struct table_open_options *options, struct table **out,
                       struct error *err) MUST_USE;

void table_ref(struct table *table);
/* The last one closes the file. NULL is allowed. */
void table_unref(struct table *table);

/* From now on, unlinks the file when the last reference goes. Any thread. */
void table_unlink_when_unused(struct table *table);

/* Valid as long as the table is referenced. */
const struct table_info *table_get_info(const struct table *table);
const char *table_path(const struct table *table);
/* Of no run if the table does not know its times. */
const struct time_runs *table_get_time_runs(const struct table *table);

/* Memory that the open table holds, and that its cache counts: index, filter, properties. */
size_t table_pinned_bytes(const struct table *table);

struct table_read_options {
    bool fill_cache; /* put blocks that had to be read into the cache */
    /* Neither ask nor fill the block cache, and let the kernel drop its pages of the file
     * first: what comes back was on the disk. */
    bool past_cache;
    /* Iterators: how much to read at once when going forward; 0: a block at a time. Capped at
     * TABLE_READAHEAD_BYTES_MAX. */
    size_t readahead_bytes;
};

#define TABLE_READAHEAD_BYTES_MAX (4UL * 1024UL * 1024UL)

/* For each `options` below, NULL is {.fill_cache = true}. */

/* False: the table certainly holds no entry of this user key (key range, filter). No I/O. */
bool table_may_contain(const struct table *table, struct slice user_key);

/* The newest entry of `user_key` with a sequence <= `sequence`. Sets `*result`; if it is
 * LOOKUP_FOUND, replaces the content of `value` by a copy (`value` may be NULL: not wanted).
 * CORRUPT, or a failed read: `*result` is untouched, `value` meaningless.
 * RESOURCE_EXHAUSTED: no memory, or `value` has too small a maximum. */
enum status table_get(struct table *table, struct slice user_key, uint64_t sequence,
                      const struct table_read_options *options, enum lookup *result,
                      struct buf *value, struct error *err) MUST_USE;

/* `*out` is owned by the caller and holds a reference to the table. */
enum status table_iter_new(struct table *table, const struct table_read_options *options,
                           struct iter **out, struct error *err) MUST_USE;

/* Reads the whole file anew, past the caches, and checks all of it: every checksum, the order
 * of keys, index and filter against the entries, properties against their counts. Adds the
 * bytes read to `*bytes_read` (may be NULL). */
enum status table_verify(struct table *table, uint64_t *bytes_read, struct error *err) MUST_USE;

/* The same, but goes on behind a damaged block: `on_fault` gets each, and the status is OK unless
 * something else failed. What only the whole can show (counts) is told if no block is damaged. */
enum status table_find_faults(struct table *table,
                              void (*on_fault)(void *context, const struct error *fault),
                              void *context, struct error *err) MUST_USE;

#endif
