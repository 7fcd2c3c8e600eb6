/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/inspect/dump_parts.h"

#include <inttypes.h>

#include "storage/table/block.h"
#include "storage/table/table_meta.h"

struct dumping {
    struct report *report;
    const char *name;
    const char *path;
    struct table_file file;
    struct table_meta meta;
    struct index_iter index;
    size_t partition; /* of the index, that was told of last */
    struct block_iter iter;
};

static void put_properties(struct dumping *dumping)
{
    const struct table_info *info = &dumping->meta.info;
    FILE *lines = dumping->report->lines;
    (void)fprintf(
        lines,
        "properties file=%s number=%" PRIu64 " bytes=%" PRIu64 " index_levels=%d entries=%" PRIu64
        " deletions=%" PRIu64 " raw_bytes=%" PRIu64 " data_bytes=%" PRIu64
        " smallest_sequence=%" PRIu64 " largest_sequence=%" PRIu64
        " codec=%s zstd_level=%d block_bytes=%" PRIu32 " restart_interval=%" PRIu32
        " filter_bits=%" PRIu32 " dictionary_bytes=%" PRIu32,
        dumping->name, info->file_number, info->file_bytes, dumping->meta.index.two_levels ? 2 : 1,
        info->entries, info->deletions, info->raw_bytes, info->data_bytes, info->sequence_smallest,
        info->sequence_largest, codec_name(info->codec), info->zstd_level, info->block_bytes,
        info->restart_interval, info->bloom_bits_per_key, info->dictionary_bytes);
    report_bytes(dumping->report, "smallest", internal_key_user(info->smallest));
    report_bytes(dumping->report, "largest", internal_key_user(info->largest));
    if (info->times.known) {
        report_times(dumping->report, &info->times);
        (void)fprintf(lines, " time_place=%" PRIu32 " times_rise=%s time_runs=%zu",
                      info->time_place, info->times_rise ? "yes" : "no",
                      dumping->meta.time_runs.count);
    }
    (void)fputc('\n', lines);
}

static enum status put_entries(struct dumping *dumping, uint64_t offset, struct slice raw,
                               struct error *err)
{
    struct block_iter *iter = &dumping->iter;
    if (block_iter_init(iter, raw)) {
        block_iter_seek_to_first(iter);
        while (block_iter_valid(iter)) {
            bool is_put = internal_key_type(iter->key) == KEY_PUT;
            (void)fprintf(dumping->report->lines, "%s file=%s block=%" PRIu64,
                          is_put ? "put" : "delete", dumping->name, offset);
            report_bytes(dumping->report, "key", internal_key_user(iter->key));
            (void)fprintf(dumping->report->lines, " sequence=%" PRIu64,
                          internal_key_sequence(iter->key));
            if (is_put) {
                report_bytes(dumping->report, "value", iter->value);
            }
            (void)fputc('\n', dumping->report->lines);
            block_iter_next(iter);
        }
    }
    return iter->damage == NULL
               ? STATUS_OK
               : error_set(err, STATUS_CORRUPT, "table %.300s: block at %" PRIu64 ": %s",
                           dumping->path, offset, iter->damage);
}

/* Of an index of two levels: the partition that it has entered, if it has not been told of yet. */
static void put_partition(struct dumping *dumping)
{
    const struct index_iter *index = &dumping->index;
    if (!index->index->two_levels || index->at == dumping->partition) {
        return;
    }
    const struct index_entry *entry = &index->index->entries[index->at];
    dumping->partition = index->at;
    (void)fprintf(dumping->report->lines,
                  "partition file=%s offset=%" PRIu64 " bytes=%" PRIu64 " data_begin=%" PRIu64,
                  dumping->name, entry->handle.offset, entry->handle.length, entry->data_begin);
    report_bytes(dumping->report, "last_key", internal_key_user(entry->last_key));
    (void)fputc('\n', dumping->report->lines);
}

/* The block that the index is at. */
static enum status put_block(struct dumping *dumping, struct block_loader *loader,
                             struct error *err)
{
    const struct index_entry *entry = &dumping->index.entry;
    struct error found = ERROR_INIT;
    struct cached_block *block = NULL;
    (void)fprintf(dumping->report->lines, "block file=%s offset=%" PRIu64 " bytes=%" PRIu64,
                  dumping->name, entry->handle.offset, entry->handle.length);
    report_bytes(dumping->report, "last_key", internal_key_user(entry->last_key));
    (void)fputc('\n', dumping->report->lines);
    enum status status = block_loader_load(loader, entry->handle, &block, &found);
    if (status == STATUS_OK) {
        status = put_entries(dumping, entry->handle.offset, cached_block_slice(block), &found);
        cached_block_unref(block);
    }
    return report_end(dumping->report, status, &found, err);
}

/* The index has moved, with `status`. Goes on behind partitions that are damaged. */
static enum status pass_partitions(struct dumping *dumping, enum status status, struct error *found,
                                   struct error *err)
{
    while (status != STATUS_OK) {
        status = report_end(dumping->report, status, found, err);
        if (status != STATUS_OK) {
            return status;
        }
        status = index_iter_skip(&dumping->index, found);
    }
    return STATUS_OK;
}

static enum status put_blocks(struct dumping *dumping, struct error *err)
{
    const struct table_read_options options = {.past_cache = true,
                                               .readahead_bytes = TABLE_READAHEAD_BYTES_MAX};
    struct block_loader loader;
    block_loader_init(&loader, &dumping->file, &options, dumping->meta.index.data_end);
    struct block_loader index_loader;
    block_loader_init_beside(&index_loader, &loader);
    struct index_iter *index = &dumping->index;
    index_iter_init(index, &dumping->meta.index, &index_loader);
    dumping->partition = dumping->meta.index.count; /* none */
    struct error found = ERROR_INIT;
    enum status status =
        pass_partitions(dumping, index_iter_seek_to_first(index, &found), &found, err);
    while (status == STATUS_OK && index_iter_valid(index)) {
        put_partition(dumping);
        status = put_block(dumping, &loader, err);
        if (status == STATUS_OK) {
            status = pass_partitions(dumping, index_iter_next(index, &found), &found, err);
        }
    }
    index_iter_release(index);
    block_loader_release(&index_loader);
    block_loader_release(&loader);
    return status;
}

static enum status dump(struct dumping *dumping, struct error *err)
{
    struct error found = ERROR_INIT;
    enum status status = file_size(dumping->file.file, &dumping->file.file_bytes, &found);
    if (status == STATUS_OK) {
        status = table_meta_read(&dumping->file, true, &dumping->meta, &found);
    }
    if (status != STATUS_OK) {
        return report_end(dumping->report, status, &found, err);
    }
    put_properties(dumping);
    status = put_blocks(dumping, err);
    table_meta_release(&dumping->meta);
    return status;
}

enum status dump_table(struct fs *fs, struct alloc *alloc, const char *path, const char *name,
                       struct report *report, struct error *err)
{
    struct error found = ERROR_INIT;
    /* On the heap: a block's iterator holds a key. */
    struct dumping *dumping = alloc_zeroed(alloc, 1, sizeof *dumping);
    if (dumping == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to read table %.300s", path);
    }
    dumping->report = report;
    dumping->name = name;
    dumping->path = path;
    dumping->file = (struct table_file){.path = path, .alloc = alloc};
    enum status status = fs_open(fs, path, FS_READ, &dumping->file.file, &found);
    if (status == STATUS_NOT_FOUND) {
        status = error_set(&found, STATUS_CORRUPT, "%.300s at 0: the table is missing", path);
    }
    status = status == STATUS_OK ? dump(dumping, err) : report_end(report, status, &found, err);
    file_close(dumping->file.file);
    alloc_free(alloc, dumping);
    return status;
}
