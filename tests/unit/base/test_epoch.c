/* SPDX-License-Identifier: Apache-2.0
 *
 * What is retired stays as long as somebody can hold it, and no longer.
 */
#include "base/epoch.h"

#include <sched.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/rng.h"
#include "base/sync.h"
#include "testlib/test.h"

struct thing {
    struct epoch_item retired; /* first: freeing finds the rest from it */
    struct epoch *epoch;
    int freed;
    struct thing *follower; /* retired when this one is freed */
};

static void free_thing(struct epoch_item *item)
{
    struct thing *thing = (struct thing *)item;
    thing->freed++;
    if (thing->follower != NULL) {
        epoch_retire(thing->epoch, &thing->follower->retired, free_thing);
    }
}

/* With nobody in, what is retired goes at once, and so does what goes with it. */
static void test_nobody_is_in(void **state)
{
    (void)state;
    struct epoch epoch;
    epoch_init(&epoch);
    struct thing second = {.epoch = &epoch};
    struct thing first = {.epoch = &epoch, .follower = &second};
    for (int i = 1; i <= 3; i++) {
        epoch_retire(&epoch, &first.retired, free_thing);
        assert_int_equal(first.freed, i);
        assert_int_equal(second.freed, i);
    }
    epoch_leave(&epoch, epoch_enter(&epoch));
    epoch_release(&epoch);
}

/* Who was in when it was retired keeps it; who came later does not. */
static void test_who_was_in_keeps_it(void **state)
{
    (void)state;
    struct epoch epoch;
    epoch_init(&epoch);
    struct thing thing = {.epoch = &epoch};
    struct thing later = {.epoch = &epoch};
    struct epoch_guard early = epoch_enter(&epoch);
    struct epoch_guard twin = epoch_enter(&epoch);
    epoch_retire(&epoch, &thing.retired, free_thing);
    struct epoch_guard late = epoch_enter(&epoch);
    epoch_retire(&epoch, &later.retired, free_thing);
    epoch_leave(&epoch, early);
    assert_int_equal(thing.freed, 0);
    epoch_leave(&epoch, twin);
    assert_int_equal(thing.freed, 1);
    assert_int_equal(later.freed, 0);
    epoch_leave(&epoch, late);
    assert_int_equal(later.freed, 1);
    epoch_release(&epoch);
}

/* Readers that take turns, so that there is always one, hold nothing back for ever. */
static void test_readers_take_turns(void **state)
{
    (void)state;
    struct epoch epoch;
    epoch_init(&epoch);
    struct thing things[100] = {{.freed = 0}};
    struct epoch_guard guard = epoch_enter(&epoch);
    for (int i = 0; i < 100; i++) {
        things[i].epoch = &epoch;
        epoch_retire(&epoch, &things[i].retired, free_thing);
        struct epoch_guard next = epoch_enter(&epoch);
        epoch_leave(&epoch, guard);
        guard = next;
        assert_true(i == 0 || things[i - 1].freed == 1);
    }
    epoch_leave(&epoch, guard);
    assert_int_equal(things[99].freed, 1);
    epoch_release(&epoch);
}

/* Any order of coming, going and retiring: a thing is there as long as one who was in when it was
 * retired, and is freed once when the last of them leaves. */
static void test_any_order(void **state)
{
    (void)state;
    enum { READERS = 6, THINGS = 4000 };
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct epoch epoch;
    epoch_init(&epoch);
    struct epoch_guard guards[READERS];
    uint64_t since[READERS] = {0}; /* how much was retired when he came, and one; 0: is not in */
    struct thing *things = alloc_zeroed(alloc_default(), THINGS, sizeof *things);
    assert_non_null(things);
    uint64_t retired = 0;
    uint64_t gone = 0; /* all before it were freed */
    while (retired < THINGS) {
        size_t i = (size_t)rng_below(&seeded.rng, READERS + 1);
        if (i == READERS) {
            things[retired].epoch = &epoch;
            epoch_retire(&epoch, &things[retired].retired, free_thing);
            retired++;
        } else if (since[i] == 0) {
            guards[i] = epoch_enter(&epoch);
            since[i] = retired + 1;
        } else {
            epoch_leave(&epoch, guards[i]);
            since[i] = 0;
        }
        uint64_t oldest = UINT64_MAX;
        for (size_t j = 0; j < READERS; j++) {
            oldest = since[j] != 0 && since[j] - 1 < oldest ? since[j] - 1 : oldest;
        }
        while (gone < retired && things[gone].freed == 1) {
            gone++;
        }
        assert_true(gone <= oldest);
        assert_true(oldest != UINT64_MAX || gone == retired);
        for (uint64_t j = gone; j < retired && j < gone + 20; j++) {
            assert_int_equal(things[j].freed, 0); /* the oldest first */
        }
    }
    for (size_t i = 0; i < READERS; i++) {
        if (since[i] != 0) {
            epoch_leave(&epoch, guards[i]);
        }
    }
    for (size_t i = 0; i < THINGS; i++) {
        assert_int_equal(things[i].freed, 1);
    }
    epoch_release(&epoch);
    alloc_free(alloc_default(), things);
}

/* --- threads ------------------------------------------------------------------------------- */

enum { READER_THREADS = 4, WRITER_THREADS = 2, READS = 100000, SLOTS = 8, ALIVE = 12345 };

struct number {
    struct epoch_item retired;
    struct shared *shared;
    int alive;
    uint64_t value;
    uint64_t twice;
};

struct shared {
    struct epoch epoch;
    _Atomic(struct number *) current[SLOTS];
    atomic_int reading;
    _Atomic uint64_t made;
    _Atomic uint64_t freed;
};

static void free_number(struct epoch_item *item)
{
    struct number *number = (struct number *)item;
    struct shared *shared = number->shared;
    CHECK(number->alive == ALIVE);
    number->alive = 0;
    alloc_free(alloc_default(), number);
    atomic_fetch_add(&shared->freed, 1);
}

static void replace(struct shared *shared, uint64_t value)
{
    struct number *number = alloc_new(alloc_default(), sizeof *number);
    CHECK(number != NULL);
    *number = (struct number){.shared = shared, .alive = ALIVE, .value = value, .twice = 2 * value};
    atomic_fetch_add(&shared->made, 1);
    struct number *old = atomic_exchange(&shared->current[value % SLOTS], number);
    if (old != NULL) {
        epoch_retire(&shared->epoch, &old->retired, free_number);
    }
}

static void *read_on(void *context)
{
    struct shared *shared = context;
    for (size_t i = 0; i < READS; i++) {
        struct epoch_guard guard = epoch_enter(&shared->epoch);
        struct number *one = atomic_load(&shared->current[i % SLOTS]);
        struct number *other = atomic_load(&shared->current[i / SLOTS % SLOTS]);
        CHECK(one->alive == ALIVE && one->twice == 2 * one->value);
        CHECK(other->alive == ALIVE && other->twice == 2 * other->value);
        CHECK(one->alive == ALIVE);
        epoch_leave(&shared->epoch, guard);
    }
    atomic_fetch_sub(&shared->reading, 1);
    return NULL;
}

static void *write_on(void *context)
{
    struct shared *shared = context;
    for (uint64_t value = 0; atomic_load(&shared->reading) > 0; value++) {
        replace(shared, value);
    }
    return NULL;
}

/* Readers find whole things whatever the writers replace, and in the end all that was retired is
 * freed though nobody asked for it. */
static void test_threads(void **state)
{
    (void)state;
    struct shared *shared = alloc_zeroed(alloc_default(), 1, sizeof *shared);
    assert_non_null(shared);
    epoch_init(&shared->epoch);
    for (uint64_t i = 0; i < SLOTS; i++) {
        replace(shared, i);
    }
    atomic_store(&shared->reading, READER_THREADS);
    pthread_t threads[READER_THREADS + WRITER_THREADS];
    for (int i = 0; i < READER_THREADS + WRITER_THREADS; i++) {
        assert_true(
            thread_start(&threads[i], "epoch", i < READER_THREADS ? read_on : write_on, shared));
    }
    for (int i = 0; i < READER_THREADS + WRITER_THREADS; i++) {
        thread_join(threads[i]);
    }
    assert_int_equal(atomic_load(&shared->freed) + SLOTS, atomic_load(&shared->made));
    epoch_release(&shared->epoch);
    for (size_t i = 0; i < SLOTS; i++) {
        alloc_free(alloc_default(), atomic_load(&shared->current[i]));
    }
    alloc_free(alloc_default(), shared);
}

/* A reader that leaves at the very moment when something is retired. */
enum { MEETINGS = 30000 };

struct meeting {
    struct epoch epoch;
    atomic_int in;   /* the reader, for the n-th time */
    atomic_int left; /* likewise */
    atomic_int retired;
};

static void *leave_on(void *context)
{
    struct meeting *meeting = context;
    for (int i = 1; i <= MEETINGS; i++) {
        struct epoch_guard guard = epoch_enter(&meeting->epoch);
        atomic_store(&meeting->in, i);
        for (int j = i % 64; j > 0; j--) {
            (void)atomic_load(&meeting->in);
        }
        epoch_leave(&meeting->epoch, guard);
        atomic_store(&meeting->left, i);
        while (atomic_load(&meeting->retired) < i) {
            sched_yield();
        }
    }
    return NULL;
}

/* When he has left and it was retired, it is freed, whichever came first. */
static void test_leaves_while_it_is_retired(void **state)
{
    (void)state;
    struct meeting *meeting = alloc_zeroed(alloc_default(), 1, sizeof *meeting);
    assert_non_null(meeting);
    epoch_init(&meeting->epoch);
    struct thing thing = {.epoch = &meeting->epoch};
    pthread_t reader;
    assert_true(thread_start(&reader, "epoch", leave_on, meeting));
    for (int i = 1; i <= MEETINGS; i++) {
        while (atomic_load(&meeting->in) < i) {
            sched_yield();
        }
        epoch_retire(&meeting->epoch, &thing.retired, free_thing);
        while (atomic_load(&meeting->left) < i) {
            sched_yield();
        }
        assert_int_equal(thing.freed, i);
        atomic_store(&meeting->retired, i);
    }
    thread_join(reader);
    epoch_release(&meeting->epoch);
    alloc_free(alloc_default(), meeting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_is_in),
        cmocka_unit_test(test_who_was_in_keeps_it),
        cmocka_unit_test(test_readers_take_turns),
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_leaves_while_it_is_retired),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
