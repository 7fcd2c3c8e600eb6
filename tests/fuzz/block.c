/* SPDX-License-Identifier: Apache-2.0
 *
 * Target: a raw block of a table, walked in both directions and sought in.
 */
#include "storage/table/block.h"
#include "fuzz.h"
#include "storage/table/table_format.h"

/* No walk has more steps than the block has bytes: each entry takes three at least. */
static size_t walk(struct block_iter *iter, bool forward, size_t steps_max)
{
    size_t steps = 0;
    for (; block_iter_valid(iter); steps++) {
        CHECK(steps <= steps_max);
        CHECK(iter->key.length <= INTERNAL_KEY_BYTES_MAX);
        uint8_t sum = 0;
        for (size_t i = 0; i < iter->value.length; i++) {
            sum ^= iter->value.data[i];
        }
        (void)sum;
        (void)internal_key_sequence(iter->key);
        if (forward) {
            block_iter_next(iter);
        } else {
            block_iter_prev(iter);
        }
    }
    return steps;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct block_iter iter;
    if (size == 0) {
        return 0;
    }
    struct slice block = slice_of(data + 1, size - 1);
    if (!block_iter_init(&iter, block)) {
        CHECK(iter.damage != NULL);
        return 0;
    }
    block_iter_seek_to_first(&iter);
    size_t forward = walk(&iter, true, block.length);
    bool whole = iter.damage == NULL;
    block_iter_seek_to_last(&iter);
    (void)walk(&iter, false, block.length);
    CHECK(!whole || forward > 0 || block.length < 16);
    uint8_t target[INTERNAL_KEY_BYTES_MAX];
    size_t length = size < 40 ? size : 40;
    length = internal_key_put(target, slice_of(data, length), data[0], KEY_SEEK);
    block_iter_seek(&iter, slice_of(target, length));
    (void)walk(&iter, true, block.length);
    return 0;
}

/* The index, the properties and the blocks of a golden table, as far as they are raw. */
bool fuzz_seed(unsigned n, struct buf *out)
{
    static const uint64_t offsets[] = {0, 1, 2};
    if (n >= sizeof offsets / sizeof offsets[0]) {
        return false;
    }
    struct buf table;
    struct table_footer footer;
    buf_init(&table, alloc_default(), 1UL << 20);
    fuzz_golden("table_v1_none.sst", &table);
    CHECK(table_footer_decode(table.data + table.length - TABLE_FOOTER_BYTES, table.length, &footer,
                              NULL) == STATUS_OK);
    struct block_handle handle = n == 0 ? footer.index : footer.properties;
    if (n == 2) {
        /* The first data block ends where its checksum holds. */
        handle = (struct block_handle){.length = TABLE_BLOCK_TRAILER_BYTES + 1};
        struct slice contents;
        uint8_t codec = 0;
        while (table_block_unseal(slice_of(table.data, (size_t)handle.length), footer.file_number,
                                  0, &contents, &codec, NULL) != STATUS_OK) {
            handle.length++;
            CHECK(handle.length < table.length);
        }
    }
    buf_put_u8(out, 0);
    buf_append(out, table.data + handle.offset, handle.length - TABLE_BLOCK_TRAILER_BYTES);
    buf_release(&table);
    return true;
}
