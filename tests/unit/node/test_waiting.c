/* SPDX-License-Identifier: Apache-2.0
 *
 * Who waits for the applier: applied.h, pending.h; and the cache of newest rows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/applied.h"
#include "node/latest_cache.h"
#include "node/pending.h"

struct waiter {
    struct applied_wait wait; /* first */
    int calls;
    enum status status;
};

static void on_ready(struct applied_wait *wait, enum status status)
{
    struct waiter *waiter = (struct waiter *)wait;
    waiter->calls++;
    waiter->status = status;
}

static struct waiter waiter_of(enum applied_target kind, uint64_t target, uint64_t deadline_ns)
{
    return (struct waiter){
        .wait = {.kind = kind, .target = target, .deadline_ns = deadline_ns, .ready = on_ready}};
}

/* A wait ends when its own target is reached, once, and no sooner. */
static void a_wait_ends_at_its_target(void **state)
{
    struct applied applied;
    struct waiter by_index = waiter_of(APPLIED_INDEX, 5, UINT64_MAX);
    struct waiter by_size = waiter_of(APPLIED_SIZE, 100, UINT64_MAX);
    struct waiter reached = waiter_of(APPLIED_INDEX, 3, UINT64_MAX);
    (void)state;
    applied_init(&applied, (struct applied_point){.index = 3, .size = 30});
    applied_wait(&applied, &by_index.wait);
    applied_wait(&applied, &by_size.wait);
    applied_wait(&applied, &reached.wait);
    assert_int_equal(reached.calls, 1);
    applied_publish(&applied, (struct applied_point){.index = 4, .size = 99});
    assert_int_equal(by_index.calls + by_size.calls, 0);
    applied_publish(&applied, (struct applied_point){.index = 5, .size = 99});
    assert_int_equal(by_index.calls, 1);
    assert_int_equal(by_index.status, STATUS_OK);
    applied_publish(&applied, (struct applied_point){.index = 6, .size = 120});
    assert_int_equal(by_size.calls, 1);
    assert_int_equal(by_index.calls, 1);
    assert_int_equal(applied_get(&applied).size, 120);
    applied_release(&applied);
}

/* Time ends waits, and so does closing, at once for those that come later. */
static void deadlines_and_closing_end_waits(void **state)
{
    struct applied applied;
    struct waiter early = waiter_of(APPLIED_INDEX, 5, 1000);
    struct waiter late = waiter_of(APPLIED_INDEX, 5, 2000);
    struct waiter after = waiter_of(APPLIED_INDEX, 5, 2000);
    (void)state;
    applied_init(&applied, (struct applied_point){0});
    applied_wait(&applied, &early.wait);
    applied_wait(&applied, &late.wait);
    applied_expire(&applied, 1000);
    assert_int_equal(early.status, STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(late.calls, 0);
    applied_close(&applied);
    assert_int_equal(late.status, STATUS_CANCELLED);
    applied_wait(&applied, &after.wait);
    assert_int_equal(after.status, STATUS_CANCELLED);
    applied_release(&applied);
}

static struct append_call *call_number(uintptr_t number)
{
    return (struct append_call *)number; /* never looked into */
}

static void count_call(void *context, struct append_call *call)
{
    *(uintptr_t *)context += (uintptr_t)call;
}

/* Each call is taken out once, by its index; draining gives the rest. */
static void pending_calls_are_taken_once(void **state)
{
    struct pending *pending = malloc(sizeof *pending);
    struct pending_call taken;
    uintptr_t sum = 0;
    (void)state;
    assert_non_null(pending);
    pending_init(pending, alloc_default());
    for (uint64_t i = 1; i <= 10; i++) {
        assert_true(pending_reserve(pending, i));
        pending_add(pending, (struct pending_call){.index = i, .term = 2, .call = call_number(i)});
    }
    assert_false(pending_reserve(pending, 1 + PENDING_MAX));
    assert_true(pending_take(pending, 3, &taken));
    assert_ptr_equal(taken.call, call_number(3));
    assert_false(pending_take(pending, 3, &taken));
    assert_false(pending_take(pending, 11, &taken));
    pending_drain(pending, count_call, &sum);
    assert_int_equal(sum, 55 - 3);
    assert_int_equal(pending->count, 0);
    pending_release(pending);
    free(pending);
}

/* The ring grows while calls wait in it, with entries that are nobody's between them, far from
 * index 0; another leadership begins anew. */
static void pending_calls_keep_their_places(void **state)
{
    enum { BEGIN = 1000003, STEP = 3 };
    struct pending pending;
    struct pending_call taken;
    (void)state;
    pending_init(&pending, alloc_default());
    for (uint64_t leadership = 0; leadership < 2; leadership++) {
        const uint64_t begin = leadership == 0 ? BEGIN : 17;
        uint64_t index = begin;
        for (; pending_reserve(&pending, index); index += STEP) {
            pending_add(&pending,
                        (struct pending_call){.index = index, .call = call_number(index)});
        }
        assert_int_equal(index, begin + (PENDING_MAX + STEP - 1) / STEP * STEP);
        for (uint64_t i = begin; i < index; i++) {
            assert_int_equal(pending_take(&pending, i, &taken), (i - begin) % STEP == 0);
            assert_ptr_equal(taken.call, call_number(i - (i - begin) % STEP));
            if ((i - begin) % STEP == 0 && i - begin < (uint64_t)100 * STEP) {
                assert_true(pending_reserve(&pending, index + i - begin));
            }
        }
        assert_int_equal(pending.count, 0);
    }
    pending_release(&pending);
}

struct flushed {
    uint64_t rows;
    uint64_t last; /* key of the last row, big-endian */
};

static enum status take_row(void *context, struct slice key, const struct latest_row *row,
                            struct error *err)
{
    struct flushed *flushed = context;
    (void)err;
    uint64_t number = get_be64(key.data);
    assert_true(flushed->rows == 0 || number > flushed->last);
    assert_int_equal(row->position % 3, row->version);
    flushed->last = number;
    flushed->rows++;
    return STATUS_OK;
}

/* What was put is found, the newest of it, through growth. A flush gives out what changed, once
 * and in order, and only a cache past its bound forgets. */
static void the_cache_knows_the_newest_rows(void **state)
{
    struct latest_cache *cache = latest_cache_new(alloc_default(), 1024 * 1024);
    struct flushed flushed = {0};
    struct error err = ERROR_INIT;
    uint8_t key[8];
    (void)state;
    for (uint64_t round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 5000; i++) {
            struct latest_row row = {.version = round, .position = i * 3 + round, .kind = 1};
            put_be64(key, i);
            assert_true(latest_cache_put(cache, slice_of(key, sizeof key), &row));
        }
    }
    for (uint64_t i = 0; i < 5000; i++) {
        put_be64(key, i);
        const struct latest_row *row = latest_cache_get(cache, slice_of(key, sizeof key));
        assert_non_null(row);
        assert_int_equal(row->version, 1);
        assert_int_equal(row->position, i * 3 + 1);
    }
    put_be64(key, 5000);
    assert_null(latest_cache_get(cache, slice_of(key, sizeof key)));
    assert_int_equal(latest_cache_flush(cache, take_row, &flushed, &err), STATUS_OK);
    assert_int_equal(flushed.rows, 5000);
    flushed.rows = 0;
    assert_int_equal(latest_cache_flush(cache, take_row, &flushed, &err), STATUS_OK);
    assert_int_equal(flushed.rows, 0);
    put_be64(key, 17);
    assert_non_null(latest_cache_get(cache, slice_of(key, sizeof key)));
    for (uint64_t i = 5000; i < 40000; i++) {
        struct latest_row row = {.position = i * 3};
        put_be64(key, i);
        assert_true(latest_cache_put(cache, slice_of(key, sizeof key), &row));
    }
    put_be64(key, 17);
    assert_non_null(latest_cache_get(cache, slice_of(key, sizeof key)));
    assert_int_equal(latest_cache_flush(cache, take_row, &flushed, &err), STATUS_OK);
    assert_int_equal(flushed.rows, 35000);
    assert_null(latest_cache_get(cache, slice_of(key, sizeof key)));
    latest_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_ends_at_its_target),
        cmocka_unit_test(deadlines_and_closing_end_waits),
        cmocka_unit_test(pending_calls_are_taken_once),
        cmocka_unit_test(pending_calls_keep_their_places),
        cmocka_unit_test(the_cache_knows_the_newest_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
