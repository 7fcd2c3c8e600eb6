/* SPDX-License-Identifier: Apache-2.0
 *
 * Table writer: makes one table file out of entries that come in order. One thread.
 */
#ifndef ESTREAT_STORAGE_TABLE_TABLE_WRITER_H
#define ESTREAT_STORAGE_TABLE_TABLE_WRITER_H

#include "base/fs.h"
#include "storage/table/codec_adaptive.h"
#include "storage/table/table.h"

struct table_writer;

struct table_writer_options {
    struct fs *fs;        /* borrowed */
    struct alloc *alloc;  /* borrowed */
    const char *path;     /* copied; must not exist yet */
    uint64_t file_number; /* > 0 */
    enum codec codec;
    struct codec_adaptive *adaptive; /* with CODEC_ADAPTIVE: what the stream remembers; borrowed */
    /* At most this many bytes of dictionary, trained on the first blocks, if it pays; only with
     * CODEC_ZSTD. Up to HELD_BYTES_MAX of raw blocks are in memory until that is decided. */
    uint32_t dictionary_bytes;
    int zstd_level;              /* 0: CODEC_ZSTD_LEVEL_DEFAULT */
    uint32_t block_bytes;        /* raw bytes of a block; 0: TABLE_BLOCK_BYTES_DEFAULT */
    uint32_t restart_interval;   /* 0: TABLE_RESTART_INTERVAL_DEFAULT */
    uint32_t bloom_bits_per_key; /* 0: no filter; see BLOOM_BITS_PER_KEY_DEFAULT */
    /* An index of more than INDEX_PARTITIONS_MIN times as many bytes has two levels, the lower one
     * in partitions of about so many; 0: INDEX_PARTITION_BYTES_DEFAULT. See table_index.h. */
    uint32_t index_partition_bytes;
    bool columns;                    /* store blocks that have the shape for it as columns */
    uint32_t number_place;           /* then: where in each value its number is (columns.h) */
    bool timed;                      /* values have times: keep their bounds (times.h) */
    uint32_t time_place;             /* then: where in each value */
    struct codec_counters *counters; /* may be NULL; borrowed */
};

/* Creates the file. `*out` is owned by the caller until finish or abandon.
 * INVALID_ARGUMENT: a setting is out of range. ALREADY_EXISTS: the path. */
enum status table_writer_open(const struct table_writer_options *options, struct table_writer **out,
                              struct error *err) MUST_USE;

/* Copies one entry. Internal keys must rise strictly: INVALID_ARGUMENT if this one does not, or
 * is no internal key, or key or value are too long. An error of any kind is sticky: finish
 * returns it again. */
enum status table_writer_add(struct table_writer *writer, struct slice internal_key,
                             struct slice value, struct error *err) MUST_USE;

/* Bytes of the file so far, without the block under way and those that wait for a dictionary. */
uint64_t table_writer_file_bytes(const struct table_writer *writer);
uint64_t table_writer_entries(const struct table_writer *writer);

/* Writes what is left and fdatasyncs the file; the caller syncs the directory. Frees the
 * writer in any case. On success `*info` is the caller's, to release. On failure the file is
 * removed (as well as that can be done) and `*info` untouched. FAILED_PRECONDITION: there is
 * no entry. */
enum status table_writer_finish(struct table_writer *writer, struct table_info *info,
                                struct error *err) MUST_USE;

/* Removes the file and frees the writer. NULL is allowed. */
void table_writer_abandon(struct table_writer *writer);

#endif
