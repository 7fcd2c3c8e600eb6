/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/codec.h"

#include "testlib/test.h"

enum { RAW_BYTES = 4096, ROUNDS = 40 };

/* A clock that goes on by the same time at each look, and counts the looks. */
struct clock_counting {
    struct clock clock;
    uint64_t looks;
};

static uint64_t count_look(struct clock *clock)
{
    struct clock_counting *self = (struct clock_counting *)clock;
    return ++self->looks * 1000;
}

/* Each block counts, in either direction; one in so many is timed, and its time stands for all. */
static void test_blocks_are_counted_and_some_timed(void **state)
{
    (void)state;
    struct clock_counting clock = {.clock = {.monotonic_ns = count_look}};
    struct codec_counters counters = {.clock = &clock.clock};
    static uint8_t raw[RAW_BYTES];
    static uint8_t back[RAW_BYTES];
    struct error err = ERROR_INIT;
    struct codec_context context;
    codec_context_init(&context);
    struct buf out;
    buf_init(&out, alloc_default(), 1UL << 20);
    uint64_t stored = 0;
    for (int i = 0; i < ROUNDS; i++) {
        enum codec used = CODEC_NONE;
        assert_ok(codec_compress(&context, CODEC_LZ4, 1, slice_of(raw, sizeof raw), &out, &used,
                                 &counters, &err),
                  &err);
        assert_int_equal(used, CODEC_LZ4);
        stored += out.length;
        assert_ok(
            codec_decompress(&context, used, buf_slice(&out), back, RAW_BYTES, &counters, &err),
            &err);
    }
    const uint64_t timed = (ROUNDS + CODEC_TIMED_BLOCKS - 1) / CODEC_TIMED_BLOCKS;
    assert_int_equal(clock.looks, 2 * 2 * timed);
    struct codec_counter *both[] = {&counters.compress[CODEC_LZ4], &counters.decompress[CODEC_LZ4]};
    for (size_t i = 0; i < 2; i++) {
        struct codec_figures figures = codec_counter_read(both[i]);
        assert_int_equal(figures.blocks, ROUNDS);
        assert_int_equal(figures.raw_bytes, ROUNDS * RAW_BYTES);
        assert_int_equal(figures.stored_bytes, stored);
        assert_int_equal(figures.ns, ROUNDS * 1000);
    }
    for (unsigned codec = 0; codec < CODEC_COUNT; codec++) {
        if (codec != CODEC_LZ4) {
            assert_int_equal(codec_counter_read(&counters.compress[codec]).blocks, 0);
            assert_int_equal(codec_counter_read(&counters.decompress[codec]).blocks, 0);
        }
        assert_int_equal(counter_get(&counters.kept_blocks[codec]), 0);
    }
    buf_release(&out);
    codec_context_release(&context);
}

/* What went round the codecs, or was asked to stay as it is, counts under none. */
static void test_plain_blocks_are_counted(void **state)
{
    (void)state;
    struct codec_counters counters = {.clock = NULL};
    static uint8_t raw[RAW_BYTES];
    uint8_t back[RAW_BYTES];
    struct error err = ERROR_INIT;
    codec_count_plain(&counters, 100);
    codec_count_plain(NULL, 100);
    assert_ok(codec_decompress(NULL, CODEC_NONE, slice_of(raw, sizeof raw), back, RAW_BYTES,
                               &counters, &err),
              &err);
    struct codec_figures in = codec_counter_read(&counters.compress[CODEC_NONE]);
    struct codec_figures out = codec_counter_read(&counters.decompress[CODEC_NONE]);
    assert_int_equal(in.blocks, 1);
    assert_int_equal(in.raw_bytes, 100);
    assert_int_equal(in.stored_bytes, 100);
    assert_int_equal(out.raw_bytes, RAW_BYTES);
    assert_int_equal(out.stored_bytes, RAW_BYTES);
    assert_int_equal(counter_get(&counters.kept_blocks[CODEC_NONE]), 0);
}

/* Bytes of an hour's blocks times their nanoseconds do not overflow. */
static void test_long_times_do_not_overflow(void **state)
{
    (void)state;
    struct codec_counter counter = {.raw_bytes.value = UINT64_C(1) << 45,
                                    .timed_bytes.value = UINT64_C(1) << 41,
                                    .timed_ns.value = UINT64_C(1) << 42};
    assert_int_equal(codec_counter_read(&counter).ns, UINT64_C(1) << 46);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_are_counted_and_some_timed),
        cmocka_unit_test(test_plain_blocks_are_counted),
        cmocka_unit_test(test_long_times_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
