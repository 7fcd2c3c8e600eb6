/* SPDX-License-Identifier: Apache-2.0
 *
 * Table fixture: sorted entries made from a seed, as an array that memtables, blocks and
 * tables are held against.
 *
 *   struct reference reference;
 *   reference_make(&reference, rng, 500, 40);
 *   ... reference.entries[i].key, .value; reference_seek(); reference_get() ...
 *   reference_release(&reference);
 */
#ifndef ESTREAT_TESTS_TABLE_FIXTURE_H
#define ESTREAT_TESTS_TABLE_FIXTURE_H

#include "base/alloc.h"
#include "base/rng.h"
#include "storage/table/iter.h"
#include "storage/table/key.h"
#include "testlib/test.h"

struct entry {
    struct slice key; /* internal */
    struct slice value;
};

struct reference {
    struct entry *entries; /* sorted, distinct */
    size_t count;
    uint8_t *memory;
};

#define FIXTURE_KEY_BYTES_MAX 40UL
#define FIXTURE_SEQUENCE_MAX 1000UL

/* Few different bytes, 0 and 0xff among them, so that keys share and are prefixes. */
static inline size_t random_user_key(struct rng *rng, uint8_t *to)
{
    static const uint8_t alphabet[] = {0x00, 'a', 'b', 0xff};
    size_t length = (size_t)rng_below(rng, rng_below(rng, 8) == 0 ? FIXTURE_KEY_BYTES_MAX : 7);
    for (size_t i = 0; i < length; i++) {
        to[i] = alphabet[rng_below(rng, sizeof alphabet)];
    }
    return length;
}

static inline int entry_order(const void *a, const void *b)
{
    return internal_key_compare(((const struct entry *)a)->key, ((const struct entry *)b)->key);
}

/* One entry, its bytes at `at`; half of a value repeats itself, half does not. */
static inline size_t random_entry(struct rng *rng, size_t value_bytes_max, uint8_t *at,
                                  struct entry *entry)
{
    uint8_t user[FIXTURE_KEY_BYTES_MAX];
    size_t user_length = random_user_key(rng, user);
    enum key_type type = rng_below(rng, 10) == 0 ? KEY_DELETE : KEY_PUT;
    size_t key_length = internal_key_put(at, slice_of(user, user_length),
                                         rng_below(rng, FIXTURE_SEQUENCE_MAX), type);
    size_t value_length = type == KEY_DELETE ? 0 : (size_t)rng_below(rng, value_bytes_max + 1);
    uint8_t *value = at + key_length;
    memset(value, 'v', value_length);
    rng_fill(rng, value, value_length / 2);
    *entry = (struct entry){slice_of(at, key_length), slice_of(value, value_length)};
    return key_length + value_length;
}

/* At most `count` entries: the same key is not made twice. */
static inline void reference_make(struct reference *reference, struct rng *rng, size_t count,
                                  size_t value_bytes_max)
{
    size_t entry_bytes = FIXTURE_KEY_BYTES_MAX + KEY_TRAILER_BYTES + value_bytes_max;
    reference->entries = alloc_zeroed(alloc_default(), count, sizeof(struct entry));
    reference->memory = alloc_new(alloc_default(), count * entry_bytes);
    assert_non_null(reference->entries);
    assert_non_null(reference->memory);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        used +=
            random_entry(rng, value_bytes_max, reference->memory + used, &reference->entries[i]);
    }
    qsort(reference->entries, count, sizeof(struct entry), entry_order);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || entry_order(&reference->entries[kept - 1], &reference->entries[i]) != 0) {
            reference->entries[kept++] = reference->entries[i];
        }
    }
    reference->count = kept;
}

static inline void reference_release(struct reference *reference)
{
    alloc_free(alloc_default(), reference->entries);
    alloc_free(alloc_default(), reference->memory);
}

/* Index of the first entry >= target; the count if there is none. */
static inline size_t reference_seek(const struct reference *reference, struct slice target)
{
    size_t i = 0;
    while (i < reference->count && internal_key_compare(reference->entries[i].key, target) < 0) {
        i++;
    }
    return i;
}

static inline enum lookup reference_get(const struct reference *reference, struct slice user,
                                        uint64_t sequence, struct slice *value)
{
    uint8_t target[FIXTURE_KEY_BYTES_MAX + KEY_TRAILER_BYTES];
    size_t length = internal_key_put(target, user, sequence, KEY_SEEK);
    size_t i = reference_seek(reference, slice_of(target, length));
    if (i == reference->count || !slice_equal(internal_key_user(reference->entries[i].key), user)) {
        return LOOKUP_ABSENT;
    }
    *value = reference->entries[i].value;
    return internal_key_type(reference->entries[i].key) == KEY_PUT ? LOOKUP_FOUND : LOOKUP_DELETED;
}

static inline void assert_slice_equal(struct slice actual, struct slice expected)
{
    assert_int_equal(actual.length, expected.length);
    assert_true(slice_equal(actual, expected));
}

/* The iterator is at the i-th entry, or at an end without error if there is none. */
static inline void assert_iter_at(const struct iter *iter, const struct reference *reference,
                                  size_t i)
{
    struct error err = ERROR_INIT;
    assert_ok(iter_status(iter, &err), &err);
    if (i >= reference->count) {
        assert_false(iter_valid(iter));
        return;
    }
    assert_true(iter_valid(iter));
    assert_slice_equal(iter_key(iter), reference->entries[i].key);
    assert_slice_equal(iter_value(iter), reference->entries[i].value);
}

/* Whole walks both ways, then a random walk of seeks and steps. */
static inline void assert_iter_walks(struct iter *iter, const struct reference *reference,
                                     struct rng *rng, size_t steps)
{
    iter_seek_to_first(iter);
    for (size_t i = 0; i < reference->count; i++) {
        assert_iter_at(iter, reference, i);
        iter_next(iter);
    }
    assert_iter_at(iter, reference, reference->count);
    iter_seek_to_last(iter);
    for (size_t i = reference->count; i > 0; i--) {
        assert_iter_at(iter, reference, i - 1);
        iter_prev(iter);
    }
    assert_iter_at(iter, reference, SIZE_MAX);

    size_t at = SIZE_MAX;
    for (size_t i = 0; i < steps; i++) {
        uint64_t step = rng_below(rng, 8);
        if (at >= reference->count || step == 0) {
            uint8_t user[FIXTURE_KEY_BYTES_MAX];
            uint8_t target[FIXTURE_KEY_BYTES_MAX + KEY_TRAILER_BYTES];
            size_t length = random_user_key(rng, user);
            length = internal_key_put(target, slice_of(user, length),
                                      rng_below(rng, FIXTURE_SEQUENCE_MAX), KEY_SEEK);
            iter_seek(iter, slice_of(target, length));
            at = reference_seek(reference, slice_of(target, length));
        } else if (step < 5) {
            iter_next(iter);
            at++;
        } else {
            iter_prev(iter);
            at = at == 0 ? SIZE_MAX : at - 1;
        }
        assert_iter_at(iter, reference, at);
    }
}

#endif
