/* SPDX-License-Identifier: Apache-2.0
 *
 * Codec: how a block's bytes are compressed. The numbers are on disk and never change.
 *
 * A compressed block is: varint raw length, then the codec's output. A block that
 * compression shrinks by less than an eighth is stored as it is, with CODEC_NONE.
 *
 * zstd's contexts come from the process's malloc, not from struct alloc: the library gives
 * no stable interface to pass an allocator. Their failure is RESOURCE_EXHAUSTED as well.
 */
#ifndef ESTREAT_STORAGE_TABLE_CODEC_H
#define ESTREAT_STORAGE_TABLE_CODEC_H

#include "base/buf.h"
#include "base/status.h"
#include "storage/table/codec_counters.h"
#include "storage/table/codec_dictionary.h"
#include "storage/table/codec_pool.h"

enum codec {
    CODEC_NONE = 0,
    CODEC_LZ4 = 1,
    CODEC_ZSTD = 2,
    /* 3 is reserved for Snappy. */
    CODEC_ZSTD_DICTIONARY = 4, /* with the dictionary of the block's table */

    /* A writer's setting, never on disk: one of these for each block (codec_adaptive.h). */
    CODEC_ADAPTIVE = 256,
};

#define CODEC_ZSTD_LEVEL_DEFAULT 1
#define CODEC_ZSTD_LEVEL_MAX 19

/* "none", "lz4", "zstd", "zstd_dictionary", "adaptive"; "unknown" for other numbers. */
const char *codec_name(unsigned codec);
/* True if `text` names a codec that a writer may be set to; sets `*out`. */
bool codec_from_name(const char *text, enum codec *out);
/* True for what a block may have. */
bool codec_is_known(unsigned codec);

/* A compressor's or decompressor's memory between calls; one thread at a time. */
struct codec_context {
    void *zstd_compress;   /* created when first needed */
    void *zstd_decompress; /* created when first needed */
    /* For CODEC_ZSTD_DICTIONARY; borrowed; NULL: there is none. */
    const struct codec_dictionary *dictionary;
    /* Where zstd_decompress comes from, and goes in the end; borrowed; NULL: made and freed. */
    struct codec_pool *pool;
};

void codec_context_init(struct codec_context *context);
void codec_context_release(struct codec_context *context);

/* Replaces `out` by `raw` in the form of `codec`, or by `raw` itself if that saves less than an
 * eighth. A dictionary brings its own level. `*used` is the codec that it has now. `raw` is at most
 * CODEC_RAW_BYTES_MAX long. `counters` may be NULL. RESOURCE_EXHAUSTED: no memory. */
enum status codec_compress(struct codec_context *context, enum codec codec, int zstd_level,
                           struct slice raw, struct buf *out, enum codec *used,
                           struct codec_counters *counters, struct error *err) MUST_USE;

/* Counts a block of CODEC_NONE that went round codec_compress(). `counters` may be NULL. */
void codec_count_plain(struct codec_counters *counters, size_t bytes);

/* The largest block is a table's index: a key and some bytes for each data block. */
#define CODEC_RAW_BYTES_MAX (64UL * 1024UL * 1024UL)

/* The raw length that untrusted `stored` bytes claim. CORRUPT: unknown codec, cut, or longer
 * than CODEC_RAW_BYTES_MAX. */
enum status codec_raw_length(unsigned codec, struct slice stored, size_t *raw_length,
                             struct error *err) MUST_USE;

/* Decompresses untrusted `stored` bytes into `raw`, which has room for exactly the
 * `raw_length` that codec_raw_length() told. CORRUPT: they are not what the codec makes,
 * or need a dictionary that there is not. */
enum status codec_decompress(struct codec_context *context, unsigned codec, struct slice stored,
                             uint8_t *raw, size_t raw_length, struct codec_counters *counters,
                             struct error *err) MUST_USE;

#endif
