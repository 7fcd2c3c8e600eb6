/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/output.h"

#include <inttypes.h>

#include "base/check.h"
#include "storage/table/key.h"
#include "storage/tree/catalog.h"

void output_init(struct output *output, const struct output_place *place,
                 const struct keyspace_options *keyspace, unsigned keyspace_index, unsigned level,
                 struct edit *edit)
{
    bool flush_whole = level == 0;
    bool partition = keyspace->layout == KEYSPACE_APPEND && level == KEYSPACE_PARTITION_LEVEL;
    unsigned flushed_to = keyspace->layout == KEYSPACE_APPEND ? KEYSPACE_FRESH_LEVEL : 0;
    *output = (struct output){
        .place = place,
        .keyspace = keyspace,
        .keyspace_index = keyspace_index,
        .level = level,
        .old = level > flushed_to,
        .table_bytes = flush_whole ? UINT64_MAX
                       : partition ? keyspace_partition_bytes(keyspace, place->table_bytes)
                                   : place->table_bytes,
        .partition = partition && keyspace->timed,
        .edit = edit};
    output->adaptive = codec_memory_get(place->codecs, keyspace_index, output->old);
    buf_init(&output->last, place->alloc, USER_KEY_BYTES_MAX);
}

static enum status file_path(const struct output_place *place, uint64_t number, char *out,
                             struct error *err)
{
    char name[TABLE_FILE_NAME_BYTES];
    return path_join(out, place->dir, table_file_name(name, number), err);
}

static enum status open_writer(struct output *output, struct error *err)
{
    char path[PATH_BYTES_MAX];
    uint64_t number = atomic_fetch_add(output->place->next_file, 1);
    enum status status = file_path(output->place, number, path, err);
    if (status != STATUS_OK) {
        return status;
    }
    const struct keyspace_options *keyspace = output->keyspace;
    size_t block_bytes = output->old && keyspace->block_bytes_old > 0 ? keyspace->block_bytes_old
                                                                      : keyspace->block_bytes;
    struct table_writer_options options = {
        .fs = output->place->fs,
        .alloc = output->place->alloc,
        .path = path,
        .file_number = number,
        .codec = output->old ? keyspace->codec_old : keyspace->codec_new,
        .adaptive = &output->adaptive,
        .zstd_level = output->old ? keyspace->zstd_level_old : 0,
        .dictionary_bytes = output->old ? keyspace->dictionary_bytes_old : 0,
        .block_bytes = (uint32_t)block_bytes,
        .bloom_bits_per_key = keyspace->bloom_bits,
        .columns = output->old && keyspace->columns_old,
        .number_place = keyspace->number_place,
        .timed = keyspace->timed,
        .time_place = keyspace->number_place,
        .counters = output->place->counters,
    };
    output->number = number;
    return table_writer_open(&options, &output->writer, err);
}

static enum status remember_key(struct output *output, struct slice user, struct error *err)
{
    buf_clear(&output->last);
    buf_append_slice(&output->last, user);
    if (buf_failed(&output->last)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a key");
    }
    return STATUS_OK;
}

/* True if the table under way should end before this value. */
static bool is_full(const struct output *output, struct slice value, bool good_end)
{
    uint64_t bytes = table_writer_file_bytes(output->writer);
    if (bytes >= (good_end ? output->table_bytes / 2 : output->table_bytes)) {
        return true;
    }
    uint64_t time = 0;
    if (!output->partition || bytes < keyspace_partition_bytes_min(output->keyspace) ||
        !value_time(value, output->keyspace->number_place, &time)) {
        return false;
    }
    struct time_bounds times = output->times;
    time_bounds_add(&times, time);
    return times.largest - times.smallest > keyspace_partition_span(output->keyspace);
}

enum status output_add(struct output *output, struct slice internal_key, struct slice value,
                       bool good_end, struct error *err)
{
    enum status status = STATUS_OK;
    struct slice user = internal_key_user(internal_key);
    if (output->writer != NULL && is_full(output, value, good_end) &&
        !slice_equal(user, buf_slice(&output->last))) {
        status = output_finish(output, err);
    }
    if (status == STATUS_OK && output->writer == NULL) {
        status = open_writer(output, err);
    }
    if (status == STATUS_OK && output->table_bytes != UINT64_MAX) {
        status = remember_key(output, user, err);
    }
    uint64_t time = 0;
    if (output->partition && value_time(value, output->keyspace->number_place, &time)) {
        time_bounds_add(&output->times, time);
    }
    if (status == STATUS_OK) {
        status = table_writer_add(output->writer, internal_key, value, err);
    }
    return status;
}

static void unlink_table(const struct output_place *place, uint64_t number)
{
    char path[PATH_BYTES_MAX];
    if (file_path(place, number, path, NULL) == STATUS_OK) {
        /* What stays is no manifest's, and the next open removes it. */
        (void)(fs_unlink(place->fs, path, NULL) == STATUS_OK);
    }
}

enum status output_finish(struct output *output, struct error *err)
{
    if (output->writer == NULL) {
        return STATUS_OK;
    }
    struct table_info info;
    enum status status = table_writer_finish(output->writer, &info, err);
    output->writer = NULL;
    output->times = (struct time_bounds){.known = false};
    if (status != STATUS_OK) {
        return status;
    }
    CHECK(info.file_number == output->number);
    codec_memory_set(output->place->codecs, output->keyspace_index, output->old, &output->adaptive);
    edit_add_table(output->edit, output->keyspace_index, output->level, info.file_number,
                   info.file_bytes, info.entries, info.smallest, info.largest);
    edit_set_times(output->edit, &info.times);
    output->written += info.file_bytes;
    table_info_release(&info);
    if (edit_failed(output->edit)) {
        unlink_table(output->place, output->number);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for an edit");
    }
    return STATUS_OK;
}

uint64_t output_bytes(const struct output *output)
{
    return output->written + (output->writer == NULL ? 0 : table_writer_file_bytes(output->writer));
}

void output_release(struct output *output)
{
    table_writer_abandon(output->writer);
    output->writer = NULL;
    buf_release(&output->last);
}

static bool is_move(const struct edit *edit, uint64_t number)
{
    for (size_t i = 0; i < edit_remove_count(edit); i++) {
        if (edit_remove_at(edit, i).number == number) {
            return true;
        }
    }
    return false;
}

void output_discard(const struct output_place *place, const struct edit *edit)
{
    for (size_t i = 0; i < edit_add_count(edit); i++) {
        uint64_t number = edit_add_at(edit, i).number;
        if (!is_move(edit, number)) {
            unlink_table(place, number);
        }
    }
}
