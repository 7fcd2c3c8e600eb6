/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/codec.h"

#include "base/rng.h"
#include "testlib/fail_alloc.h"
#include "testlib/test.h"

enum { SAMPLES = 200, SAMPLE_BYTES = 1000 };

struct samples {
    uint8_t bytes[SAMPLES * SAMPLE_BYTES];
};

static struct samples samples;

/* Lines that have much in common from sample to sample and little within one. */
static void make_samples(struct rng *rng, bool alike)
{
    static uint8_t words[64][40];
    rng_fill(rng, words, sizeof words);
    for (size_t i = 0; i < SAMPLES; i++) {
        uint8_t *to = samples.bytes + i * SAMPLE_BYTES;
        rng_fill(rng, to, SAMPLE_BYTES);
        for (size_t at = 0; alike && at + 50 <= SAMPLE_BYTES; at += 50) {
            memcpy(to + at, words[rng_below(rng, 64)], 40);
        }
    }
}

static struct slice sample(size_t i)
{
    return slice_of(samples.bytes + i * SAMPLE_BYTES, SAMPLE_BYTES);
}

static void train(struct buf *bytes, struct codec_dictionary **dictionary)
{
    struct error err = ERROR_INIT;
    buf_init(bytes, alloc_default(), CODEC_DICTIONARY_BYTES_MAX);
    assert_ok(
        codec_dictionary_train(slice_of(samples.bytes, sizeof samples.bytes), 8192, 1, bytes, &err),
        &err);
    assert_true(bytes->length > 4096);
    assert_true(bytes->length <= 8192);
    assert_ok(codec_dictionary_new(alloc_default(), buf_slice(bytes), 1, dictionary, &err), &err);
    assert_true((*dictionary)->bytes > bytes->length);
}

/* Blocks that hardly shrink alone do so with a dictionary, and come back with a copy of it that was
 * made for reading only. */
static void test_blocks_shrink_and_come_back(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct rng_seeded rng;
    rng_seeded_init(&rng, test_seed());
    make_samples(&rng.rng, true);
    struct buf bytes;
    struct buf out;
    struct codec_dictionary *writing = NULL;
    struct codec_dictionary *reading = NULL;
    train(&bytes, &writing);
    assert_ok(codec_dictionary_new(alloc_default(), buf_slice(&bytes), 0, &reading, &err), &err);
    assert_null(reading->zstd_compress);
    struct codec_context context;
    codec_context_init(&context);
    buf_init(&out, alloc_default(), 1UL << 20);
    uint64_t with = 0;
    uint64_t without = 0;
    for (size_t i = 0; i < SAMPLES; i++) {
        uint8_t back[SAMPLE_BYTES];
        enum codec used = CODEC_NONE;
        assert_ok(codec_compress(&context, CODEC_ZSTD, 1, sample(i), &out, &used, NULL, &err),
                  &err);
        without += out.length;
        context.dictionary = writing;
        assert_ok(
            codec_compress(&context, CODEC_ZSTD_DICTIONARY, 1, sample(i), &out, &used, NULL, &err),
            &err);
        with += out.length;
        assert_true(used == CODEC_ZSTD_DICTIONARY || used == CODEC_NONE);
        context.dictionary = reading;
        assert_ok(codec_decompress(&context, used, buf_slice(&out), back, sizeof back, NULL, &err),
                  &err);
        assert_memory_equal(back, sample(i).data, sizeof back);
    }
    assert_true(with * 2 < without);
    codec_context_release(&context);
    codec_dictionary_free(writing);
    codec_dictionary_free(reading);
    buf_release(&bytes);
    buf_release(&out);
}

/* Without its dictionary, or with another, a block is CORRUPT. */
static void test_a_block_needs_its_dictionary(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct rng_seeded rng;
    rng_seeded_init(&rng, test_seed());
    struct buf bytes[2];
    struct codec_dictionary *dictionaries[2];
    make_samples(&rng.rng, true);
    train(&bytes[0], &dictionaries[0]);
    make_samples(&rng.rng, true);
    train(&bytes[1], &dictionaries[1]);
    struct codec_context context;
    codec_context_init(&context);
    struct buf out;
    buf_init(&out, alloc_default(), 1UL << 20);
    enum codec used = CODEC_NONE;
    context.dictionary = dictionaries[1];
    assert_ok(
        codec_compress(&context, CODEC_ZSTD_DICTIONARY, 1, sample(0), &out, &used, NULL, &err),
        &err);
    assert_int_equal(used, CODEC_ZSTD_DICTIONARY);
    uint8_t back[SAMPLE_BYTES];
    const struct codec_dictionary *wrong[] = {NULL, dictionaries[0]};
    for (size_t i = 0; i < 2; i++) {
        context.dictionary = wrong[i];
        assert_status(
            codec_decompress(&context, used, buf_slice(&out), back, sizeof back, NULL, &err),
            STATUS_CORRUPT, &err);
    }
    assert_status(
        codec_decompress(&context, CODEC_ZSTD, buf_slice(&out), back, sizeof back, NULL, &err),
        STATUS_CORRUPT, &err);
    codec_context_release(&context);
    for (size_t i = 0; i < 2; i++) {
        codec_dictionary_free(dictionaries[i]);
        buf_release(&bytes[i]);
    }
    buf_release(&out);
}

/* Few samples give no dictionary, or a small one; other bytes are none. */
static void test_what_gives_none(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct rng_seeded rng;
    rng_seeded_init(&rng, test_seed());
    make_samples(&rng.rng, true);
    struct buf bytes;
    buf_init(&bytes, alloc_default(), CODEC_DICTIONARY_BYTES_MAX);
    for (size_t count = 0; count < SAMPLES; count += 3) {
        struct slice first = slice_of(samples.bytes, count * SAMPLE_BYTES);
        assert_ok(codec_dictionary_train(first, 8192, 1, &bytes, &err), &err);
        assert_true(bytes.length <= first.length / CODEC_DICTIONARY_PART);
        assert_int_equal(bytes.length > 0,
                         first.length / CODEC_DICTIONARY_PART >= CODEC_DICTIONARY_BYTES_MIN);
    }
    struct codec_dictionary *dictionary = NULL;
    for (size_t length = 0; length < 64; length++) { /* cut within its head */
        assert_status(codec_dictionary_new(alloc_default(), slice_of(bytes.data, length), 0,
                                           &dictionary, &err),
                      STATUS_CORRUPT, &err);
    }
    assert_status(codec_dictionary_new(alloc_default(), sample(0), 0, &dictionary, &err),
                  STATUS_CORRUPT, &err);
    assert_null(dictionary);
    buf_release(&bytes);
}

/* The same samples give the same dictionary. */
static void test_training_repeats_itself(void **state)
{
    (void)state;
    struct rng_seeded rng;
    rng_seeded_init(&rng, test_seed());
    make_samples(&rng.rng, true);
    struct buf bytes[2];
    for (size_t i = 0; i < 2; i++) {
        struct codec_dictionary *dictionary = NULL;
        train(&bytes[i], &dictionary);
        codec_dictionary_free(dictionary);
    }
    assert_true(slice_equal(buf_slice(&bytes[0]), buf_slice(&bytes[1])));
    buf_release(&bytes[0]);
    buf_release(&bytes[1]);
}

/* Without memory it is said, at any of the allocations. */
static void test_no_memory_is_said(void **state)
{
    (void)state;
    struct rng_seeded rng;
    rng_seeded_init(&rng, test_seed());
    make_samples(&rng.rng, true);
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    int failures = 0;
    enum status status = STATUS_RESOURCE_EXHAUSTED;
    while (status != STATUS_OK) {
        struct error err = ERROR_INIT;
        struct buf bytes;
        struct codec_dictionary *dictionary = NULL;
        buf_init(&bytes, &fail.alloc, CODEC_DICTIONARY_BYTES_MAX);
        fail_alloc_arm(&fail, (uint64_t)failures);
        status = codec_dictionary_train(slice_of(samples.bytes, sizeof samples.bytes), 8192, 1,
                                        &bytes, &err);
        if (status == STATUS_OK) {
            status = codec_dictionary_new(&fail.alloc, buf_slice(&bytes), 1, &dictionary, &err);
        }
        assert_true(status == STATUS_OK || status == STATUS_RESOURCE_EXHAUSTED);
        failures += status == STATUS_OK ? 0 : 1;
        codec_dictionary_free(dictionary);
        buf_release(&bytes);
    }
    assert_true(failures >= 3);
    fail_alloc_release(&fail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_shrink_and_come_back),
        cmocka_unit_test(test_a_block_needs_its_dictionary),
        cmocka_unit_test(test_what_gives_none),
        cmocka_unit_test(test_training_repeats_itself),
        cmocka_unit_test(test_no_memory_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
