/* SPDX-License-Identifier: Apache-2.0
 *
 * Readers of the copy-on-write tree beside its writer, with roots that are published and retired as
 * the header says; mostly of use under the thread sanitizer.
 */
#include "base/epoch.h"
#include "base/sync.h"
#include "cow_fixture.h"

enum { READERS = 3, EDITS = 3000 };

/* A version as its owner publishes it. */
struct published {
    struct epoch_item retired; /* first */
    struct shared *shared;
    _Atomic uint64_t references;
    struct cow_node *root;
    size_t count;
    uint64_t sum; /* of all numbers */
};

struct shared {
    struct world *world;
    struct epoch epoch;
    _Atomic(struct published *) current;
    atomic_bool stop;
    _Atomic uint64_t walks;
    _Atomic uint64_t roots;
};

static void published_unref(struct published *published)
{
    if (atomic_fetch_sub(&published->references, 1) == 1) {
        cow_btree_unref(&published->shared->world->tree, published->root);
        atomic_fetch_sub(&published->shared->roots, 1);
        free(published);
    }
}

static void let_go(struct epoch_item *item)
{
    published_unref((struct published *)item);
}

static void publish(struct shared *shared)
{
    struct published *next = malloc(sizeof *next);
    CHECK(next != NULL);
    struct version *now = &shared->world->now;
    *next = (struct published){
        .shared = shared, .references = 1, .root = now->root, .count = now->count};
    cow_btree_ref(next->root);
    for (size_t i = 0; i < shared->world->universe.count; i++) {
        next->sum += now->numbers[i];
    }
    atomic_fetch_add(&shared->roots, 1);
    struct published *old = atomic_exchange(&shared->current, next);
    if (old != NULL) {
        epoch_retire(&shared->epoch, &old->retired, let_go);
    }
}

static void walk(const struct published *published)
{
    size_t count = 0;
    uint64_t sum = 0;
    struct cow_cursor cursor = cow_cursor_at(published->root, 0);
    for (; cow_cursor_valid(&cursor); cow_cursor_next(&cursor)) {
        const struct cow_entry *entry = cow_cursor_entry(&cursor);
        const struct value *value = entry->value;
        CHECK(cow_key_compare(entry->key, value->key) == 0);
        sum += value->number;
        count++;
    }
    CHECK(count == published->count && sum == published->sum);
}

/* Walks in the epoch, and with a reference outside of it. */
static void *read_on(void *context)
{
    struct shared *shared = context;
    for (uint64_t i = 0; !atomic_load(&shared->stop); i++) {
        struct epoch_guard guard = epoch_enter(&shared->epoch);
        struct published *published = atomic_load(&shared->current);
        if (i % 2 == 0) {
            walk(published);
            epoch_leave(&shared->epoch, guard);
        } else {
            atomic_fetch_add(&published->references, 1);
            epoch_leave(&shared->epoch, guard);
            walk(published);
            published_unref(published);
        }
        atomic_fetch_add(&shared->walks, 1);
    }
    return NULL;
}

/* Readers see whole versions while others are made and go; in the end all of them are gone. */
static void test_readers_during_writes(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct shared *shared = calloc(1, sizeof *shared);
    assert_non_null(shared);
    shared->world = world_new(alloc_default(), &seeded.rng, 400);
    epoch_init(&shared->epoch);
    publish(shared);
    pthread_t threads[READERS];
    for (int i = 0; i < READERS; i++) {
        assert_true(thread_start(&threads[i], "reader", read_on, shared));
    }
    for (uint64_t i = 0; i < EDITS || atomic_load(&shared->walks) < EDITS; i++) {
        for (uint64_t edits = 1 + rng_below(&seeded.rng, 4); edits > 0; edits--) {
            size_t place = (size_t)rng_below(&seeded.rng, shared->world->universe.count);
            assert_true(rng_below(&seeded.rng, 2) == 0 ? put(shared->world, place)
                                                       : take_out(shared->world, place));
        }
        publish(shared);
    }
    atomic_store(&shared->stop, true);
    for (int i = 0; i < READERS; i++) {
        thread_join(threads[i]);
    }
    assert_int_equal(atomic_load(&shared->roots), 1);
    epoch_release(&shared->epoch);
    published_unref(atomic_load(&shared->current));
    world_free(shared->world);
    free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers_during_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
