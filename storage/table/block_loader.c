/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/block_loader.h"

#include "base/check.h"
#include "storage/table/columns.h"

void block_loader_init(struct block_loader *loader, const struct table_file *file,
                       const struct table_read_options *options, uint64_t data_end)
{
    *loader = (struct block_loader){.file = file, .data_end = data_end};
    if (options == NULL) {
        loader->options.fill_cache = true;
    } else {
        loader->options = *options;
    }
    if (loader->options.readahead_bytes > TABLE_READAHEAD_BYTES_MAX) {
        loader->options.readahead_bytes = TABLE_READAHEAD_BYTES_MAX;
    }
    codec_context_init(&loader->codec_context);
    loader->codec_context.dictionary = file->dictionary;
    loader->codec_context.pool = file->cache == NULL ? NULL : block_cache_codecs(file->cache);
    buf_init(&loader->window, file->alloc, TABLE_STORED_BYTES_MAX);
    if (loader->options.past_cache) {
        file_drop_cache(file->file);
    }
}

void block_loader_init_beside(struct block_loader *loader, const struct block_loader *other)
{
    block_loader_init(loader, other->file, NULL, 0);
    loader->options = other->options;
    loader->options.readahead_bytes = 0;
}

void block_loader_lend(struct block_loader *loader, uint8_t *scratch, size_t bytes)
{
    loader->scratch = scratch;
    loader->scratch_bytes = bytes;
}

void block_loader_release(struct block_loader *loader)
{
    codec_context_release(&loader->codec_context);
    buf_release(&loader->window);
}

/* How much to read at `handle`: the block, or more if reading ahead pays. It pays only going
 * forward: when the block is the first, or begins where the last window ended or in it. */
static size_t bytes_to_read(const struct block_loader *loader, struct block_handle handle)
{
    uint64_t end = handle.offset + handle.length;
    uint64_t window_end = loader->window_offset + loader->window.length;
    bool forward = loader->window.length == 0 ||
                   (handle.offset >= loader->window_offset && handle.offset <= window_end);
    uint64_t wanted = handle.length;
    if (forward && end <= loader->data_end && wanted < loader->options.readahead_bytes) {
        wanted = loader->options.readahead_bytes;
        if (wanted > loader->data_end - handle.offset) {
            wanted = loader->data_end - handle.offset;
        }
    }
    return (size_t)wanted;
}

/* Reads the block, and what of `wanted` bytes the file has besides. */
static enum status read_at(const struct block_loader *loader, struct block_handle handle,
                           uint8_t *to, size_t wanted, size_t *length_read, struct error *err)
{
    enum status status = file_read(loader->file->file, handle.offset, to, wanted, length_read, err);
    if (status == STATUS_OK && *length_read < handle.length) {
        return error_set(err, STATUS_CORRUPT, "file ends within the block");
    }
    CHECK(status != STATUS_OK || *length_read <= wanted);
    return status;
}

/* Lets the window begin with the block. */
static enum status move_window(struct block_loader *loader, struct block_handle handle,
                               struct error *err)
{
    size_t wanted = bytes_to_read(loader, handle);
    CHECK(wanted >= handle.length);
    buf_clear(&loader->window);
    uint8_t *to = buf_extend(&loader->window, wanted);
    if (to == NULL) {
        buf_clear(&loader->window);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to read %zu bytes", wanted);
    }
    loader->window_offset = handle.offset;
    size_t length_read = 0;
    enum status status = read_at(loader, handle, to, wanted, &length_read, err);
    if (status != STATUS_OK) {
        buf_clear(&loader->window);
        return status;
    }
    loader->window.length = length_read;
    return STATUS_OK;
}

/* The block's stored bytes, valid until the next call. */
static enum status read_stored(struct block_loader *loader, struct block_handle handle,
                               struct slice *stored, struct error *err)
{
    const struct table_file *file = loader->file;
    if (handle.length > TABLE_STORED_BYTES_MAX || handle.offset > file->file_bytes ||
        handle.length > file->file_bytes - handle.offset) {
        return error_set(err, STATUS_CORRUPT, "block of %llu bytes is not within the file",
                         (unsigned long long)handle.length);
    }
    if (loader->scratch != NULL && handle.length <= loader->scratch_bytes) {
        size_t length_read = 0;
        *stored = slice_of(loader->scratch, handle.length);
        return read_at(loader, handle, loader->scratch, handle.length, &length_read, err);
    }
    uint64_t window_end = loader->window_offset + loader->window.length;
    if (handle.offset < loader->window_offset || handle.offset + handle.length > window_end) {
        enum status status = move_window(loader, handle, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    /* A damaged footer's block of no bytes is in any window, also in one that was never filled. */
    *stored = slice_from(buf_slice(&loader->window), handle.offset - loader->window_offset);
    stored->length = handle.length;
    return STATUS_OK;
}

static enum status decompress(struct block_loader *loader, uint8_t codec, struct slice contents,
                              struct cached_block **out, struct error *err)
{
    const struct table_file *file = loader->file;
    size_t raw_length = 0;
    enum status status = codec_raw_length(codec, contents, &raw_length, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct cached_block *block = cached_block_new(file->alloc, raw_length);
    if (block == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a block of %zu bytes",
                         raw_length);
    }
    status = codec_decompress(&loader->codec_context, codec, contents, block->data, raw_length,
                              file->counters, err);
    if (status != STATUS_OK) {
        cached_block_unref(block);
        return status;
    }
    *out = block;
    return STATUS_OK;
}

static enum status unpack(struct block_loader *loader, struct slice packed,
                          struct cached_block **out, struct error *err)
{
    size_t raw_length = columns_raw_length(packed);
    struct cached_block *block = cached_block_new(loader->file->alloc, raw_length);
    if (block == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a block of %zu bytes",
                         raw_length);
    }
    if (!columns_unpack(packed, block->data, raw_length)) {
        cached_block_unref(block);
        return error_set(err, STATUS_CORRUPT, "block of columns does not unpack");
    }
    *out = block;
    return STATUS_OK;
}

/* Reads, checks, decompresses. */
static enum status make_block(struct block_loader *loader, struct block_handle handle,
                              struct cached_block **out, struct error *err)
{
    const struct table_file *file = loader->file;
    struct slice stored;
    enum status status = read_stored(loader, handle, &stored, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct slice contents;
    uint8_t form = 0;
    status = table_block_unseal(stored, file->file_number, handle.offset, &contents, &form, err);
    if (status != STATUS_OK) {
        return status;
    }
    uint8_t codec = form & (uint8_t)~TABLE_BLOCK_COLUMNS;
    if (form == codec) {
        return decompress(loader, codec, contents, out, err);
    }
    struct cached_block *packed = NULL;
    status = decompress(loader, codec, contents, &packed, err);
    if (status == STATUS_OK) {
        status = unpack(loader, cached_block_slice(packed), out, err);
        cached_block_unref(packed);
    }
    return status;
}

typedef const char *block_check(void *context, struct slice raw);

/* A failure is not yet wrapped; nothing is returned then. */
static enum status make_checked(struct block_loader *loader, struct block_handle handle,
                                block_check *check, void *context, struct cached_block **out,
                                struct error *err)
{
    struct cached_block *block = NULL;
    enum status status = make_block(loader, handle, &block, err);
    const char *wrong = NULL;
    if (status == STATUS_OK && check != NULL) {
        wrong = check(context, cached_block_slice(block));
    }
    if (wrong != NULL) {
        cached_block_unref(block);
        return error_set(err, STATUS_CORRUPT, "%s", wrong);
    }
    if (status == STATUS_OK) {
        *out = block;
    }
    return status;
}

static enum status load(struct block_loader *loader, enum block_kind kind,
                        struct block_handle handle, block_check *check, void *context,
                        struct cached_block **out, struct error *err)
{
    const struct table_file *file = loader->file;
    bool cached = file->cache != NULL && !loader->options.past_cache;
    if (cached) {
        struct cached_block *block = block_cache_get(file->cache, kind, file->file_number,
                                                     handle.offset, loader->options.fill_cache);
        if (block != NULL) {
            *out = block;
            return STATUS_OK;
        }
    }
    struct error cause = ERROR_INIT;
    enum status status = make_checked(loader, handle, check, context, out, &cause);
    if (status != STATUS_OK) {
        return error_set(err, status, "table %s: block at %llu: %s", file->path,
                         (unsigned long long)handle.offset, cause.text);
    }
    if (cached && loader->options.fill_cache) {
        block_cache_put(file->cache, kind, file->file_number, handle.offset, *out);
    }
    return STATUS_OK;
}

enum status block_loader_load(struct block_loader *loader, struct block_handle handle,
                              struct cached_block **out, struct error *err)
{
    return load(loader, BLOCK_DATA, handle, NULL, NULL, out, err);
}

enum status block_loader_load_index(struct block_loader *loader, struct block_handle handle,
                                    const char *(*check)(void *context, struct slice raw),
                                    void *context, struct cached_block **out, struct error *err)
{
    return load(loader, BLOCK_INDEX, handle, check, context, out, err);
}
