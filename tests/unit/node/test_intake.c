/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver's intake: who is called, how often, and that nothing is forgotten.
 * labels: threaded
 */
#include "base/sync.h"
#include "node/intake.h"
#include "testlib/test.h"

#define PUSHERS 3U
#define ITEMS 20000U

static void count_call(void *context)
{
    atomic_fetch_add((atomic_uint *)context, 1U);
}

/* The owner is called once for all that comes before it begins to take, and again after. */
static void one_call_serves_all_that_comes_together(void **state)
{
    (void)state;
    struct intake_queue queue;
    struct intake items[4];
    atomic_uint calls = 0;
    intake_init(&queue);
    intake_push(&queue, &items[0], INTAKE_READ); /* nobody is there yet */
    intake_open(&queue, count_call, &calls);
    assert_int_equal(calls, 1);
    intake_push(&queue, &items[1], INTAKE_LOADED);
    intake_push(&queue, &items[2], INTAKE_STOP);
    assert_int_equal(calls, 1);
    intake_begin(&queue);
    for (unsigned i = 0; i < 3; i++) {
        assert_ptr_equal(intake_take(&queue), &items[i]);
    }
    assert_int_equal(items[1].kind, INTAKE_LOADED);
    assert_null(intake_take(&queue));
    intake_push(&queue, &items[3], INTAKE_READ);
    assert_int_equal(calls, 2);
}

/* A wake is a call like any other: it is not added to one that is on its way. */
static void a_wake_is_one_call(void **state)
{
    (void)state;
    struct intake_queue queue;
    struct intake item;
    atomic_uint calls = 0;
    intake_init(&queue);
    intake_open(&queue, count_call, &calls);
    intake_wake(&queue);
    assert_int_equal(calls, 1);
    intake_begin(&queue);
    intake_wake(&queue);
    intake_push(&queue, &item, INTAKE_READ);
    assert_int_equal(calls, 2);
}

/* After the shut nobody is called; the items still come out. */
static void a_shut_queue_calls_nobody(void **state)
{
    (void)state;
    struct intake_queue queue;
    struct intake item;
    atomic_uint calls = 0;
    intake_init(&queue);
    intake_open(&queue, count_call, &calls);
    assert_false(intake_shut(&queue)); /* the first call is on its way */
    intake_begin(&queue);
    assert_true(intake_shut(&queue));
    intake_push(&queue, &item, INTAKE_READ);
    assert_int_equal(calls, 1);
    assert_ptr_equal(intake_take(&queue), &item);
}

struct shared {
    struct intake_queue queue;
    struct mutex mutex;
    struct condition called;
    bool call;
    struct intake items[PUSHERS][ITEMS];
};

static void wake(void *context)
{
    struct shared *shared = context;
    mutex_lock(&shared->mutex);
    shared->call = true;
    condition_signal(&shared->called);
    mutex_unlock(&shared->mutex);
}

struct pusher {
    pthread_t thread;
    struct shared *shared;
    unsigned number;
};

static void *push_all(void *context)
{
    struct pusher *pusher = context;
    for (unsigned i = 0; i < ITEMS; i++) {
        intake_push(&pusher->shared->queue, &pusher->shared->items[pusher->number][i], INTAKE_READ);
    }
    return NULL;
}

/* An owner that looks only when it is called, and waits without limit, gets every item: if a call
 * could be lost, this would not end. */
static void no_call_is_lost(void **state)
{
    (void)state;
    static struct shared shared;
    struct pusher pushers[PUSHERS];
    mutex_init(&shared.mutex);
    condition_init(&shared.called);
    intake_init(&shared.queue);
    intake_open(&shared.queue, wake, &shared);
    for (unsigned i = 0; i < PUSHERS; i++) {
        pushers[i] = (struct pusher){.shared = &shared, .number = i};
        assert_true(thread_start(&pushers[i].thread, "pusher", push_all, &pushers[i]));
    }
    for (unsigned taken = 0; taken < PUSHERS * ITEMS;) {
        mutex_lock(&shared.mutex);
        while (!shared.call) {
            condition_wait(&shared.called, &shared.mutex);
        }
        shared.call = false;
        mutex_unlock(&shared.mutex);
        intake_begin(&shared.queue);
        while (intake_take(&shared.queue) != NULL) {
            taken++;
        }
    }
    for (unsigned i = 0; i < PUSHERS; i++) {
        thread_join(pushers[i].thread);
    }
    condition_release(&shared.called);
    mutex_release(&shared.mutex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_call_serves_all_that_comes_together),
        cmocka_unit_test(a_wake_is_one_call),
        cmocka_unit_test(a_shut_queue_calls_nobody),
        cmocka_unit_test(no_call_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
