/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/test.h"

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/rng.h"

/* The bytes on disk and wire are little-endian on every machine, keys big-endian. */
static void test_fixed_bytes(void **state)
{
    (void)state;
    uint8_t bytes[8];
    put_le16(bytes, 0x0102);
    assert_memory_equal(bytes, "\x02\x01", 2);
    assert_int_equal(get_le16(bytes), 0x0102);
    put_le32(bytes, 0x01020304);
    assert_memory_equal(bytes, "\x04\x03\x02\x01", 4);
    assert_int_equal(get_le32(bytes), 0x01020304);
    put_le64(bytes, 0x0102030405060708);
    assert_memory_equal(bytes, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    assert_true(get_le64(bytes) == 0x0102030405060708);
    put_be32(bytes, 0x01020304);
    assert_memory_equal(bytes, "\x01\x02\x03\x04", 4);
    assert_int_equal(get_be32(bytes), 0x01020304);
    put_be64(bytes, 0x0102030405060708);
    assert_memory_equal(bytes, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
    assert_true(get_be64(bytes) == 0x0102030405060708);
}

/* Every length's smallest and largest value comes back, in the length that was told. */
static void test_varint_edges(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 64; bits++) {
        uint64_t edge = 1ULL << bits;
        const uint64_t values[] = {edge - 1, edge, edge + 1};
        for (size_t i = 0; i < 3; i++) {
            uint8_t bytes[VARINT_BYTES_MAX];
            uint64_t back = 0;
            size_t length = put_varint(bytes, values[i]);
            assert_int_equal(length, varint_length(values[i]));
            assert_int_equal(get_varint(bytes, bytes + length, &back), length);
            assert_true(back == values[i]);
            for (size_t cut = 0; cut < length; cut++) {
                assert_int_equal(get_varint(bytes, bytes + cut, &back), 0);
            }
        }
    }
    uint8_t bytes[VARINT_BYTES_MAX];
    uint64_t back = 0;
    assert_int_equal(put_varint(bytes, UINT64_MAX), 10);
    assert_int_equal(get_varint(bytes, bytes + 10, &back), 10);
    assert_true(back == UINT64_MAX);
}

/* One number has one encoding, else one event could have two hashes. */
static void test_varint_refuses_other_forms(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
    } cases[] = {
        {"\x80\x00", 2},                                  /* 0 in two bytes */
        {"\xff\x00", 2},                                  /* 127 in two bytes */
        {"\x81\x80\x00", 3},                              /* 1 in three bytes */
        {"\x80", 1},                                      /* goes on, but does not */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10}, /* 65 bits */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 10},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint8_t *bytes = (const uint8_t *)cases[i].bytes;
        uint64_t value = 77;
        assert_int_equal(get_varint(bytes, bytes + cases[i].length, &value), 0);
        assert_true(value == 77); /* outputs are untouched */
    }
}

/* A cursor never reads past the end, and what failed once stays failed. */
static void test_cursor_past_the_end(void **state)
{
    (void)state;
    const uint8_t bytes[] = {1, 2, 3};
    struct cursor cursor = cursor_of(slice_of(bytes, sizeof bytes));
    assert_int_equal(cursor_le16(&cursor), 0x0201);
    assert_int_equal(cursor_left(&cursor), 1);
    assert_int_equal(cursor_le32(&cursor), 0);
    assert_true(cursor.failed);
    assert_int_equal(cursor_u8(&cursor), 0); /* there would be a byte, but no trust */
    assert_int_equal(cursor_varint(&cursor), 0);
    assert_false(cursor_done(&cursor));
}

/* A length that says more than there is, however large, is refused without arithmetic on pointers.
 */
static void test_cursor_prefixed(void **state)
{
    (void)state;
    struct cursor good = cursor_of(slice_of("\x03"
                                            "abc"
                                            "\x00",
                                            5));
    assert_true(slice_equal(cursor_prefixed(&good), slice_of_string("abc")));
    assert_int_equal(cursor_prefixed(&good).length, 0);
    assert_true(cursor_done(&good));

    struct cursor cut = cursor_of(slice_of("\x04"
                                           "abc",
                                           4));
    assert_int_equal(cursor_prefixed(&cut).length, 0);
    assert_true(cut.failed);

    struct cursor huge = cursor_of(slice_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10));
    assert_int_equal(cursor_prefixed(&huge).length, 0);
    assert_true(huge.failed);
}

/* No bytes at all: nothing to read, and done at once. */
static void test_cursor_empty(void **state)
{
    (void)state;
    struct cursor cursor = cursor_of(slice_of(NULL, 0));
    assert_true(cursor_done(&cursor));
    assert_int_equal(cursor_bytes(&cursor, 0).length, 0);
    assert_true(cursor_done(&cursor));
    assert_int_equal(cursor_varint(&cursor), 0);
    assert_true(cursor.failed);
    cursor = cursor_of(slice_of(NULL, 0));
    assert_int_equal(cursor_u8(&cursor), 0);
    assert_true(cursor.failed);
}

/* Bytes left over mean that a decoder did not understand its input. */
static void test_cursor_done_wants_all(void **state)
{
    (void)state;
    struct cursor cursor = cursor_of(slice_of("ab", 2));
    (void)cursor_u8(&cursor);
    assert_false(cursor_done(&cursor));
    assert_false(cursor.failed);
}

/* Order is that of unsigned bytes, a prefix first: the LSM sorts by it. */
static void test_slice_compare(void **state)
{
    (void)state;
    struct slice a = slice_of("a", 1);
    struct slice ab = slice_of("ab", 2);
    struct slice high = slice_of("\xff", 1);
    struct slice empty = slice_of(NULL, 0);
    assert_true(slice_compare(a, ab) < 0);
    assert_true(slice_compare(ab, a) > 0);
    assert_true(slice_compare(a, high) < 0);
    assert_int_equal(slice_compare(ab, ab), 0);
    assert_true(slice_compare(empty, a) < 0);
    assert_int_equal(slice_compare(empty, empty), 0);
    assert_true(slice_equal(empty, slice_of("x", 0)));
    assert_true(slice_starts_with(ab, a));
    assert_true(slice_starts_with(ab, empty));
    assert_false(slice_starts_with(a, ab));
    assert_true(slice_equal(slice_from(ab, 1), slice_of("b", 1)));
    assert_int_equal(slice_from(empty, 0).length, 0);
}

/* RFC 3720 B.4's values, which any other implementation gives too. */
static void test_crc32c_vectors(void **state)
{
    (void)state;
    uint8_t bytes[32];
    assert_true(crc32c_extend(0, "123456789", 9) == 0xe3069283);
    assert_true(crc32c_extend(0, "", 0) == 0);
    memset(bytes, 0, sizeof bytes);
    assert_true(crc32c_extend(0, bytes, sizeof bytes) == 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_true(crc32c_extend(0, bytes, sizeof bytes) == 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++) {
        bytes[i] = i;
    }
    assert_true(crc32c_extend(0, bytes, sizeof bytes) == 0x46dd794e);
}

/* By the processor's instruction, where it has one, and by the table: the same. */
static void test_crc32c_forms(void **state)
{
    (void)state;
    struct rng_seeded rng;
    uint8_t bytes[300] = {0};
    rng_seeded_init(&rng, test_seed());
    assert_true(crc32c_extend_by_table(0, "123456789", 9) == 0xe3069283);
    for (int i = 0; i < 20000; i++) {
        for (size_t at = 0; at < 16; at++) {
            bytes[rng_below(&rng.rng, sizeof bytes)] = (uint8_t)rng_below(&rng.rng, 256);
        }
        size_t begin = (size_t)rng_below(&rng.rng, 16);
        size_t length = (size_t)rng_below(&rng.rng, sizeof bytes - begin + 1);
        uint32_t crc = (uint32_t)rng_u64(&rng.rng);
        assert_true(crc32c_extend(crc, bytes + begin, length) ==
                    crc32c_extend_by_table(crc, bytes + begin, length));
    }
}

/* In pieces or at once, aligned or not, and against the definition bit by bit. */
static void test_crc32c_pieces(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    uint8_t bytes[300];
    rng_fill(&seeded.rng, bytes, sizeof bytes);
    for (int round = 0; round < 200; round++) {
        size_t begin = (size_t)rng_below(&seeded.rng, sizeof bytes);
        size_t end = begin + (size_t)rng_below(&seeded.rng, sizeof bytes - begin + 1);
        size_t middle = begin + (size_t)rng_below(&seeded.rng, end - begin + 1);
        uint32_t slow = 0xffffffff;
        for (size_t i = begin; i < end; i++) {
            slow ^= bytes[i];
            for (int bit = 0; bit < 8; bit++) {
                slow = (slow >> 1) ^ ((slow & 1) != 0 ? 0x82f63b78U : 0);
            }
        }
        uint32_t whole = crc32c_extend(0, bytes + begin, end - begin);
        uint32_t pieces = crc32c_extend(crc32c_extend(0, bytes + begin, middle - begin),
                                        bytes + middle, end - middle);
        assert_true(whole == ~slow);
        assert_true(pieces == whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixed_bytes),
        cmocka_unit_test(test_varint_edges),
        cmocka_unit_test(test_varint_refuses_other_forms),
        cmocka_unit_test(test_cursor_past_the_end),
        cmocka_unit_test(test_cursor_prefixed),
        cmocka_unit_test(test_cursor_empty),
        cmocka_unit_test(test_cursor_done_wants_all),
        cmocka_unit_test(test_slice_compare),
        cmocka_unit_test(test_crc32c_vectors),
        cmocka_unit_test(test_crc32c_forms),
        cmocka_unit_test(test_crc32c_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
