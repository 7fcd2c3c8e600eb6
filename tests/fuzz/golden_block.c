/* SPDX-License-Identifier: Apache-2.0 */
#include "golden_block.h"

#include "fuzz.h"
#include "storage/table/table_format.h"

/* The first data block ends where its checksum holds. */
static struct block_handle first_data(struct slice table, uint64_t file_number)
{
    struct block_handle handle = {.length = TABLE_BLOCK_TRAILER_BYTES + 1};
    struct slice contents;
    uint8_t codec = 0;
    while (table_block_unseal(slice_of(table.data, (size_t)handle.length), file_number, 0,
                              &contents, &codec, NULL) != STATUS_OK) {
        handle.length++;
        CHECK(handle.length < table.length);
    }
    return handle;
}

void golden_block(const char *table, enum golden_block which, struct buf *out)
{
    struct buf file;
    struct table_footer footer;
    buf_init(&file, alloc_default(), 1UL << 20);
    fuzz_golden(table, &file);
    CHECK(file.length > TABLE_FOOTER_BYTES);
    CHECK(table_footer_decode(file.data + file.length - TABLE_FOOTER_BYTES, file.length, &footer,
                              NULL) == STATUS_OK);
    struct block_handle handle = which == GOLDEN_INDEX ? footer.index
                                 : which == GOLDEN_PROPERTIES
                                     ? footer.properties
                                     : first_data(buf_slice(&file), footer.file_number);
    buf_append(out, file.data + handle.offset, handle.length - TABLE_BLOCK_TRAILER_BYTES);
    buf_release(&file);
}
