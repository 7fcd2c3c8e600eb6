/* SPDX-License-Identifier: Apache-2.0
 *
 * Target: a table file, opened, read in every way and verified.
 */
#include "fuzz.h"
#include "memory_fs.h"
#include "storage/table/block.h"
#include "storage/table/table_format.h"
#include "storage/table/table_reader.h"

enum { ENTRIES_MAX = 100000 };

/* Of a top level, and of a partition that it names. */
static struct block_iter iters[2];

/* --- checksums made good --------------------------------------------------------------------- */

static bool is_within(struct block_handle handle, size_t size)
{
    return handle.length > TABLE_BLOCK_TRAILER_BYTES && handle.offset < size &&
           handle.length <= size - handle.offset;
}

static void seal_block(uint8_t *file, size_t size, struct block_handle handle, uint64_t number)
{
    if (is_within(handle, size)) {
        uint8_t *block = file + handle.offset;
        size_t length = (size_t)handle.length - TABLE_BLOCK_TRAILER_BYTES;
        put_le32(block + length + 1, table_block_checksum(slice_of(block, length), block[length],
                                                          number, handle.offset));
    }
}

/* The blocks that one of the index names, as far as it can be walked: before `end` in the file. Of
 * a top level these are partitions, and then the blocks that they name in turn, before `data_end`.
 */
static void seal_named(uint8_t *file, size_t size, struct block_handle index, uint64_t end,
                       uint64_t data_end, bool top, uint64_t number)
{
    struct block_iter *iter = top ? &iters[0] : &iters[1];
    if (!is_within(index, size)) {
        return;
    }
    size_t length = (size_t)index.length - TABLE_BLOCK_TRAILER_BYTES;
    if (!block_iter_init(iter, slice_of(file + index.offset, length))) {
        return;
    }
    block_iter_seek_to_first(iter);
    for (unsigned i = 0; block_iter_valid(iter) && i < 64; i++) {
        struct cursor cursor = cursor_of(iter->value);
        struct block_handle handle = {.offset = cursor_varint(&cursor)};
        handle.length = cursor_varint(&cursor);
        if (!cursor.failed) {
            if (top) {
                seal_named(file, size, handle, data_end, data_end, false, number);
            }
            seal_block(file, end < size ? (size_t)end : size, handle, number);
        }
        block_iter_next(iter);
    }
}

static void seal_data(uint8_t *file, size_t size, const struct table_footer *footer)
{
    seal_named(file, size, footer->index,
               footer->two_levels ? footer->index.offset : footer->filter.offset,
               footer->filter.offset, footer->two_levels, footer->file_number);
}

static void seal(uint8_t *file, size_t size)
{
    if (size < TABLE_FOOTER_BYTES) {
        return;
    }
    uint8_t *at = file + size - TABLE_FOOTER_BYTES;
    struct table_footer footer = {.filter = {get_le64(at), get_le64(at + 8)},
                                  .index = {get_le64(at + 16), get_le64(at + 24)},
                                  .properties = {get_le64(at + 32), get_le64(at + 40)},
                                  .file_number = get_le64(at + 48),
                                  .two_levels = get_le32(at + 60) == TABLE_INDEX_TWO_LEVELS};
    footer.dictionary.length = get_le32(at + 64);
    footer.dictionary.offset = footer.filter.offset - footer.dictionary.length;
    table_footer_encode(&footer, at);
    size_t body = size - TABLE_FOOTER_BYTES;
    seal_block(file, body, footer.dictionary, footer.file_number);
    seal_block(file, body, footer.filter, footer.file_number);
    seal_data(file, body, &footer);
    seal_block(file, body, footer.index, footer.file_number);
    seal_block(file, body, footer.properties, footer.file_number);
}

/* --- use ---------------------------------------------------------------------------------------
 */

/* Returns how many entries came; *whole is whether it ended without damage. */
static size_t walk(struct table *table, bool forward, bool *whole)
{
    struct iter *iter = NULL;
    size_t count = 0;
    *whole = false;
    if (table_iter_new(table, NULL, &iter, NULL) != STATUS_OK) {
        return 0;
    }
    for (forward ? iter_seek_to_first(iter) : iter_seek_to_last(iter); iter_valid(iter);
         forward ? iter_next(iter) : iter_prev(iter)) {
        CHECK(iter_key(iter).length >= KEY_TRAILER_BYTES);
        CHECK(++count < ENTRIES_MAX);
    }
    *whole = iter_status(iter, NULL) == STATUS_OK;
    iter_close(iter);
    return count;
}

static void look_up(struct table *table, const uint8_t *data, size_t size)
{
    struct buf value;
    buf_init(&value, fuzz_alloc(), 1UL << 20);
    for (unsigned i = 0; i < 4; i++) {
        enum lookup result = LOOKUP_ABSENT;
        size_t at = size * i / 4;
        size_t length = size - at < 12 ? size - at : 12;
        (void)!table_get(table, slice_of(data + at, length), SEQUENCE_MAX, NULL, &result, &value,
                         NULL);
        const struct table_info *info = table_get_info(table);
        (void)!table_get(table, internal_key_user(i % 2 == 0 ? info->smallest : info->largest),
                         SEQUENCE_MAX, NULL, &result, &value, NULL);
    }
    buf_release(&value);
}

static void count_fault(void *context, const struct error *fault)
{
    CHECK(fault->status == STATUS_CORRUPT);
    (*(size_t *)context)++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct memory_fs memory;
    struct table *table = NULL;
    if (size == 0) {
        return 0;
    }
    uint8_t *file = alloc_new(alloc_default(), size);
    CHECK(file != NULL);
    memcpy(file, data, size);
    if (fuzz_is_sealed(slice_of(data, size))) {
        seal(file + 1, size - 1);
    }
    memory_fs_init(&memory);
    memory_fs_add(&memory, "t", slice_of(file + 1, size - 1));
    const struct table_open_options options = {
        .fs = &memory.fs, .alloc = fuzz_alloc(), .path = "t"};
    if (table_open(&options, &table, NULL) == STATUS_OK) {
        bool forward_whole = false;
        bool backward_whole = false;
        size_t faults = 0;
        size_t forward = walk(table, true, &forward_whole);
        size_t backward = walk(table, false, &backward_whole);
        look_up(table, data, size);
        enum status verified = table_verify(table, NULL, NULL);
        enum status looked = table_find_faults(table, count_fault, &faults, NULL);
        /* What is verified is whole, and all of it is found from either end. */
        if (verified == STATUS_OK) {
            CHECK(forward_whole && backward_whole);
            CHECK(forward == backward && forward == table_get_info(table)->entries);
            CHECK(looked == STATUS_OK && faults == 0);
        }
        CHECK(verified != STATUS_CORRUPT || faults > 0 || looked != STATUS_OK);
        table_unref(table);
    }
    alloc_free(alloc_default(), file);
    return 0;
}

bool fuzz_seed(unsigned n, struct buf *out)
{
    static const char *const names[] = {
        "store_v1/000002.sst", "store_v1/000003.sst",     "table_v1_none.sst",
        "table_v1_lz4.sst",    "table_v1_zstd.sst",       "store_v1/000006.sst",
        "table_v3_zstd.sst",   "table_v1_two_levels.sst", "table_v1_times.sst",
        "table_v2_none.sst",   "table_v2_lz4.sst",        "table_v2_zstd.sst",
        "store_v2/000002.sst", "store_v2/000003.sst"};
    if (n >= sizeof names / sizeof names[0]) {
        return false;
    }
    buf_put_u8(out, 1);
    fuzz_golden(names[n], out);
    return true;
}
