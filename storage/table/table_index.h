/* SPDX-License-Identifier: Apache-2.0
 *
 * Table index: where a table's data blocks are, by their last keys. Internal to storage/table, and
 * to what walks a table block by block.
 *
 * A small index is one block, which the open table holds. A large one has two levels: it is cut
 * into partitions, blocks of a few KiB that go through the block cache as data blocks do, and the
 * open table holds the top level alone, which says where those are.
 *
 * A partition is checked whole against the top level before it is put into the cache: its keys
 * rise from those of the partition before, its blocks follow each other without a gap and are
 * those between its neighbours', and its restart points are right. So whoever finds it in the
 * cache need not.
 *
 * The index itself does not change; any thread reads it, each with an index_iter of its own.
 */
#ifndef ESTREAT_STORAGE_TABLE_TABLE_INDEX_H
#define ESTREAT_STORAGE_TABLE_TABLE_INDEX_H

#include "storage/table/block.h"
#include "storage/table/block_loader.h"

/* Raw bytes of a partition, and how many of them an index must come to, as one block, to be cut
 * into partitions. */
#define INDEX_PARTITION_BYTES_DEFAULT (4UL * KIB)
#define INDEX_PARTITIONS_MIN 8U
/* Entries between restart points of a partition: whole keys at each would take a quarter more. */
#define INDEX_PARTITION_RESTARTS 4U

/* --- what an open table holds ---------------------------------------------------------------- */

struct index_entry {
    struct slice last_key; /* internal key of the block's, or the partition's, last entry */
    struct block_handle handle;
    uint64_t data_begin; /* of two levels: where the first data block of the partition begins */
};

struct table_index {
    struct alloc *alloc;
    struct cached_block *block; /* the keys of `entries` lie in it */
    struct index_entry *entries;
    size_t count;
    bool two_levels;   /* the entries are partitions; else data blocks */
    uint64_t data_end; /* where the last data block ends */
};

/* Reads what `footer` names, of a table with `data_bytes` of data blocks, the last of them ending
 * in `largest`. Release with table_index_release(), but not after an error. CORRUPT,
 * RESOURCE_EXHAUSTED, or a failed read. */
enum status table_index_read(struct block_loader *loader, const struct table_footer *footer,
                             uint64_t data_bytes, struct slice largest, struct table_index *out,
                             struct error *err) MUST_USE;

/* Zeroed memory is allowed. */
void table_index_release(struct table_index *index);

/* Memory that it takes. */
size_t table_index_bytes(const struct table_index *index);

/* --- walking --------------------------------------------------------------------------------- */

/* Stands on a data block's entry, or nowhere. After an error it stands nowhere. */
struct index_iter {
    const struct table_index *index;
    struct block_loader *loader;    /* of partitions */
    size_t at;                      /* of the index's entries; its count: nowhere */
    size_t failed;                  /* after an error: of the partition that could not be read */
    struct cached_block *partition; /* of two levels: that of `at`, referenced */
    struct index_entry entry;       /* of the data block; valid until it moves */
    struct block_iter entries;      /* of the partition */
};

/* Borrows both until its release. The loader may be used for other blocks between the calls. */
void index_iter_init(struct index_iter *iter, const struct table_index *index,
                     struct block_loader *loader);
void index_iter_release(struct index_iter *iter);

static inline bool index_iter_valid(const struct index_iter *iter)
{
    return iter->at < iter->index->count;
}

/* Each of these may have to read a partition: CORRUPT, RESOURCE_EXHAUSTED, or a failed read.
 * Seek: to the first block that may hold an entry >= `target`. Next and prev: requires valid. */
enum status index_iter_seek(struct index_iter *iter, struct slice target,
                            struct error *err) MUST_USE;
enum status index_iter_seek_to_first(struct index_iter *iter, struct error *err) MUST_USE;
enum status index_iter_seek_to_last(struct index_iter *iter, struct error *err) MUST_USE;
enum status index_iter_next(struct index_iter *iter, struct error *err) MUST_USE;
enum status index_iter_prev(struct index_iter *iter, struct error *err) MUST_USE;

/* After an error of seek_to_first, next or this: to the first block behind the partition that could
 * not be read, or nowhere. */
enum status index_iter_skip(struct index_iter *iter, struct error *err) MUST_USE;

/* --- making ---------------------------------------------------------------------------------- */

/* Takes each stored partition: writes `raw` into the file and tells where. */
struct index_sink {
    enum status (*put)(void *context, struct slice raw, struct block_handle *handle,
                       struct error *err);
    void *context;
};

/* Cuts `single`, an index of one level that was made here, into partitions of about
 * `partition_bytes`; `top` (a builder with a restart point at each entry, empty) gets the top
 * level. RESOURCE_EXHAUSTED, or the sink's error. */
enum status table_index_cut(struct slice single, size_t partition_bytes, struct alloc *alloc,
                            const struct index_sink *sink, struct block_builder *top,
                            struct error *err) MUST_USE;

#endif
