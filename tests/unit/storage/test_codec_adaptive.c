/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/codec_adaptive.h"

#include "base/rng.h"
#include "table_file_fixture.h"
#include "testlib/clock_manual.h"
#include "testlib/test.h"

enum { BLOCK_BYTES = 16384, BLOCKS = 1000, VALUES = 240, RANDOM_VALUES = 60 };

/* --- the rule, from numbers ------------------------------------------------------------------ */

/* Feeds a sample: stored bytes of 4096 and costs in ps a byte, of lz4 and zstd. */
static enum codec sample(struct codec_adaptive *adaptive, size_t lz4, uint64_t lz4_ps, size_t zstd,
                         uint64_t zstd_ps)
{
    codec_adaptive_note_sample(adaptive, CODEC_LZ4, 4096, lz4, lz4_ps * 4096 / 1000);
    codec_adaptive_note_sample(adaptive, CODEC_ZSTD, 4096, zstd, zstd_ps * 4096 / 1000);
    codec_adaptive_choose(adaptive);
    return adaptive->choice;
}

/* The smallest within the budget leads, if it is smaller by an eighth than what is cheaper. */
static void test_the_rule(void **state)
{
    (void)state;
    static const struct {
        size_t lz4;
        uint64_t lz4_ps;
        size_t zstd;
        uint64_t zstd_ps;
        enum codec choice;
    } cases[] = {
        {4096, 300, 4096, 500, CODEC_NONE}, /* nothing shrinks */
        {2048, 2000, 1024, 4000, CODEC_ZSTD},
        {2048, 2000, 1793, 4000, CODEC_LZ4}, /* not an eighth */
        {2048, 2000, 1792, 4000, CODEC_ZSTD},
        {2048, 2000, 1024, 10100, CODEC_LZ4}, /* too dear */
        {2048, 10100, 1024, 10100, CODEC_NONE},
        {2048, 10100, 1024, 10000, CODEC_ZSTD}, /* a cheap zstd does not need lz4 */
        {3600, 2000, 3500, 4000, CODEC_ZSTD},   /* lz4 alone would not be worth it */
        {3600, 2000, 3590, 4000, CODEC_NONE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct clock_manual clock;
        struct codec_adaptive adaptive;
        clock_manual_init(&clock, 0);
        codec_adaptive_init(&adaptive, &clock.clock, 0);
        assert_true(codec_adaptive_wants_sample(&adaptive));
        enum codec choice =
            sample(&adaptive, cases[i].lz4, cases[i].lz4_ps, cases[i].zstd, cases[i].zstd_ps);
        assert_int_equal(choice, cases[i].choice);
    }
}

/* Samples become rare while they confirm the choice, and are near again once one does not. */
static void test_samples_back_off(void **state)
{
    (void)state;
    struct codec_adaptive adaptive;
    codec_adaptive_init(&adaptive, NULL, 0);
    uint32_t expected = SAMPLE_INTERVAL_MIN;
    for (int round = 0; round < 6; round++) {
        assert_int_equal(sample(&adaptive, 1024, 0, 1020, 0), CODEC_LZ4);
        uint32_t blocks = 1;
        for (; !codec_adaptive_wants_sample(&adaptive); blocks++) {
            codec_adaptive_note(&adaptive, 4096, 1024);
        }
        assert_int_equal(blocks, expected);
        expected = expected < SAMPLE_INTERVAL_MAX ? expected * 2 : expected;
    }
    assert_int_equal(sample(&adaptive, 4096, 0, 4096, 0), CODEC_NONE);
    uint32_t blocks = 1;
    for (; !codec_adaptive_wants_sample(&adaptive); blocks++) {
        codec_adaptive_note(&adaptive, 4096, 4096);
    }
    assert_int_equal(blocks, SAMPLE_INTERVAL_MIN);
}

/* A block that becomes much larger or smaller than was usual asks for a sample at once, but
 * samples never come closer than SAMPLE_INTERVAL_MIN, whatever alternates. */
static void test_surprises_ask_for_a_sample(void **state)
{
    (void)state;
    for (size_t odd = 0; odd <= 4096; odd += 4096) {
        struct codec_adaptive adaptive;
        codec_adaptive_init(&adaptive, NULL, 0);
        for (int round = 0; round < 4; round++) {
            (void)sample(&adaptive, 2048, 0, 2048, 0);
            while (round < 3 && !codec_adaptive_wants_sample(&adaptive)) {
                codec_adaptive_note(&adaptive, 4096, 2048);
            }
        }
        for (uint32_t i = 1; i < SAMPLE_INTERVAL_MIN + 4; i++) {
            codec_adaptive_note(&adaptive, 4096, 2048 + 300); /* within what is usual */
            assert_false(codec_adaptive_wants_sample(&adaptive));
        }
        codec_adaptive_note(&adaptive, 4096, odd);
        assert_true(codec_adaptive_wants_sample(&adaptive));
    }
    struct codec_adaptive adaptive;
    codec_adaptive_init(&adaptive, NULL, 0);
    uint32_t samples = 0;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        size_t stored = i % 2 == 0 ? 400 : 3500;
        if (codec_adaptive_wants_sample(&adaptive)) {
            (void)sample(&adaptive, stored, 0, stored, 0);
            samples++;
        } else {
            codec_adaptive_note(&adaptive, 4096, adaptive.choice == CODEC_NONE ? 4096 : stored);
        }
    }
    assert_true(samples <= BLOCKS / SAMPLE_INTERVAL_MIN);
    assert_true(samples >= BLOCKS / SAMPLE_INTERVAL_MAX);
}

/* One sample that the scheduler made long does not rule a codec out; many do, and a codec that has
 * become cheap is back at once. */
static void test_one_slow_sample_is_no_verdict(void **state)
{
    (void)state;
    struct clock_manual clock;
    struct codec_adaptive adaptive;
    clock_manual_init(&clock, 0);
    codec_adaptive_init(&adaptive, &clock.clock, 0);
    assert_int_equal(sample(&adaptive, 2048, 2000, 1024, 4000), CODEC_ZSTD);
    assert_int_equal(sample(&adaptive, 2048, 2000, 1024, UINT64_C(1) << 40), CODEC_ZSTD);
    assert_int_equal(sample(&adaptive, 2048, 2000, 1024, 4000), CODEC_ZSTD);
    int slow = 0;
    while (sample(&adaptive, 2048, 2000, 1024, 20000) == CODEC_ZSTD) {
        slow++;
    }
    assert_true(slow > 1);
    assert_true(slow < 10);
    assert_int_equal(adaptive.choice, CODEC_LZ4);
    assert_int_equal(sample(&adaptive, 2048, 2000, 1024, 4000), CODEC_ZSTD);
    /* The largest costs do not wrap. */
    for (int i = 0; i < 200; i++) {
        (void)sample(&adaptive, 2048, UINT64_MAX / 8192, 1024, UINT64_MAX / 8192);
    }
    assert_int_equal(adaptive.choice, CODEC_NONE);
}

/* --- with real codecs ------------------------------------------------------------------------ */

enum kind { KIND_RANDOM, KIND_TEXT, KIND_HALF, KINDS };

/* Text repeats words, as a log does; of the half compressible every second 512 bytes are random. */
static void fill(struct rng *rng, enum kind kind, uint8_t *raw)
{
    static const char *const words[] = {"error", "connection from", "user", "session opened",
                                        "port",  "closed by",       "INFO", "block"};
    if (kind == KIND_RANDOM) {
        rng_fill(rng, raw, BLOCK_BYTES);
        return;
    }
    if (kind == KIND_HALF) {
        memset(raw, 'h', BLOCK_BYTES);
        for (size_t at = 0; at < BLOCK_BYTES; at += 1024) {
            rng_fill(rng, raw + at, 512);
        }
        return;
    }
    size_t at = 0;
    while (at < BLOCK_BYTES) {
        char piece[64];
        size_t length = (size_t)snprintf(piece, sizeof piece, "%s %u ", words[rng_below(rng, 8)],
                                         (unsigned)rng_below(rng, 5000));
        length = length < BLOCK_BYTES - at ? length : BLOCK_BYTES - at;
        memcpy(raw + at, piece, length);
        at += length;
    }
}

struct stream {
    struct codec_adaptive adaptive;
    struct codec_context context;
    struct codec_counters counters;
    struct buf out;
    struct rng_seeded rng;
    uint64_t samples;
};

static void stream_init(struct stream *stream, uint64_t seed)
{
    *stream = (struct stream){.samples = 0};
    codec_adaptive_init(&stream->adaptive, NULL, 0);
    codec_context_init(&stream->context);
    buf_init(&stream->out, alloc_default(), 1UL << 20);
    rng_seeded_init(&stream->rng, seed);
}

static void stream_release(struct stream *stream)
{
    buf_release(&stream->out);
    codec_context_release(&stream->context);
}

/* One block through; what it became comes back as it was. */
static enum codec pass(struct stream *stream, enum kind kind)
{
    static uint8_t raw[BLOCK_BYTES];
    static uint8_t back[BLOCK_BYTES];
    struct error err = ERROR_INIT;
    enum codec used = CODEC_NONE;
    fill(&stream->rng.rng, kind, raw);
    stream->samples += codec_adaptive_wants_sample(&stream->adaptive) ? 1 : 0;
    assert_ok(codec_adaptive_compress(&stream->adaptive, &stream->context, 1,
                                      slice_of(raw, sizeof raw), &stream->out, &used,
                                      &stream->counters, &err),
              &err);
    assert_true(used == stream->adaptive.choice || used == CODEC_NONE);
    assert_ok(codec_decompress(&stream->context, used, buf_slice(&stream->out), back, sizeof back,
                               NULL, &err),
              &err);
    assert_memory_equal(raw, back, sizeof raw);
    return used;
}

/* Bytes that do not compress go through as they are: samples apart, no codec is asked. */
static void test_incompressible_costs_little(void **state)
{
    (void)state;
    struct stream stream;
    stream_init(&stream, test_seed());
    for (int i = 0; i < BLOCKS; i++) {
        assert_int_equal(pass(&stream, KIND_RANDOM), CODEC_NONE);
    }
    assert_int_equal(codec_counter_read(&stream.counters.compress[CODEC_NONE]).blocks, BLOCKS);
    assert_int_equal(codec_counter_read(&stream.counters.compress[CODEC_LZ4]).blocks, 0);
    assert_true(stream.samples < 4 + BLOCKS / SAMPLE_INTERVAL_MAX);
    stream_release(&stream);
}

/* Text goes to zstd, which makes much less of it than lz4; half compressible bytes to lz4, which
 * makes as little of them. */
static void test_each_kind_gets_its_codec(void **state)
{
    (void)state;
    struct stream stream;
    stream_init(&stream, test_seed());
    for (int i = 0; i < 100; i++) {
        assert_int_equal(pass(&stream, KIND_TEXT), CODEC_ZSTD);
    }
    struct codec_figures text = codec_counter_read(&stream.counters.compress[CODEC_ZSTD]);
    assert_true(text.stored_bytes * 2 < text.raw_bytes);
    stream_release(&stream);
    stream_init(&stream, test_seed());
    for (int i = 0; i < 100; i++) {
        assert_int_equal(pass(&stream, KIND_HALF), CODEC_LZ4);
    }
    stream_release(&stream);
}

/* Data whose nature changes midway: the choice follows within the longest interval; at once, if
 * the codec that was chosen can see it. */
static void test_a_change_is_followed(void **state)
{
    (void)state;
    static const struct {
        enum kind before;
        enum kind after;
        enum codec choice;
        uint32_t blocks; /* until the choice must be right */
    } cases[] = {
        {KIND_TEXT, KIND_RANDOM, CODEC_NONE, 2},
        {KIND_HALF, KIND_RANDOM, CODEC_NONE, 2},
        {KIND_TEXT, KIND_HALF, CODEC_LZ4, 2},
        {KIND_RANDOM, KIND_TEXT, CODEC_ZSTD, SAMPLE_INTERVAL_MAX},
        {KIND_RANDOM, KIND_HALF, CODEC_LZ4, SAMPLE_INTERVAL_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct stream stream;
        stream_init(&stream, test_seed());
        /* Ends well within an interval. */
        for (uint32_t n = 0; n < 4 * SAMPLE_INTERVAL_MAX + SAMPLE_INTERVAL_MIN; n++) {
            (void)pass(&stream, cases[i].before);
        }
        assert_true(stream.adaptive.choice != cases[i].choice);
        for (uint32_t n = 0; n < cases[i].blocks + SAMPLE_INTERVAL_MIN; n++) {
            (void)pass(&stream, cases[i].after);
        }
        assert_int_equal(stream.adaptive.choice, cases[i].choice);
        assert_int_equal(pass(&stream, cases[i].after), cases[i].choice);
        stream_release(&stream);
    }
}

/* Where time stands still, the same blocks give the same bytes, step for step. */
static void test_it_can_be_replayed(void **state)
{
    (void)state;
    uint64_t seed = test_seed();
    struct clock_manual clock;
    clock_manual_init(&clock, 0);
    struct stream streams[2];
    stream_init(&streams[0], seed);
    stream_init(&streams[1], seed);
    codec_adaptive_init(&streams[0].adaptive, &clock.clock, 0);
    codec_adaptive_init(&streams[1].adaptive, &clock.clock, 0);
    struct rng_seeded rng;
    rng_seeded_init(&rng, seed);
    for (int i = 0; i < 300; i++) {
        enum kind kind =
            i % 60 < 50 ? (enum kind)(i / 60 % KINDS) : (enum kind)rng_below(&rng.rng, KINDS);
        assert_int_equal(pass(&streams[0], kind), pass(&streams[1], kind));
        assert_slice_equal(buf_slice(&streams[0].out), buf_slice(&streams[1].out));
        assert_memory_equal(&streams[0].adaptive, &streams[1].adaptive, sizeof streams[0].adaptive);
    }
    stream_release(&streams[0]);
    stream_release(&streams[1]);
}

/* --- tables ---------------------------------------------------------------------------------- */

/* A table of both kinds of values has blocks of several codecs, opens and gives back all. */
static void test_a_table_of_several_codecs(void **state)
{
    struct temp_dir *dir = *state;
    struct error err = ERROR_INIT;
    struct rng_seeded rng;
    struct codec_adaptive adaptive;
    struct codec_counters counters = {.clock = NULL};
    static uint8_t value[BLOCK_BYTES];
    rng_seeded_init(&rng, test_seed());
    struct rng_seeded again = rng;
    codec_adaptive_init(&adaptive, NULL, 0);
    struct table_writer_options options = fixture_options(temp_dir_path(dir, "t"), CODEC_ADAPTIVE);
    options.counters = &counters;
    struct table_writer *writer = NULL;
    assert_status(table_writer_open(&options, &writer, &err), STATUS_INVALID_ARGUMENT, &err);
    options.adaptive = &adaptive;
    assert_ok(table_writer_open(&options, &writer, &err), &err);
    for (uint64_t i = 0; i < VALUES; i++) {
        uint8_t user[8];
        uint8_t key[16];
        put_be64(user, i);
        size_t length = internal_key_put(key, slice_of(user, sizeof user), 1, KEY_PUT);
        fill(&rng.rng, i < RANDOM_VALUES ? KIND_RANDOM : KIND_TEXT, value);
        assert_ok(
            table_writer_add(writer, slice_of(key, length), slice_of(value, sizeof value), &err),
            &err);
    }
    struct table_info info;
    assert_ok(table_writer_finish(writer, &info, &err), &err);
    assert_int_equal(info.codec, CODEC_ZSTD);
    table_info_release(&info);
    assert_true(codec_counter_read(&counters.compress[CODEC_NONE]).blocks >= RANDOM_VALUES);
    assert_true(codec_counter_read(&counters.compress[CODEC_ZSTD]).blocks >= VALUES / 2);
    struct table *table = open_table(options.path);
    assert_int_equal(table_get_info(table)->codec, CODEC_ZSTD);
    assert_ok(table_verify(table, NULL, &err), &err);
    struct iter *iter = NULL;
    assert_ok(table_iter_new(table, NULL, &iter, &err), &err);
    uint64_t entries = 0;
    for (iter_seek_to_first(iter); iter_valid(iter); iter_next(iter)) {
        fill(&again.rng, entries < RANDOM_VALUES ? KIND_RANDOM : KIND_TEXT, value);
        assert_slice_equal(iter_value(iter), slice_of(value, sizeof value));
        entries++;
    }
    assert_int_equal(entries, VALUES);
    iter_close(iter);
    table_unref(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_rule),
        cmocka_unit_test(test_samples_back_off),
        cmocka_unit_test(test_surprises_ask_for_a_sample),
        cmocka_unit_test(test_one_slow_sample_is_no_verdict),
        cmocka_unit_test(test_incompressible_costs_little),
        cmocka_unit_test(test_each_kind_gets_its_codec),
        cmocka_unit_test(test_a_change_is_followed),
        cmocka_unit_test(test_it_can_be_replayed),
        cmocka_unit_test_setup_teardown(test_a_table_of_several_codecs, temp_dir_setup,
                                        temp_dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
