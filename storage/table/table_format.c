/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/table_format.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "base/plant.h"
#include "storage/table/bloom.h"
#include "storage/table/columns.h"
#include "storage/table/key.h"

/* --- blocks -------------------------------------------------------------------------------- */

uint32_t table_block_checksum(struct slice contents, uint8_t codec, uint64_t file_number,
                              uint64_t offset)
{
    uint8_t place[17];
    place[0] = codec;
    put_le64(place + 1, file_number);
    put_le64(place + 9, offset);
    uint32_t crc = crc32c_extend(0, contents.data, contents.length);
    return crc32c_extend(crc, place, sizeof place);
}

void table_block_seal(struct buf *out, size_t begin, uint8_t codec, uint64_t file_number,
                      uint64_t offset)
{
    CHECK(begin <= out->length);
    if (buf_failed(out)) {
        return;
    }
    uint32_t crc =
        table_block_checksum(slice_from(buf_slice(out), begin), codec, file_number, offset);
    buf_put_u8(out, codec);
    buf_put_le32(out, crc);
}

enum status table_block_unseal(struct slice stored, uint64_t file_number, uint64_t offset,
                               struct slice *contents, uint8_t *codec, struct error *err)
{
    if (stored.length <= TABLE_BLOCK_TRAILER_BYTES) {
        return error_set(err, STATUS_CORRUPT, "block of %zu bytes is too short", stored.length);
    }
    struct slice body = slice_of(stored.data, stored.length - TABLE_BLOCK_TRAILER_BYTES);
    const uint8_t *trailer = stored.data + body.length;
    uint32_t expected = get_le32(trailer + 1);
    uint32_t actual = table_block_checksum(body, trailer[0], file_number, offset);
    if (actual != expected && !PLANTED(SKIP_CHECKSUM)) {
        return error_set(err, STATUS_CORRUPT, "checksum is %08x, stored was %08x", actual,
                         expected);
    }
    *contents = body;
    *codec = trailer[0];
    return STATUS_OK;
}

void table_handle_encode(struct buf *out, struct block_handle handle)
{
    buf_put_varint(out, handle.offset);
    buf_put_varint(out, handle.length);
}

bool table_handle_decode(struct slice bytes, struct block_handle *out)
{
    struct cursor cursor = cursor_of(bytes);
    struct block_handle handle = {.offset = cursor_varint(&cursor)};
    handle.length = cursor_varint(&cursor);
    if (!cursor_done(&cursor)) {
        return false;
    }
    *out = handle;
    return true;
}

/* --- footer -------------------------------------------------------------------------------- */

/* Offsets within the footer. */
enum {
    FOOTER_FILTER = 0,
    FOOTER_INDEX = 16,
    FOOTER_PROPERTIES = 32,
    FOOTER_FILE_NUMBER = 48,
    FOOTER_VERSION = 56,
    FOOTER_INDEX_TYPE = 60,
    FOOTER_DICTIONARY = 64, /* its length; 0 before version 3 */
    FOOTER_CHECKSUM = 68,
    FOOTER_MAGIC = 72,
};

static void put_handle(uint8_t *to, struct block_handle handle)
{
    put_le64(to, handle.offset);
    put_le64(to + 8, handle.length);
}

static struct block_handle get_handle(const uint8_t *from)
{
    return (struct block_handle){.offset = get_le64(from), .length = get_le64(from + 8)};
}

void table_footer_encode(const struct table_footer *footer, uint8_t out[TABLE_FOOTER_BYTES])
{
    put_handle(out + FOOTER_FILTER, footer->filter);
    put_handle(out + FOOTER_INDEX, footer->index);
    put_handle(out + FOOTER_PROPERTIES, footer->properties);
    put_le64(out + FOOTER_FILE_NUMBER, footer->file_number);
    put_le32(out + FOOTER_VERSION, footer->dictionary.length > 0 ? TABLE_VERSION_DICTIONARY
                                   : footer->columns             ? TABLE_VERSION_COLUMNS
                                                                 : TABLE_VERSION);
    put_le32(out + FOOTER_INDEX_TYPE,
             footer->two_levels ? TABLE_INDEX_TWO_LEVELS : TABLE_INDEX_SINGLE_LEVEL);
    put_le32(out + FOOTER_DICTIONARY, (uint32_t)footer->dictionary.length);
    put_le32(out + FOOTER_CHECKSUM, crc32c_extend(0, out, FOOTER_CHECKSUM));
    put_le64(out + FOOTER_MAGIC, TABLE_MAGIC);
}

/* True if `handle` begins at `*at` and ends at or before `limit`; then `*at` is its end. */
static bool follows(struct block_handle handle, uint64_t *at, uint64_t limit)
{
    if (handle.offset != *at || *at > limit || handle.length > limit - *at ||
        handle.length > TABLE_STORED_BYTES_MAX) {
        return false;
    }
    *at += handle.length;
    return true;
}

/* True if there is room for partitions before the index, if it has any; then `*at` is their end. */
static bool pass_partitions(const struct table_footer *footer, uint64_t *at, uint64_t limit)
{
    if (!footer->two_levels) {
        return true;
    }
    if (footer->index.offset <= *at || footer->index.offset > limit) {
        return false;
    }
    *at = footer->index.offset;
    return true;
}

enum status table_footer_decode(const uint8_t bytes[TABLE_FOOTER_BYTES], uint64_t file_bytes,
                                struct table_footer *out, struct error *err)
{
    CHECK(file_bytes >= TABLE_FOOTER_BYTES);
    if (get_le64(bytes + FOOTER_MAGIC) != TABLE_MAGIC) {
        return error_set(err, STATUS_CORRUPT, "footer has not a table's magic number");
    }
    if (get_le32(bytes + FOOTER_CHECKSUM) != crc32c_extend(0, bytes, FOOTER_CHECKSUM)) {
        return error_set(err, STATUS_CORRUPT, "footer's checksum does not hold");
    }
    uint32_t version = get_le32(bytes + FOOTER_VERSION);
    uint32_t index_type = get_le32(bytes + FOOTER_INDEX_TYPE);
    if (version < TABLE_VERSION || version > TABLE_VERSION_DICTIONARY ||
        index_type < TABLE_INDEX_SINGLE_LEVEL || index_type > TABLE_INDEX_TWO_LEVELS) {
        return error_set(err, STATUS_UNIMPLEMENTED,
                         "table version %u with index type %u is not known here", version,
                         index_type);
    }
    struct table_footer footer = {
        .filter = get_handle(bytes + FOOTER_FILTER),
        .index = get_handle(bytes + FOOTER_INDEX),
        .properties = get_handle(bytes + FOOTER_PROPERTIES),
        .file_number = get_le64(bytes + FOOTER_FILE_NUMBER),
        .columns = version >= TABLE_VERSION_COLUMNS,
        .two_levels = index_type == TABLE_INDEX_TWO_LEVELS,
    };
    footer.dictionary.length = get_le32(bytes + FOOTER_DICTIONARY);
    footer.dictionary.offset = footer.filter.offset - footer.dictionary.length;
    uint64_t limit = file_bytes - TABLE_FOOTER_BYTES;
    uint64_t at = footer.dictionary.offset;
    if (footer.dictionary.length > footer.filter.offset ||
        (footer.dictionary.length > 0) != (version == TABLE_VERSION_DICTIONARY) ||
        !follows(footer.dictionary, &at, limit) || !follows(footer.filter, &at, limit) ||
        !pass_partitions(&footer, &at, limit) || !follows(footer.index, &at, limit) ||
        !follows(footer.properties, &at, limit) || at != limit || footer.file_number == 0) {
        return error_set(err, STATUS_CORRUPT, "footer does not describe a file of %llu bytes",
                         (unsigned long long)file_bytes);
    }
    *out = footer;
    return STATUS_OK;
}

/* --- properties ------------------------------------------------------------------------------ */

/* Tags on disk; a reader passes over those that it does not know. */
enum property {
    PROPERTY_ENTRIES = 1,
    PROPERTY_DELETIONS = 2,
    PROPERTY_RAW_BYTES = 3,
    PROPERTY_DATA_BYTES = 4,
    PROPERTY_SEQUENCE_SMALLEST = 5,
    PROPERTY_SEQUENCE_LARGEST = 6,
    PROPERTY_KEY_SMALLEST = 7,
    PROPERTY_KEY_LARGEST = 8,
    PROPERTY_CODEC = 9,
    PROPERTY_ZSTD_LEVEL = 10,
    PROPERTY_BLOCK_BYTES = 11,
    PROPERTY_RESTART_INTERVAL = 12,
    PROPERTY_BLOOM_BITS_PER_KEY = 13,
    PROPERTY_NUMBER_PLACE = 14, /* only of tables with columns */
    PROPERTY_UNUSED = 15,
    /* All of these, or none: times.h */
    PROPERTY_TIME_PLACE = 16,
    PROPERTY_TIME_SMALLEST = 17,
    PROPERTY_TIME_LARGEST = 18,
    PROPERTY_TIMES_RISE = 19,
    PROPERTY_TIME_RUNS = 20,
    PROPERTIES_COUNT, /* and one for the unused 0 */
};

static void put_number(struct buf *out, enum property tag, uint64_t value)
{
    buf_put_varint(out, tag);
    buf_put_varint(out, varint_length(value));
    buf_put_varint(out, value);
}

static void put_bytes(struct buf *out, enum property tag, struct slice bytes)
{
    buf_put_varint(out, tag);
    buf_put_prefixed(out, bytes);
}

void table_properties_encode(struct buf *out, const struct table_info *info)
{
    put_number(out, PROPERTY_ENTRIES, info->entries);
    put_number(out, PROPERTY_DELETIONS, info->deletions);
    put_number(out, PROPERTY_RAW_BYTES, info->raw_bytes);
    put_number(out, PROPERTY_DATA_BYTES, info->data_bytes);
    put_number(out, PROPERTY_SEQUENCE_SMALLEST, info->sequence_smallest);
    put_number(out, PROPERTY_SEQUENCE_LARGEST, info->sequence_largest);
    put_bytes(out, PROPERTY_KEY_SMALLEST, info->smallest);
    put_bytes(out, PROPERTY_KEY_LARGEST, info->largest);
    put_number(out, PROPERTY_CODEC, info->codec);
    put_number(out, PROPERTY_ZSTD_LEVEL, (uint64_t)info->zstd_level);
    put_number(out, PROPERTY_BLOCK_BYTES, info->block_bytes);
    put_number(out, PROPERTY_RESTART_INTERVAL, info->restart_interval);
    put_number(out, PROPERTY_BLOOM_BITS_PER_KEY, info->bloom_bits_per_key);
    if (info->columns) {
        put_number(out, PROPERTY_NUMBER_PLACE, info->number_place);
    }
}

void table_properties_encode_times(struct buf *out, const struct table_info *info,
                                   struct slice runs)
{
    CHECK(info->times.known);
    put_number(out, PROPERTY_TIME_PLACE, info->time_place);
    put_number(out, PROPERTY_TIME_SMALLEST, info->times.smallest);
    put_number(out, PROPERTY_TIME_LARGEST, info->times.largest);
    put_number(out, PROPERTY_TIMES_RISE, info->times_rise ? 1 : 0);
    put_bytes(out, PROPERTY_TIME_RUNS, runs);
}

struct slice table_properties_time_runs(struct slice bytes)
{
    struct cursor cursor = cursor_of(bytes);
    while (!cursor.failed && cursor_left(&cursor) > 0) {
        uint64_t tag = cursor_varint(&cursor);
        struct slice value = cursor_prefixed(&cursor);
        if (tag == PROPERTY_TIME_RUNS) {
            return value;
        }
    }
    return slice_of(NULL, 0);
}

/* Reads one property into `numbers` or the keys. False: its bytes are no number. */
static bool read_property(uint64_t tag, struct slice bytes, uint64_t *numbers,
                          struct slice *smallest, struct slice *largest)
{
    if (tag == PROPERTY_KEY_SMALLEST) {
        *smallest = bytes;
        return true;
    }
    if (tag == PROPERTY_KEY_LARGEST) {
        *largest = bytes;
        return true;
    }
    if (tag == PROPERTY_TIME_RUNS || tag == PROPERTY_UNUSED) {
        return true; /* the runs: table_properties_time_runs() */
    }
    struct cursor cursor = cursor_of(bytes);
    numbers[tag] = cursor_varint(&cursor);
    return cursor_done(&cursor);
}

/* True if each number is one that a writer can have written. */
static bool numbers_in_range(const uint64_t *numbers)
{
    return numbers[PROPERTY_ENTRIES] > 0 &&
           numbers[PROPERTY_DELETIONS] <= numbers[PROPERTY_ENTRIES] &&
           numbers[PROPERTY_SEQUENCE_SMALLEST] <= numbers[PROPERTY_SEQUENCE_LARGEST] &&
           numbers[PROPERTY_SEQUENCE_LARGEST] <= SEQUENCE_MAX &&
           codec_is_known((unsigned)numbers[PROPERTY_CODEC]) &&
           numbers[PROPERTY_CODEC] <= CODEC_ZSTD &&
           numbers[PROPERTY_ZSTD_LEVEL] <= CODEC_ZSTD_LEVEL_MAX &&
           numbers[PROPERTY_BLOCK_BYTES] <= TABLE_BLOCK_BYTES_MAX &&
           numbers[PROPERTY_RESTART_INTERVAL] <= TABLE_RESTART_INTERVAL_MAX &&
           numbers[PROPERTY_BLOOM_BITS_PER_KEY] <= BLOOM_BITS_PER_KEY_MAX &&
           numbers[PROPERTY_NUMBER_PLACE] <= COLUMNS_PLACE_MAX &&
           numbers[PROPERTY_TIME_PLACE] <= COLUMNS_PLACE_MAX &&
           numbers[PROPERTY_TIME_SMALLEST] <= numbers[PROPERTY_TIME_LARGEST] &&
           numbers[PROPERTY_TIMES_RISE] <= 1;
}

/* The properties that must be there, as bits of their tags, and those that go together. */
#define PROPERTIES_NEEDED ((1U << PROPERTY_NUMBER_PLACE) - 2)
#define PROPERTIES_OF_TIMES ((1U << (PROPERTY_TIME_RUNS + 1)) - (1U << PROPERTY_TIME_PLACE))

static bool all_needed(uint32_t seen)
{
    uint32_t times = seen & PROPERTIES_OF_TIMES;
    return (seen & PROPERTIES_NEEDED) == PROPERTIES_NEEDED &&
           (times == 0 || times == PROPERTIES_OF_TIMES);
}

enum status table_properties_decode(struct slice bytes, struct alloc *alloc, struct table_info *out,
                                    struct error *err)
{
    uint64_t numbers[PROPERTIES_COUNT] = {0};
    struct slice smallest = slice_of_string("");
    struct slice largest = slice_of_string("");
    uint32_t seen = 0;
    struct cursor cursor = cursor_of(bytes);
    while (!cursor.failed && cursor_left(&cursor) > 0) {
        uint64_t tag = cursor_varint(&cursor);
        struct slice value = cursor_prefixed(&cursor);
        if (cursor.failed || tag == 0) {
            cursor.failed = true;
        } else if (tag < PROPERTIES_COUNT) {
            seen |= 1U << tag;
            cursor.failed = !read_property(tag, value, numbers, &smallest, &largest);
        }
    }
    struct internal_key parsed;
    bool columns = (seen & (1U << PROPERTY_NUMBER_PLACE)) != 0;
    if (cursor.failed || !all_needed(seen) || !numbers_in_range(numbers) ||
        !internal_key_parse(smallest, &parsed) || !internal_key_parse(largest, &parsed) ||
        internal_key_compare(smallest, largest) > 0) {
        return error_set(err, STATUS_CORRUPT, "properties are cut or out of range");
    }
    struct table_info info = {
        .entries = numbers[PROPERTY_ENTRIES],
        .deletions = numbers[PROPERTY_DELETIONS],
        .raw_bytes = numbers[PROPERTY_RAW_BYTES],
        .data_bytes = numbers[PROPERTY_DATA_BYTES],
        .sequence_smallest = numbers[PROPERTY_SEQUENCE_SMALLEST],
        .sequence_largest = numbers[PROPERTY_SEQUENCE_LARGEST],
        .codec = (enum codec)numbers[PROPERTY_CODEC],
        .zstd_level = (int)numbers[PROPERTY_ZSTD_LEVEL],
        .block_bytes = (uint32_t)numbers[PROPERTY_BLOCK_BYTES],
        .restart_interval = (uint32_t)numbers[PROPERTY_RESTART_INTERVAL],
        .bloom_bits_per_key = (uint32_t)numbers[PROPERTY_BLOOM_BITS_PER_KEY],
        .columns = columns,
        .number_place = (uint32_t)numbers[PROPERTY_NUMBER_PLACE],
        .times = {.known = (seen & PROPERTIES_OF_TIMES) != 0,
                  .smallest = numbers[PROPERTY_TIME_SMALLEST],
                  .largest = numbers[PROPERTY_TIME_LARGEST]},
        .time_place = (uint32_t)numbers[PROPERTY_TIME_PLACE],
        .times_rise = numbers[PROPERTY_TIMES_RISE] == 1,
    };
    if (!table_info_set_keys(&info, alloc, smallest, largest)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a table's properties");
    }
    *out = info;
    return STATUS_OK;
}

/* --- info ------------------------------------------------------------------------------------ */

bool table_info_set_keys(struct table_info *info, struct alloc *alloc, struct slice smallest,
                         struct slice largest)
{
    CHECK(smallest.length >= KEY_TRAILER_BYTES);
    CHECK(largest.length >= KEY_TRAILER_BYTES);
    uint8_t *memory = alloc_new(alloc, smallest.length + largest.length);
    if (memory == NULL) {
        return false;
    }
    memcpy(memory, smallest.data, smallest.length);
    memcpy(memory + smallest.length, largest.data, largest.length);
    table_info_release(info);
    info->alloc = alloc;
    info->smallest = slice_of(memory, smallest.length);
    info->largest = slice_of(memory + smallest.length, largest.length);
    return true;
}

void table_info_release(struct table_info *info)
{
    if (info->alloc != NULL) {
        /* Both keys are in one piece of memory, which the smallest begins. */
        alloc_free(info->alloc, (void *)(uintptr_t)info->smallest.data);
    }
    info->alloc = NULL;
    info->smallest = slice_of(NULL, 0);
    info->largest = slice_of(NULL, 0);
}
