/* SPDX-License-Identifier: Apache-2.0
 *
 * Table meta: what an open table holds in memory beside its blocks: properties, filter and
 * index (of a large one its top level), read from the end of the file and checked. Internal to
 * storage/table.
 */
#ifndef ESTREAT_STORAGE_TABLE_TABLE_META_H
#define ESTREAT_STORAGE_TABLE_TABLE_META_H

#include "storage/table/table_index.h"

struct table_meta {
    struct alloc *alloc;
    struct table_info info;
    struct cached_block *filter; /* NULL: none */
    struct table_index index;
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

size_t table_meta_bytes(const struct table_meta *meta);

#endif
