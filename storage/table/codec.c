/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/codec.h"

#include <lz4.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/check.h"

/* A block that compression shrinks by less than one part in this many is stored raw. */
enum { SHRINK_PART = 8 };

_Static_assert(CODEC_RAW_BYTES_MAX < LZ4_MAX_INPUT_SIZE, "LZ4 takes a whole block");
_Static_assert(CODEC_ZSTD_DICTIONARY < CODEC_COUNT, "each codec has its counters");

static const char *const names[] = {[CODEC_NONE] = "none",
                                    [CODEC_LZ4] = "lz4",
                                    [CODEC_ZSTD] = "zstd",
                                    [CODEC_ZSTD_DICTIONARY] = "zstd_dictionary"};
static const char adaptive_name[] = "adaptive";

bool codec_is_known(unsigned codec)
{
    return codec <= CODEC_ZSTD || codec == CODEC_ZSTD_DICTIONARY;
}

const char *codec_name(unsigned codec)
{
    if (codec == CODEC_ADAPTIVE) {
        return adaptive_name;
    }
    return codec_is_known(codec) ? names[codec] : "unknown";
}

bool codec_from_name(const char *text, enum codec *out)
{
    for (unsigned i = 0; i <= CODEC_ZSTD; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum codec)i;
            return true;
        }
    }
    if (strcmp(text, adaptive_name) == 0) {
        *out = CODEC_ADAPTIVE;
        return true;
    }
    return false;
}

void codec_context_init(struct codec_context *context)
{
    *context = (struct codec_context){.zstd_compress = NULL};
}

void codec_context_release(struct codec_context *context)
{
    (void)ZSTD_freeCCtx(context->zstd_compress);
    if (context->zstd_decompress != NULL &&
        (context->pool == NULL || !codec_pool_give(context->pool, context->zstd_decompress))) {
        (void)ZSTD_freeDCtx(context->zstd_decompress);
    }
    codec_context_init(context);
}

/* `dictionary` may be NULL. */
static enum status compress_zstd(struct codec_context *context,
                                 const struct codec_dictionary *dictionary, int level,
                                 struct slice raw, uint8_t *to, size_t room, size_t *length,
                                 struct error *err)
{
    if (context->zstd_compress == NULL) {
        context->zstd_compress = ZSTD_createCCtx();
        if (context->zstd_compress == NULL) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for zstd");
        }
    }
    size_t result =
        dictionary != NULL
            ? ZSTD_compress_usingCDict(context->zstd_compress, to, room, raw.data, raw.length,
                                       dictionary->zstd_compress)
            : ZSTD_compressCCtx(context->zstd_compress, to, room, raw.data, raw.length, level);
    if (ZSTD_isError(result)) {
        if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for zstd");
        }
        result = 0; /* does not fit `room`: it did not shrink enough */
    }
    *length = result;
    return STATUS_OK;
}

/* Compresses into the room that a form worth storing has. `*length` 0: it did not fit. */
static enum status compress_into(struct codec_context *context, enum codec codec, int zstd_level,
                                 struct slice raw, uint8_t *to, size_t room, size_t *length,
                                 struct error *err)
{
    *length = 0;
    if (codec == CODEC_LZ4) {
        int result =
            LZ4_compress_default((const char *)raw.data, (char *)to, (int)raw.length, (int)room);
        *length = result > 0 ? (size_t)result : 0;
        return STATUS_OK;
    }
    const struct codec_dictionary *dictionary = NULL;
    if (codec == CODEC_ZSTD_DICTIONARY) {
        dictionary = context->dictionary;
        CHECK(dictionary != NULL);
        CHECK(dictionary->zstd_compress != NULL);
    } else {
        CHECK(codec == CODEC_ZSTD);
    }
    return compress_zstd(context, dictionary, zstd_level, raw, to, room, length, err);
}

/* Replaces `out` by the compressed form; *compressed false: it has none that is worth storing. */
static enum status compress_block(struct codec_context *context, enum codec codec, int zstd_level,
                                  struct slice raw, struct buf *out, bool *compressed,
                                  struct error *err)
{
    size_t room = raw.length - raw.length / SHRINK_PART;
    size_t header = varint_length(raw.length);
    *compressed = false;
    buf_clear(out);
    if (codec == CODEC_NONE || room <= header || raw.length == room) {
        return STATUS_OK;
    }
    buf_put_varint(out, raw.length);
    uint8_t *to = buf_reserve(out, room - header);
    if (to == NULL) {
        return STATUS_OK; /* the buf tells */
    }
    size_t length = 0;
    enum status status =
        compress_into(context, codec, zstd_level, raw, to, room - header, &length, err);
    out->length += length;
    *compressed = length > 0;
    return status;
}

enum status codec_compress(struct codec_context *context, enum codec codec, int zstd_level,
                           struct slice raw, struct buf *out, enum codec *used,
                           struct codec_counters *counters, struct error *err)
{
    CHECK(codec_is_known(codec));
    CHECK(raw.length <= CODEC_RAW_BYTES_MAX);
    struct codec_lap lap = codec_lap_begin(counters == NULL ? NULL : &counters->compress[codec],
                                           counters == NULL ? NULL : counters->clock);
    bool compressed = false;
    enum status status = compress_block(context, codec, zstd_level, raw, out, &compressed, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (!compressed && !buf_failed(out)) {
        buf_clear(out);
        buf_append_slice(out, raw);
    }
    if (buf_failed(out)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a compressed block");
    }
    *used = compressed ? codec : CODEC_NONE;
    codec_lap_end(&lap, raw.length, out->length);
    if (counters != NULL && *used != codec) {
        counter_add(&counters->kept_blocks[codec], 1);
    }
    return STATUS_OK;
}

void codec_count_plain(struct codec_counters *counters, size_t bytes)
{
    if (counters != NULL) {
        struct codec_lap lap = codec_lap_begin(&counters->compress[CODEC_NONE], NULL);
        codec_lap_end(&lap, bytes, bytes);
    }
}

enum status codec_raw_length(unsigned codec, struct slice stored, size_t *raw_length,
                             struct error *err)
{
    if (!codec_is_known(codec)) {
        return error_set(err, STATUS_CORRUPT, "unknown codec %u", codec);
    }
    uint64_t length = stored.length;
    if (codec != CODEC_NONE) {
        struct cursor cursor = cursor_of(stored);
        length = cursor_varint(&cursor);
        if (cursor.failed) {
            return error_set(err, STATUS_CORRUPT, "compressed block has no length");
        }
    }
    if (length > CODEC_RAW_BYTES_MAX) {
        return error_set(err, STATUS_CORRUPT, "block claims %llu bytes",
                         (unsigned long long)length);
    }
    *raw_length = (size_t)length;
    return STATUS_OK;
}

/* `dictionary` may be NULL. */
static enum status decompress_zstd(struct codec_context *context,
                                   const struct codec_dictionary *dictionary, struct slice input,
                                   uint8_t *raw, size_t raw_length, bool *whole, struct error *err)
{
    if (context->zstd_decompress == NULL && context->pool != NULL) {
        context->zstd_decompress = codec_pool_take(context->pool);
    }
    if (context->zstd_decompress == NULL) {
        context->zstd_decompress = ZSTD_createDCtx();
        if (context->zstd_decompress == NULL) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for zstd");
        }
    }
    size_t result =
        dictionary != NULL
            ? ZSTD_decompress_usingDDict(context->zstd_decompress, raw, raw_length, input.data,
                                         input.length, dictionary->zstd_decompress)
            : ZSTD_decompressDCtx(context->zstd_decompress, raw, raw_length, input.data,
                                  input.length);
    if (ZSTD_isError(result) && ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for zstd");
    }
    *whole = !ZSTD_isError(result) && result == raw_length;
    return STATUS_OK;
}

static enum status decompress_block(struct codec_context *context, unsigned codec,
                                    struct slice stored, uint8_t *raw, size_t raw_length,
                                    struct error *err)
{
    if (codec == CODEC_NONE) {
        CHECK(stored.length == raw_length);
        if (raw_length > 0) {
            memcpy(raw, stored.data, raw_length);
        }
        return STATUS_OK;
    }
    struct cursor cursor = cursor_of(stored);
    (void)cursor_varint(&cursor);
    struct slice input = slice_of(cursor.at, cursor_left(&cursor));
    bool whole = false;
    if (codec == CODEC_LZ4) {
        int result = input.length > INT32_MAX
                         ? -1
                         : LZ4_decompress_safe((const char *)input.data, (char *)raw,
                                               (int)input.length, (int)raw_length);
        whole = result >= 0 && (size_t)result == raw_length;
    } else if (codec == CODEC_ZSTD_DICTIONARY && context->dictionary == NULL) {
        return error_set(err, STATUS_CORRUPT, "block needs a dictionary, and there is none");
    } else {
        enum status status =
            decompress_zstd(context, codec == CODEC_ZSTD ? NULL : context->dictionary, input, raw,
                            raw_length, &whole, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return whole ? STATUS_OK
                 : error_set(err, STATUS_CORRUPT, "block does not decompress (%s)",
                             codec_name(codec));
}

enum status codec_decompress(struct codec_context *context, unsigned codec, struct slice stored,
                             uint8_t *raw, size_t raw_length, struct codec_counters *counters,
                             struct error *err)
{
    CHECK(codec_is_known(codec));
    CHECK(raw_length <= CODEC_RAW_BYTES_MAX);
    struct codec_lap lap = codec_lap_begin(counters == NULL ? NULL : &counters->decompress[codec],
                                           counters == NULL ? NULL : counters->clock);
    enum status status = decompress_block(context, codec, stored, raw, raw_length, err);
    if (status == STATUS_OK) {
        codec_lap_end(&lap, raw_length, stored.length);
    }
    return status;
}
