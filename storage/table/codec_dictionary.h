/* SPDX-License-Identifier: Apache-2.0
 *
 * Codec dictionary: bytes that are usual in a keyspace, which zstd refers back to, so that a small
 * block need not learn them anew. A block that was compressed with one (CODEC_ZSTD_DICTIONARY) is
 * read with the same one only; a table carries its own (table_format.h).
 *
 * Its content is pieces of the samples, evenly spaced; ZDICT adds the statistics of symbols. That
 * takes some 2 ms for 1 MiB of samples. A search for the best pieces (ZDICT_trainFromBuffer) takes
 * 20 to 300 ms for an eighth of that, and its dictionaries save a few per cent more.
 *
 * Immutable when made: any number of threads compress and decompress with one, each with a
 * codec_context of its own. zstd's memory is the process's malloc, as in codec.h.
 */
#ifndef ESTREAT_STORAGE_TABLE_CODEC_DICTIONARY_H
#define ESTREAT_STORAGE_TABLE_CODEC_DICTIONARY_H

#include "base/buf.h"
#include "base/status.h"

#define CODEC_DICTIONARY_BYTES_MIN 1024UL
#define CODEC_DICTIONARY_BYTES_MAX (64UL * 1024UL)

/* A dictionary is at most one part in this many of the samples that it is made of. */
#define CODEC_DICTIONARY_PART 12U

struct codec_dictionary {
    struct alloc *alloc;
    void *zstd_compress; /* NULL: for reading only */
    void *zstd_decompress;
    size_t bytes; /* of memory, about */
};

/* Replaces `out` by a dictionary of at most `bytes_max` bytes for what is like `samples`. Empty:
 * they are too few for one. RESOURCE_EXHAUSTED. */
enum status codec_dictionary_train(struct slice samples, size_t bytes_max, int zstd_level,
                                   struct buf *out, struct error *err) MUST_USE;

/* Copies the untrusted bytes. `zstd_level` is what it compresses with, 0: it only reads. `*out` is
 * owned. CORRUPT: they are no dictionary. RESOURCE_EXHAUSTED. */
enum status codec_dictionary_new(struct alloc *alloc, struct slice bytes, int zstd_level,
                                 struct codec_dictionary **out, struct error *err) MUST_USE;

/* NULL is allowed. */
void codec_dictionary_free(struct codec_dictionary *dictionary);

#endif
