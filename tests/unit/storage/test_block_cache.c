/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/block_cache.h"

#include "base/rng.h"
#include "base/sync.h"
#include "testlib/fail_alloc.h"
#include "testlib/test.h"

/* A block that says where it belongs. */
static struct cached_block *make_block(struct alloc *alloc, uint64_t file, uint64_t offset,
                                       size_t length)
{
    struct cached_block *block = cached_block_new(alloc, length);
    if (block != NULL) {
        memset(block->data, (int)((file * 31 + offset) & 0xff), length);
    }
    return block;
}

static bool is_right(const struct cached_block *block, uint64_t file, uint64_t offset)
{
    uint8_t expected = (uint8_t)(file * 31 + offset);
    return block->length > 0 && block->data[0] == expected &&
           block->data[block->length - 1] == expected;
}

static void put(struct block_cache *cache, struct alloc *alloc, uint64_t file, uint64_t offset,
                size_t length)
{
    struct cached_block *block = make_block(alloc, file, offset, length);
    assert_non_null(block);
    block_cache_put(cache, file, offset, block);
    cached_block_unref(block);
}

static bool has(struct block_cache *cache, uint64_t file, uint64_t offset)
{
    struct cached_block *block = block_cache_get(cache, file, offset);
    if (block != NULL) {
        assert_true(is_right(block, file, offset));
        cached_block_unref(block);
    }
    return block != NULL;
}

/* What was put in is found under its place only, and hits and misses are counted. */
static void test_finds_what_was_put_in(void **state)
{
    (void)state;
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    struct block_cache *cache = block_cache_new(&fail.alloc, 16UL << 20);
    assert_non_null(cache);
    for (uint64_t i = 0; i < 5000; i++) {
        put(cache, &fail.alloc, 1 + i % 7, i * 100, 50);
    }
    for (uint64_t i = 0; i < 5000; i++) {
        assert_true(has(cache, 1 + i % 7, i * 100));
        assert_false(has(cache, 8 + i % 7, i * 100));
    }
    struct block_cache_stats stats;
    block_cache_stats(cache, &stats);
    assert_int_equal(stats.hits, 5000);
    assert_int_equal(stats.misses, 5000);
    assert_int_equal(stats.blocks, 5000);
    assert_int_equal(stats.evictions, 0);
    block_cache_free(cache);
    fail_alloc_release(&fail);
}

/* The budget holds whatever is put in, and the blocks that are asked for stay the longest. */
static void test_keeps_its_budget_and_what_is_used(void **state)
{
    (void)state;
    struct block_cache *cache = block_cache_new(alloc_default(), 1UL << 20);
    assert_non_null(cache);
    put(cache, alloc_default(), 1, 0, 1000);
    for (uint64_t i = 1; i < 20000; i++) {
        put(cache, alloc_default(), 1, i, 1000);
        assert_true(has(cache, 1, 0));
        struct block_cache_stats stats;
        block_cache_stats(cache, &stats);
        assert_true(stats.bytes <= stats.bytes_max);
        assert_true(stats.bytes_max <= 1UL << 20);
    }
    struct block_cache_stats stats;
    block_cache_stats(cache, &stats);
    assert_true(stats.bytes > stats.bytes_max / 2);
    assert_int_equal(stats.evictions + stats.blocks, 20000);
    assert_false(has(cache, 1, 1));
    block_cache_free(cache);
}

/* A block that somebody holds outlives its eviction and the cache itself. */
static void test_a_held_block_outlives_the_cache(void **state)
{
    (void)state;
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    struct block_cache *cache = block_cache_new(&fail.alloc, 64UL << 10);
    assert_non_null(cache);
    put(cache, &fail.alloc, 9, 4096, 500);
    struct cached_block *held = block_cache_get(cache, 9, 4096);
    assert_non_null(held);
    for (uint64_t i = 0; i < 1000; i++) {
        put(cache, &fail.alloc, 10, i, 500);
    }
    assert_false(has(cache, 9, 4096));
    block_cache_free(cache);
    assert_true(is_right(held, 9, 4096));
    cached_block_unref(held);
    fail_alloc_release(&fail);
}

/* A second block for a place is not taken; one that is too large for the budget neither. */
static void test_what_is_not_taken(void **state)
{
    (void)state;
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    struct block_cache *cache = block_cache_new(&fail.alloc, 64UL << 10);
    assert_non_null(cache);
    put(cache, &fail.alloc, 1, 0, 100);
    struct cached_block *first = block_cache_get(cache, 1, 0);
    put(cache, &fail.alloc, 1, 0, 200);
    struct cached_block *second = block_cache_get(cache, 1, 0);
    assert_ptr_equal(first, second);
    cached_block_unref(first);
    cached_block_unref(second);
    put(cache, &fail.alloc, 1, 1, 64UL << 10);
    assert_false(has(cache, 1, 1));
    assert_true(has(cache, 1, 0));
    block_cache_free(cache);
    block_cache_free(NULL);
    cached_block_unref(NULL);
    fail_alloc_release(&fail);
}

/* Erasing a file leaves those of others. */
static void test_erases_one_file(void **state)
{
    (void)state;
    struct block_cache *cache = block_cache_new(alloc_default(), 4UL << 20);
    assert_non_null(cache);
    for (uint64_t i = 0; i < 1000; i++) {
        put(cache, alloc_default(), 1 + i % 3, i, 100);
    }
    block_cache_erase_file(cache, 2);
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(has(cache, 1 + i % 3, i), i % 3 != 1);
    }
    block_cache_free(cache);
}

/* Without memory for its index the cache takes nothing, or chains longer; it stays right. */
static void test_each_allocation_may_fail(void **state)
{
    (void)state;
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    fail_alloc_arm(&fail, 0);
    assert_null(block_cache_new(&fail.alloc, 1UL << 20));
    for (uint64_t n = 1; n < 200; n++) {
        fail_alloc_arm(&fail, n);
        struct block_cache *cache = block_cache_new(&fail.alloc, 8UL << 20);
        assert_non_null(cache);
        fail.fail_after = true;
        uint64_t kept = 0;
        for (uint64_t i = 0; i < 3000; i++) {
            struct cached_block *block = make_block(alloc_default(), 1, i, 10);
            assert_non_null(block);
            block_cache_put(cache, 1, i, block);
            cached_block_unref(block);
        }
        for (uint64_t i = 0; i < 3000; i++) {
            kept += has(cache, 1, i) ? 1 : 0;
        }
        struct block_cache_stats stats;
        block_cache_stats(cache, &stats);
        assert_int_equal(stats.blocks, kept);
        fail_alloc_arm(&fail, FAIL_ALLOC_NEVER);
        fail.fail_after = false;
        block_cache_free(cache);
        assert_int_equal(fail_alloc_blocks(&fail), 0);
    }
    fail_alloc_release(&fail);
}

/* --- many threads ------------------------------------------------------------------------------
 */

enum { THREADS = 4, ROUNDS = 15000, PLACES = 600 };

struct shared {
    struct block_cache *cache;
    _Atomic uint64_t seed;
    _Atomic bool wrong;
};

static void *use_cache(void *context)
{
    struct shared *shared = context;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, atomic_fetch_add(&shared->seed, 1));
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t file = 1 + rng_below(&seeded.rng, 3);
        uint64_t offset = rng_below(&seeded.rng, PLACES);
        struct cached_block *block = block_cache_get(shared->cache, file, offset);
        if (block == NULL) {
            block = make_block(alloc_default(), file, offset, 200);
            block_cache_put(shared->cache, file, offset, block);
        }
        if (!is_right(block, file, offset)) {
            atomic_store(&shared->wrong, true);
        }
        cached_block_unref(block);
        if (rng_below(&seeded.rng, 2000) == 0) {
            block_cache_erase_file(shared->cache, file);
        }
    }
    return NULL;
}

/* Threads that get, put, evict and erase never see a wrong or freed block. */
static void test_many_threads(void **state)
{
    (void)state;
    struct shared shared = {.cache = block_cache_new(alloc_default(), 128UL << 10)};
    assert_non_null(shared.cache);
    atomic_init(&shared.seed, test_seed());
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_true(thread_start(&threads[i], "cache", use_cache, &shared));
    }
    for (int i = 0; i < THREADS; i++) {
        thread_join(threads[i]);
    }
    assert_false(atomic_load(&shared.wrong));
    struct block_cache_stats stats;
    block_cache_stats(shared.cache, &stats);
    assert_int_equal(stats.hits + stats.misses, THREADS * ROUNDS);
    assert_true(stats.hits > 0);
    assert_true(stats.evictions > 0);
    block_cache_free(shared.cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_was_put_in),
        cmocka_unit_test(test_keeps_its_budget_and_what_is_used),
        cmocka_unit_test(test_a_held_block_outlives_the_cache),
        cmocka_unit_test(test_what_is_not_taken),
        cmocka_unit_test(test_erases_one_file),
        cmocka_unit_test(test_each_allocation_may_fail),
        cmocka_unit_test(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
