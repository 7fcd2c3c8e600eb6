/* SPDX-License-Identifier: Apache-2.0
 *
 * Table meta: what an open table holds in memory beside its blocks: properties, filter and
 * index, read from the end of the file and checked. Internal to storage/table.
 */
#ifndef ESTREAT_STORAGE_TABLE_TABLE_META_H
#define ESTREAT_STORAGE_TABLE_TABLE_META_H

#include "storage/table/block_loader.h"

struct index_entry {
    struct slice last_key; /* internal key of the block's last entry */
    struct block_handle handle;
};

struct table_meta {
    struct alloc *alloc;
    struct table_info info;
    struct cached_block *filter; /* NULL: none */
    struct cached_block *index;  /* the keys of `blocks` lie in it */
    struct index_entry *blocks;
    size_t blocks_count;
    uint64_t data_end;                     /* where the last data block ends */
    struct codec_dictionary *dictionary;   /* owned; NULL: none */
    struct block_handle dictionary_handle; /* length 0: none */
    struct time_runs time_runs;            /* none if times are not known */
};

/* Reads it from `file`, whose file_number may be 0 (any): it is set to the footer's, and its
 * dictionary to the one in `out`, which blocks are loaded with from then on. With
 * `past_cache`, past the kernel's pages. Release with table_meta_release().
 * CORRUPT, UNIMPLEMENTED (newer version), RESOURCE_EXHAUSTED, or a failed read. */
enum status table_meta_read(struct table_file *file, bool past_cache, struct table_meta *out,
                            struct error *err) MUST_USE;

/* Zeroed memory is allowed. */
void table_meta_release(struct table_meta *meta);

/* The first block that may hold an entry >= `target`; blocks_count if none. */
size_t table_meta_find(const struct table_meta *meta, struct slice target);

size_t table_meta_bytes(const struct table_meta *meta);

#endif
