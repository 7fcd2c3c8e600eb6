/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/test.h"

#include "base/buf.h"
#include "testlib/fail_alloc.h"

/* What the writers put, a cursor reads back, byte for byte. */
static void test_round_trip(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, alloc_default(), 1024);
    assert_null(buf_slice(&buf).data);
    buf_put_u8(&buf, 0xab);
    buf_put_le16(&buf, 0x1234);
    buf_put_le32(&buf, 0xdeadbeef);
    buf_put_le64(&buf, UINT64_MAX - 1);
    buf_put_be64(&buf, 7);
    buf_put_varint(&buf, 300);
    buf_put_prefixed(&buf, slice_of_string("hello"));
    buf_put_prefixed(&buf, slice_of(NULL, 0));
    assert_false(buf_failed(&buf));
    struct cursor cursor = cursor_of(buf_slice(&buf));
    assert_int_equal(cursor_u8(&cursor), 0xab);
    assert_int_equal(cursor_le16(&cursor), 0x1234);
    assert_true(cursor_le32(&cursor) == 0xdeadbeef);
    assert_true(cursor_le64(&cursor) == UINT64_MAX - 1);
    assert_true(get_be64(cursor_bytes(&cursor, 8).data) == 7);
    assert_int_equal(cursor_varint(&cursor), 300);
    assert_true(slice_equal(cursor_prefixed(&cursor), slice_of_string("hello")));
    assert_int_equal(cursor_prefixed(&cursor).length, 0);
    assert_true(cursor_done(&cursor));
    buf_release(&buf);
}

/* The maximum itself fits, one byte more fails the buf for good, and clear makes it new. */
static void test_maximum(void **state)
{
    (void)state;
    static const uint8_t bytes[100];
    struct buf buf;
    buf_init(&buf, alloc_default(), sizeof bytes);
    buf_append(&buf, bytes, sizeof bytes);
    assert_false(buf_failed(&buf));
    assert_int_equal(buf.length, 100);
    assert_true(buf.capacity <= 100);
    buf_put_u8(&buf, 1);
    assert_true(buf_failed(&buf));
    buf_append(&buf, bytes, 0);
    assert_true(buf_failed(&buf));
    assert_null(buf_reserve(&buf, 0));
    buf_clear(&buf);
    assert_false(buf_failed(&buf));
    buf_put_u8(&buf, 1);
    assert_int_equal(buf_slice(&buf).length, 1);
    buf_release(&buf);
}

/* Sizes near the end of size_t are refused, not wrapped round. */
static void test_huge_reserve(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, alloc_default(), 1000);
    buf_put_u8(&buf, 1);
    assert_null(buf_reserve(&buf, SIZE_MAX));
    assert_true(buf_failed(&buf));
    buf_release(&buf);
}

/* A maximum below the first capacity is kept to. */
static void test_small_maximum(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, alloc_default(), 3);
    buf_append(&buf, "abc", 3);
    assert_false(buf_failed(&buf));
    assert_true(slice_equal(buf_slice(&buf), slice_of_string("abc")));
    buf_append(&buf, "d", 1);
    assert_true(buf_failed(&buf));
    buf_release(&buf);
}

/* Reserve does not count, extend does; growing keeps the content. */
static void test_reserve_and_extend(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, alloc_default(), 1 << 20);
    buf_append(&buf, "ab", 2);
    uint8_t *place = buf_reserve(&buf, 5000);
    assert_non_null(place);
    assert_int_equal(buf.length, 2);
    place = buf_extend(&buf, 5000);
    assert_int_equal(buf.length, 5002);
    memset(place, 'x', 5000);
    buf_put_u8(&buf, 'z');
    assert_memory_equal(buf.data, "abxx", 4);
    assert_int_equal(buf.data[5002], 'z');
    buf_release(&buf);
}

/* Each allocation that fails fails the buf, and nothing leaks. */
static void test_no_memory(void **state)
{
    (void)state;
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    for (uint64_t n = 0;; n++) {
        struct buf buf;
        fail_alloc_arm(&fail, n);
        buf_init(&buf, &fail.alloc, 1 << 20);
        for (int i = 0; i < 10000; i++) {
            buf_put_u8(&buf, (uint8_t)i);
        }
        bool failed = buf_failed(&buf);
        buf_release(&buf);
        assert_int_equal(fail_alloc_blocks(&fail), 0);
        assert_int_equal(failed, fail_alloc_hit(&fail));
        if (!failed) {
            assert_true(n > 3);
            break;
        }
    }
    fail_alloc_release(&fail);
}

/* A product that overflows is no allocation. */
static void test_alloc_overflow(void **state)
{
    (void)state;
    assert_null(alloc_zeroed(alloc_default(), SIZE_MAX / 2, 3));
    uint8_t *zeros = alloc_zeroed(alloc_default(), 10, 10);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(zeros[i], 0);
    }
    alloc_free(alloc_default(), zeros);
    alloc_free(alloc_default(), NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),         cmocka_unit_test(test_maximum),
        cmocka_unit_test(test_huge_reserve),       cmocka_unit_test(test_small_maximum),
        cmocka_unit_test(test_reserve_and_extend), cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_alloc_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
