/* SPDX-License-Identifier: Apache-2.0
 *
 * estreat-tamper: plays an administrator who edits history. It changes one byte of one value
 * in a table file and writes the table anew, so that all of its checksums hold, with the same
 * file number and the same size, so that the manifest still fits it. Only the hashes of the
 * log can tell.
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
#include "storage/table/table_reader.h"
#include "storage/table/table_writer.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 64, ENTRIES_TRIED_MAX = 64, BYTES_TRIED_MAX = 96 };

struct change {
    uint64_t entry;
    size_t byte; /* of its value */
    uint8_t flip;
};

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

static void print_info(const struct table *table)
{
    const struct table_info *info = table_get_info(table);
    printf("file_number %" PRIu64 "\nfile_bytes %" PRIu64 "\nentries %" PRIu64
           "\ndeletions %" PRIu64 "\nraw_bytes %" PRIu64 "\ncodec %s\nsequences %" PRIu64
           " %" PRIu64 "\nsmallest ",
           info->file_number, info->file_bytes, info->entries, info->deletions, info->raw_bytes,
           codec_name(info->codec), info->sequence_smallest, info->sequence_largest);
    print_hex(internal_key_user(info->smallest));
    printf("largest ");
    print_hex(internal_key_user(info->largest));
}

/* Adds an entry, changed if it is the one. */
static enum status copy_entry(struct table_writer *writer, const struct iter *iter, bool changed,
                              const struct change *change, struct buf *value, struct error *err)
{
    if (!changed) {
        return table_writer_add(writer, iter_key(iter), iter_value(iter), err);
    }
    buf_clear(value);
    buf_append_slice(value, iter_value(iter));
    if (buf_failed(value)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a value");
    }
    value->data[change->byte] ^= change->flip;
    return table_writer_add(writer, iter_key(iter), buf_slice(value), err);
}

/* Writes the table to `path` with the change in it. */
static enum status copy_table(struct table *table, const char *path, const struct change *change,
                              uint64_t *file_bytes, struct error *err)
{
    const struct table_info *info = table_get_info(table);
    struct table_writer_options options = {
        .fs = fs_posix(),
        .alloc = alloc_default(),
        .path = path,
        .file_number = info->file_number,
        .codec = info->codec,
        .zstd_level = info->zstd_level,
        .block_bytes = info->block_bytes,
        .restart_interval = info->restart_interval,
        .bloom_bits_per_key = info->bloom_bits_per_key,
    };
    struct table_read_options reading = {.readahead_bytes = 1UL << 20};
    struct iter *iter = NULL;
    enum status status = table_iter_new(table, &reading, &iter, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct table_writer *writer = NULL;
    struct buf value;
    buf_init(&value, alloc_default(), VALUE_BYTES_MAX);
    status = table_writer_open(&options, &writer, err);
    uint64_t number = 0;
    for (iter_seek_to_first(iter); status == STATUS_OK && iter_valid(iter); iter_next(iter)) {
        status = copy_entry(writer, iter, number == change->entry, change, &value, err);
        number++;
    }
    if (status == STATUS_OK) {
        status = iter_status(iter, err);
    }
    if (status == STATUS_OK) {
        struct table_info written;
        status = table_writer_finish(writer, &written, err);
        writer = NULL;
        if (status == STATUS_OK) {
            *file_bytes = written.file_bytes;
            table_info_release(&written);
        }
    }
    table_writer_abandon(writer);
    buf_release(&value);
    iter_close(iter);
    return status;
}

/* Tries changes of one byte until one leaves the file's size as it is. */
static enum status try_byte(struct table *table, const char *copy, struct change *change,
                            bool *done, struct error *err)
{
    static const uint8_t flips[] = {0x01, 0x02, 0x04, 0x10, 0x08, 0x20, 0x40, 0x80};
    for (size_t i = 0; !*done && i < sizeof flips; i++) {
        uint64_t file_bytes = 0;
        change->flip = flips[i];
        enum status status = copy_table(table, copy, change, &file_bytes, err);
        if (status != STATUS_OK) {
            return status;
        }
        *done = file_bytes == table_get_info(table)->file_bytes;
        if (!*done) {
            status = fs_unlink(fs_posix(), copy, err);
            if (status != STATUS_OK) {
                return status;
            }
        }
    }
    return STATUS_OK;
}

/* As try_byte, for the byte that was asked for, then for those around it, the nearest first. */
static enum status try_entry(struct table *table, const char *copy, const struct request *request,
                             uint64_t entry, size_t value_length, bool *done, struct error *err)
{
    long long length = (long long)value_length;
    long long first = length / 2;
    if (request->byte_given) {
        first = request->byte < 0 ? length + request->byte : request->byte;
    }
    if (first < 0 || first >= length) {
        return STATUS_OK;
    }
    for (long long tried = 0; !*done && tried < BYTES_TRIED_MAX; tried++) {
        long long byte = first + (tried % 2 == 0 ? tried / 2 : -(tried + 1) / 2);
        if (byte < 0 || byte >= length) {
            continue;
        }
        struct change change = {.entry = entry, .byte = (size_t)byte};
        enum status status = try_byte(table, copy, &change, done, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* True if the entry that `iter` is at, the `number`-th, may be the one to change. */
static bool is_wanted(const struct request *request, const struct iter *iter, uint64_t number,
                      uint64_t first)
{
    if (request->key.length > 0) {
        return slice_equal(internal_key_user(iter_key(iter)), buf_slice(&request->key));
    }
    return request->entry_given ? number == first : number >= first;
}

/* Writes the changed table to `copy`, and its entry's user key to `key`. */
static enum status tamper(struct table *table, const char *copy, const struct request *request,
                          struct buf *key, struct error *err)
{
    struct iter *iter = NULL;
    enum status status = table_iter_new(table, NULL, &iter, err);
    if (status != STATUS_OK) {
        return status;
    }
    uint64_t first = request->entry_given ? request->entry : table_get_info(table)->entries / 2;
    bool done = false;
    uint64_t number = 0;
    int tried = 0;
    for (iter_seek_to_first(iter); status == STATUS_OK && iter_valid(iter); number++) {
        if (is_wanted(request, iter, number, first) && tried < ENTRIES_TRIED_MAX) {
            tried++;
            status = try_entry(table, copy, request, number, iter_value(iter).length, &done, err);
            if (done) {
                buf_append_slice(key, internal_key_user(iter_key(iter)));
                break;
            }
        }
        iter_next(iter);
    }
    if (status == STATUS_OK && !done) {
        status = iter_status(iter, err);
    }
    if (status == STATUS_OK && !done) {
        status = error_set(err, STATUS_NOT_FOUND,
                           "table %s: found no byte to change that leaves its size as it is",
                           table_path(table));
    }
    iter_close(iter);
    return status;
}

static enum status run(const struct request *request, struct error *err)
{
    char copy[PATH_BYTES_MAX];
    int length = snprintf(copy, sizeof copy, "%s.tampered", request->path);
    if (length < 0 || (size_t)length >= sizeof copy) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "path is too long");
    }
    struct table_open_options options = {
        .fs = fs_posix(), .alloc = alloc_default(), .path = request->path};
    struct table *table = NULL;
    enum status status = table_open(&options, &table, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (request->info) {
        print_info(table);
        table_unref(table);
        return STATUS_OK;
    }
    struct buf key;
    buf_init(&key, alloc_default(), USER_KEY_BYTES_MAX);
    status = tamper(table, copy, request, &key, err);
    if (status == STATUS_OK) {
        status = fs_rename(fs_posix(), copy, request->path, err);
    }
    if (status == STATUS_OK) {
        print_hex(buf_slice(&key));
    }
    buf_release(&key);
    table_unref(table);
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
