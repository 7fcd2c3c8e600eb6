/* SPDX-License-Identifier: Apache-2.0
 *
 * estreat-tamper: plays an administrator who edits history. It changes one byte of one value
 * in a table file and makes its block's checksum fit. The table keeps its file number and size,
 * so the manifest still fits it: only the hashes of the log can tell.
 *
 *   estreat-tamper TABLE_FILE [--entry N | --key HEX] [--byte B]
 *   estreat-tamper TABLE_FILE --info
 *
 * --entry N   the N-th entry, from 0; else the middle one
 * --key HEX   the newest entry of this user key
 * --byte B    the B-th byte of its value, negative from the end; else the middle one
 *
 * Prints the entry's user key in hex. If the changed block compresses to another size, other
 * changes of the byte, then the bytes around it are tried, and then, unless --entry or --key was
 * given, the entries behind it. Exits 1 if it changed nothing, 64 on wrong usage.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/fs.h"
#include "storage/table/block.h"
#include "storage/table/columns.h"
#include "storage/table/table_meta.h"

/* Some blocks' worth of entries: a block's first ones repeat nothing, so that a change of theirs
 * leaves its compressed size as it is. */
enum { EXIT_FAILED = 1, EXIT_USAGE = 64, ENTRIES_TRIED_MAX = 1024, BYTES_TRIED_MAX = 96 };

struct request {
    const char *path;
    bool info;
    bool entry_given;
    uint64_t entry;
    struct buf key; /* empty: not given */
    bool byte_given;
    long long byte;
};

/* --- command line ------------------------------------------------------------------------- */

static bool parse_number(const char *text, long long *out)
{
    char *end = NULL;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static int hex_digit(char digit)
{
    const char *digits = "0123456789abcdef";
    const char *at = digit == '\0' ? NULL : strchr(digits, digit);
    return at == NULL ? -1 : (int)(at - digits);
}

static bool parse_hex(const char *text, struct buf *out)
{
    for (; text[0] != '\0'; text += 2) {
        int high = hex_digit(text[0]);
        int low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0) {
            return false;
        }
        buf_put_u8(out, (uint8_t)(high << 4 | low));
    }
    return out->length > 0 && !buf_failed(out);
}

static bool parse_option(struct request *request, const char *name, const char *value)
{
    long long number = 0;
    if (strcmp(name, "--key") == 0) {
        return parse_hex(value, &request->key);
    }
    if (!parse_number(value, &number)) {
        return false;
    }
    if (strcmp(name, "--entry") == 0 && number >= 0) {
        request->entry_given = true;
        request->entry = (uint64_t)number;
        return true;
    }
    if (strcmp(name, "--byte") == 0) {
        request->byte_given = true;
        request->byte = number;
        return true;
    }
    return false;
}

static bool parse_arguments(int argc, char **argv, struct request *request)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--info") == 0) {
            request->info = true;
        } else if (strncmp(argv[i], "--", 2) == 0) {
            if (i + 1 == argc || !parse_option(request, argv[i], argv[i + 1])) {
                return false;
            }
            i++;
        } else if (request->path == NULL) {
            request->path = argv[i];
        } else {
            return false;
        }
    }
    return request->path != NULL && !(request->entry_given && request->key.length > 0);
}

/* --- the table ------------------------------------------------------------------------------ */

static void print_hex(struct slice bytes)
{
    for (size_t i = 0; i < bytes.length; i++) {
        printf("%02x", bytes.data[i]);
    }
    printf("\n");
}

static void print_info(const struct table_info *info)
{
    printf("file_number %" PRIu64 "\nfile_bytes %" PRIu64 "\nentries %" PRIu64
           "\ndeletions %" PRIu64 "\nraw_bytes %" PRIu64 "\ncodec %s\nsequences %" PRIu64
           " %" PRIu64 "\nsmallest ",
           info->file_number, info->file_bytes, info->entries, info->deletions, info->raw_bytes,
           codec_name(info->codec), info->sequence_smallest, info->sequence_largest);
    print_hex(internal_key_user(info->smallest));
    printf("largest ");
    print_hex(internal_key_user(info->largest));
}

/* An open table, and one of its blocks. */
struct work {
    const struct request *request;
    struct table_file file;
    struct table_meta meta;
    struct codec_context codec_context;
    struct codec_dictionary *dictionary; /* to compress with; owned; NULL: the table has none */
    struct block_handle handle;          /* of the block */
    struct buf raw;                      /* the block's bytes; its changes are made here */
    struct buf packed;                   /* the same as columns, if the table has such */
    struct buf stored;                   /* the same as they would lie in the file */
    uint64_t number;                     /* of the entry, in the table */
    int entries_tried;
    bool done;
};

static enum status load_block(struct work *work, struct block_loader *loader, struct error *err)
{
    struct cached_block *block = NULL;
    enum status status = block_loader_load(loader, work->handle, &block, err);
    if (status != STATUS_OK) {
        return status;
    }
    buf_clear(&work->raw);
    buf_append_slice(&work->raw, cached_block_slice(block));
    cached_block_unref(block);
    if (buf_failed(&work->raw)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a block");
    }
    return STATUS_OK;
}

/* Writes the changed block over the one in the file if it has the same size there. */
static enum status try_block(struct work *work, struct error *err)
{
    const struct table_info *info = &work->meta.info;
    enum codec used = CODEC_NONE;
    buf_clear(&work->packed);
    bool columns = info->columns && columns_pack(buf_slice(&work->raw), info->restart_interval,
                                                 info->number_place, &work->packed);
    enum codec codec = work->dictionary != NULL ? CODEC_ZSTD_DICTIONARY : info->codec;
    enum status status = codec_compress(&work->codec_context, codec, info->zstd_level,
                                        buf_slice(columns ? &work->packed : &work->raw),
                                        &work->stored, &used, NULL, err);
    if (status != STATUS_OK) {
        return status;
    }
    table_block_seal(&work->stored, 0, (uint8_t)(used | (columns ? TABLE_BLOCK_COLUMNS : 0)),
                     info->file_number, work->handle.offset);
    if (buf_failed(&work->stored)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a block");
    }
    if (work->stored.length != work->handle.length) {
        return STATUS_OK;
    }
    work->done = true;
    status = file_write(work->file.file, work->handle.offset, buf_slice(&work->stored), err);
    return status == STATUS_OK ? file_sync(work->file.file, err) : status;
}

/* Tries changes of the byte at `offset` in the block. */
static enum status try_byte(struct work *work, size_t offset, struct error *err)
{
    static const uint8_t flips[] = {0x01, 0x02, 0x04, 0x10, 0x08, 0x20, 0x40, 0x80};
    uint8_t original = work->raw.data[offset];
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && !work->done && i < sizeof flips; i++) {
        work->raw.data[offset] = original ^ flips[i];
        status = try_block(work, err);
    }
    work->raw.data[offset] = original;
    return status;
}

/* As try_byte, for the byte of the value that was asked for, then for those around it, the
 * nearest first. The value is in the block, `begin` bytes behind its start. */
static enum status try_value(struct work *work, size_t begin, size_t value_length,
                             struct error *err)
{
    const struct request *request = work->request;
    long long length = (long long)value_length;
    long long first = length / 2;
    if (request->byte_given) {
        first = request->byte < 0 ? length + request->byte : request->byte;
    }
    if (first < 0 || first >= length) {
        return STATUS_OK;
    }
    enum status status = STATUS_OK;
    for (int tried = 0; status == STATUS_OK && !work->done && tried < BYTES_TRIED_MAX; tried++) {
        long long byte = first + (tried % 2 == 0 ? tried / 2 : -(tried + 1) / 2);
        if (byte >= 0 && byte < length) {
            status = try_byte(work, begin + (size_t)byte, err);
        }
    }
    return status;
}

static bool is_wanted(const struct work *work, struct slice user_key)
{
    const struct request *request = work->request;
    if (request->key.length > 0) {
        return work->entries_tried == 0 && slice_equal(user_key, buf_slice(&request->key));
    }
    if (request->entry_given) {
        return work->number == request->entry;
    }
    return work->number >= work->meta.info.entries / 2 && work->entries_tried < ENTRIES_TRIED_MAX;
}

/* Tries the wanted entries of the block; writes the key of the one that was changed to `key`. */
static enum status try_entries(struct work *work, struct buf *key, struct error *err)
{
    struct block_iter iter;
    bool sound = block_iter_init(&iter, buf_slice(&work->raw));
    enum status status = STATUS_OK;
    if (sound) {
        block_iter_seek_to_first(&iter);
    }
    while (sound && status == STATUS_OK && block_iter_valid(&iter)) {
        struct slice user_key = internal_key_user(iter.key);
        if (is_wanted(work, user_key)) {
            work->entries_tried++;
            status =
                try_value(work, (size_t)(iter.value.data - work->raw.data), iter.value.length, err);
            if (work->done) {
                buf_append_slice(key, user_key);
                return status;
            }
        }
        work->number++;
        block_iter_next(&iter);
    }
    if (status == STATUS_OK && iter.damage != NULL) {
        status = error_set(err, STATUS_CORRUPT, "table %s: block at %" PRIu64 ": %s",
                           work->file.path, work->handle.offset, iter.damage);
    }
    return status;
}

/* The table's dictionary, to write with. */
static enum status load_dictionary(struct work *work, struct block_loader *loader,
                                   struct error *err)
{
    struct cached_block *block = NULL;
    if (work->meta.dictionary == NULL) {
        return STATUS_OK;
    }
    enum status status = block_loader_load(loader, work->meta.dictionary_handle, &block, err);
    if (status == STATUS_OK) {
        status = codec_dictionary_new(alloc_default(), cached_block_slice(block),
                                      work->meta.info.zstd_level, &work->dictionary, err);
        cached_block_unref(block);
    }
    work->codec_context.dictionary = work->dictionary;
    return status;
}

static enum status tamper(struct work *work, struct buf *key, struct error *err)
{
    struct block_loader loader;
    block_loader_init(&loader, &work->file, NULL, work->meta.index.data_end);
    struct index_iter index;
    index_iter_init(&index, &work->meta.index, &loader);
    enum status status = load_dictionary(work, &loader, err);
    if (status == STATUS_OK) {
        status = index_iter_seek_to_first(&index, err);
    }
    while (status == STATUS_OK && !work->done && index_iter_valid(&index)) {
        work->handle = index.entry.handle;
        status = load_block(work, &loader, err);
        if (status == STATUS_OK) {
            status = try_entries(work, key, err);
        }
        if (status == STATUS_OK) {
            status = index_iter_next(&index, err);
        }
    }
    index_iter_release(&index);
    block_loader_release(&loader);
    if (status == STATUS_OK && !work->done) {
        status = error_set(err, STATUS_NOT_FOUND,
                           "table %s: found no byte to change that leaves its size as it is",
                           work->file.path);
    }
    return status;
}

static enum status run(const struct request *request, struct error *err)
{
    struct work work = {.request = request,
                        .file = {.path = request->path, .alloc = alloc_default()}};
    const int flags = request->info ? FS_READ : FS_READ | FS_WRITE;
    enum status status = fs_open(fs_posix(), request->path, flags, &work.file.file, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct buf key;
    buf_init(&key, alloc_default(), USER_KEY_BYTES_MAX);
    buf_init(&work.raw, alloc_default(), CODEC_RAW_BYTES_MAX);
    buf_init(&work.packed, alloc_default(), TABLE_STORED_BYTES_MAX);
    buf_init(&work.stored, alloc_default(), TABLE_STORED_BYTES_MAX);
    codec_context_init(&work.codec_context);
    status = file_size(work.file.file, &work.file.file_bytes, err);
    if (status == STATUS_OK) {
        status = table_meta_read(&work.file, false, &work.meta, err);
    }
    if (status == STATUS_OK && request->info) {
        print_info(&work.meta.info);
    } else if (status == STATUS_OK) {
        status = tamper(&work, &key, err);
        if (status == STATUS_OK) {
            print_hex(buf_slice(&key));
        }
    }
    table_meta_release(&work.meta);
    codec_context_release(&work.codec_context);
    codec_dictionary_free(work.dictionary);
    buf_release(&work.stored);
    buf_release(&work.packed);
    buf_release(&work.raw);
    buf_release(&key);
    file_close(work.file.file);
    return status;
}

int main(int argc, char **argv)
{
    struct request request = {.path = NULL};
    struct error err = ERROR_INIT;
    buf_init(&request.key, alloc_default(), USER_KEY_BYTES_MAX);
    int result = EXIT_SUCCESS;
    if (!parse_arguments(argc, argv, &request)) {
        (void)fprintf(stderr, "usage: estreat-tamper TABLE_FILE [--info] [--entry N | --key HEX]"
                              " [--byte B]\n");
        result = EXIT_USAGE;
    } else if (run(&request, &err) != STATUS_OK) {
        (void)fprintf(stderr, "estreat-tamper: %s\n", err.text);
        result = EXIT_FAILED;
    }
    buf_release(&request.key);
    return result;
}
