/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/held_blocks.h"

#include "base/check.h"

/* A dictionary is tried on the last one of this many parts of the blocks. */
enum { TRIED_PART = 4 };
/* One that saves less than one part in this many is not worth its memory to readers. */
enum { GAIN_PART = 32 };

struct place {
    size_t contents;
    size_t contents_length;
    size_t key;
    size_t key_length;
    uint8_t form;
};

void held_blocks_init(struct held_blocks *held, struct alloc *alloc)
{
    *held = (struct held_blocks){.count = 0};
    buf_init(&held->bytes, alloc, HELD_BYTES_MAX + CODEC_RAW_BYTES_MAX);
    buf_init(&held->keys, alloc, SIZE_MAX);
    buf_init(&held->places, alloc, SIZE_MAX);
}

void held_blocks_release(struct held_blocks *held)
{
    struct alloc *alloc = held->bytes.alloc;
    buf_release(&held->bytes);
    buf_release(&held->keys);
    buf_release(&held->places);
    held_blocks_init(held, alloc);
}

bool held_blocks_add(struct held_blocks *held, struct slice contents, struct slice last_key,
                     uint8_t form)
{
    const struct place place = {.contents = held->bytes.length,
                                .contents_length = contents.length,
                                .key = held->keys.length,
                                .key_length = last_key.length,
                                .form = form};
    buf_append_slice(&held->bytes, contents);
    buf_append_slice(&held->keys, last_key);
    buf_append(&held->places, &place, sizeof place);
    held->count++;
    return !buf_failed(&held->bytes) && !buf_failed(&held->keys) && !buf_failed(&held->places);
}

struct held_block held_blocks_at(const struct held_blocks *held, size_t index)
{
    CHECK(index < held->count);
    const struct place *place = (const struct place *)(const void *)held->places.data + index;
    return (struct held_block){
        .contents = slice_of(held->bytes.data + place->contents, place->contents_length),
        .last_key = slice_of(held->keys.data + place->key, place->key_length),
        .form = place->form,
    };
}

static size_t trained_count(const struct held_blocks *held)
{
    return held->count - held->count / TRIED_PART;
}

/* Adds what the codec makes of the blocks that are tried to `*bytes`. */
static enum status try_codec(const struct held_blocks *held, struct codec_context *context,
                             enum codec codec, int zstd_level, struct buf *scratch, uint64_t *bytes,
                             struct error *err)
{
    for (size_t i = trained_count(held); i < held->count; i++) {
        enum codec used = CODEC_NONE;
        enum status status =
            codec_compress(context, codec, zstd_level, held_blocks_at(held, i).contents, scratch,
                           &used, NULL, err);
        if (status != STATUS_OK) {
            return status;
        }
        *bytes += scratch->length;
    }
    return STATUS_OK;
}

static enum status try_dictionary(const struct held_blocks *held, struct codec_context *context,
                                  struct slice bytes, const struct codec_dictionary *dictionary,
                                  int zstd_level, struct buf *scratch, bool *pays,
                                  struct error *err)
{
    uint64_t with = 0;
    uint64_t without = 0;
    enum codec used = CODEC_NONE;
    enum status status = try_codec(held, context, CODEC_ZSTD, zstd_level, scratch, &without, err);
    if (status == STATUS_OK) {
        context->dictionary = dictionary;
        status = try_codec(held, context, CODEC_ZSTD_DICTIONARY, zstd_level, scratch, &with, err);
        context->dictionary = NULL;
    }
    if (status == STATUS_OK) {
        status = codec_compress(context, CODEC_ZSTD, zstd_level, bytes, scratch, &used, NULL, err);
    }
    uint64_t saved = with < without ? (without - with) * TRIED_PART : 0;
    *pays = status == STATUS_OK && saved > scratch->length + without * TRIED_PART / GAIN_PART;
    return status;
}

enum status held_blocks_train(const struct held_blocks *held, struct codec_context *context,
                              size_t bytes_max, int zstd_level, struct buf *scratch,
                              struct buf *bytes, struct codec_dictionary **out, struct error *err)
{
    struct codec_dictionary *dictionary = NULL;
    bool pays = false;
    *out = NULL;
    size_t count = trained_count(held);
    struct slice samples = buf_slice(&held->bytes);
    if (count < held->count) {
        samples.length = (size_t)(held_blocks_at(held, count).contents.data - samples.data);
    }
    enum status status = codec_dictionary_train(samples, bytes_max, zstd_level, bytes, err);
    if (status == STATUS_OK && bytes->length > 0) {
        status = codec_dictionary_new(bytes->alloc, buf_slice(bytes), zstd_level, &dictionary, err);
    }
    if (status == STATUS_OK && dictionary != NULL) {
        status = try_dictionary(held, context, buf_slice(bytes), dictionary, zstd_level, scratch,
                                &pays, err);
    }
    if (!pays) {
        codec_dictionary_free(dictionary);
        buf_clear(bytes);
        return status;
    }
    *out = dictionary;
    return STATUS_OK;
}
