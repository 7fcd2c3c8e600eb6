/* SPDX-License-Identifier: Apache-2.0
 *
 * Target: a raw block of a table, walked in both directions and sought in.
 */
#include "storage/table/block.h"
#include "fuzz.h"
#include "golden_block.h"

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

/* The index, the properties and the first data block of a golden table whose blocks are raw. */
bool fuzz_seed(unsigned n, struct buf *out)
{
    static const enum golden_block blocks[] = {GOLDEN_INDEX, GOLDEN_PROPERTIES, GOLDEN_DATA};
    if (n >= sizeof blocks / sizeof blocks[0]) {
        return false;
    }
    buf_put_u8(out, 0);
    golden_block("table_v1_none.sst", blocks[n], out);
    return true;
}
