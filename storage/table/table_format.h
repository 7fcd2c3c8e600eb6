/* SPDX-License-Identifier: Apache-2.0
 *
 * Table format: the bytes of a table file, as storage/FORMAT.md describes them, section "Table".
 * Only writer, reader and tests need this; the tree uses the handles above it.
 *
 * Pure functions. What decodes takes untrusted bytes; its errors say what is wrong, and the
 * caller says in which file and where.
 */
#ifndef ESTREAT_STORAGE_TABLE_TABLE_FORMAT_H
#define ESTREAT_STORAGE_TABLE_TABLE_FORMAT_H

#include "base/buf.h"
#include "base/status.h"
#include "storage/table/table.h"

#define TABLE_MAGIC UINT64_C(0x314c425452545345) /* the bytes "ESTRTBL1" */
#define TABLE_VERSION 1U
#define TABLE_VERSION_COLUMNS 2U    /* of tables that may have blocks of columns */
#define TABLE_VERSION_DICTIONARY 3U /* of tables with a dictionary, and perhaps columns */
#define TABLE_INDEX_SINGLE_LEVEL 1U
#define TABLE_INDEX_TWO_LEVELS 2U /* the index block is the top level; partitions are before it */
#define TABLE_FOOTER_BYTES 80UL

/* Codec (u8) and checksum (le32) behind each block's contents. */
#define TABLE_BLOCK_TRAILER_BYTES 5UL
/* With the codec: what it gives is the form of a block as columns. */
#define TABLE_BLOCK_COLUMNS 0x40U

/* The largest block as stored; raw blocks are bounded by CODEC_RAW_BYTES_MAX, and filters by
 * bloom.h. */
#define TABLE_STORED_BYTES_MAX (512UL * 1024UL * 1024UL)

/* Where a block is in the file; `length` counts its trailer. */
struct block_handle {
    uint64_t offset;
    uint64_t length;
};

struct table_footer {
    struct block_handle dictionary; /* ends where the filter begins; length 0: none */
    struct block_handle filter;     /* length 0: none */
    struct block_handle index;
    struct block_handle properties;
    uint64_t file_number;
    bool columns;    /* some data blocks may be columns */
    bool two_levels; /* from the filter's end to the index block are its partitions */
};

/* The checksum of a block: CRC32C over contents, codec, file number and offset, so that a
 * block in the wrong place or file does not pass. */
uint32_t table_block_checksum(struct slice contents, uint8_t codec, uint64_t file_number,
                              uint64_t offset);

/* Appends the trailer of the block whose contents begin at `begin` in `out` and will be at
 * `offset` in the file. A failure is the buf's. */
void table_block_seal(struct buf *out, size_t begin, uint8_t codec, uint64_t file_number,
                      uint64_t offset);

/* Takes an untrusted stored block apart. CORRUPT: too short, or the checksum does not hold.
 * `*contents` borrows `stored`. */
enum status table_block_unseal(struct slice stored, uint64_t file_number, uint64_t offset,
                               struct slice *contents, uint8_t *codec, struct error *err) MUST_USE;

void table_footer_encode(const struct table_footer *footer, uint8_t out[TABLE_FOOTER_BYTES]);

/* CORRUPT: no footer, or blocks that do not fill a file of `file_bytes` up to the footer.
 * UNIMPLEMENTED: a version or index type that this program does not know. */
enum status table_footer_decode(const uint8_t bytes[TABLE_FOOTER_BYTES], uint64_t file_bytes,
                                struct table_footer *out, struct error *err) MUST_USE;

/* An index entry's value. A failure is the buf's. */
void table_handle_encode(struct buf *out, struct block_handle handle);
bool table_handle_decode(struct slice bytes, struct block_handle *out);

/* Appends the properties; a failure is the buf's. */
void table_properties_encode(struct buf *out, const struct table_info *info);

/* Appends what a table of known times says of them besides; a failure is the buf's. */
void table_properties_encode_times(struct buf *out, const struct table_info *info,
                                   struct slice runs);

/* Fills `out` but for file_number and file_bytes; its keys are owned (table_info_release).
 * CORRUPT: cut, or a property is missing or out of range. RESOURCE_EXHAUSTED: no memory. */
enum status table_properties_decode(struct slice bytes, struct alloc *alloc, struct table_info *out,
                                    struct error *err) MUST_USE;

/* The encoded runs (times.h) in properties that decode and know times; they lie in `bytes`. */
struct slice table_properties_time_runs(struct slice bytes);

/* Replaces the info's keys by owned copies; false if there is no memory. */
bool table_info_set_keys(struct table_info *info, struct alloc *alloc, struct slice smallest,
                         struct slice largest) MUST_USE;

#endif
