/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/codec_dictionary.h"

#include <zdict.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/check.h"

/* Long enough for whole lines of a log, short enough for many of them. */
#define PIECE_BYTES 1024UL
/* What ZDICT counts symbols in: of samples that are longer than the window which it finds right for
 * the dictionary it counts nothing, and does not say so. */
#define SAMPLE_BYTES 2048UL
/* A block may be as long as CODEC_RAW_BYTES_MAX; beyond this nobody needs a dictionary. */
#define SAMPLES_BYTES_MAX (UINT64_C(1) << 31)
/* What ZDICT puts before the content: identity and tables. */
#define HEAD_BYTES 512UL

_Static_assert(CODEC_DICTIONARY_BYTES_MIN > HEAD_BYTES, "the smallest dictionary has content");

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a dictionary");
}

/* Appends `bytes` in evenly spaced pieces of `samples`, which are longer. */
static void put_pieces(struct buf *out, struct slice samples, size_t bytes)
{
    size_t piece = bytes < PIECE_BYTES ? bytes : PIECE_BYTES;
    size_t count = bytes / piece;
    size_t step = samples.length / count;
    CHECK(step >= piece);
    for (size_t i = 0; i < count; i++) {
        buf_append(out, samples.data + i * step, piece);
    }
}

/* Appends the lengths of all samples. */
static void put_lengths(struct buf *out, size_t bytes)
{
    while (bytes > 0) {
        size_t length = bytes < SAMPLE_BYTES ? bytes : SAMPLE_BYTES;
        buf_append(out, &length, sizeof length);
        bytes -= length;
    }
}

/* Lets ZDICT make a dictionary of `content` in `out`, which has room for `bytes_max`. */
static enum status finalize(struct slice samples, struct slice content, struct slice lengths,
                            size_t bytes_max, int zstd_level, struct buf *out, struct error *err)
{
    const ZDICT_params_t parameters = {.compressionLevel = zstd_level};
    size_t length =
        ZDICT_finalizeDictionary(out->data, bytes_max, content.data, content.length, samples.data,
                                 (const size_t *)(const void *)lengths.data,
                                 (unsigned)(lengths.length / sizeof(size_t)), parameters);
    if (ZDICT_isError(length)) {
        return ZSTD_getErrorCode(length) == ZSTD_error_memory_allocation ? no_memory(err)
                                                                         : STATUS_OK;
    }
    CHECK(length <= bytes_max);
    out->length = length;
    return STATUS_OK;
}

enum status codec_dictionary_train(struct slice samples, size_t bytes_max, int zstd_level,
                                   struct buf *out, struct error *err)
{
    CHECK(bytes_max <= CODEC_DICTIONARY_BYTES_MAX);
    size_t bytes = samples.length / CODEC_DICTIONARY_PART;
    bytes = bytes < bytes_max ? bytes : bytes_max;
    buf_clear(out);
    if (bytes < CODEC_DICTIONARY_BYTES_MIN || samples.length > SAMPLES_BYTES_MAX) {
        return STATUS_OK;
    }
    struct buf content;
    struct buf lengths;
    buf_init(&content, out->alloc, CODEC_DICTIONARY_BYTES_MAX);
    buf_init(&lengths, out->alloc, SIZE_MAX);
    put_pieces(&content, samples, bytes - HEAD_BYTES);
    put_lengths(&lengths, samples.length);
    enum status status = STATUS_OK;
    if (buf_reserve(out, bytes) == NULL || buf_failed(&content) || buf_failed(&lengths)) {
        status = no_memory(err);
    } else {
        status = finalize(samples, buf_slice(&content), buf_slice(&lengths), bytes, zstd_level, out,
                          err);
    }
    buf_release(&content);
    buf_release(&lengths);
    return status;
}

enum status codec_dictionary_new(struct alloc *alloc, struct slice bytes, int zstd_level,
                                 struct codec_dictionary **out, struct error *err)
{
    /* zstd itself does not say whether a dictionary was bad or memory was short. */
    if (bytes.length > CODEC_DICTIONARY_BYTES_MAX ||
        ZDICT_getDictID(bytes.data, bytes.length) == 0 ||
        ZDICT_isError(ZDICT_getDictHeaderSize(bytes.data, bytes.length))) {
        return error_set(err, STATUS_CORRUPT, "%zu bytes are no dictionary", bytes.length);
    }
    struct codec_dictionary *dictionary = alloc_zeroed(alloc, 1, sizeof *dictionary);
    if (dictionary == NULL) {
        return no_memory(err);
    }
    dictionary->alloc = alloc;
    dictionary->zstd_decompress = ZSTD_createDDict(bytes.data, bytes.length);
    dictionary->bytes = sizeof *dictionary + ZSTD_sizeof_DDict(dictionary->zstd_decompress);
    bool made = dictionary->zstd_decompress != NULL;
    if (made && zstd_level != 0) {
        dictionary->zstd_compress = ZSTD_createCDict(bytes.data, bytes.length, zstd_level);
        dictionary->bytes += ZSTD_sizeof_CDict(dictionary->zstd_compress);
        made = dictionary->zstd_compress != NULL;
    }
    if (!made) {
        codec_dictionary_free(dictionary);
        return no_memory(err);
    }
    *out = dictionary;
    return STATUS_OK;
}

void codec_dictionary_free(struct codec_dictionary *dictionary)
{
    if (dictionary != NULL) {
        (void)ZSTD_freeCDict(dictionary->zstd_compress);
        (void)ZSTD_freeDDict(dictionary->zstd_decompress);
        alloc_free(dictionary->alloc, dictionary);
    }
}
