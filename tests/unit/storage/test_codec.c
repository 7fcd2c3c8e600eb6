/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/codec.h"

#include "base/rng.h"
#include "testlib/fail_alloc.h"
#include "testlib/test.h"

static const enum codec codecs[] = {CODEC_NONE, CODEC_LZ4, CODEC_ZSTD};

enum { CODECS = 3, RAW_BYTES = 16384 };

/* `random_share` of 16 parts are random, the rest repeats. */
static void fill(struct rng *rng, uint8_t *raw, size_t length, unsigned random_share)
{
    memset(raw, 'r', length);
    for (size_t at = 0; at + 16 <= length; at += 16) {
        rng_fill(rng, raw + at, random_share);
    }
}

static void assert_comes_back(struct codec_context *context, enum codec used, struct slice stored,
                              struct slice raw)
{
    struct error err = ERROR_INIT;
    size_t length = 0;
    assert_ok(codec_raw_length(used, stored, &length, &err), &err);
    assert_int_equal(length, raw.length);
    uint8_t *out = alloc_new(alloc_default(), length + 1);
    assert_non_null(out);
    assert_ok(codec_decompress(context, used, stored, out, length, NULL, &err), &err);
    assert_true(raw.length == 0 || memcmp(out, raw.data, raw.length) == 0);
    alloc_free(alloc_default(), out);
}

/* What each codec makes of bytes of any length and any compressibility comes back as it was. */
static void test_bytes_come_back(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    static uint8_t raw[RAW_BYTES];
    struct error err = ERROR_INIT;
    struct codec_context context;
    codec_context_init(&context);
    struct buf out;
    buf_init(&out, alloc_default(), 1UL << 20);
    for (unsigned share = 0; share <= 16; share++) {
        fill(&seeded.rng, raw, sizeof raw, share);
        for (int i = 0; i < 10 * CODECS; i++) {
            size_t length =
                i < CODECS ? (size_t)(i * 5) : (size_t)rng_below(&seeded.rng, RAW_BYTES);
            enum codec used = CODEC_NONE;
            enum codec codec = codecs[i % CODECS];
            assert_ok(
                codec_compress(&context, codec, 3, slice_of(raw, length), &out, &used, NULL, &err),
                &err);
            assert_true(used == codec || used == CODEC_NONE);
            assert_true(out.length <= length);
            assert_comes_back(&context, used, buf_slice(&out), slice_of(raw, length));
        }
    }
    buf_release(&out);
    codec_context_release(&context);
}

/* Bytes that shrink are stored smaller and counted; those that do not are stored as they are. */
static void test_what_does_not_shrink_stays_raw(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    static uint8_t raw[RAW_BYTES];
    struct error err = ERROR_INIT;
    struct codec_context context;
    codec_context_init(&context);
    struct buf out;
    buf_init(&out, alloc_default(), 1UL << 20);
    for (int i = 1; i < CODECS; i++) {
        struct codec_counters counters = {.clock = NULL};
        enum codec used = CODEC_NONE;
        fill(&seeded.rng, raw, sizeof raw, 8);
        assert_ok(codec_compress(&context, codecs[i], 1, slice_of(raw, sizeof raw), &out, &used,
                                 &counters, &err),
                  &err);
        assert_int_equal(used, codecs[i]);
        assert_true(out.length <= RAW_BYTES - RAW_BYTES / 8);
        size_t stored = out.length;
        fill(&seeded.rng, raw, sizeof raw, 16);
        assert_ok(codec_compress(&context, codecs[i], 1, slice_of(raw, sizeof raw), &out, &used,
                                 &counters, &err),
                  &err);
        assert_int_equal(used, CODEC_NONE);
        assert_int_equal(out.length, RAW_BYTES);
        assert_memory_equal(out.data, raw, RAW_BYTES);
        struct codec_figures figures = codec_counter_read(&counters.compress[codecs[i]]);
        assert_int_equal(figures.blocks, 2);
        assert_int_equal(figures.raw_bytes, 2 * RAW_BYTES);
        assert_int_equal(figures.stored_bytes, RAW_BYTES + stored);
        assert_int_equal(figures.ns, 0);
        assert_int_equal(counter_get(&counters.kept_blocks[codecs[i]]), 1);
    }
    buf_release(&out);
    codec_context_release(&context);
}

/* Damaged compressed bytes are CORRUPT, or by chance still decompress to the claimed length. */
static void test_damaged_bytes_do_no_harm(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    static uint8_t raw[2000];
    fill(&seeded.rng, raw, sizeof raw, 6);
    struct codec_context context;
    codec_context_init(&context);
    struct buf out;
    buf_init(&out, alloc_default(), 1UL << 20);
    int corrupt = 0;
    for (int i = 0; i < 6000; i++) {
        enum codec used = CODEC_NONE;
        struct error err = ERROR_INIT;
        assert_ok(codec_compress(&context, codecs[1 + i % 2], 1, slice_of(raw, sizeof raw), &out,
                                 &used, NULL, &err),
                  &err);
        assert_int_equal(used, codecs[1 + i % 2]);
        size_t length = out.length;
        if (i % 3 == 0) {
            length = (size_t)rng_below(&seeded.rng, length);
        } else {
            out.data[rng_below(&seeded.rng, length)] ^= (uint8_t)(1 + rng_below(&seeded.rng, 255));
        }
        uint8_t *stored = alloc_new(alloc_default(), length + 1);
        memcpy(stored + 1, out.data, length); /* ends where the memory ends */
        size_t raw_length = 0;
        enum status status =
            codec_raw_length(used, slice_of(stored + 1, length), &raw_length, &err);
        if (status == STATUS_OK) {
            uint8_t *back = alloc_new(alloc_default(), raw_length + 1);
            assert_non_null(back);
            status = codec_decompress(&context, used, slice_of(stored + 1, length), back,
                                      raw_length, NULL, &err);
            alloc_free(alloc_default(), back);
        }
        assert_true(status == STATUS_OK || status == STATUS_CORRUPT);
        corrupt += status == STATUS_CORRUPT ? 1 : 0;
        alloc_free(alloc_default(), stored);
    }
    assert_true(corrupt > 2000);
    buf_release(&out);
    codec_context_release(&context);
}

/* Unknown codecs and lengths beyond the limit are CORRUPT before memory is asked for. */
static void test_claims_are_bounded(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    uint8_t claim[VARINT_BYTES_MAX];
    size_t length = put_varint(claim, CODEC_RAW_BYTES_MAX + 1);
    size_t raw_length = 0;
    assert_status(codec_raw_length(CODEC_LZ4, slice_of(claim, length), &raw_length, &err),
                  STATUS_CORRUPT, &err);
    assert_status(codec_raw_length(CODEC_ZSTD, slice_of(claim, 1), &raw_length, &err),
                  STATUS_CORRUPT, &err);
    assert_status(codec_raw_length(3, slice_of(claim, length), &raw_length, &err), STATUS_CORRUPT,
                  &err);
    assert_status(codec_raw_length(255, slice_of(claim, length), &raw_length, &err), STATUS_CORRUPT,
                  &err);
}

/* Bytes that decompress to fewer or more than they claim are CORRUPT. */
static void test_a_wrong_claim_is_found(void **state)
{
    (void)state;
    static const uint8_t raw[300];
    struct codec_context context;
    codec_context_init(&context);
    for (int i = 1; i < CODECS; i++) {
        struct error err = ERROR_INIT;
        enum codec used = CODEC_NONE;
        struct buf out;
        buf_init(&out, alloc_default(), 4096);
        assert_ok(codec_compress(&context, codecs[i], 1, slice_of(raw, sizeof raw), &out, &used,
                                 NULL, &err),
                  &err);
        assert_int_equal(used, codecs[i]);
        for (size_t claim = 298; claim <= 302; claim++) {
            uint8_t back[302];
            assert_int_equal(put_varint(out.data, claim), 2);
            size_t length = 0;
            assert_ok(codec_raw_length(used, buf_slice(&out), &length, &err), &err);
            assert_int_equal(length, claim);
            assert_status(
                codec_decompress(&context, used, buf_slice(&out), back, claim, NULL, &err),
                claim == sizeof raw ? STATUS_OK : STATUS_CORRUPT, &err);
        }
        buf_release(&out);
    }
    codec_context_release(&context);
}

/* Contexts that come one after the other use one decompressor, also after damage; of more at once
 * each has its own, and the pool keeps as many as it has room for. */
static void test_decompressors_are_kept(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    static uint8_t raw[RAW_BYTES];
    static uint8_t back[RAW_BYTES];
    struct codec_pool pool = {{NULL}};
    struct codec_context contexts[CODEC_POOL_SLOTS + 1];
    struct buf stored;
    enum codec used = CODEC_NONE;
    memset(raw, 'r', sizeof raw);
    buf_init(&stored, alloc_default(), 1UL << 20);
    codec_context_init(&contexts[0]);
    assert_ok(codec_compress(&contexts[0], CODEC_ZSTD, 1, slice_of(raw, sizeof raw), &stored, &used,
                             NULL, &err),
              &err);
    codec_context_release(&contexts[0]);
    void *first = NULL;
    for (int i = 0; i < 4; i++) {
        codec_context_init(&contexts[0]);
        contexts[0].pool = &pool;
        struct slice given = buf_slice(&stored);
        given.length -= i == 1 ? 1 : 0;
        enum status status =
            codec_decompress(&contexts[0], CODEC_ZSTD, given, back, sizeof back, NULL, &err);
        assert_int_equal(status, i == 1 ? STATUS_CORRUPT : STATUS_OK);
        first = i == 0 ? contexts[0].zstd_decompress : first;
        assert_ptr_equal(contexts[0].zstd_decompress, first);
        codec_context_release(&contexts[0]);
    }
    for (size_t i = 0; i <= CODEC_POOL_SLOTS; i++) {
        codec_context_init(&contexts[i]);
        contexts[i].pool = &pool;
        memset(back, 0, sizeof back);
        assert_ok(codec_decompress(&contexts[i], CODEC_ZSTD, buf_slice(&stored), back, sizeof back,
                                   NULL, &err),
                  &err);
        assert_memory_equal(back, raw, sizeof raw);
        assert_int_equal(contexts[i].zstd_decompress == first, i == 0);
    }
    for (size_t i = 0; i <= CODEC_POOL_SLOTS; i++) {
        codec_context_release(&contexts[i]);
    }
    for (size_t i = 0; i < CODEC_POOL_SLOTS; i++) {
        assert_non_null(atomic_load(&pool.slots[i]));
    }
    codec_pool_release(&pool);
    assert_null(codec_pool_take(&pool));
    buf_release(&stored);
}

/* Names and numbers of codecs go both ways. */
static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < CODECS; i++) {
        enum codec codec = CODEC_NONE;
        assert_true(codec_from_name(codec_name(codecs[i]), &codec));
        assert_int_equal(codec, codecs[i]);
        assert_true(codec_is_known(codecs[i]));
    }
    enum codec codec = CODEC_LZ4;
    assert_false(codec_from_name("snappy", &codec));
    assert_int_equal(codec, CODEC_LZ4);
    assert_false(codec_is_known(3));
    assert_string_equal(codec_name(3), "unknown");
    /* A setting that is no block's. */
    assert_true(codec_from_name("adaptive", &codec));
    assert_int_equal(codec, CODEC_ADAPTIVE);
    assert_string_equal(codec_name(CODEC_ADAPTIVE), "adaptive");
    assert_false(codec_is_known(CODEC_ADAPTIVE));
}

/* Without memory compression says so. */
static void test_no_memory_is_said(void **state)
{
    (void)state;
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    static const uint8_t raw[4096];
    struct codec_context context;
    codec_context_init(&context);
    for (int i = 0; i < CODECS; i++) {
        struct error err = ERROR_INIT;
        enum codec used = CODEC_NONE;
        struct buf out;
        buf_init(&out, &fail.alloc, 1UL << 20);
        fail_alloc_arm(&fail, 0);
        assert_status(codec_compress(&context, codecs[i], 1, slice_of(raw, sizeof raw), &out, &used,
                                     NULL, &err),
                      STATUS_RESOURCE_EXHAUSTED, &err);
        buf_release(&out);
    }
    codec_context_release(&context);
    fail_alloc_release(&fail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_come_back),
        cmocka_unit_test(test_what_does_not_shrink_stays_raw),
        cmocka_unit_test(test_damaged_bytes_do_no_harm),
        cmocka_unit_test(test_claims_are_bounded),
        cmocka_unit_test(test_a_wrong_claim_is_found),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_decompressors_are_kept),
        cmocka_unit_test(test_no_memory_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
