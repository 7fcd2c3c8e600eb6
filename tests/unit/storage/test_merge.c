/* SPDX-License-Identifier: Apache-2.0
 *
 * The merging iterator, and what survives a merge.
 */
#include <stdlib.h>

#include "base/rng.h"
#include "storage/mem/memtable.h"
#include "storage/snapshot.h"
#include "storage/tree/iter_merge.h"
#include "storage/tree/retain.h"
#include "testlib/fail_alloc.h"
#include "testlib/test.h"

enum { CHILDREN = 5, ENTRIES = 300 };

struct entry {
    uint8_t bytes[32];
    size_t length;
};

static struct slice slice_of_entry(const struct entry *entry)
{
    return slice_of(entry->bytes, entry->length);
}

static int compare_entries(const void *a, const void *b)
{
    return internal_key_compare(slice_of_entry(a), slice_of_entry(b));
}

/* Spreads entries over the children, and writes all of them, sorted, to `entries`. */
static struct iter *make_merge(struct rng *rng, struct entry entries[ENTRIES])
{
    struct error err = ERROR_INIT;
    struct memtable *memtables[CHILDREN];
    struct iter *children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        memtables[i] = memtable_new(alloc_default());
        assert_non_null(memtables[i]);
    }
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint8_t user[2] = {'a', (uint8_t)('a' + rng_below(rng, 20))};
        struct slice key = slice_of(user, 1 + rng_below(rng, 2));
        enum key_type type = rng_below(rng, 4) == 0 ? KEY_DELETE : KEY_PUT;
        struct slice value = type == KEY_PUT ? slice_of(&i, sizeof i) : slice_of(NULL, 0);
        /* The last child stays empty. */
        assert_ok(
            memtable_add(memtables[rng_below(rng, CHILDREN - 1)], i + 1, type, key, value, &err),
            &err);
        entries[i].length = internal_key_put(entries[i].bytes, key, i + 1, type);
    }
    qsort(entries, ENTRIES, sizeof entries[0], compare_entries);
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = memtable_iter_new(memtables[i]);
        assert_non_null(children[i]);
        memtable_unref(memtables[i]);
    }
    struct iter *merge = NULL;
    assert_ok(iter_merge_new(alloc_default(), children, CHILDREN, &merge, &err), &err);
    return merge;
}

/* Any walk over the merge, turning at any step, shows what the sorted array has. */
static void test_merge(void **state)
{
    (void)state;
    uint64_t seed = test_seed();
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, seed);
    struct rng *rng = &seeded.rng;
    static struct entry entries[ENTRIES];
    struct iter *merge = make_merge(rng, entries);
    assert_false(iter_valid(merge));
    size_t at = ENTRIES; /* nowhere */
    for (int step = 0; step < 20000; step++) {
        uint64_t choice = rng_below(rng, 50);
        if (choice == 0) {
            iter_seek_to_first(merge);
            at = 0;
        } else if (choice == 1) {
            iter_seek_to_last(merge);
            at = ENTRIES - 1;
        } else if (choice == 2 || at == ENTRIES) {
            struct entry target;
            uint8_t user[2] = {'a', (uint8_t)('a' + rng_below(rng, 21))};
            target.length = internal_key_put(target.bytes, slice_of(user, 1 + rng_below(rng, 2)),
                                             rng_below(rng, ENTRIES + 2), KEY_PUT);
            iter_seek(merge, slice_of_entry(&target));
            at = 0;
            while (at < ENTRIES && compare_entries(&entries[at], &target) < 0) {
                at++;
            }
        } else if (choice < 27) {
            iter_next(merge);
            at++;
        } else {
            iter_prev(merge);
            at = at == 0 ? ENTRIES : at - 1;
        }
        assert_int_equal(iter_valid(merge), at < ENTRIES);
        if (at < ENTRIES) {
            assert_true(slice_equal(iter_key(merge), slice_of_entry(&entries[at])));
            struct slice value = iter_value(merge);
            assert_true(value.length == 0 ||
                        get_le32(value.data) + 1 == internal_key_sequence(iter_key(merge)));
        }
    }
    struct error err = ERROR_INIT;
    assert_ok(iter_status(merge, &err), &err);
    iter_close(merge);
}

/* An iterator that yields `left` entries and then an error. */
struct broken {
    struct iter iter;
    struct iter *under;
    int left;
};

static struct broken *broken_of(const struct iter *iter)
{
    return (struct broken *)iter;
}
static void broken_seek(struct iter *iter, struct slice target)
{
    iter_seek(broken_of(iter)->under, target);
}
static void broken_first(struct iter *iter)
{
    iter_seek_to_first(broken_of(iter)->under);
}
static void broken_last(struct iter *iter)
{
    iter_seek_to_last(broken_of(iter)->under);
}
static void broken_next(struct iter *iter)
{
    broken_of(iter)->left--;
    iter_next(broken_of(iter)->under);
}
static void broken_prev(struct iter *iter)
{
    broken_of(iter)->left--;
    iter_prev(broken_of(iter)->under);
}
static bool broken_valid(const struct iter *iter)
{
    return broken_of(iter)->left > 0 && iter_valid(broken_of(iter)->under);
}
static struct slice broken_key(const struct iter *iter)
{
    return iter_key(broken_of(iter)->under);
}
static struct slice broken_value(const struct iter *iter)
{
    return iter_value(broken_of(iter)->under);
}
static enum status broken_status(const struct iter *iter, struct error *err)
{
    return broken_of(iter)->left > 0 ? STATUS_OK : error_set(err, STATUS_CORRUPT, "broken");
}
static void broken_close(struct iter *iter)
{
    iter_close(broken_of(iter)->under);
}
static const struct iter_ops broken_ops = {broken_seek,   broken_first, broken_last, broken_next,
                                           broken_prev,   broken_valid, broken_key,  broken_value,
                                           broken_status, broken_close};

/* An error of one child ends the walk: the others' entries alone would be a wrong answer. */
static void test_error(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    for (int left = 0; left < 5; left++) {
        struct rng_seeded seeded;
        rng_seeded_init(&seeded, 3);
        static struct entry entries[ENTRIES];
        static struct entry others[ENTRIES];
        struct broken broken = {
            .iter = {.ops = &broken_ops}, .under = make_merge(&seeded.rng, entries), .left = left};
        struct iter *children[2] = {make_merge(&seeded.rng, others), &broken.iter};
        struct iter *merge = NULL;
        assert_ok(iter_merge_new(alloc_default(), children, 2, &merge, &err), &err);
        iter_seek_to_first(merge);
        int seen = 0;
        while (iter_valid(merge)) {
            iter_next(merge);
            seen++;
        }
        assert_true(seen < ENTRIES);
        assert_status(iter_status(merge, &err), STATUS_CORRUPT, &err);
        iter_close(merge);
    }
}

/* None and one child are iterators as well; without memory the children are closed. */
static void test_few(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct iter *merge = NULL;
    assert_ok(iter_merge_new(alloc_default(), NULL, 0, &merge, &err), &err);
    iter_seek_to_first(merge);
    assert_false(iter_valid(merge));
    assert_ok(iter_status(merge, &err), &err);
    iter_close(merge);
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    struct memtable *memtable = memtable_new(&fail.alloc);
    struct iter *children[2] = {memtable_iter_new(memtable), memtable_iter_new(memtable)};
    memtable_unref(memtable);
    fail_alloc_arm(&fail, 0);
    assert_status(iter_merge_new(&fail.alloc, children, 2, &merge, &err), STATUS_RESOURCE_EXHAUSTED,
                  &err);
    fail_alloc_release(&fail);
}

struct version_of_key {
    const char *user;
    uint64_t sequence;
    enum key_type type;
    bool kept;
};

static bool nothing_below(void *context, struct slice user_key)
{
    (void)user_key;
    return *(bool *)context;
}

static void check_retained(const struct version_of_key *versions, size_t count,
                           const uint64_t *snapshots, size_t snapshot_count, bool bottom)
{
    struct error err = ERROR_INIT;
    struct retain retain;
    bool below = !bottom;
    retain_init(&retain, alloc_default(), snapshots, snapshot_count, nothing_below, &below);
    for (size_t i = 0; i < count; i++) {
        uint8_t key[64];
        bool keep = false;
        size_t length = internal_key_put(key, slice_of_string(versions[i].user),
                                         versions[i].sequence, versions[i].type);
        assert_ok(retain_next(&retain, slice_of(key, length), &keep, &err), &err);
        if (keep != versions[i].kept) {
            fail_msg("%s at %lu: kept is %d", versions[i].user, (unsigned long)versions[i].sequence,
                     keep);
        }
    }
    retain_release(&retain);
}

/* The newest version of a key stays, older ones only where a snapshot sees them. */
static void test_retain(void **state)
{
    (void)state;
    const uint64_t snapshots[] = {5, 12};
    const struct version_of_key versions[] = {
        {"a", 20, KEY_PUT, true},    {"a", 13, KEY_PUT, false}, {"a", 12, KEY_PUT, true},
        {"a", 11, KEY_PUT, false},   {"a", 6, KEY_PUT, false},  {"a", 5, KEY_DELETE, true},
        {"a", 4, KEY_PUT, false},    {"aa", 3, KEY_PUT, true},  {"aa", 2, KEY_PUT, false},
        {"b", 30, KEY_DELETE, true}, {"b", 29, KEY_PUT, false}, {"b", 4, KEY_PUT, true},
    };
    check_retained(versions, sizeof versions / sizeof versions[0], snapshots, 2, false);
}

/* A deletion goes where nothing older can lie below it, unless a snapshot is older than it. */
static void test_retain_deletions(void **state)
{
    (void)state;
    const uint64_t snapshots[] = {7};
    const struct version_of_key gone[] = {
        {"a", 6, KEY_DELETE, false}, {"a", 5, KEY_PUT, false},   {"b", 7, KEY_DELETE, false},
        {"b", 1, KEY_PUT, false},    {"c", 8, KEY_DELETE, true}, {"c", 7, KEY_PUT, true},
        {"d", 9, KEY_DELETE, true},
    };
    check_retained(gone, sizeof gone / sizeof gone[0], snapshots, 1, true);
    const struct version_of_key kept[] = {{"a", 6, KEY_DELETE, true}, {"a", 5, KEY_PUT, false}};
    check_retained(kept, 2, snapshots, 1, false);
    const struct version_of_key unseen[] = {{"a", 60, KEY_DELETE, false}, {"a", 5, KEY_PUT, false}};
    check_retained(unseen, 2, NULL, 0, true);
}

/* The list keeps its order whichever snapshot goes, and tells each sequence once. */
static void test_snapshot_list(void **state)
{
    (void)state;
    struct snapshot_list list = {.count = 0};
    struct snapshot snapshots[4] = {
        {.sequence = 3}, {.sequence = 3}, {.sequence = 8}, {.sequence = 9}};
    for (int i = 0; i < 4; i++) {
        snapshot_list_add(&list, &snapshots[i]);
    }
    uint64_t out[4] = {0};
    assert_int_equal(snapshot_list_sequences(&list, out, 2), 3);
    assert_int_equal(snapshot_list_sequences(&list, out, 4), 3);
    assert_int_equal(out[0], 3);
    assert_int_equal(out[1], 8);
    assert_int_equal(out[2], 9);
    assert_true(snapshot_between(out, 3, 3, 4));
    assert_true(snapshot_between(out, 3, 4, 9));
    assert_false(snapshot_between(out, 3, 4, 8));
    assert_false(snapshot_between(out, 3, 10, 99));
    snapshot_list_remove(&list, &snapshots[0]);
    snapshot_list_remove(&list, &snapshots[3]);
    assert_int_equal(snapshot_list_sequences(&list, out, 4), 2);
    snapshot_list_remove(&list, &snapshots[2]);
    snapshot_list_remove(&list, &snapshots[1]);
    assert_int_equal(list.count, 0);
    assert_null(list.oldest);
    assert_null(list.newest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_error),
        cmocka_unit_test(test_few),
        cmocka_unit_test(test_retain),
        cmocka_unit_test(test_retain_deletions),
        cmocka_unit_test(test_snapshot_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
