/* SPDX-License-Identifier: Apache-2.0
 *
 * What the adaptive codec has seen of a keyspace goes on from one job to the next.
 */
#include "storage/tree/codec_memory.h"

#include "base/rng.h"
#include "engine_run.h"
#include "storage/engine_internal.h"

static void each_kind_is_apart(void **state)
{
    struct codec_memory memory;
    struct clock_manual clock;
    (void)state;
    clock_manual_init(&clock, NS_PER_S);
    codec_memory_init(&memory, &clock.clock);
    struct codec_adaptive seen = codec_memory_get(&memory, 3, true);
    assert_ptr_equal(seen.clock, &clock.clock);
    assert_true(codec_adaptive_wants_sample(&seen));
    seen.choice = CODEC_NONE;
    codec_memory_set(&memory, 3, true, &seen); /* it has seen nothing */
    assert_int_equal(codec_memory_get(&memory, 3, true).choice, CODEC_LZ4);
    codec_adaptive_note_sample(&seen, CODEC_LZ4, 4096, 4096, 1);
    codec_adaptive_note_sample(&seen, CODEC_ZSTD, 4096, 1024, 1);
    codec_adaptive_choose(&seen);
    codec_memory_set(&memory, 3, true, &seen);
    for (unsigned i = 0; i < KEYSPACES_MAX; i++) {
        bool is_it = i == 3;
        assert_int_equal(codec_memory_get(&memory, i, true).known, is_it);
        assert_int_equal(codec_memory_get(&memory, i, true).choice, is_it ? CODEC_ZSTD : CODEC_LZ4);
        assert_false(codec_memory_get(&memory, i, false).known);
    }
    codec_memory_release(&memory);
}

/* A table of one block, of bytes that no codec makes smaller. */
static void flush_one_block(struct engine_run *run, struct rng *rng, uint32_t number)
{
    char key[64];
    uint8_t value[256];
    rng_fill(rng, value, sizeof value);
    batch_clear(&run->batch);
    batch_put(&run->batch, KS_META, model_key(key, number), slice_of(value, sizeof value));
    assert_ok(engine_write(run->engine, &run->batch, &run->err), &run->err);
    engine_run_seal(run);
    assert_ok(engine_flush(run->engine, &run->err), &run->err);
}

static void flushes_share_samples(void **state)
{
    struct engine_run run;
    struct keyspace_options keyspaces[KS_COUNT];
    struct rng_seeded rng;
    (void)state;
    engine_run_init(&run);
    memcpy(keyspaces, model_keyspaces, sizeof keyspaces);
    keyspaces[KS_META].codec_new = CODEC_ADAPTIVE;
    run.options.keyspaces = keyspaces;
    run.options.l0_trigger = 9;
    run.options.l0_slowdown = 20;
    run.options.l0_stop = 20;
    run.options.clock = NULL; /* the system's */
    engine_run_open(&run, 1);
    rng_seeded_init(&rng, 1);
    assert_non_null(codec_memory_get(&run.engine->codec_memory, KS_META, false).clock);
    for (uint32_t i = 0; i < SAMPLE_INTERVAL_MIN; i++) {
        flush_one_block(&run, &rng.rng, i);
        struct codec_adaptive seen = codec_memory_get(&run.engine->codec_memory, KS_META, false);
        assert_true(seen.known);
        assert_int_equal(seen.choice, CODEC_NONE);
        assert_int_equal(seen.until_sample, SAMPLE_INTERVAL_MIN - 1 - i); /* the first was one */
        assert_false(codec_memory_get(&run.engine->codec_memory, KS_LATEST, false).known);
    }
    flush_one_block(&run, &rng.rng, SAMPLE_INTERVAL_MIN); /* a second one confirms it */
    assert_int_equal(codec_memory_get(&run.engine->codec_memory, KS_META, false).interval,
                     2 * SAMPLE_INTERVAL_MIN);
    engine_run_end(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_apart),
        cmocka_unit_test(flushes_share_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
