/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/mem/skiplist.h"

#include "table_fixture.h"
#include "testlib/fail_alloc.h"

static void insert_entry(struct skiplist *list, const struct entry *entry)
{
    struct internal_key key;
    assert_true(internal_key_parse(entry->key, &key));
    assert_true(skiplist_insert(list, key.user, key.sequence, key.type, entry->value));
}

/* Inserts all entries in random order, in runs that rise, as batches do. */
static void insert_shuffled(struct skiplist *list, const struct reference *reference,
                            struct rng *rng)
{
    size_t *order = alloc_zeroed(alloc_default(), reference->count, sizeof *order);
    assert_non_null(order);
    size_t run = 1 + (size_t)rng_below(rng, 20);
    size_t runs = (reference->count + run - 1) / run;
    for (size_t i = 0; i < runs; i++) {
        order[i] = i;
    }
    for (size_t i = runs; i > 1; i--) {
        size_t j = (size_t)rng_below(rng, i);
        size_t kept = order[i - 1];
        order[i - 1] = order[j];
        order[j] = kept;
    }
    for (size_t i = 0; i < runs; i++) {
        for (size_t j = order[i] * run; j < (order[i] + 1) * run && j < reference->count; j++) {
            insert_entry(list, &reference->entries[j]);
        }
    }
    alloc_free(alloc_default(), order);
}

/* The list holds what was inserted, in order, both ways, whatever the order of the inserts. */
static void test_holds_what_was_inserted_in_order(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    for (int round = 0; round < 30; round++) {
        struct reference reference;
        reference_make(&reference, &seeded.rng, 1 + (size_t)rng_below(&seeded.rng, 800), 30);
        struct arena arena;
        arena_init(&arena, alloc_default());
        struct skiplist list;
        assert_true(skiplist_init(&list, &arena));
        assert_null(skiplist_first(&list));
        assert_null(skiplist_last(&list));
        insert_shuffled(&list, &reference, &seeded.rng);
        assert_int_equal(skiplist_count(&list), reference.count);

        const struct skiplist_node *before = NULL;
        const struct skiplist_node *node = skiplist_first(&list);
        for (size_t i = 0; i < reference.count; i++) {
            assert_non_null(node);
            assert_slice_equal(skiplist_key(node), reference.entries[i].key);
            assert_slice_equal(skiplist_value(node), reference.entries[i].value);
            assert_ptr_equal(skiplist_prev(&list, node), before);
            before = node;
            node = skiplist_next(node);
        }
        assert_null(node);
        assert_ptr_equal(skiplist_last(&list), before);
        skiplist_release(&list);
        arena_release(&arena);
        reference_release(&reference);
    }
}

/* A seek finds the first entry at or after its target, as a scan of the sorted array does. */
static void test_seek_finds_the_first_at_or_after(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct reference reference;
    reference_make(&reference, &seeded.rng, 500, 8);
    struct arena arena;
    arena_init(&arena, alloc_default());
    struct skiplist list;
    assert_true(skiplist_init(&list, &arena));
    insert_shuffled(&list, &reference, &seeded.rng);
    for (int i = 0; i < 3000; i++) {
        uint8_t user[FIXTURE_KEY_BYTES_MAX];
        uint8_t target[FIXTURE_KEY_BYTES_MAX + KEY_TRAILER_BYTES];
        struct slice key = slice_of(user, random_user_key(&seeded.rng, user));
        uint64_t sequence = rng_below(&seeded.rng, FIXTURE_SEQUENCE_MAX);
        size_t length = internal_key_put(target, key, sequence, KEY_SEEK);
        size_t expected = reference_seek(&reference, slice_of(target, length));
        const struct skiplist_node *node =
            skiplist_seek(&list, key, key_trailer(sequence, KEY_SEEK));
        if (expected == reference.count) {
            assert_null(node);
        } else {
            assert_non_null(node);
            assert_slice_equal(skiplist_key(node), reference.entries[expected].key);
        }
    }
    skiplist_release(&list);
    arena_release(&arena);
    reference_release(&reference);
}

/* --- many keys, so that the guide has several levels of pages ------------------------------- */

enum { MANY = 20000 };

enum order { ASCENDING, DESCENDING, OUTWARD, RANDOM, ORDERS };

/* The key numbers 0 to MANY - 1 in that order; the caller's to free. */
static uint32_t *numbers_in(enum order order, struct rng *rng)
{
    uint32_t *numbers = alloc_zeroed(alloc_default(), MANY, sizeof *numbers);
    assert_non_null(numbers);
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t outward = i % 2 == 0 ? (MANY + i) / 2 : (MANY - 1 - i) / 2;
        numbers[i] = order == DESCENDING ? MANY - 1 - i : order == OUTWARD ? outward : i;
    }
    for (uint32_t i = MANY; order == RANDOM && i > 1; i--) {
        uint32_t j = (uint32_t)rng_below(rng, i);
        uint32_t kept = numbers[i - 1];
        numbers[i - 1] = numbers[j];
        numbers[j] = kept;
    }
    return numbers;
}

/* The number behind `shared` bytes that are all alike, so with 8 of them no two prefixes differ. */
static struct slice key_of(uint32_t number, size_t shared, uint8_t out[16])
{
    memset(out, 'k', shared);
    put_be64(out + shared, number);
    return slice_of(out, shared + 8);
}

static void check_many(const struct skiplist *list, const uint32_t *numbers, size_t count,
                       size_t shared)
{
    uint8_t key[16];
    uint8_t last[16] = {0};
    size_t seen = 0;
    for (const struct skiplist_node *node = skiplist_first(list); node != NULL;
         node = skiplist_next(node)) {
        struct slice user = internal_key_user(skiplist_key(node));
        assert_true(slice_compare(user, slice_of(last, user.length)) > 0 || seen == 0);
        memcpy(last, user.data, user.length);
        seen++;
    }
    assert_int_equal(seen, count);
    for (size_t i = 0; i < count; i++) {
        /* By the higher links, too. */
        struct slice user = key_of(numbers[i], shared, key);
        const struct skiplist_node *node =
            skiplist_seek(list, user, key_trailer(SEQUENCE_MAX, KEY_SEEK));
        assert_non_null(node);
        assert_slice_equal(internal_key_user(skiplist_key(node)), user);
    }
}

/* Whatever the order and however much keys share, each is at its place and found; and an insert
 * that gets no memory for a page or a node changes nothing, wherever that is. */
static void test_many_in_any_order(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    struct fail_alloc fail;
    rng_seeded_init(&seeded, test_seed());
    fail_alloc_init(&fail);
    for (int round = 0; round < 2 * ORDERS; round++) {
        size_t shared = round < ORDERS ? 0 : 8;
        uint32_t *numbers = numbers_in((enum order)(round % ORDERS), &seeded.rng);
        struct arena arena;
        struct skiplist list;
        uint8_t key[16];
        uint64_t refused = 0;
        arena_init(&arena, &fail.alloc);
        assert_true(skiplist_init(&list, &arena));
        for (size_t i = 0; i < MANY; i++) {
            struct slice user = key_of(numbers[i], shared, key);
            uint64_t n = 0;
            fail_alloc_arm(&fail, n);
            while (skiplist_insert(&list, user, 1, KEY_PUT, user) == NULL) {
                assert_int_equal(skiplist_count(&list), i);
                fail_alloc_arm(&fail, ++n);
            }
            refused += n;
        }
        fail_alloc_arm(&fail, FAIL_ALLOC_NEVER);
        assert_true(refused > 0);
        check_many(&list, numbers, MANY, shared);
        alloc_free(alloc_default(), numbers);
        skiplist_release(&list);
        arena_release(&arena);
    }
    fail_alloc_release(&fail);
}

/* An insert without memory changes nothing. */
static void test_no_memory_changes_nothing(void **state)
{
    (void)state;
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    struct arena arena;
    arena_init(&arena, &fail.alloc);
    struct skiplist list;
    fail_alloc_arm(&fail, 0);
    assert_false(skiplist_init(&list, &arena));
    fail_alloc_arm(&fail, FAIL_ALLOC_NEVER);
    assert_true(skiplist_init(&list, &arena));
    static const uint8_t value[3000];
    uint64_t refused = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        uint8_t key[8];
        put_be64(key, i * 7919 % 2003);
        fail_alloc_arm(&fail, i % 3 == 0 ? 0 : FAIL_ALLOC_NEVER);
        if (!skiplist_insert(&list, slice_of(key, 8), i, KEY_PUT, slice_of(value, i % 3000))) {
            refused++;
        }
        assert_int_equal(skiplist_count(&list), i + 1 - refused);
    }
    assert_true(refused > 0);
    uint64_t seen = 0;
    for (const struct skiplist_node *node = skiplist_first(&list); node != NULL;
         node = skiplist_next(node)) {
        seen++;
    }
    assert_int_equal(seen, skiplist_count(&list));
    skiplist_release(&list);
    arena_release(&arena);
    fail_alloc_release(&fail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holds_what_was_inserted_in_order),
        cmocka_unit_test(test_seek_finds_the_first_at_or_after),
        cmocka_unit_test(test_many_in_any_order),
        cmocka_unit_test(test_no_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
