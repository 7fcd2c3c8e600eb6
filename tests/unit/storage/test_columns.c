/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/columns.h"

#include "storage/table/block.h"
#include "table_fixture.h"
#include "testlib/fail_alloc.h"

enum { BLOCKS = 400, ENTRIES_MAX = 200, PLACE = 1, VALUE_MAX = 300 };

/* Of a log: positions and sequences that mostly rise by one, times that mostly rise by little. */
struct log {
    struct rng *rng;
    uint64_t position;
    uint64_t sequence;
    uint64_t time_ns;
};

static uint64_t step(struct rng *rng)
{
    switch (rng_below(rng, 8)) {
    case 0:
        return 1 + rng_below(rng, 1000);
    case 1:
        return 1 + rng_below(rng, UINT64_C(1) << 50);
    default:
        return 1;
    }
}

static size_t log_key(struct log *log, uint8_t *to)
{
    uint8_t position[8];
    log->position += step(log->rng);
    log->sequence = rng_below(log->rng, 10) == 0 ? rng_below(log->rng, SEQUENCE_MAX)
                                                 : (log->sequence + 1) % SEQUENCE_MAX;
    put_be64(position, log->position);
    return internal_key_put(to, slice_of(position, sizeof position), log->sequence, KEY_PUT);
}

static size_t log_value(struct log *log, uint32_t place, uint8_t *to)
{
    size_t length = place + 8 + rng_below(log->rng, VALUE_MAX - place - 8);
    rng_fill(log->rng, to, length);
    log->time_ns += rng_below(log->rng, 8) == 0 ? 0 - rng_below(log->rng, 1000) : step(log->rng);
    put_le64(to + place, log->time_ns);
    return length;
}

static struct slice build(struct log *log, struct block_builder *builder, uint32_t place,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t key[16];
        uint8_t value[VALUE_MAX];
        size_t key_length = log_key(log, key);
        size_t value_length = log_value(log, place, value);
        assert_true(
            block_builder_add(builder, slice_of(key, key_length), slice_of(value, value_length)));
    }
    return block_builder_finish(builder);
}

static void assert_unpacks(struct slice packed, struct slice raw)
{
    uint8_t *back = alloc_new(alloc_default(), raw.length);
    assert_non_null(back);
    assert_true(columns_unpack(packed, back, raw.length));
    assert_slice_equal(slice_of(back, raw.length), raw);
    assert_false(columns_unpack(packed, back, raw.length - 1));
    alloc_free(alloc_default(), back);
}

static void test_unpacking_gives_back_the_block(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    for (int i = 0; i < BLOCKS; i++) {
        struct rng *rng = &seeded.rng;
        struct log log = {.rng = rng, .position = rng_below(rng, UINT64_C(1) << 60)};
        uint32_t interval = 1 + (uint32_t)rng_below(rng, 20);
        uint32_t place = (uint32_t)rng_below(rng, COLUMNS_PLACE_MAX + 1);
        struct block_builder builder;
        struct buf packed;
        block_builder_init(&builder, alloc_default(), interval);
        buf_init(&packed, alloc_default(), SIZE_MAX);
        struct slice raw = build(&log, &builder, place, 1 + rng_below(rng, ENTRIES_MAX));
        assert_true(columns_pack(raw, interval, place, &packed));
        assert_unpacks(buf_slice(&packed), raw);
        buf_release(&packed);
        block_builder_release(&builder);
    }
}

/* What rises by one takes next to nothing: a constant difference. */
static void test_what_grows_evenly_is_all_alike(void **state)
{
    (void)state;
    struct block_builder builder;
    struct buf packed;
    block_builder_init(&builder, alloc_default(), 16);
    buf_init(&packed, alloc_default(), SIZE_MAX);
    for (uint64_t i = 0; i < 100; i++) {
        uint8_t key[16];
        uint8_t value[PLACE + 8] = {0};
        uint8_t position[8];
        put_be64(position, 1000000 + i);
        put_le64(value + PLACE, 5000000000 + 1000 * i);
        (void)internal_key_put(key, slice_of(position, 8), 77 + i, KEY_PUT);
        assert_true(block_builder_add(&builder, slice_of(key, 16), slice_of(value, sizeof value)));
    }
    struct slice raw = block_builder_finish(&builder);
    assert_true(columns_pack(raw, 16, PLACE, &packed));
    assert_unpacks(buf_slice(&packed), raw);
    /* A byte for the key, two for the sequence, two for the number, one for the length, and one
     * for what is left of the value. */
    assert_true(packed.length < 100 * 7 + 40);
    buf_release(&packed);
    block_builder_release(&builder);
}

static bool packs(struct slice user, uint64_t sequence, struct slice value, uint32_t place)
{
    uint8_t key[64];
    struct block_builder builder;
    struct buf packed;
    block_builder_init(&builder, alloc_default(), 16);
    buf_init(&packed, alloc_default(), SIZE_MAX);
    size_t length = internal_key_put(key, user, sequence, KEY_PUT);
    assert_true(block_builder_add(&builder, slice_of(key, length), value));
    bool packs = columns_pack(block_builder_finish(&builder), 16, place, &packed);
    buf_release(&packed);
    block_builder_release(&builder);
    return packs;
}

static void test_other_blocks_do_not_pack(void **state)
{
    (void)state;
    static const uint8_t bytes[32] = {1, 2, 3};
    assert_true(packs(slice_of(bytes, 8), 5, slice_of(bytes, 9), 1));
    assert_false(packs(slice_of(bytes, 7), 5, slice_of(bytes, 9), 1));
    assert_false(packs(slice_of(bytes, 9), 5, slice_of(bytes, 9), 1));
    assert_false(packs(slice_of(bytes, 8), 5, slice_of(bytes, 8), 1));
    assert_true(packs(slice_of(bytes, 8), 5, slice_of(bytes, 8), 0));
    assert_false(packs(slice_of(bytes, 8), 5, slice_of(bytes, 0), 0));
}

/* Untrusted bytes are refused, or give some block; nothing is written past it. */
static void test_changed_bytes_do_no_harm(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct log log = {.rng = &seeded.rng};
    struct block_builder builder;
    struct buf packed;
    block_builder_init(&builder, alloc_default(), 4);
    buf_init(&packed, alloc_default(), SIZE_MAX);
    struct slice raw = build(&log, &builder, PLACE, 30);
    assert_true(columns_pack(raw, 4, PLACE, &packed));
    uint8_t *back = alloc_new(alloc_default(), raw.length); /* exactly: a sanitizer sees more */
    assert_non_null(back);
    for (size_t length = 0; length < packed.length; length++) {
        assert_false(columns_unpack(slice_of(packed.data, length), back, raw.length));
    }
    int unpacked = 0;
    for (int i = 0; i < 20000; i++) {
        size_t at = (size_t)rng_below(&seeded.rng, rng_below(&seeded.rng, 2) ? 20 : packed.length);
        uint8_t kept = packed.data[at];
        packed.data[at] = (uint8_t)rng_below(&seeded.rng, 256);
        unpacked += columns_unpack(buf_slice(&packed), back, raw.length);
        packed.data[at] = kept;
    }
    assert_in_range(unpacked, 1, 19999); /* what is in a value is no matter of the form */
    alloc_free(alloc_default(), back);
    buf_release(&packed);
    block_builder_release(&builder);
}

static void test_each_allocation_may_fail(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct log log = {.rng = &seeded.rng};
    struct block_builder builder;
    block_builder_init(&builder, alloc_default(), 16);
    struct slice raw = build(&log, &builder, PLACE, 100);
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    bool hit = true;
    for (uint64_t n = 0; hit; n++) {
        struct buf packed;
        buf_init(&packed, &fail.alloc, SIZE_MAX);
        fail_alloc_arm(&fail, n);
        bool ok = columns_pack(raw, 16, PLACE, &packed);
        hit = fail_alloc_hit(&fail);
        assert_int_equal(ok, !hit);
        assert_int_equal(buf_failed(&packed), hit);
        buf_release(&packed);
    }
    fail_alloc_release(&fail);
    block_builder_release(&builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unpacking_gives_back_the_block),
        cmocka_unit_test(test_what_grows_evenly_is_all_alike),
        cmocka_unit_test(test_other_blocks_do_not_pack),
        cmocka_unit_test(test_changed_bytes_do_no_harm),
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
