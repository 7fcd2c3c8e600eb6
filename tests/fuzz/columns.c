/* SPDX-License-Identifier: Apache-2.0
 *
 * Target: the form of a block as columns, unpacked; and the block that comes of it, packed and
 * unpacked again, is the same. By the first byte's lowest bit: 0, the rest is the packed form;
 * 1, a raw block behind two bytes, its restart interval and the place of the number.
 */
#include "storage/table/columns.h"
#include "fuzz.h"
#include "golden_block.h"
#include "storage/table/block.h"

/* More than any input makes; a claim of more would cost memory before it is seen to be wrong. */
#define RAW_BYTES_MAX (1UL << 20)

/* Appends the raw block; false: there is none. */
static bool unpack(struct slice packed, struct buf *raw)
{
    size_t length = columns_raw_length(packed);
    if (length == 0 || length > RAW_BYTES_MAX) {
        return false;
    }
    uint8_t *to = buf_extend(raw, length);
    CHECK(to != NULL);
    return columns_unpack(packed, to, length);
}

static bool is_sound(struct slice raw)
{
    static struct block_iter iter;
    if (!block_iter_init(&iter, raw)) {
        return false;
    }
    block_iter_seek_to_first(&iter);
    while (block_iter_valid(&iter)) {
        block_iter_next(&iter);
    }
    return iter.damage == NULL;
}

/* A block that unpacking has made: columns of it give it back, to the byte. The form may say keys
 * of an unknown type; only who walks the block sees that. */
static void pack_again(struct slice raw, uint32_t interval, uint32_t place)
{
    struct buf packed;
    struct buf again;
    buf_init(&packed, alloc_default(), SIZE_MAX);
    buf_init(&again, alloc_default(), SIZE_MAX);
    bool done = columns_pack(raw, interval, place, &packed);
    CHECK(done == is_sound(raw));
    if (done) {
        CHECK(unpack(buf_slice(&packed), &again));
        CHECK(slice_equal(buf_slice(&again), raw));
    }
    buf_release(&again);
    buf_release(&packed);
}

static void use_packed(struct slice packed)
{
    struct buf raw;
    buf_init(&raw, alloc_default(), SIZE_MAX);
    if (unpack(packed, &raw)) {
        struct cursor cursor = cursor_of(packed);
        (void)cursor_varint(&cursor);
        uint64_t interval = cursor_varint(&cursor);
        uint64_t place = cursor_varint(&cursor);
        CHECK(!cursor.failed && interval > 0 && place <= COLUMNS_PLACE_MAX);
        /* Above the number of entries one interval is as another. */
        pack_again(buf_slice(&raw), interval > UINT32_MAX ? UINT32_MAX : (uint32_t)interval,
                   (uint32_t)place);
    }
    buf_release(&raw);
}

/* A block that no builder may have made: it may not be packed, and what it gives may not be it. */
static void use_raw(struct slice input)
{
    if (input.length < 2) {
        return;
    }
    struct buf packed;
    uint32_t interval = input.data[0] == 0 ? 1 : input.data[0];
    buf_init(&packed, alloc_default(), SIZE_MAX);
    if (columns_pack(slice_from(input, 2), interval, input.data[1] % (COLUMNS_PLACE_MAX + 1),
                     &packed)) {
        use_packed(buf_slice(&packed));
    }
    buf_release(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0) {
        struct slice rest = slice_of(data + 1, size - 1);
        (data[0] & 1) == 0 ? use_packed(rest) : use_raw(rest);
    }
    return 0;
}

/* The first block of a golden table of columns, packed and raw; and one of no numbers, raw. */
bool fuzz_seed(unsigned n, struct buf *out)
{
    enum { INTERVAL = 16, PLACE = 1 };
    struct buf packed;
    if (n > 2) {
        return false;
    }
    buf_put_u8(out, n == 0 ? 0 : 1);
    if (n > 0) {
        buf_put_u8(out, INTERVAL);
        buf_put_u8(out, PLACE);
    }
    buf_init(&packed, alloc_default(), 1UL << 20);
    golden_block(n == 2 ? "table_v1_none.sst" : "table_v2_none.sst", GOLDEN_DATA, &packed);
    if (n == 1) {
        CHECK(unpack(buf_slice(&packed), out));
    } else {
        buf_append_slice(out, buf_slice(&packed));
    }
    buf_release(&packed);
    return true;
}
