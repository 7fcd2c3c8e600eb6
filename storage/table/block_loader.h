/* SPDX-License-Identifier: Apache-2.0
 *
 * Block loader: brings a table's blocks into memory: from the block cache, or from the file,
 * checked and decompressed. It keeps a decompressor and a window of bytes read ahead between
 * calls; an iterator has one for its life, a lookup for a moment, which lends it room instead of a
 * window. One thread at a time.
 */
#ifndef ESTREAT_STORAGE_TABLE_BLOCK_LOADER_H
#define ESTREAT_STORAGE_TABLE_BLOCK_LOADER_H

#include "base/fs.h"
#include "storage/table/block_cache.h"
#include "storage/table/table_format.h"
#include "storage/table/table_reader.h"

/* What is needed to read a table's bytes. */
struct table_file {
    struct file *file;
    const char *path;
    uint64_t file_number;
    uint64_t file_bytes;
    struct alloc *alloc;
    struct block_cache *cache;                 /* may be NULL */
    struct codec_counters *counters;           /* may be NULL */
    const struct codec_dictionary *dictionary; /* that its blocks were made with; NULL: none */
};

struct block_loader {
    const struct table_file *file; /* borrowed */
    struct table_read_options options;
    uint64_t data_end; /* never read ahead past this offset */
    struct codec_context codec_context;
    struct buf window;
    uint64_t window_offset; /* in the file, of the window's bytes */
    uint8_t *scratch;       /* borrowed; see block_loader_lend() */
    size_t scratch_bytes;
};

/* `options` NULL: as table_reader.h says. Drops the kernel's pages if reading past the cache. */
void block_loader_init(struct block_loader *loader, const struct table_file *file,
                       const struct table_read_options *options, uint64_t data_end);
/* One beside `other`, for blocks of the file that lie elsewhere than those: it reads as that one
 * does, but nothing ahead, and drops no pages again. */
void block_loader_init_beside(struct block_loader *loader, const struct block_loader *other);
/* From now on blocks that are no larger are read into `scratch`, which must be there until the
 * release, and nothing ahead of them; larger ones into the window, as without. For one that reads a
 * block or two, and has room for them that needs no allocation. */
void block_loader_lend(struct block_loader *loader, uint8_t *scratch, size_t bytes);
void block_loader_release(struct block_loader *loader);

/* Returns the raw block with a reference that the caller gives back. `handle` may be untrusted.
 * CORRUPT, RESOURCE_EXHAUSTED, or a failed read; the error names file and offset, and `*out` is
 * untouched. */
enum status block_loader_load(struct block_loader *loader, struct block_handle handle,
                              struct cached_block **out, struct error *err) MUST_USE;

/* The same for a block of an index, which `check` must find right before others see it: NULL, or
 * what is wrong with it, which is CORRUPT. One from the cache was checked by whoever put it there.
 */
enum status block_loader_load_index(struct block_loader *loader, struct block_handle handle,
                                    const char *(*check)(void *context, struct slice raw),
                                    void *context, struct cached_block **out,
                                    struct error *err) MUST_USE;

#endif
