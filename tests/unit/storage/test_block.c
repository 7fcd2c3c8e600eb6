/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/block.h"

#include "table_fixture.h"
#include "testlib/fail_alloc.h"

static struct slice build(struct block_builder *builder, const struct reference *reference)
{
    for (size_t i = 0; i < reference->count; i++) {
        assert_true(
            block_builder_add(builder, reference->entries[i].key, reference->entries[i].value));
    }
    size_t expected = block_builder_bytes(builder);
    struct slice block = block_builder_finish(builder);
    assert_int_equal(block.length, expected);
    return block;
}

static void assert_at(const struct block_iter *iter, const struct reference *reference, size_t i)
{
    assert_null(iter->damage);
    assert_int_equal(block_iter_valid(iter), i < reference->count);
    if (i < reference->count) {
        assert_slice_equal(iter->key, reference->entries[i].key);
        assert_slice_equal(iter->value, reference->entries[i].value);
    }
}

static void assert_walks(const struct reference *reference, struct slice block, struct rng *rng)
{
    static struct block_iter iter;
    assert_true(block_iter_init(&iter, block));
    assert_false(block_iter_valid(&iter));
    block_iter_seek_to_first(&iter);
    for (size_t i = 0; i < reference->count; i++) {
        assert_at(&iter, reference, i);
        block_iter_next(&iter);
    }
    assert_at(&iter, reference, reference->count);
    block_iter_seek_to_last(&iter);
    for (size_t i = reference->count; i > 0; i--) {
        assert_at(&iter, reference, i - 1);
        block_iter_prev(&iter);
    }
    assert_at(&iter, reference, SIZE_MAX);
    for (int i = 0; i < 300; i++) {
        uint8_t user[FIXTURE_KEY_BYTES_MAX];
        uint8_t target[FIXTURE_KEY_BYTES_MAX + KEY_TRAILER_BYTES];
        size_t length = random_user_key(rng, user);
        length = internal_key_put(target, slice_of(user, length),
                                  rng_below(rng, FIXTURE_SEQUENCE_MAX), KEY_SEEK);
        block_iter_seek(&iter, slice_of(target, length));
        size_t at = reference_seek(reference, slice_of(target, length));
        assert_at(&iter, reference, at);
        if (at < reference->count) {
            if (rng_below(rng, 2) == 0) {
                block_iter_prev(&iter);
                assert_at(&iter, reference, at == 0 ? SIZE_MAX : at - 1);
            } else {
                block_iter_next(&iter);
                assert_at(&iter, reference, at + 1);
            }
        }
    }
}

/* Back and forth at random, some steps each way: what a step back keeps for the next one is of no
 * use after a step forward. */
static void assert_wanders(const struct reference *reference, struct slice block, struct rng *rng)
{
    static struct block_iter iter;
    assert_true(block_iter_init(&iter, block));
    for (int i = 0; i < 40; i++) {
        size_t at = (size_t)rng_below(rng, reference->count);
        block_iter_seek(&iter, reference->entries[at].key);
        for (int turn = 0; turn < 6 && block_iter_valid(&iter); turn++) {
            bool back = rng_below(rng, 2) == 0;
            uint64_t steps = 1 + rng_below(rng, 40);
            while (steps-- > 0 && block_iter_valid(&iter)) {
                if (back) {
                    block_iter_prev(&iter);
                    at--; /* before the first: SIZE_MAX */
                } else {
                    block_iter_next(&iter);
                    at++;
                }
                assert_at(&iter, reference, at);
            }
        }
    }
}

/* A block yields what was added, both ways and from any seek, at any restart interval. */
static void test_yields_what_was_added(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct block_builder builder;
    for (uint32_t interval = 1; interval <= 33; interval += 4) {
        block_builder_init(&builder, alloc_default(), interval);
        for (int round = 0; round < 5; round++) {
            struct reference reference;
            reference_make(&reference, &seeded.rng, 1 + (size_t)rng_below(&seeded.rng, 200), 30);
            block_builder_reset(&builder);
            struct slice block = build(&builder, &reference);
            assert_walks(&reference, block, &seeded.rng);
            assert_wanders(&reference, block, &seeded.rng);
            reference_release(&reference);
        }
        block_builder_release(&builder);
    }
}

/* The same with keys of which a step back can keep few, or none. */
static void test_long_keys_are_walked_back(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    enum { LONG_ENTRIES = 60 };
    static const size_t lengths[] = {100, 300, BLOCK_KEPT_KEY_BYTES - KEY_TRAILER_BYTES,
                                     BLOCK_KEPT_KEY_BYTES, USER_KEY_BYTES_MAX};
    static uint8_t keys[LONG_ENTRIES][INTERNAL_KEY_BYTES_MAX];
    struct entry entries[LONG_ENTRIES];
    const struct reference reference = {.entries = entries, .count = LONG_ENTRIES};
    /* The last round has all lengths by turns. */
    const size_t rounds = sizeof lengths / sizeof lengths[0] + 1;
    for (size_t round = 0; round < rounds; round++) {
        struct block_builder builder;
        block_builder_init(&builder, alloc_default(), 16);
        for (size_t i = 0; i < LONG_ENTRIES; i++) {
            size_t length = lengths[round + 1 < rounds ? round : i % (rounds - 1)];
            memset(keys[i], 'k', length);
            put_be64(keys[i] + 50, i);
            size_t whole = internal_key_put(keys[i], slice_of(keys[i], length), i, KEY_PUT);
            entries[i] = (struct entry){slice_of(keys[i], whole), slice_of_string("v")};
        }
        assert_wanders(&reference, build(&builder, &reference), &seeded.rng);
        block_builder_release(&builder);
    }
}

/* Keys that share a prefix cost little: that is what the layout is for. */
static void test_prefixes_are_stored_once(void **state)
{
    (void)state;
    struct block_builder builder;
    block_builder_init(&builder, alloc_default(), 16);
    for (uint64_t i = 0; i < 160; i++) {
        uint8_t key[64 + 8 + KEY_TRAILER_BYTES];
        memset(key, 'p', 64);
        put_be64(key + 64, i);
        (void)internal_key_put(key, slice_of(key, 72), i, KEY_PUT);
        assert_true(block_builder_add(&builder, slice_of(key, sizeof key), slice_of(NULL, 0)));
    }
    assert_true(block_builder_bytes(&builder) < 160 * 13 + 10 * 75 + 100);
    block_builder_release(&builder);
}

/* Uses the block in every way, with a bound on the steps: damage must end in `damage` or in
 * wrong entries, never in a crash, an endless loop or a read outside (which ASan would show). */
static void use_block(struct slice block, struct slice target)
{
    static struct block_iter iter;
    if (!block_iter_init(&iter, block)) {
        assert_non_null(iter.damage);
        assert_false(block_iter_valid(&iter));
        return;
    }
    size_t bytes = 0;
    size_t steps = 0;
    for (block_iter_seek_to_first(&iter); block_iter_valid(&iter); block_iter_next(&iter)) {
        bytes += iter.key.length + iter.value.length;
        if (iter.value.length > 0) {
            bytes += iter.value.data[iter.value.length - 1];
        }
        assert_true(++steps <= block.length);
    }
    steps = 0;
    for (block_iter_seek_to_last(&iter); block_iter_valid(&iter); block_iter_prev(&iter)) {
        bytes += iter.key.data[iter.key.length - 1];
        assert_true(++steps <= block.length);
    }
    block_iter_seek(&iter, target);
    if (block_iter_valid(&iter)) {
        assert_null(iter.damage);
        block_iter_prev(&iter);
    }
    assert_true(bytes > 0 || iter.damage != NULL || steps == 0);
}

/* Blocks with bytes changed, which no checksum protects here, are damaged or differ, no more. */
static void test_changed_bytes_do_no_harm(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct block_builder builder;
    block_builder_init(&builder, alloc_default(), 4);
    struct reference reference;
    reference_make(&reference, &seeded.rng, 60, 10);
    struct slice block = build(&builder, &reference);
    struct slice target = reference.entries[reference.count / 2].key;
    for (int i = 0; i < 20000; i++) {
        /* Of the exact size, so that a read past the end is seen. */
        uint8_t *copy = alloc_new(alloc_default(), block.length);
        assert_non_null(copy);
        memcpy(copy, block.data, block.length);
        for (uint64_t changes = 1 + rng_below(&seeded.rng, 3); changes > 0; changes--) {
            copy[rng_below(&seeded.rng, block.length)] = (uint8_t)rng_u64(&seeded.rng);
        }
        use_block(slice_of(copy, block.length), target);
        alloc_free(alloc_default(), copy);
    }
    block_builder_release(&builder);
    reference_release(&reference);
}

/* Every truncation of a block, and random bytes of every length, do no harm. */
static void test_cut_and_random_blocks_do_no_harm(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct block_builder builder;
    block_builder_init(&builder, alloc_default(), 4);
    struct reference reference;
    reference_make(&reference, &seeded.rng, 60, 10);
    struct slice block = build(&builder, &reference);
    struct slice target = reference.entries[reference.count / 2].key;
    for (size_t length = 1; length < block.length; length++) {
        uint8_t *copy = alloc_new(alloc_default(), length);
        assert_non_null(copy);
        memcpy(copy, block.data, length);
        use_block(slice_of(copy, length), target);
        memcpy(copy, block.data + block.length - length, length);
        use_block(slice_of(copy, length), target);
        rng_fill(&seeded.rng, copy, length);
        if (length >= 8) {
            put_le32(copy + length - 4, 1);
            put_le32(copy + length - 8, 0);
        }
        use_block(slice_of(copy, length), target);
        alloc_free(alloc_default(), copy);
    }
    block_builder_release(&builder);
    reference_release(&reference);
}

/* Whichever allocation fails, the builder says so and can be used again after a reset. */
static void test_each_allocation_may_fail(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct reference reference;
    reference_make(&reference, &seeded.rng, 100, 50);
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    bool hit = true;
    for (uint64_t n = 0; hit; n++) {
        struct block_builder builder;
        block_builder_init(&builder, &fail.alloc, 2);
        fail_alloc_arm(&fail, n);
        bool ok = true;
        for (size_t i = 0; ok && i < reference.count; i++) {
            ok = block_builder_add(&builder, reference.entries[i].key, reference.entries[i].value);
        }
        ok = ok && block_builder_finish(&builder).length > 0;
        hit = fail_alloc_hit(&fail);
        assert_int_equal(ok, !hit);
        block_builder_reset(&builder);
        assert_walks(&reference, build(&builder, &reference), &seeded.rng);
        block_builder_release(&builder);
    }
    fail_alloc_release(&fail);
    reference_release(&reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yields_what_was_added),
        cmocka_unit_test(test_long_keys_are_walked_back),
        cmocka_unit_test(test_prefixes_are_stored_once),
        cmocka_unit_test(test_changed_bytes_do_no_harm),
        cmocka_unit_test(test_cut_and_random_blocks_do_no_harm),
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
