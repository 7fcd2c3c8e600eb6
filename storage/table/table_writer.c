/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/table_writer.h"

#include "base/check.h"
#include "base/plant.h"
#include "storage/table/block.h"
#include "storage/table/bloom.h"
#include "storage/table/columns.h"
#include "storage/table/held_blocks.h"
#include "storage/table/table_format.h"
#include "storage/table/table_index.h"

/* What is gathered before it is written: few calls, little memory. */
#define PENDING_BYTES (256UL * KIB)

/* Hashes of user keys until the filter is made: as many as a filter can serve. */
#define HASHES_BYTES_MAX (UINT64_C(1) << 32)

struct table_writer {
    struct fs *fs;
    struct alloc *alloc;
    char *path;
    struct file *file;
    struct codec_counters *counters;
    struct codec_context codec_context;
    struct codec_adaptive *adaptive;     /* NULL: info.codec serves */
    uint32_t dictionary_bytes_max;       /* 0: no dictionary is to be trained, or no more */
    struct codec_dictionary *dictionary; /* owned; NULL: none */
    struct buf dictionary_bytes;
    struct held_blocks held;
    struct table_info info; /* its keys are set by finish */
    struct block_builder data;
    struct block_builder index; /* of one level */
    size_t index_partition_bytes;
    bool timed;
    struct times_builder times;
    struct buf hashes; /* uint64_t each, one for each user key, if there is a filter */
    struct buf first_key;
    struct buf last_key;
    struct buf packed;     /* one block as columns */
    struct buf compressed; /* one block */
    struct buf pending;    /* the file's bytes from `written` on */
    uint64_t written;
    struct error failure; /* sticky */
};

static bool options_in_range(const struct table_writer_options *options)
{
    bool codec_in_range =
        options->codec == CODEC_ADAPTIVE ? options->adaptive != NULL : options->codec <= CODEC_ZSTD;
    bool dictionary_in_range =
        options->dictionary_bytes == 0 ||
        (options->codec == CODEC_ZSTD && options->dictionary_bytes <= CODEC_DICTIONARY_BYTES_MAX &&
         options->dictionary_bytes >= CODEC_DICTIONARY_BYTES_MIN);
    return options->file_number > 0 && codec_in_range && dictionary_in_range &&
           options->zstd_level >= 0 && options->zstd_level <= CODEC_ZSTD_LEVEL_MAX &&
           options->block_bytes <= TABLE_BLOCK_BYTES_MAX &&
           options->restart_interval <= TABLE_RESTART_INTERVAL_MAX &&
           options->bloom_bits_per_key <= BLOOM_BITS_PER_KEY_MAX &&
           options->index_partition_bytes <= TABLE_BLOCK_BYTES_MAX &&
           options->number_place <= COLUMNS_PLACE_MAX && options->time_place <= COLUMNS_PLACE_MAX;
}

static void writer_init(struct table_writer *writer, const struct table_writer_options *options)
{
    struct alloc *alloc = options->alloc;
    writer->fs = options->fs;
    writer->alloc = alloc;
    writer->counters = options->counters;
    codec_context_init(&writer->codec_context);
    writer->adaptive = options->codec == CODEC_ADAPTIVE ? options->adaptive : NULL;
    writer->info = (struct table_info){
        .file_number = options->file_number,
        .sequence_smallest = SEQUENCE_MAX,
        .codec = writer->adaptive != NULL ? writer->adaptive->choice : options->codec,
        .zstd_level = options->zstd_level != 0 ? options->zstd_level : CODEC_ZSTD_LEVEL_DEFAULT,
        .block_bytes =
            options->block_bytes != 0 ? options->block_bytes : (uint32_t)TABLE_BLOCK_BYTES_DEFAULT,
        .restart_interval = options->restart_interval != 0 ? options->restart_interval
                                                           : TABLE_RESTART_INTERVAL_DEFAULT,
        .bloom_bits_per_key = options->bloom_bits_per_key,
        .columns = options->columns,
        .number_place = options->columns ? options->number_place : 0,
    };
    writer->dictionary_bytes_max = options->dictionary_bytes;
    buf_init(&writer->dictionary_bytes, alloc, CODEC_DICTIONARY_BYTES_MAX);
    held_blocks_init(&writer->held, alloc);
    block_builder_init(&writer->data, alloc, writer->info.restart_interval);
    block_builder_init(&writer->index, alloc, 1);
    writer->index_partition_bytes = options->index_partition_bytes != 0
                                        ? options->index_partition_bytes
                                        : INDEX_PARTITION_BYTES_DEFAULT;
    writer->timed = options->timed;
    times_builder_init(&writer->times, alloc, options->time_place);
    buf_init(&writer->hashes, alloc, HASHES_BYTES_MAX);
    buf_init(&writer->first_key, alloc, INTERNAL_KEY_BYTES_MAX);
    buf_init(&writer->last_key, alloc, INTERNAL_KEY_BYTES_MAX);
    buf_init(&writer->packed, alloc, TABLE_STORED_BYTES_MAX);
    buf_init(&writer->compressed, alloc, TABLE_STORED_BYTES_MAX);
    buf_init(&writer->pending, alloc, PENDING_BYTES + TABLE_STORED_BYTES_MAX);
}

static void writer_free(struct table_writer *writer)
{
    struct alloc *alloc = writer->alloc;
    file_close(writer->file);
    codec_context_release(&writer->codec_context);
    codec_dictionary_free(writer->dictionary);
    buf_release(&writer->dictionary_bytes);
    held_blocks_release(&writer->held);
    table_info_release(&writer->info);
    block_builder_release(&writer->data);
    block_builder_release(&writer->index);
    times_builder_release(&writer->times);
    buf_release(&writer->hashes);
    buf_release(&writer->first_key);
    buf_release(&writer->last_key);
    buf_release(&writer->packed);
    buf_release(&writer->compressed);
    buf_release(&writer->pending);
    alloc_free(alloc, writer->path);
    alloc_free(alloc, writer);
}

enum status table_writer_open(const struct table_writer_options *options, struct table_writer **out,
                              struct error *err)
{
    if (!options_in_range(options)) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "table %s: a setting is out of range",
                         options->path);
    }
    size_t path_bytes = strlen(options->path) + 1;
    struct table_writer *writer = alloc_zeroed(options->alloc, 1, sizeof *writer);
    char *path = alloc_new(options->alloc, path_bytes);
    if (writer == NULL || path == NULL) {
        alloc_free(options->alloc, writer);
        alloc_free(options->alloc, path);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to write table %s",
                         options->path);
    }
    memcpy(path, options->path, path_bytes);
    writer->path = path;
    writer_init(writer, options);
    enum status status = fs_open(options->fs, options->path, FS_WRITE | FS_CREATE | FS_EXCLUSIVE,
                                 &writer->file, err);
    if (status != STATUS_OK) {
        writer->file = NULL;
        writer_free(writer);
        return status;
    }
    *out = writer;
    return STATUS_OK;
}

/* Makes `status` and the context in `failure` what every later call returns. */
static enum status fail(struct table_writer *writer, struct error *err)
{
    CHECK(writer->failure.status != STATUS_OK);
    (void)error_wrap(&writer->failure, "write table %s", writer->path);
    if (err != NULL) {
        *err = writer->failure;
    }
    return writer->failure.status;
}

static enum status fail_with(struct table_writer *writer, struct error *err, enum status status,
                             const char *text)
{
    (void)error_set(&writer->failure, status, "%s", text);
    return fail(writer, err);
}

static enum status return_failure(const struct table_writer *writer, struct error *err)
{
    if (err != NULL) {
        *err = writer->failure;
    }
    return writer->failure.status;
}

/* --- blocks out ------------------------------------------------------------------------------ */

static enum status write_pending(struct table_writer *writer, struct error *err)
{
    if (writer->pending.length == 0) {
        return STATUS_OK;
    }
    enum status status =
        file_write(writer->file, writer->written, buf_slice(&writer->pending), &writer->failure);
    if (status != STATUS_OK) {
        return fail(writer, err);
    }
    writer->written += writer->pending.length;
    buf_clear(&writer->pending);
    return STATUS_OK;
}

/* Puts one block behind what is there. */
static enum status put_block(struct table_writer *writer, struct slice contents, uint8_t form,
                             struct block_handle *handle, struct error *err)
{
    size_t begin = writer->pending.length;
    uint64_t offset = writer->written + begin;
    buf_append_slice(&writer->pending, contents);
    table_block_seal(&writer->pending, begin, form, writer->info.file_number, offset);
    if (buf_failed(&writer->pending)) {
        return fail_with(writer, err, STATUS_RESOURCE_EXHAUSTED, "no memory for a block");
    }
    *handle = (struct block_handle){.offset = offset, .length = writer->pending.length - begin};
    if (writer->pending.length >= PENDING_BYTES) {
        return write_pending(writer, err);
    }
    return STATUS_OK;
}

/* `form`: 0, or TABLE_BLOCK_COLUMNS if that is what the bytes are. `codec`: as info.codec, or with
 * the dictionary. */
static enum status put_compressed(struct table_writer *writer, enum codec codec, struct slice bytes,
                                  uint8_t form, struct block_handle *handle, struct error *err)
{
    if (writer->adaptive == NULL && codec == CODEC_NONE) {
        codec_count_plain(writer->counters, bytes.length);
        return put_block(writer, bytes, form, handle, err);
    }
    enum codec used = CODEC_NONE;
    int level = writer->info.zstd_level;
    enum status status =
        writer->adaptive != NULL
            ? codec_adaptive_compress(writer->adaptive, &writer->codec_context, level, bytes,
                                      &writer->compressed, &used, writer->counters,
                                      &writer->failure)
            : codec_compress(&writer->codec_context, codec, level, bytes, &writer->compressed,
                             &used, writer->counters, &writer->failure);
    if (status != STATUS_OK) {
        return fail(writer, err);
    }
    return put_block(writer, buf_slice(&writer->compressed), (uint8_t)(form | used), handle, err);
}

/* A data block goes into the file, and into the index. */
static enum status put_data(struct table_writer *writer, struct slice bytes, uint8_t form,
                            struct slice last_key, struct error *err)
{
    struct block_handle handle = {.length = 0};
    enum codec codec = writer->dictionary != NULL ? CODEC_ZSTD_DICTIONARY : writer->info.codec;
    enum status status = put_compressed(writer, codec, bytes, form, &handle, err);
    if (status != STATUS_OK) {
        return status;
    }
    writer->info.data_bytes += handle.length;
    buf_clear(&writer->compressed);
    table_handle_encode(&writer->compressed, handle);
    if (buf_failed(&writer->compressed) ||
        !block_builder_add(&writer->index, last_key, buf_slice(&writer->compressed))) {
        return fail_with(writer, err, STATUS_RESOURCE_EXHAUSTED, "no memory for the index");
    }
    return STATUS_OK;
}

/* Decides about the dictionary by the blocks that were held back for it, and puts those. */
static enum status put_held(struct table_writer *writer, struct error *err)
{
    CHECK(writer->dictionary == NULL);
    enum status status =
        held_blocks_train(&writer->held, &writer->codec_context, writer->dictionary_bytes_max,
                          writer->info.zstd_level, &writer->compressed, &writer->dictionary_bytes,
                          &writer->dictionary, &writer->failure);
    if (status != STATUS_OK) {
        return fail(writer, err);
    }
    writer->codec_context.dictionary = writer->dictionary;
    writer->dictionary_bytes_max = 0;
    for (size_t i = 0; status == STATUS_OK && i < writer->held.count; i++) {
        struct held_block block = held_blocks_at(&writer->held, i);
        status = put_data(writer, block.contents, block.form, block.last_key, err);
    }
    held_blocks_release(&writer->held);
    return status;
}

static enum status hold(struct table_writer *writer, struct slice bytes, uint8_t form,
                        struct error *err)
{
    if (!held_blocks_add(&writer->held, bytes, buf_slice(&writer->last_key), form)) {
        return fail_with(writer, err, STATUS_RESOURCE_EXHAUSTED, "no memory for a block");
    }
    return writer->held.bytes.length >= HELD_BYTES_MAX ? put_held(writer, err) : STATUS_OK;
}

/* As columns, if that is wished and the block has the shape. */
static enum status finish_data_block(struct table_writer *writer, struct error *err)
{
    const struct table_info *info = &writer->info;
    struct slice bytes = block_builder_finish(&writer->data);
    if (bytes.length == 0) {
        return fail_with(writer, err, STATUS_RESOURCE_EXHAUSTED, "no memory for a block");
    }
    uint8_t form = 0;
    buf_clear(&writer->packed);
    if (info->columns &&
        columns_pack(bytes, info->restart_interval, info->number_place, &writer->packed)) {
        bytes = buf_slice(&writer->packed);
        form = TABLE_BLOCK_COLUMNS;
    }
    if (buf_failed(&writer->packed)) {
        return fail_with(writer, err, STATUS_RESOURCE_EXHAUSTED, "no memory for a block");
    }
    enum status status = writer->dictionary_bytes_max > 0
                             ? hold(writer, bytes, form, err)
                             : put_data(writer, bytes, form, buf_slice(&writer->last_key), err);
    if (status == STATUS_OK && writer->timed &&
        !times_builder_end_block(&writer->times, buf_slice(&writer->last_key), false)) {
        return fail_with(writer, err, STATUS_RESOURCE_EXHAUSTED, "no memory for times");
    }
    if (status == STATUS_OK) {
        block_builder_reset(&writer->data);
    }
    return status;
}

/* --- entries in ------------------------------------------------------------------------------ */

/* Counts the entry in the properties and, if its user key is new, in the filter. */
static void count_entry(struct table_writer *writer, const struct internal_key *key, size_t bytes)
{
    struct table_info *info = &writer->info;
    struct slice last = buf_slice(&writer->last_key);
    bool new_user_key = last.length == 0 || !slice_equal(internal_key_user(last), key->user);
    if (info->bloom_bits_per_key > 0 && new_user_key) {
        uint64_t hash = bloom_hash(key->user);
        buf_append(&writer->hashes, &hash, sizeof hash);
    }
    info->entries++;
    info->deletions += key->type == KEY_DELETE ? 1 : 0;
    info->raw_bytes += bytes;
    if (key->sequence < info->sequence_smallest) {
        info->sequence_smallest = key->sequence;
    }
    if (key->sequence > info->sequence_largest) {
        info->sequence_largest = key->sequence;
    }
}

enum status table_writer_add(struct table_writer *writer, struct slice internal_key,
                             struct slice value, struct error *err)
{
    if (writer->failure.status != STATUS_OK) {
        return return_failure(writer, err);
    }
    struct internal_key key;
    if (!internal_key_parse(internal_key, &key) || value.length > VALUE_BYTES_MAX) {
        return fail_with(writer, err, STATUS_INVALID_ARGUMENT,
                         "entry has no internal key, or is too long");
    }
    struct slice last = buf_slice(&writer->last_key);
    if (last.length > 0 && internal_key_compare(last, internal_key) >= 0) {
        return fail_with(writer, err, STATUS_INVALID_ARGUMENT, "keys do not rise");
    }
    count_entry(writer, &key, internal_key.length + value.length);
    if (writer->timed) {
        times_builder_add(&writer->times, value, internal_key.length + value.length);
    }
    if (last.length == 0) {
        buf_append_slice(&writer->first_key, internal_key);
    }
    buf_clear(&writer->last_key);
    buf_append_slice(&writer->last_key, internal_key);
    if (!block_builder_add(&writer->data, internal_key, value) || buf_failed(&writer->last_key) ||
        buf_failed(&writer->first_key) || buf_failed(&writer->hashes)) {
        return fail_with(writer, err, STATUS_RESOURCE_EXHAUSTED, "no memory for an entry");
    }
    if (block_builder_bytes(&writer->data) >= writer->info.block_bytes) {
        return finish_data_block(writer, err);
    }
    return STATUS_OK;
}

uint64_t table_writer_file_bytes(const struct table_writer *writer)
{
    return writer->written + writer->pending.length;
}

uint64_t table_writer_entries(const struct table_writer *writer)
{
    return writer->info.entries;
}

/* --- end ------------------------------------------------------------------------------------- */

static enum status put_dictionary(struct table_writer *writer, struct block_handle *handle,
                                  struct error *err)
{
    if (writer->dictionary == NULL) {
        return STATUS_OK;
    }
    writer->info.dictionary_bytes = (uint32_t)writer->dictionary_bytes.length;
    return put_compressed(writer, CODEC_ZSTD, buf_slice(&writer->dictionary_bytes), 0, handle, err);
}

static enum status put_filter(struct table_writer *writer, struct block_handle *handle,
                              struct error *err)
{
    *handle = (struct block_handle){.offset = table_writer_file_bytes(writer)};
    if (writer->info.bloom_bits_per_key == 0) {
        return STATUS_OK;
    }
    buf_clear(&writer->compressed);
    bloom_build(&writer->compressed, (const uint64_t *)(const void *)writer->hashes.data,
                writer->hashes.length / sizeof(uint64_t), writer->info.bloom_bits_per_key);
    if (buf_failed(&writer->compressed)) {
        return fail_with(writer, err, STATUS_RESOURCE_EXHAUSTED, "no memory for the filter");
    }
    return put_block(writer, buf_slice(&writer->compressed), CODEC_NONE, handle, err);
}

static enum status put_partition(void *context, struct slice raw, struct block_handle *handle,
                                 struct error *err)
{
    struct table_writer *writer = context;
    return put_compressed(writer, writer->info.codec, raw, 0, handle, err);
}

/* `single`: the index of one level, as it would be stored. */
static enum status put_two_levels(struct table_writer *writer, struct slice single,
                                  struct block_handle *handle, struct error *err)
{
    const struct index_sink sink = {.put = put_partition, .context = writer};
    struct block_builder top;
    block_builder_init(&top, writer->alloc, 1);
    struct error cause = ERROR_INIT;
    enum status status =
        table_index_cut(single, writer->index_partition_bytes, writer->alloc, &sink, &top, &cause);
    struct slice raw = status == STATUS_OK ? block_builder_finish(&top) : slice_of(NULL, 0);
    if (writer->failure.status != STATUS_OK) {
        status = return_failure(writer, err);
    } else if (raw.length == 0) {
        status = fail_with(writer, err, STATUS_RESOURCE_EXHAUSTED, "no memory for the index");
    } else {
        status = put_compressed(writer, writer->info.codec, raw, 0, handle, err);
    }
    block_builder_release(&top);
    return status;
}

static enum status put_index(struct table_writer *writer, struct table_footer *footer,
                             struct error *err)
{
    struct slice raw = block_builder_finish(&writer->index);
    if (raw.length == 0) {
        return fail_with(writer, err, STATUS_RESOURCE_EXHAUSTED, "no memory for the index");
    }
    footer->two_levels = raw.length > writer->index_partition_bytes * INDEX_PARTITIONS_MIN;
    return footer->two_levels
               ? put_two_levels(writer, raw, &footer->index, err)
               : put_compressed(writer, writer->info.codec, raw, 0, &footer->index, err);
}

static enum status put_properties(struct table_writer *writer, struct block_handle *handle,
                                  struct error *err)
{
    buf_clear(&writer->compressed);
    if (!table_info_set_keys(&writer->info, writer->alloc, buf_slice(&writer->first_key),
                             buf_slice(&writer->last_key))) {
        return fail_with(writer, err, STATUS_RESOURCE_EXHAUSTED, "no memory for the properties");
    }
    table_properties_encode(&writer->compressed, &writer->info);
    if (writer->info.times.known) {
        table_properties_encode_times(&writer->compressed, &writer->info,
                                      buf_slice(&writer->times.runs));
    }
    if (buf_failed(&writer->compressed)) {
        return fail_with(writer, err, STATUS_RESOURCE_EXHAUSTED, "no memory for the properties");
    }
    return put_block(writer, buf_slice(&writer->compressed), CODEC_NONE, handle, err);
}

static enum status put_footer_and_sync(struct table_writer *writer,
                                       const struct table_footer *footer, struct error *err)
{
    uint8_t bytes[TABLE_FOOTER_BYTES];
    table_footer_encode(footer, bytes);
    buf_append(&writer->pending, bytes, sizeof bytes);
    if (buf_failed(&writer->pending)) {
        return fail_with(writer, err, STATUS_RESOURCE_EXHAUSTED, "no memory for the footer");
    }
    enum status status = write_pending(writer, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (!PLANTED(SKIP_TABLE_SYNC) && file_sync(writer->file, &writer->failure) != STATUS_OK) {
        return fail(writer, err);
    }
    writer->info.file_bytes = writer->written;
    return STATUS_OK;
}

/* What is left is the last run. */
static enum status end_times(struct table_writer *writer, struct error *err)
{
    const struct times_builder *times = &writer->times;
    if (!writer->timed || times->missing) {
        return STATUS_OK;
    }
    if (!times_builder_end_block(&writer->times, buf_slice(&writer->last_key), true)) {
        return fail_with(writer, err, STATUS_RESOURCE_EXHAUSTED, "no memory for times");
    }
    writer->info.times = times->all;
    writer->info.time_place = times->place;
    writer->info.times_rise = !times->fall;
    return STATUS_OK;
}

static enum status finish_file(struct table_writer *writer, struct error *err)
{
    if (writer->failure.status != STATUS_OK) {
        return return_failure(writer, err);
    }
    if (writer->info.entries == 0) {
        return fail_with(writer, err, STATUS_FAILED_PRECONDITION, "there is no entry");
    }
    enum status status = STATUS_OK;
    if (writer->data.count > 0) {
        status = finish_data_block(writer, err);
    }
    if (status == STATUS_OK && writer->dictionary_bytes_max > 0) {
        status = put_held(writer, err);
    }
    if (writer->adaptive != NULL) {
        /* An index is another kind of bytes than the data: nothing to learn from. */
        writer->info.codec = writer->adaptive->choice;
        writer->adaptive = NULL;
    }
    if (status == STATUS_OK) {
        status = end_times(writer, err);
    }
    struct table_footer footer = {.file_number = writer->info.file_number,
                                  .columns = writer->info.columns};
    if (status == STATUS_OK) {
        status = put_dictionary(writer, &footer.dictionary, err);
    }
    if (status == STATUS_OK) {
        status = put_filter(writer, &footer.filter, err);
    }
    if (status == STATUS_OK) {
        status = put_index(writer, &footer, err);
    }
    if (status == STATUS_OK) {
        status = put_properties(writer, &footer.properties, err);
    }
    if (status == STATUS_OK) {
        status = put_footer_and_sync(writer, &footer, err);
    }
    return status;
}

enum status table_writer_finish(struct table_writer *writer, struct table_info *info,
                                struct error *err)
{
    enum status status = finish_file(writer, err);
    if (status != STATUS_OK) {
        table_writer_abandon(writer);
        return status;
    }
    *info = writer->info;
    writer->info.alloc = NULL; /* the keys are the caller's now */
    writer_free(writer);
    return STATUS_OK;
}

void table_writer_abandon(struct table_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    /* A file that stays is an orphan, which the engine removes when it opens. */
    struct error ignored = ERROR_INIT;
    if (fs_unlink(writer->fs, writer->path, &ignored) != STATUS_OK) {
        ignored.status = STATUS_OK;
    }
    writer_free(writer);
}
