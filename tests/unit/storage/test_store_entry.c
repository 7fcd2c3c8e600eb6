/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of batches in a store's log.
 */
#include "base/rng.h"
#include "storage/keyspace.h"
#include "storage/store_entry.h"
#include "testlib/test.h"

struct pair {
    struct batch batch;
    struct batch again;
    struct buf bytes;
};

static void begin(struct pair *pair)
{
    batch_init(&pair->batch, alloc_default());
    batch_init(&pair->again, alloc_default());
    buf_init(&pair->bytes, alloc_default(), 16 * MIB);
}

static void end(struct pair *pair)
{
    batch_release(&pair->batch);
    batch_release(&pair->again);
    buf_release(&pair->bytes);
}

/* FORMAT.md's bytes, and back. */
static void bytes_are_as_described(void **state)
{
    static const uint8_t expected[] = {7, 1, 'k', 3, 'a', 'b', 'c', 0, 2, 'x', 'y', 1, 1, 'e', 0};
    struct pair pair;
    (void)state;
    begin(&pair);
    batch_put(&pair.batch, 3, slice_of_string("k"), slice_of_string("abc"));
    batch_delete(&pair.batch, 0, slice_of_string("xy"));
    batch_put(&pair.batch, 0, slice_of_string("e"), slice_of(NULL, 0));
    store_entry_encode(&pair.batch, &pair.bytes);
    assert_int_equal(pair.bytes.length, sizeof expected);
    assert_memory_equal(pair.bytes.data, expected, sizeof expected);
    assert_true(store_entry_decode(buf_slice(&pair.bytes), 4, &pair.again));
    assert_int_equal(pair.again.count, 3);
    assert_true(slice_equal(buf_slice(&pair.again.bytes), buf_slice(&pair.batch.bytes)));
    end(&pair);
}

/* The largest key and value come back; bytes are never more than the batch's own. */
static void largest_come_back(void **state)
{
    static uint8_t zeros[KEYSPACE_VALUE_BYTES_MAX];
    struct pair pair;
    (void)state;
    begin(&pair);
    batch_put(&pair.batch, KEYSPACES_MAX - 1, slice_of(zeros, KEYSPACE_KEY_BYTES_MAX),
              slice_of(zeros, KEYSPACE_VALUE_BYTES_MAX));
    store_entry_encode(&pair.batch, &pair.bytes);
    assert_true(pair.bytes.length <= batch_bytes(&pair.batch));
    assert_true(store_entry_decode(buf_slice(&pair.bytes), KEYSPACES_MAX, &pair.again));
    assert_true(slice_equal(buf_slice(&pair.again.bytes), buf_slice(&pair.batch.bytes)));
    end(&pair);
}

/* A keyspace that is not there, an empty key, one that is too long, and bytes that end early. */
static void others_are_refused(void **state)
{
    static const uint8_t foreign[] = {9, 1, 'k', 0};
    static const uint8_t keyless[] = {1, 0, 0};
    static uint8_t long_key[3 + KEYSPACE_KEY_BYTES_MAX + 1] = {0};
    struct pair pair;
    (void)state;
    begin(&pair);
    assert_false(store_entry_decode(slice_of(foreign, sizeof foreign), 4, &pair.again));
    assert_true(store_entry_decode(slice_of(foreign, sizeof foreign), 5, &pair.again));
    assert_false(store_entry_decode(slice_of(keyless, sizeof keyless), 4, &pair.again));
    size_t length = put_varint(long_key + 1, KEYSPACE_KEY_BYTES_MAX + 1);
    assert_false(store_entry_decode(slice_of(long_key, 1 + length + KEYSPACE_KEY_BYTES_MAX + 1), 4,
                                    &pair.again));
    batch_put(&pair.batch, 1, slice_of_string("key"), slice_of_string("value"));
    store_entry_encode(&pair.batch, &pair.bytes);
    for (size_t cut = 1; cut < pair.bytes.length; cut++) {
        assert_false(store_entry_decode(slice_of(pair.bytes.data, cut), 4, &pair.again));
    }
    end(&pair);
}

/* Any bytes are a batch or none, and what is one says the same again. */
static void any_bytes_are_safe(void **state)
{
    (void)state;
    struct rng_seeded rng;
    rng_seeded_init(&rng, test_seed());
    for (unsigned i = 0; i < 200000; i++) {
        uint8_t bytes[24];
        struct pair pair;
        begin(&pair);
        size_t length = (size_t)rng_below(&rng.rng, sizeof bytes);
        for (size_t at = 0; at < length; at++) {
            bytes[at] = (uint8_t)rng_below(&rng.rng, rng_below(&rng.rng, 2) == 0 ? 6 : 256);
        }
        if (store_entry_decode(slice_of(bytes, length), 3, &pair.again)) {
            store_entry_encode(&pair.again, &pair.bytes);
            assert_true(slice_equal(buf_slice(&pair.bytes), slice_of(bytes, length)));
        }
        end(&pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_as_described),
        cmocka_unit_test(largest_come_back),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(any_bytes_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
