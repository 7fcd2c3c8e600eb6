/* SPDX-License-Identifier: Apache-2.0 */
#include "base/coding.h"
#include "base/crc32c.h"
#include "rpc/frame.h"
#include "testlib/test.h"

enum { BODY = 50, FRAME = BODY + (int)RPC_FRAME_HEADER_BYTES };

static void make(uint8_t frame[FRAME])
{
    for (int i = 0; i < BODY; i++) {
        frame[(int)RPC_FRAME_HEADER_BYTES + i] = (uint8_t)(i * 7);
    }
    rpc_frame_seal(frame, BODY, RPC_MESSAGE, RPC_FLAG_END, 0x1122334455667788);
}

/* The bytes of a frame are those that PROTOCOL.md shows. */
static void layout(void **state)
{
    (void)state;
    uint8_t frame[RPC_FRAME_HEADER_BYTES + 2] = {[RPC_FRAME_HEADER_BYTES] = 'h', 'i'};
    rpc_frame_seal(frame, 2, RPC_MESSAGE, RPC_FLAG_END, 5);
    static const uint8_t expected[] = {2, 0, 0, 0, 0xcc, 0x72, 0x13, 0x5e, 4, 1,   0,
                                       0, 5, 0, 0, 0,    0,    0,    0,    0, 'h', 'i'};
    assert_memory_equal(frame, expected, sizeof expected);
}

/* What was sealed is parsed, and what follows is left alone. */
static void round_trip(void **state)
{
    (void)state;
    uint8_t bytes[2 * FRAME];
    make(bytes);
    make(bytes + FRAME);
    struct rpc_frame frame;
    size_t length = 0;
    assert_int_equal(rpc_frame_parse(slice_of(bytes, sizeof bytes), BODY, &frame, &length, NULL),
                     RPC_PARSE_FRAME);
    assert_int_equal(length, FRAME);
    assert_int_equal(frame.kind, RPC_MESSAGE);
    assert_int_equal(frame.flags, RPC_FLAG_END);
    assert_true(frame.call_id == 0x1122334455667788);
    assert_ptr_equal(frame.body.data, bytes + RPC_FRAME_HEADER_BYTES);
    assert_int_equal(frame.body.length, BODY);
}

/* Every beginning of a frame asks for more, and for no more than the frame has. */
static void each_truncation(void **state)
{
    (void)state;
    uint8_t bytes[FRAME];
    make(bytes);
    for (size_t length = 0; length < FRAME; length++) {
        /* A copy of its own, so that reading past it is seen. */
        uint8_t *copy = malloc(length + 1);
        assert_non_null(copy);
        memcpy(copy, bytes, length);
        struct rpc_frame frame;
        size_t wanted = 0;
        assert_int_equal(rpc_frame_parse(slice_of(copy, length), BODY, &frame, &wanted, NULL),
                         RPC_PARSE_MORE);
        assert_int_equal(wanted, length < RPC_FRAME_HEADER_BYTES ? RPC_FRAME_HEADER_BYTES : FRAME);
        free(copy);
    }
}

/* No flipped bit passes: it is refused, or (in the length) asks for more than there is. */
static void each_corruption(void **state)
{
    (void)state;
    for (size_t bit = 0; bit < FRAME * 8; bit++) {
        uint8_t bytes[FRAME];
        make(bytes);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct rpc_frame frame;
        struct error error = ERROR_INIT;
        size_t length = 0;
        enum rpc_parse_result result =
            rpc_frame_parse(slice_of(bytes, FRAME), 1000, &frame, &length, &error);
        if (bit < 32 && get_le32(bytes) > BODY && get_le32(bytes) <= 1000) {
            assert_int_equal(result, RPC_PARSE_MORE);
        } else {
            assert_int_equal(result, RPC_PARSE_BAD);
            assert_int_equal(error.status, bit < 32 && get_le32(bytes) > 1000
                                               ? STATUS_RESOURCE_EXHAUSTED
                                               : STATUS_INVALID_ARGUMENT);
        }
    }
}

/* A body above the limit is refused when only the header has come. */
static void oversized(void **state)
{
    (void)state;
    uint8_t bytes[FRAME];
    make(bytes);
    struct rpc_frame frame;
    struct error error = ERROR_INIT;
    size_t length = 0;
    assert_int_equal(
        rpc_frame_parse(slice_of(bytes, RPC_FRAME_HEADER_BYTES), BODY - 1, &frame, &length, &error),
        RPC_PARSE_BAD);
    assert_int_equal(error.status, STATUS_RESOURCE_EXHAUSTED);
    put_le32(bytes, UINT32_MAX);
    assert_int_equal(
        rpc_frame_parse(slice_of(bytes, RPC_FRAME_HEADER_BYTES), 1 << 20, &frame, &length, &error),
        RPC_PARSE_BAD);
}

/* Kinds and flags that this version does not know are refused even with a right checksum. */
static void unknown(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 256; kind++) {
        for (unsigned flag = 0; flag <= 8; flag++) {
            uint8_t bytes[RPC_FRAME_HEADER_BYTES];
            struct rpc_frame frame;
            struct error error = ERROR_INIT;
            size_t length = 0;
            unsigned flags = flag == 8 ? 0 : 1U << flag;
            rpc_frame_seal(bytes, 0, RPC_HELLO, 0, 0);
            bytes[8] = (uint8_t)kind;
            bytes[9] = (uint8_t)flags;
            uint32_t crc = crc32c_extend(0, bytes, 4);
            put_le32(bytes + 4, crc32c_extend(crc, bytes + 8, RPC_FRAME_HEADER_BYTES - 8));
            bool known = kind >= 1 && kind <= RPC_FRAME_KIND_MAX &&
                         (flags == 0 || (kind == RPC_MESSAGE && flags == RPC_FLAG_END) ||
                          (kind == RPC_CALL && flags == RPC_FLAG_ONEWAY) ||
                          (kind == RPC_PING && flags == RPC_FLAG_ACK));
            assert_int_equal(
                rpc_frame_parse(slice_of(bytes, sizeof bytes), 100, &frame, &length, &error),
                known ? RPC_PARSE_FRAME : RPC_PARSE_BAD);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout),          cmocka_unit_test(round_trip),
        cmocka_unit_test(each_truncation), cmocka_unit_test(each_corruption),
        cmocka_unit_test(oversized),       cmocka_unit_test(unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
