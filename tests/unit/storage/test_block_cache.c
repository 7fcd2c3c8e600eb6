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

static void put_times(struct block_cache *cache, struct alloc *alloc, uint64_t file,
                      uint64_t offset, size_t length, int times)
{
    struct cached_block *block = make_block(alloc, file, offset, length);
    assert_non_null(block);
    for (int i = 0; i < times; i++) {
        block_cache_put(cache, BLOCK_DATA, file, offset, block);
    }
    cached_block_unref(block);
}

/* Twice, so that a full shard takes it. */
static void put(struct block_cache *cache, struct alloc *alloc, uint64_t file, uint64_t offset,
                size_t length)
{
    put_times(cache, alloc, file, offset, length, 2);
}

static bool has(struct block_cache *cache, uint64_t file, uint64_t offset)
{
    struct cached_block *block = block_cache_get(cache, BLOCK_DATA, file, offset, true);
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
    assert_int_equal(stats.all.hits, 5000);
    assert_int_equal(stats.all.misses, 5000);
    assert_int_equal(stats.blocks, 5000);
    assert_int_equal(stats.all.evictions, 0);
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
    assert_int_equal(stats.all.evictions + stats.blocks, 20000);
    assert_false(has(cache, 1, 1));
    block_cache_free(cache);
}

/* --- scans -------------------------------------------------------------------------------------
 */

enum { HOT_FILE = 1, SCAN_FILE = 2, HOT_BLOCKS = 800, BLOCK_BYTES = 1000, SCAN_TIMES = 8 };

#define SCAN_CACHE_BYTES (2UL << 20)

/* As a reader: what is not there is read and put in. True: it was there. */
static bool use(struct block_cache *cache, uint64_t file, uint64_t offset)
{
    if (has(cache, file, offset)) {
        return true;
    }
    put_times(cache, alloc_default(), file, offset, BLOCK_BYTES, 1);
    return false;
}

static uint64_t use_hot_set(struct block_cache *cache)
{
    uint64_t hits = 0;
    for (uint64_t i = 0; i < HOT_BLOCKS; i++) {
        hits += use(cache, HOT_FILE, i) ? 1 : 0;
    }
    return hits;
}

/* A hot set of two fifths of the cache is hit always: before a scan of eight times the cache,
 * during it, though the scan reads ten blocks for each one of the hot set, and after it. */
static void test_a_scan_leaves_what_is_hot(void **state)
{
    (void)state;
    struct block_cache *cache = block_cache_new(alloc_default(), SCAN_CACHE_BYTES);
    assert_non_null(cache);
    assert_int_equal(use_hot_set(cache), 0);
    assert_int_equal(use_hot_set(cache), HOT_BLOCKS);
    uint64_t scanned = SCAN_TIMES * SCAN_CACHE_BYTES / BLOCK_BYTES;
    uint64_t asked = 0;
    uint64_t hits = 0;
    for (uint64_t i = 0; i < scanned; i++) {
        assert_false(use(cache, SCAN_FILE, i));
        if (i % 10 == 0) {
            hits += use(cache, HOT_FILE, i / 10 % HOT_BLOCKS) ? 1 : 0;
            asked++;
        }
    }
    assert_true(asked > HOT_BLOCKS);
    assert_int_equal(hits, asked);
    for (uint64_t i = 0; i < scanned; i++) { /* again, with nobody using the hot set */
        assert_false(use(cache, SCAN_FILE, scanned + i));
    }
    assert_int_equal(use_hot_set(cache), HOT_BLOCKS);
    block_cache_free(cache);
}

/* What a full cache is given once it does not take, and evicts nothing for it; what comes again
 * soon it takes, and what comes again late it has forgotten. */
static void test_takes_what_comes_again(void **state)
{
    (void)state;
    struct block_cache *cache = block_cache_new(alloc_default(), SCAN_CACHE_BYTES);
    struct block_cache_stats stats;
    assert_non_null(cache);
    uint64_t many = SCAN_TIMES * SCAN_CACHE_BYTES / BLOCK_BYTES;
    for (uint64_t i = 0; i < many; i++) {
        assert_false(use(cache, SCAN_FILE, i));
    }
    block_cache_stats(cache, &stats);
    assert_int_equal(stats.all.evictions, 0);
    assert_true(stats.bytes > SCAN_CACHE_BYTES / 10 * 9);
    uint64_t soon = 0;
    uint64_t late = 0;
    for (uint64_t i = 0; i < 200; i++) {
        assert_false(use(cache, HOT_FILE, i));
    }
    for (uint64_t i = 0; i < 200; i++) {
        assert_false(use(cache, HOT_FILE, i)); /* it is taken now */
        soon += use(cache, HOT_FILE, i) ? 1 : 0;
        (void)use(cache, HOT_FILE, 1000 + i);
    }
    for (uint64_t i = 0; i < many; i++) {
        (void)use(cache, SCAN_FILE + 1, i);
    }
    for (uint64_t i = 0; i < 200; i++) {
        (void)use(cache, HOT_FILE, 1000 + i);
        late += use(cache, HOT_FILE, 1000 + i) ? 1 : 0;
    }
    block_cache_stats(cache, &stats);
    assert_true(stats.all.evictions >= 100);
    assert_in_range(soon, 150, 200); /* but for those whose places of memory others had */
    assert_in_range(late, 0, 10);
    block_cache_free(cache);
}

/* Blocks of an index, which were asked for once only, stay as the hot set does. */
static void test_a_scan_leaves_indexes(void **state)
{
    (void)state;
    struct block_cache *cache = block_cache_new(alloc_default(), SCAN_CACHE_BYTES);
    assert_non_null(cache);
    for (uint64_t i = 0; i < HOT_BLOCKS; i++) {
        struct cached_block *block = make_block(alloc_default(), HOT_FILE, i, BLOCK_BYTES);
        assert_non_null(block);
        block_cache_put(cache, BLOCK_INDEX, HOT_FILE, i, block);
        cached_block_unref(block);
    }
    for (uint64_t i = 0; i < SCAN_TIMES * SCAN_CACHE_BYTES / BLOCK_BYTES; i++) {
        assert_false(use(cache, SCAN_FILE, i));
    }
    assert_int_equal(use_hot_set(cache), HOT_BLOCKS);
    /* They are not there for ever: those that come later take their place. */
    for (uint64_t i = 0; i < 4 * SCAN_CACHE_BYTES / BLOCK_BYTES; i++) {
        struct cached_block *block = make_block(alloc_default(), SCAN_FILE + 1, i, BLOCK_BYTES);
        assert_non_null(block);
        block_cache_put(cache, BLOCK_INDEX, SCAN_FILE + 1, i, block);
        cached_block_unref(block);
    }
    struct block_cache_stats stats;
    block_cache_stats(cache, &stats);
    assert_true(stats.bytes <= SCAN_CACHE_BYTES);
    assert_true(use_hot_set(cache) < HOT_BLOCKS / 10);
    block_cache_free(cache);
}

/* However blocks come and go, one after the other or by files, all that the cache counts are found,
 * and nothing else. */
static void test_all_that_are_there_are_found(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    enum { FILES = 6, PLACES = 400 };
    for (int round = 0; round < 3; round++) {
        struct block_cache *cache = block_cache_new(alloc_default(), 100UL << (10 + round));
        assert_non_null(cache);
        for (int i = 0; i < 20000; i++) {
            uint64_t file = 1 + rng_below(&seeded.rng, FILES);
            uint64_t place = rng_below(&seeded.rng, PLACES);
            if (rng_below(&seeded.rng, 2000) == 0) {
                block_cache_erase_file(cache, file);
                for (uint64_t at = 0; at < PLACES; at++) {
                    assert_false(has(cache, file, at));
                }
            } else if (!has(cache, file, place)) {
                put(cache, alloc_default(), file, place, 1 + rng_below(&seeded.rng, 300));
                assert_true(has(cache, file, place));
            }
        }
        struct block_cache_stats stats;
        block_cache_stats(cache, &stats);
        uint64_t found = 0;
        for (uint64_t at = 0; at < (uint64_t)FILES * PLACES; at++) {
            found += has(cache, 1 + at / PLACES, at % PLACES) ? 1 : 0;
        }
        assert_int_equal(found, stats.blocks);
        assert_true(found > 100);
        block_cache_free(cache);
    }
}

/* What is no longer hot goes: a new hot set, used at random, takes the place of the old one. */
static void test_a_new_hot_set_displaces_the_old(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct block_cache *cache = block_cache_new(alloc_default(), SCAN_CACHE_BYTES);
    assert_non_null(cache);
    for (uint64_t file = 1; file <= 4; file++) {
        for (uint64_t i = 0; i < 20UL * HOT_BLOCKS; i++) {
            (void)use(cache, file, rng_below(&seeded.rng, HOT_BLOCKS));
        }
        for (uint64_t i = 0; i < HOT_BLOCKS; i++) {
            assert_true(has(cache, file, i));
        }
    }
    for (uint64_t i = 0; i < HOT_BLOCKS; i++) {
        assert_false(has(cache, 1, i));
    }
    block_cache_free(cache);
}

/* --- hot files ------------------------------------------------------------------------------- */

enum { NEW_FILE = 7, NEW_BLOCKS = HOT_BLOCKS / 4 }; /* a tenth of the cache */

static uint64_t count_of(struct block_cache *cache, uint64_t file, uint64_t blocks)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < blocks; i++) {
        count += has(cache, file, i) ? 1 : 0;
    }
    return count;
}

/* A scan of eight times the cache, each block of it used until it is hit: all of it was protected
 * once. */
static void scan_often(struct block_cache *cache, uint64_t file)
{
    for (uint64_t i = 0; i < SCAN_TIMES * SCAN_CACHE_BYTES / BLOCK_BYTES; i++) {
        (void)use(cache, file, i);
        (void)use(cache, file, i);
        assert_true(use(cache, file, i));
    }
}

/* What was read once of a hot file is there after whatever was read of others, and is not if the
 * file is not hot, or not any more. */
static void test_hot_files_keep_their_share(void **state)
{
    (void)state;
    enum { NEVER, ALWAYS, NOT_ANY_MORE, CASES };
    for (int when = 0; when < CASES; when++) {
        const uint64_t files[] = {3, NEW_FILE};
        struct block_cache *cache = block_cache_new(alloc_default(), SCAN_CACHE_BYTES);
        assert_non_null(cache);
        block_cache_set_hot(cache, files, when == NEVER ? 1 : 2);
        for (uint64_t i = 0; i < NEW_BLOCKS; i++) {
            assert_false(use(cache, NEW_FILE, i));
        }
        block_cache_set_hot(cache, files, when == ALWAYS ? 2 : 1);
        scan_often(cache, SCAN_FILE);
        assert_int_equal(count_of(cache, NEW_FILE, NEW_BLOCKS), when == ALWAYS ? NEW_BLOCKS : 0);
        block_cache_free(cache);
    }
}

/* And no more than their share: a scan of a hot file leaves what is protected of others, and what
 * it leaves behind of itself is bounded. With nothing else in the cache it may have all of it. */
static void test_hot_files_have_no_more(void **state)
{
    (void)state;
    const uint64_t file = SCAN_FILE;
    const uint64_t scanned = SCAN_TIMES * SCAN_CACHE_BYTES / BLOCK_BYTES;
    struct block_cache_stats stats;
    struct block_cache *cache = block_cache_new(alloc_default(), SCAN_CACHE_BYTES);
    assert_non_null(cache);
    block_cache_set_hot(cache, &file, 1);
    assert_int_equal(use_hot_set(cache), 0);
    assert_int_equal(use_hot_set(cache), HOT_BLOCKS);
    for (uint64_t i = 0; i < scanned; i++) {
        assert_false(use(cache, SCAN_FILE, i));
    }
    assert_int_equal(use_hot_set(cache), HOT_BLOCKS);
    block_cache_stats(cache, &stats);
    assert_true(stats.bytes <= SCAN_CACHE_BYTES);
    assert_true(stats.bytes > SCAN_CACHE_BYTES / 10 * 9);
    /* Others take back what is above the share. */
    for (uint64_t i = 0; i < scanned; i++) {
        put(cache, alloc_default(), SCAN_FILE + 1, i, BLOCK_BYTES);
    }
    uint64_t kept = 0;
    for (uint64_t i = 0; i < scanned; i++) {
        kept += has(cache, SCAN_FILE, i) ? 1 : 0;
    }
    assert_in_range(kept * BLOCK_BYTES, SCAN_CACHE_BYTES / 7, SCAN_CACHE_BYTES / 5);
    block_cache_free(cache);
}

/* When what is pinned takes the room, hot blocks have a fifth of what is left. */
static void test_hot_blocks_give_way_to_what_is_pinned(void **state)
{
    (void)state;
    const uint64_t file = NEW_FILE;
    const size_t pinned = SCAN_CACHE_BYTES / 4 * 3;
    struct block_cache *cache = block_cache_new(alloc_default(), SCAN_CACHE_BYTES);
    assert_non_null(cache);
    block_cache_set_hot(cache, &file, 1);
    for (uint64_t i = 0; i < 2UL * NEW_BLOCKS; i++) {
        (void)use(cache, NEW_FILE, i);
    }
    block_cache_pin(cache, BLOCK_INDEX, pinned);
    scan_often(cache, SCAN_FILE);
    uint64_t kept = count_of(cache, NEW_FILE, 2UL * NEW_BLOCKS);
    assert_in_range(kept * BLOCK_BYTES, 1, (SCAN_CACHE_BYTES - pinned) / 5);
    block_cache_erase_file(cache, NEW_FILE);
    assert_int_equal(count_of(cache, NEW_FILE, 2UL * NEW_BLOCKS), 0);
    block_cache_unpin(cache, BLOCK_INDEX, pinned);
    block_cache_free(cache);
}

/* --- what is pinned ----------------------------------------------------------------------------
 */

/* Blocks give way at once to what is pinned, down to a tenth of the budget, and get the room
 * back; no more than the budget and a tenth is ever held while no more is pinned. */
static void test_pinned_bytes_are_of_the_budget(void **state)
{
    (void)state;
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    const uint64_t budget = 1UL << 20;
    struct block_cache *cache = block_cache_new(&fail.alloc, budget);
    assert_non_null(cache);
    struct block_cache_stats stats;
    for (uint64_t pinned = 0; pinned < budget; pinned += 64UL << 10) {
        for (uint64_t i = 0; i < 2000; i++) {
            put(cache, &fail.alloc, 1 + pinned, i, 1000);
        }
        block_cache_pin(cache, BLOCK_INDEX, 60UL << 10);
        block_cache_pin(cache, BLOCK_FILTER, 4UL << 10);
        block_cache_stats(cache, &stats);
        assert_int_equal(stats.all.pinned_bytes, pinned + (64UL << 10));
        assert_true(stats.bytes <= budget || stats.all.pinned_bytes > budget / 10 * 9);
        assert_true(stats.bytes <= budget + budget / 10);
        assert_true(stats.bytes - stats.all.pinned_bytes > budget / 20);
        assert_true(fail_alloc_bytes(&fail) + stats.all.pinned_bytes <= budget + budget / 10);
    }
    assert_int_equal(stats.kinds[BLOCK_INDEX].pinned_bytes, 16 * (60UL << 10));
    assert_int_equal(stats.kinds[BLOCK_FILTER].pinned_bytes, 16 * (4UL << 10));
    assert_int_equal(stats.kinds[BLOCK_INDEX].insertions, 16);
    block_cache_unpin(cache, BLOCK_INDEX, 16 * (60UL << 10));
    block_cache_unpin(cache, BLOCK_FILTER, 16 * (4UL << 10));
    for (uint64_t i = 0; i < 2000; i++) {
        put(cache, &fail.alloc, 2, i, 1000);
    }
    block_cache_stats(cache, &stats);
    assert_int_equal(stats.all.pinned_bytes, 0);
    assert_true(stats.bytes > budget / 2);
    block_cache_free(cache);
    fail_alloc_release(&fail);
}

/* Each kind of block has numbers of its own. */
static void test_counts_by_kind(void **state)
{
    (void)state;
    struct block_cache *cache = block_cache_new(alloc_default(), 64UL << 10);
    assert_non_null(cache);
    for (size_t kind = 0; kind < BLOCK_KINDS; kind++) {
        for (uint64_t i = 0; i < 1000; i++) {
            uint64_t file = 1 + kind;
            assert_null(block_cache_get(cache, (enum block_kind)kind, file, i, false));
            struct cached_block *block = make_block(alloc_default(), file, i, 1000);
            assert_non_null(block);
            block_cache_put(cache, (enum block_kind)kind, file, i, block);
            block_cache_put(cache, (enum block_kind)kind, file, i, block);
            cached_block_unref(block);
            block = block_cache_get(cache, (enum block_kind)kind, file, i, false);
            assert_non_null(block);
            cached_block_unref(block);
        }
    }
    struct block_cache_stats stats;
    block_cache_stats(cache, &stats);
    for (size_t kind = 0; kind < BLOCK_KINDS; kind++) {
        assert_int_equal(stats.kinds[kind].hits, 1000);
        assert_int_equal(stats.kinds[kind].misses, 1000);
        assert_int_equal(stats.kinds[kind].insertions, 1000);
        assert_true(stats.kinds[kind].evictions > 900);
    }
    assert_int_equal(stats.all.insertions, 3000);
    assert_int_equal(stats.all.evictions + stats.blocks, 3000);
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
    struct cached_block *held = make_block(&fail.alloc, 9, 4096, 500);
    assert_non_null(held);
    block_cache_put(cache, BLOCK_DATA, 9, 4096, held);
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
    struct cached_block *first = block_cache_get(cache, BLOCK_DATA, 1, 0, true);
    put(cache, &fail.alloc, 1, 0, 200);
    struct cached_block *second = block_cache_get(cache, BLOCK_DATA, 1, 0, true);
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
            block_cache_put(cache, BLOCK_DATA, 1, i, block);
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
        struct cached_block *block = block_cache_get(shared->cache, BLOCK_DATA, file, offset, true);
        if (block == NULL) {
            block = make_block(alloc_default(), file, offset, 200);
            block_cache_put(shared->cache, BLOCK_DATA, file, offset, block);
        }
        if (!is_right(block, file, offset)) {
            atomic_store(&shared->wrong, true);
        }
        cached_block_unref(block);
        if (rng_below(&seeded.rng, 2000) == 0) {
            block_cache_erase_file(shared->cache, file);
        }
        if (rng_below(&seeded.rng, 500) == 0) {
            block_cache_set_hot(shared->cache, &file, rng_below(&seeded.rng, 2));
        }
        if (rng_below(&seeded.rng, 100) == 0) {
            block_cache_pin(shared->cache, BLOCK_INDEX, 30UL << 10);
            block_cache_unpin(shared->cache, BLOCK_INDEX, 30UL << 10);
        }
    }
    return NULL;
}

/* Threads that get, put, evict, erase, pin and name hot files never see a wrong or freed block. */
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
    assert_int_equal(stats.all.hits + stats.all.misses, THREADS * ROUNDS);
    assert_true(stats.all.hits > 0);
    assert_true(stats.all.evictions > 0);
    block_cache_free(shared.cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_was_put_in),
        cmocka_unit_test(test_keeps_its_budget_and_what_is_used),
        cmocka_unit_test(test_a_scan_leaves_what_is_hot),
        cmocka_unit_test(test_takes_what_comes_again),
        cmocka_unit_test(test_a_scan_leaves_indexes),
        cmocka_unit_test(test_all_that_are_there_are_found),
        cmocka_unit_test(test_a_new_hot_set_displaces_the_old),
        cmocka_unit_test(test_hot_files_keep_their_share),
        cmocka_unit_test(test_hot_files_have_no_more),
        cmocka_unit_test(test_hot_blocks_give_way_to_what_is_pinned),
        cmocka_unit_test(test_pinned_bytes_are_of_the_budget),
        cmocka_unit_test(test_counts_by_kind),
        cmocka_unit_test(test_a_held_block_outlives_the_cache),
        cmocka_unit_test(test_what_is_not_taken),
        cmocka_unit_test(test_erases_one_file),
        cmocka_unit_test(test_each_allocation_may_fail),
        cmocka_unit_test(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
