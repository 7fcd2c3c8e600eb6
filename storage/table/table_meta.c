/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/table_meta.h"

#include "storage/table/bloom.h"

void table_meta_release(struct table_meta *meta)
{
    table_info_release(&meta->info);
    time_runs_release(&meta->time_runs);
    cached_block_unref(meta->filter);
    table_index_release(&meta->index);
    codec_dictionary_free(meta->dictionary);
    *meta = (struct table_meta){.alloc = NULL};
}

static enum status corrupt(const struct table_file *file, uint64_t offset, const char *what,
                           struct error *err)
{
    return error_set(err, STATUS_CORRUPT, "table %s: at %llu: %s", file->path,
                     (unsigned long long)offset, what);
}

static enum status read_footer(struct table_file *file, struct table_footer *footer,
                               struct error *err)
{
    if (file->file_bytes < TABLE_FOOTER_BYTES) {
        return corrupt(file, 0, "file is too short to be a table", err);
    }
    uint64_t offset = file->file_bytes - TABLE_FOOTER_BYTES;
    uint8_t bytes[TABLE_FOOTER_BYTES];
    size_t length_read = 0;
    enum status status = file_read(file->file, offset, bytes, sizeof bytes, &length_read, err);
    if (status != STATUS_OK) {
        return error_wrap(err, "table %s: footer", file->path);
    }
    if (length_read < sizeof bytes) {
        return corrupt(file, offset, "file ends within the footer", err);
    }
    struct error cause = ERROR_INIT;
    status = table_footer_decode(bytes, file->file_bytes, footer, &cause);
    if (status != STATUS_OK) {
        return error_set(err, status, "table %s: at %llu: %s", file->path,
                         (unsigned long long)offset, cause.text);
    }
    if (file->file_number == 0) {
        file->file_number = footer->file_number;
    }
    if (file->file_number != footer->file_number) {
        return error_set(err, STATUS_CORRUPT, "table %s: at %llu: is file %llu, expected %llu",
                         file->path, (unsigned long long)offset,
                         (unsigned long long)footer->file_number,
                         (unsigned long long)file->file_number);
    }
    return STATUS_OK;
}

static enum status read_properties(struct block_loader *loader, struct block_handle handle,
                                   struct table_meta *meta, struct error *err)
{
    struct cached_block *block = NULL;
    enum status status = block_loader_load(loader, handle, &block, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct error cause = ERROR_INIT;
    struct slice bytes = cached_block_slice(block);
    status = table_properties_decode(bytes, meta->alloc, &meta->info, &cause);
    if (status == STATUS_OK && meta->info.times.known) {
        status =
            time_runs_decode(table_properties_time_runs(bytes), meta->alloc, meta->info.largest,
                             &meta->info.times, meta->info.times_rise, &meta->time_runs, &cause);
    }
    cached_block_unref(block);
    if (status != STATUS_OK) {
        return error_set(err, status, "table %s: at %llu: %s", loader->file->path,
                         (unsigned long long)handle.offset, cause.text);
    }
    meta->info.file_number = loader->file->file_number;
    meta->info.file_bytes = loader->file->file_bytes;
    return STATUS_OK;
}

static enum status read_dictionary(struct block_loader *loader, struct block_handle handle,
                                   struct table_meta *meta, struct error *err)
{
    if (handle.length == 0) {
        return STATUS_OK;
    }
    struct cached_block *block = NULL;
    enum status status = block_loader_load(loader, handle, &block, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct error cause = ERROR_INIT;
    status =
        codec_dictionary_new(meta->alloc, cached_block_slice(block), 0, &meta->dictionary, &cause);
    meta->info.dictionary_bytes = (uint32_t)block->length;
    meta->dictionary_handle = handle;
    cached_block_unref(block);
    return status == STATUS_OK ? STATUS_OK
                               : error_set(err, status, "table %s: at %llu: %s", loader->file->path,
                                           (unsigned long long)handle.offset, cause.text);
}

static enum status read_filter(struct block_loader *loader, struct block_handle handle,
                               struct table_meta *meta, struct error *err)
{
    if ((handle.length == 0) != (meta->info.bloom_bits_per_key == 0)) {
        return corrupt(loader->file, handle.offset, "filter and properties disagree", err);
    }
    if (handle.length == 0) {
        return STATUS_OK;
    }
    enum status status = block_loader_load(loader, handle, &meta->filter, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (!bloom_is_well_formed(cached_block_slice(meta->filter))) {
        return corrupt(loader->file, handle.offset, "filter is malformed", err);
    }
    return STATUS_OK;
}

enum status table_meta_read(struct table_file *file, bool past_cache, struct table_meta *out,
                            struct error *err)
{
    struct table_read_options options = {.past_cache = past_cache};
    struct table_file uncached = *file;
    uncached.cache = NULL;
    uncached.dictionary = NULL;
    struct block_loader loader;
    block_loader_init(&loader, &uncached, &options, 0);
    struct table_meta meta = {.alloc = file->alloc};
    struct table_footer footer;
    enum status status = read_footer(&uncached, &footer, err);
    if (status == STATUS_OK) {
        status = read_properties(&loader, footer.properties, &meta, err);
    }
    if (status == STATUS_OK) {
        status = read_dictionary(&loader, footer.dictionary, &meta, err);
    }
    if (status == STATUS_OK) {
        status = read_filter(&loader, footer.filter, &meta, err);
    }
    if (status == STATUS_OK) {
        status = table_index_read(&loader, &footer, meta.info.data_bytes, meta.info.largest,
                                  &meta.index, err);
    }
    block_loader_release(&loader);
    if (status != STATUS_OK) {
        table_meta_release(&meta);
        return status;
    }
    file->file_number = uncached.file_number;
    file->dictionary = meta.dictionary;
    *out = meta;
    return STATUS_OK;
}

size_t table_meta_bytes(const struct table_meta *meta)
{
    size_t bytes = sizeof *meta + meta->info.smallest.length + meta->info.largest.length;
    bytes += time_runs_bytes(&meta->time_runs);
    bytes += meta->filter == NULL ? 0 : sizeof *meta->filter + meta->filter->length;
    bytes += table_index_bytes(&meta->index);
    return bytes + (meta->dictionary == NULL ? 0 : meta->dictionary->bytes);
}
