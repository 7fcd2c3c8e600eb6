/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/bloom.h"

#include "base/rng.h"
#include "testlib/fail_alloc.h"
#include "testlib/test.h"

enum { KEYS = 50000 };

typedef size_t (*make_key)(uint64_t number, uint8_t *to);

static size_t make_position(uint64_t number, uint8_t *to)
{
    put_be64(to, number);
    return 8;
}

static size_t make_text(uint64_t number, uint8_t *to)
{
    int length = snprintf((char *)to, 64, "tenant/orders/%llu/state", (unsigned long long)number);
    return (size_t)length;
}

/* Lengths 1 to 8 of rising digits. */
static size_t make_short(uint64_t number, uint8_t *to)
{
    size_t length = 0;
    do {
        to[length++] = (uint8_t)number;
        number >>= 8;
    } while (number > 0);
    return length;
}

static size_t make_long(uint64_t number, uint8_t *to)
{
    memset(to, 0, 56);
    put_le64(to + 24, number);
    return 56;
}

/* Builds a filter of keys [0, KEYS); returns the share of keys [KEYS, 3 KEYS) that it lets by. */
static double false_share(make_key make, unsigned bits_per_key)
{
    static uint64_t hashes[KEYS];
    uint8_t key[64];
    for (uint64_t i = 0; i < KEYS; i++) {
        hashes[i] = bloom_hash(slice_of(key, make(i, key)));
    }
    struct buf filter;
    buf_init(&filter, alloc_default(), 1UL << 24);
    bloom_build(&filter, hashes, KEYS, bits_per_key);
    assert_false(buf_failed(&filter));
    assert_true(bloom_is_well_formed(buf_slice(&filter)));
    for (uint64_t i = 0; i < KEYS; i++) {
        assert_true(bloom_may_contain(buf_slice(&filter), hashes[i]));
    }
    int perhaps = 0;
    for (uint64_t i = KEYS; i < 3 * KEYS; i++) {
        uint64_t hash = bloom_hash(slice_of(key, make(i, key)));
        perhaps += bloom_may_contain(buf_slice(&filter), hash) ? 1 : 0;
    }
    buf_release(&filter);
    return (double)perhaps / (2.0 * KEYS);
}

/* No key that is in is denied, and with 10 bits a key at most 1 % of the others get by, whatever
 * the keys look like. */
static void test_ten_bits_let_one_percent_by(void **state)
{
    (void)state;
    const make_key makers[] = {make_position, make_text, make_short, make_long};
    for (size_t i = 0; i < sizeof makers / sizeof makers[0]; i++) {
        double share = false_share(makers[i], BLOOM_BITS_PER_KEY_DEFAULT);
        print_message("bloom filter, keys %zu: %.3f %% false\n", i, 100 * share);
        assert_true(share <= 0.01);
    }
}

/* More bits let fewer by, and any number of bits works. */
static void test_more_bits_let_fewer_by(void **state)
{
    (void)state;
    double four = false_share(make_text, 4);
    double sixteen = false_share(make_text, 16);
    assert_true(four < 0.2);
    assert_true(sixteen < 0.001);
    assert_true(false_share(make_text, 1) > four);
    assert_true(false_share(make_text, BLOOM_BITS_PER_KEY_MAX) <= sixteen);
}

/* The hash is on disk: these values hold for ever, and FORMAT.md names them. */
static void test_hash_is_frozen(void **state)
{
    (void)state;
    uint8_t bytes[20];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)i;
    }
    assert_int_equal(bloom_hash(slice_of(NULL, 0)), UINT64_C(0xe220a8397b1dcdaf));
    assert_int_equal(bloom_hash(slice_of_string("a")), UINT64_C(0x134268759688c202));
    assert_int_equal(bloom_hash(slice_of_string("estreat")), UINT64_C(0x2be58ad1e32c1df8));
    assert_int_equal(bloom_hash(slice_of(bytes, 8)), UINT64_C(0xef733202d558cf2a));
    assert_int_equal(bloom_hash(slice_of(bytes, 20)), UINT64_C(0x50b99e25f522f8));
}

/* The filter's bytes are on disk, too. */
static void test_layout_is_frozen(void **state)
{
    (void)state;
    const uint8_t expected[9] = {0x0e, 0x50, 0x08, 0x42, 0x30, 0x84, 0x90, 0x25, 0x07};
    uint64_t hashes[3] = {bloom_hash(slice_of_string("a")), bloom_hash(slice_of_string("b")),
                          bloom_hash(slice_of_string("estreat"))};
    struct buf filter;
    buf_init(&filter, alloc_default(), 1024);
    bloom_build(&filter, hashes, 3, 10);
    assert_int_equal(filter.length, sizeof expected);
    assert_memory_equal(filter.data, expected, sizeof expected);
    buf_release(&filter);
}

/* Bytes that are no filter are told apart. */
static void test_malformed_filters_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[9] = {0, 0, 0, 0, 0, 0, 0, 0, 7};
    assert_true(bloom_is_well_formed(slice_of(bytes, 9)));
    assert_false(bloom_is_well_formed(slice_of(bytes, 0)));
    assert_false(bloom_is_well_formed(slice_of(bytes + 1, 8)));
    bytes[8] = 0;
    assert_false(bloom_is_well_formed(slice_of(bytes, 9)));
    bytes[8] = 31;
    assert_false(bloom_is_well_formed(slice_of(bytes, 9)));
}

/* Without memory the buf fails, and nothing leaks. */
static void test_no_memory_fails_the_buf(void **state)
{
    (void)state;
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    fail_alloc_arm(&fail, 0);
    uint64_t hash = 1;
    struct buf filter;
    buf_init(&filter, &fail.alloc, 1024);
    bloom_build(&filter, &hash, 1, 10);
    assert_true(buf_failed(&filter));
    buf_release(&filter);
    fail_alloc_release(&fail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_bits_let_one_percent_by),
        cmocka_unit_test(test_more_bits_let_fewer_by),
        cmocka_unit_test(test_hash_is_frozen),
        cmocka_unit_test(test_layout_is_frozen),
        cmocka_unit_test(test_malformed_filters_are_refused),
        cmocka_unit_test(test_no_memory_fails_the_buf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
