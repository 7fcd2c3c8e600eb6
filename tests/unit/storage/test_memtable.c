/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/mem/memtable.h"

#include <stdatomic.h>

#include "base/sync.h"
#include "table_fixture.h"
#include "testlib/fail_alloc.h"

static void add_entry(struct memtable *memtable, const struct entry *entry)
{
    struct error err = ERROR_INIT;
    struct internal_key key;
    assert_true(internal_key_parse(entry->key, &key));
    assert_ok(memtable_add(memtable, key.sequence, key.type, key.user, entry->value, &err), &err);
}

static void assert_gets_match(struct memtable *memtable, const struct reference *reference,
                              struct rng *rng, int lookups)
{
    for (int i = 0; i < lookups; i++) {
        uint8_t user[FIXTURE_KEY_BYTES_MAX];
        struct slice key = slice_of(user, random_user_key(rng, user));
        uint64_t sequence = rng_below(rng, FIXTURE_SEQUENCE_MAX);
        struct slice expected = slice_of(NULL, 0);
        struct slice value = slice_of(NULL, 0);
        enum lookup result = reference_get(reference, key, sequence, &expected);
        assert_int_equal(memtable_get(memtable, key, sequence, &value), result);
        if (result == LOOKUP_FOUND) {
            assert_slice_equal(value, expected);
        }
    }
}

/* Lookups at any sequence see the newest entry at or below it, also tombstones, before and after
 * the first lookup has made the writer keep an index. */
static void test_get_sees_the_newest_at_a_sequence(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    for (int round = 0; round < 10; round++) {
        struct reference reference;
        reference_make(&reference, &seeded.rng, 3000, 20);
        struct memtable *memtable = memtable_new(alloc_default());
        assert_non_null(memtable);
        struct slice value;
        size_t first_lookup = (size_t)rng_below(&seeded.rng, reference.count);
        for (size_t i = 0; i < reference.count; i++) {
            /* 7919 is prime and larger than the count: each entry has its turn. */
            add_entry(memtable, &reference.entries[i * 7919 % reference.count]);
            if (i == first_lookup) {
                assert_int_equal(memtable_get(memtable, slice_of_string("x"), 0, &value),
                                 LOOKUP_ABSENT);
            }
        }
        assert_int_equal(memtable_count(memtable), reference.count);
        assert_gets_match(memtable, &reference, &seeded.rng, 1000);
        memtable_unref(memtable);
        reference_release(&reference);
    }
}

/* The iterator yields the entries both ways and from any seek, and keeps the memtable alive. */
static void test_iterator_walks_both_ways(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct reference reference;
    reference_make(&reference, &seeded.rng, 700, 20);
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    struct memtable *memtable = memtable_new(&fail.alloc);
    assert_non_null(memtable);
    for (size_t i = 0; i < reference.count; i++) {
        add_entry(memtable, &reference.entries[i]);
    }
    struct iter *iter = memtable_iter_new(memtable);
    assert_non_null(iter);
    memtable_unref(memtable);
    assert_false(iter_valid(iter));
    assert_iter_walks(iter, &reference, &seeded.rng, 3000);
    iter_close(iter);
    reference_release(&reference);
    fail_alloc_release(&fail);
}

/* An empty memtable is small, finds nothing and iterates over nothing. */
static void test_an_empty_memtable(void **state)
{
    (void)state;
    struct memtable *memtable = memtable_new(alloc_default());
    assert_non_null(memtable);
    struct slice value;
    assert_int_equal(memtable_get(memtable, slice_of_string("a"), SEQUENCE_MAX, &value),
                     LOOKUP_ABSENT);
    assert_true(memtable_bytes(memtable) < 8192);
    struct iter *iter = memtable_iter_new(memtable);
    assert_non_null(iter);
    iter_seek_to_first(iter);
    assert_false(iter_valid(iter));
    iter_seek_to_last(iter);
    assert_false(iter_valid(iter));
    iter_close(iter);
    memtable_unref(memtable);
}

/* Keys and values past the limits are refused; those of the largest size go in. */
static void test_limits_of_keys_and_values(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    uint8_t *bytes = alloc_zeroed(alloc_default(), 1, VALUE_BYTES_MAX + 1);
    assert_non_null(bytes);
    struct memtable *memtable = memtable_new(alloc_default());
    assert_non_null(memtable);
    struct slice key = slice_of(bytes, USER_KEY_BYTES_MAX);
    struct slice value = slice_of(bytes, VALUE_BYTES_MAX);
    struct slice long_key = slice_of(bytes, USER_KEY_BYTES_MAX + 1);
    struct slice long_value = slice_of(bytes, VALUE_BYTES_MAX + 1);
    assert_status(memtable_add(memtable, 1, KEY_PUT, long_key, value, &err),
                  STATUS_INVALID_ARGUMENT, &err);
    assert_status(memtable_add(memtable, 1, KEY_PUT, key, long_value, &err),
                  STATUS_INVALID_ARGUMENT, &err);
    assert_int_equal(memtable_count(memtable), 0);
    assert_ok(memtable_add(memtable, SEQUENCE_MAX, KEY_PUT, key, value, &err), &err);
    struct slice found;
    assert_int_equal(memtable_get(memtable, key, SEQUENCE_MAX, &found), LOOKUP_FOUND);
    assert_slice_equal(found, value);
    assert_int_equal(memtable_get(memtable, key, SEQUENCE_MAX - 1, &found), LOOKUP_ABSENT);
    memtable_unref(memtable);
    alloc_free(alloc_default(), bytes);
}

/* Whichever allocation fails, an add is either refused or visible, and nothing leaks. */
static void test_each_allocation_may_fail(void **state)
{
    (void)state;
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    for (uint64_t n = 0;; n++) {
        fail_alloc_arm(&fail, n);
        struct memtable *memtable = memtable_new(&fail.alloc);
        uint64_t added = 0;
        struct slice value;
        for (uint64_t i = 0; memtable != NULL && i < 6000; i++) {
            uint8_t key[8];
            put_be64(key, i * 7919 % 6011);
            struct error err = ERROR_INIT;
            enum status status =
                memtable_add(memtable, i, KEY_PUT, slice_of(key, 8), slice_of(key, 8), &err);
            enum lookup result = memtable_get(memtable, slice_of(key, 8), i, &value);
            assert_int_equal(result, status == STATUS_OK ? LOOKUP_FOUND : LOOKUP_ABSENT);
            assert_true(status == STATUS_OK || status == STATUS_RESOURCE_EXHAUSTED);
            added += status == STATUS_OK ? 1 : 0;
        }
        if (memtable != NULL) {
            assert_int_equal(memtable_count(memtable), added);
            struct iter *iter = memtable_iter_new(memtable);
            iter_close(iter);
            memtable_unref(memtable);
        }
        assert_int_equal(fail_alloc_blocks(&fail), 0);
        if (!fail_alloc_hit(&fail)) {
            break;
        }
    }
    fail_alloc_release(&fail);
}

/* --- readers beside the writer ---------------------------------------------------------------- */

enum { SHARED_KEYS = 997, SHARED_ADDS = 20000, READERS = 3 };

struct shared {
    struct memtable *memtable;
    _Atomic uint64_t published; /* sequences below it are visible */
    _Atomic bool wrong;
};

/* Sequence s writes key s % SHARED_KEYS with value s. */
static void check_one_get(struct shared *shared, uint64_t key_number, uint64_t published)
{
    uint8_t key[8];
    put_be64(key, key_number * 0x9e3779b97f4a7c15U);
    struct slice value = slice_of(NULL, 0);
    enum lookup result = memtable_get(shared->memtable, slice_of(key, 8), published - 1, &value);
    if (published <= key_number) {
        if (result != LOOKUP_ABSENT) {
            atomic_store(&shared->wrong, true);
        }
        return;
    }
    uint64_t newest = (published - 1 - key_number) / SHARED_KEYS * SHARED_KEYS + key_number;
    if (result != LOOKUP_FOUND || value.length != 8 || get_be64(value.data) != newest) {
        atomic_store(&shared->wrong, true);
    }
}

/* All entries below `published` are there, in order. */
static void check_one_scan(struct shared *shared, uint64_t published)
{
    struct iter *iter = memtable_iter_new(shared->memtable);
    uint64_t seen = 0;
    uint8_t last[INTERNAL_KEY_BYTES_MAX];
    size_t last_length = 0;
    for (iter_seek_to_first(iter); iter_valid(iter); iter_next(iter)) {
        struct slice key = iter_key(iter);
        if (last_length > 0 && internal_key_compare(slice_of(last, last_length), key) >= 0) {
            atomic_store(&shared->wrong, true);
        }
        memcpy(last, key.data, key.length);
        last_length = key.length;
        seen += internal_key_sequence(key) < published ? 1 : 0;
    }
    iter_close(iter);
    if (seen != published) {
        atomic_store(&shared->wrong, true);
    }
}

static void *read_beside(void *context)
{
    struct shared *shared = context;
    uint64_t published = 0;
    for (uint64_t i = 0; published < SHARED_ADDS; i++) {
        published = atomic_load_explicit(&shared->published, memory_order_acquire);
        if (published > 0) {
            check_one_get(shared, i % SHARED_KEYS, published);
        }
        if (i % 1000 == 999) {
            check_one_scan(shared, published);
        }
    }
    return NULL;
}

/* Readers beside a writer see every published entry, whole and in order. */
static void test_readers_beside_a_writer(void **state)
{
    (void)state;
    struct shared shared = {.memtable = memtable_new(alloc_default())};
    assert_non_null(shared.memtable);
    pthread_t readers[READERS];
    for (int i = 0; i < READERS; i++) {
        assert_true(thread_start(&readers[i], "reader", read_beside, &shared));
    }
    struct error err = ERROR_INIT;
    enum status status = STATUS_OK;
    for (uint64_t i = 0; i < SHARED_ADDS; i++) {
        uint8_t key[8];
        uint8_t value[8];
        put_be64(key, i % SHARED_KEYS * 0x9e3779b97f4a7c15U);
        put_be64(value, i);
        if (status == STATUS_OK) {
            status = memtable_add(shared.memtable, i, KEY_PUT, slice_of(key, 8), slice_of(value, 8),
                                  &err);
        }
        atomic_store_explicit(&shared.published, i + 1, memory_order_release);
    }
    for (int i = 0; i < READERS; i++) {
        thread_join(readers[i]);
    }
    assert_ok(status, &err);
    assert_false(atomic_load(&shared.wrong));
    memtable_unref(shared.memtable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_sees_the_newest_at_a_sequence),
        cmocka_unit_test(test_iterator_walks_both_ways),
        cmocka_unit_test(test_an_empty_memtable),
        cmocka_unit_test(test_limits_of_keys_and_values),
        cmocka_unit_test(test_each_allocation_may_fail),
        cmocka_unit_test(test_readers_beside_a_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
