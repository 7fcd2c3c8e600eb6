/* SPDX-License-Identifier: Apache-2.0
 *
 * The copy-on-write tree against a plain array. ESTREAT_OPERATIONS sets how many random
 * operations there are.
 */
#include "storage/tree/cow_btree.h"

#include "cow_fixture.h"
#include "testlib/fail_alloc.h"

/* Everything, in both directions. */
static void check_all(const struct universe *universe, const struct version *version)
{
    assert_true(cow_btree_is_sound(version->root));
    assert_int_equal(cow_btree_count(version->root), version->count);
    struct cow_cursor cursor = cow_cursor_at(version->root, 0);
    struct cow_cursor last = cursor;
    size_t index = 0;
    for (size_t place = 0; place < universe->count; place++) {
        if (version->numbers[place] == 0) {
            continue;
        }
        assert_true(cow_cursor_valid(&cursor));
        assert_int_equal(cursor.index, index++);
        const struct cow_entry *entry = cow_cursor_entry(&cursor);
        const struct value *value = entry->value;
        assert_int_equal(value->number, version->numbers[place]);
        assert_int_equal(cow_key_compare(entry->key, universe->keys[place]), 0);
        assert_ptr_equal(entry->key.bytes.data, value->bytes);
        last = cursor;
        cow_cursor_next(&cursor);
    }
    assert_false(cow_cursor_valid(&cursor));
    for (size_t place = universe->count; place-- > 0;) {
        if (version->numbers[place] != 0) {
            assert_true(cow_cursor_valid(&last));
            const struct value *value = cow_cursor_entry(&last)->value;
            assert_int_equal(value->number, version->numbers[place]);
            cow_cursor_prev(&last);
        }
    }
    assert_false(cow_cursor_valid(&last));
}

/* One key, present or not, in all ways to ask for it. */
static void check_key(const struct universe *universe, const struct version *version, size_t place)
{
    struct cow_key key = universe->keys[place];
    const struct value *value = cow_btree_get(version->root, key);
    assert_int_equal(value == NULL ? 0 : value->number, version->numbers[place]);
    size_t rank = 0;
    for (size_t i = 0; i < place; i++) {
        rank += version->numbers[i] != 0 ? 1 : 0;
    }
    assert_int_equal(cow_btree_rank(version->root, key), rank);
    while (place < universe->count && version->numbers[place] == 0) {
        place++;
    }
    const struct cow_entry *entry = cow_btree_ceiling(version->root, key);
    struct cow_cursor cursor = cow_cursor_seek(version->root, key);
    if (place == universe->count) {
        assert_null(entry);
        assert_false(cow_cursor_valid(&cursor));
        assert_int_equal(rank, version->count);
    } else {
        assert_non_null(entry);
        assert_int_equal(((struct value *)entry->value)->number, version->numbers[place]);
        assert_ptr_equal(cow_cursor_entry(&cursor), entry);
        assert_ptr_equal(cow_btree_at(version->root, rank), entry);
    }
}

/* --- tests ---------------------------------------------------------------------------------- */

/* An empty map answers everything. */
static void test_empty(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 1);
    struct world *world = world_new(alloc_default(), &seeded.rng, 10);
    check_all(&world->universe, &world->now);
    check_key(&world->universe, &world->now, 0);
    assert_true(take_out(world, 0));
    assert_true(put(world, 0));
    check_all(&world->universe, &world->now);
    assert_true(take_out(world, 0));
    assert_null(world->now.root);
    world_free(world);
}

/* Keys that come and go in order make and empty every kind of node at its ends. */
static void test_in_order(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    for (int way = 0; way < 4; way++) {
        struct world *world = world_new(alloc_default(), &seeded.rng, UNIVERSE_MAX);
        size_t count = world->universe.count;
        for (size_t i = 0; i < count; i++) {
            assert_true(put(world, way % 2 == 0 ? i : count - 1 - i));
            if (i % 64 == 0) {
                check_all(&world->universe, &world->now);
            }
        }
        check_all(&world->universe, &world->now);
        for (size_t i = 0; i < count; i++) {
            assert_true(take_out(world, way / 2 == 0 ? i : count - 1 - i));
            if (i % 64 == 0) {
                check_all(&world->universe, &world->now);
            }
        }
        assert_null(world->now.root);
        world_free(world);
    }
}

enum { KEPT = 8 };

static void keep(struct world *world, struct version *kept)
{
    cow_btree_unref(&world->tree, kept->root);
    *kept = world->now;
    cow_btree_ref(kept->root);
}

static uint64_t operation_count(void)
{
    const char *given = getenv("ESTREAT_OPERATIONS");
    return given == NULL ? 1000000 : strtoull(given, NULL, 10);
}

/* Random puts, replacements and removals, in phases that fill and phases that empty; old versions
 * that were kept answer as they did when they were new. */
static void test_random_operations(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct rng *rng = &seeded.rng;
    struct world *world = world_new(alloc_default(), rng, UNIVERSE_MAX);
    struct version *kept = calloc(KEPT, sizeof *kept);
    assert_non_null(kept);
    uint64_t operations = operation_count();
    uint64_t puts_of_100 = 90;
    for (uint64_t i = 0; i < operations; i++) {
        if (i % 20000 == 0) {
            puts_of_100 = 20 + rng_below(rng, 61);
        }
        size_t place = (size_t)rng_below(rng, world->universe.count);
        assert_true(rng_below(rng, 100) < puts_of_100 ? put(world, place) : take_out(world, place));
        if (rng_below(rng, 400) == 0) {
            check_key(&world->universe, &world->now, (size_t)rng_below(rng, world->universe.count));
        }
        if (rng_below(rng, 5000) == 0) {
            check_all(&world->universe, &world->now);
            struct version *old = &kept[rng_below(rng, KEPT)];
            check_all(&world->universe, old);
            check_key(&world->universe, old, (size_t)rng_below(rng, world->universe.count));
            keep(world, &kept[rng_below(rng, KEPT)]);
        }
        if (rng_below(rng, 300000) == 0) { /* to the last one */
            for (size_t j = 0; j < world->universe.count; j++) {
                assert_true(take_out(world, j));
            }
            assert_null(world->now.root);
        }
    }
    for (size_t i = 0; i < KEPT; i++) {
        check_all(&world->universe, &kept[i]);
        cow_btree_unref(&world->tree, kept[i].root);
    }
    free(kept);
    world_free(world);
}

/* An edit makes a path of nodes and no more, and a version costs what it differs in. */
static void test_copies_a_path(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct fail_alloc memory;
    fail_alloc_init(&memory);
    struct world *world = world_new(&memory.alloc, &seeded.rng, UNIVERSE_MAX);
    for (size_t i = 0; i < world->universe.count; i++) {
        assert_true(put(world, i));
    }
    for (int i = 0; i < 1000; i++) {
        struct cow_node *old = world->now.root;
        cow_btree_ref(old);
        uint64_t before = fail_alloc_blocks(&memory);
        size_t place = (size_t)rng_below(&seeded.rng, world->universe.count);
        assert_true(i % 2 == 0 ? put(world, place) : take_out(world, place));
        /* Three levels; a split or a join makes one node more on each, and perhaps a root. */
        assert_true(fail_alloc_blocks(&memory) <= before + 7);
        cow_btree_unref(&world->tree, old);
    }
    world_free(world);
    assert_int_equal(fail_alloc_blocks(&memory), 0);
    fail_alloc_release(&memory);
}

/* Whichever allocation fails, the map is as it was, and nothing is lost. */
static void test_no_memory_changes_nothing(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct fail_alloc memory;
    fail_alloc_init(&memory);
    struct world *world = world_new(&memory.alloc, &seeded.rng, UNIVERSE_MAX);
    uint64_t most = 0;
    for (int i = 0; i < 12000; i++) {
        bool puts = rng_below(&seeded.rng, 100) < (i < 6000 ? 80 : 20);
        size_t place = (size_t)rng_below(&seeded.rng, world->universe.count);
        struct cow_node *before = world->now.root;
        uint64_t blocks = fail_alloc_blocks(&memory);
        for (uint64_t n = 0;; n++) {
            fail_alloc_arm(&memory, n);
            bool done = puts ? put(world, place) : take_out(world, place);
            if (!fail_alloc_hit(&memory)) {
                assert_true(done);
                most = n > most ? n : most;
                break;
            }
            assert_false(done);
            assert_ptr_equal(world->now.root, before);
            assert_int_equal(fail_alloc_blocks(&memory), blocks);
            assert_int_equal(atomic_load(&world->alive), world->now.count);
        }
        if (i % 500 == 0) {
            check_all(&world->universe, &world->now);
        }
    }
    assert_true(most >= 5); /* splits and joins were among them */
    fail_alloc_arm(&memory, FAIL_ALLOC_NEVER);
    world_free(world);
    fail_alloc_release(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_copies_a_path),
        cmocka_unit_test(test_no_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
