/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/test.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mpsc.h"
#include "base/sync.h"

enum { PUSHERS = 4, ITEMS = 20000 };

struct item {
    struct mpsc_node node;
    unsigned pusher;
    unsigned number;
};

static struct item *item_of(struct mpsc_node *node)
{
    return node == NULL ? NULL : (struct item *)((char *)node - offsetof(struct item, node));
}

static uint64_t now_ns(void)
{
    return clock_monotonic_ns(clock_system());
}

/* First in, first out, empty in between, and nodes may be used again. */
static void test_order(void **state)
{
    (void)state;
    struct mpsc queue;
    struct item items[5];
    mpsc_init(&queue);
    assert_null(mpsc_pop(&queue));
    for (int round = 0; round < 3; round++) {
        for (int count = 1; count <= 5; count++) {
            for (int i = 0; i < count; i++) {
                mpsc_push(&queue, &items[i].node);
            }
            for (int i = 0; i < count; i++) {
                assert_ptr_equal(mpsc_pop(&queue), &items[i].node);
            }
            assert_null(mpsc_pop(&queue));
        }
    }
}

/* Pushing while popping keeps the order across the moments when one node is left. */
static void test_interleaved(void **state)
{
    (void)state;
    struct mpsc queue;
    struct item items[3];
    mpsc_init(&queue);
    mpsc_push(&queue, &items[0].node);
    mpsc_push(&queue, &items[1].node);
    assert_ptr_equal(mpsc_pop(&queue), &items[0].node);
    mpsc_push(&queue, &items[2].node);
    assert_ptr_equal(mpsc_pop(&queue), &items[1].node);
    mpsc_push(&queue, &items[0].node);
    assert_ptr_equal(mpsc_pop(&queue), &items[2].node);
    assert_ptr_equal(mpsc_pop(&queue), &items[0].node);
    assert_null(mpsc_pop(&queue));
}

/* With something in the queue a wait returns at once; with nothing, after the time. */
static void test_wait_returns(void **state)
{
    (void)state;
    struct mpsc queue;
    struct item item;
    mpsc_init(&queue);
    mpsc_push(&queue, &item.node);
    mpsc_wait(&queue, UINT64_MAX);
    assert_ptr_equal(mpsc_pop(&queue), &item.node);
    mpsc_push(&queue, &item.node); /* behind the stub as before it */
    mpsc_wait(&queue, UINT64_MAX);
    assert_ptr_equal(mpsc_pop(&queue), &item.node);
    uint64_t begin = now_ns();
    mpsc_wait(&queue, 20 * NS_PER_MS);
    assert_true(now_ns() - begin >= 20 * NS_PER_MS);
    mpsc_wait(&queue, 0);
}

/* A wake before the wait is kept for it, once. */
static void test_wake_is_kept(void **state)
{
    (void)state;
    struct mpsc queue;
    mpsc_init(&queue);
    mpsc_wake(&queue);
    mpsc_wake(&queue);
    mpsc_wait(&queue, UINT64_MAX);
    uint64_t begin = now_ns();
    mpsc_wait(&queue, 20 * NS_PER_MS);
    assert_true(now_ns() - begin >= 20 * NS_PER_MS);
}

struct pusher {
    struct mpsc *queue;
    struct item *items;
    unsigned number;
};

static void *push_all(void *context)
{
    struct pusher *pusher = context;
    for (unsigned i = 0; i < ITEMS; i++) {
        struct item *item = &pusher->items[i];
        item->pusher = pusher->number;
        item->number = i;
        mpsc_push(pusher->queue, &item->node);
        if (i % 1000 == 999) { /* lets the owner run dry and sleep */
            struct timespec pause = {.tv_nsec = 200000};
            (void)nanosleep(&pause, NULL);
        }
    }
    return NULL;
}

/* Several threads push, the owner sleeps without a timeout whenever it is dry: everything comes,
 * each thread's in its order. A lost wake-up would hang here. */
static void test_many_pushers(void **state)
{
    (void)state;
    struct mpsc queue;
    pthread_t threads[PUSHERS];
    struct pusher pushers[PUSHERS];
    unsigned next[PUSHERS] = {0};
    mpsc_init(&queue);
    for (unsigned i = 0; i < PUSHERS; i++) {
        pushers[i] = (struct pusher){.queue = &queue, .number = i};
        pushers[i].items = calloc(ITEMS, sizeof *pushers[i].items);
        assert_non_null(pushers[i].items);
        assert_true(thread_start(&threads[i], "pusher", push_all, &pushers[i]));
    }
    for (unsigned got = 0; got < PUSHERS * ITEMS;) {
        struct item *item = item_of(mpsc_pop(&queue));
        if (item == NULL) {
            mpsc_wait(&queue, UINT64_MAX);
            continue;
        }
        assert_true(item->pusher < PUSHERS);
        assert_int_equal(item->number, next[item->pusher]);
        next[item->pusher]++;
        got++;
    }
    assert_null(mpsc_pop(&queue));
    for (unsigned i = 0; i < PUSHERS; i++) {
        thread_join(threads[i]);
        free(pushers[i].items);
    }
}

enum { ROUND_TRIPS = 20000 };

struct ping_pong {
    struct mpsc there;
    struct mpsc back;
};

static void *answer(void *context)
{
    struct ping_pong *pair = context;
    for (unsigned i = 0; i < ROUND_TRIPS; i++) {
        struct mpsc_node *node;
        while ((node = mpsc_pop(&pair->there)) == NULL) {
            mpsc_wait(&pair->there, UINT64_MAX);
        }
        mpsc_push(&pair->back, node);
    }
    return NULL;
}

/* One item to and fro: each side sleeps each time, so each push meets a side that is falling
 * asleep, and a wake-up that got lost would hang. */
static void test_ping_pong(void **state)
{
    (void)state;
    struct ping_pong pair;
    struct item item = {.number = 0};
    pthread_t thread;
    mpsc_init(&pair.there);
    mpsc_init(&pair.back);
    assert_true(thread_start(&thread, "answer", answer, &pair));
    for (unsigned i = 0; i < ROUND_TRIPS; i++) {
        mpsc_push(&pair.there, &item.node);
        while (mpsc_pop(&pair.back) == NULL) {
            mpsc_wait(&pair.back, UINT64_MAX);
        }
    }
    thread_join(thread);
}

struct waker {
    struct mpsc queue;
    _Atomic bool stop;
    _Atomic unsigned waits;
};

static void *wait_on(void *context)
{
    struct waker *waker = context;
    while (!atomic_load(&waker->stop)) {
        mpsc_wait(&waker->queue, UINT64_MAX);
        atomic_fetch_add(&waker->waits, 1);
    }
    return NULL;
}

/* A wake from another thread ends a wait that has no timeout, as a stop does. */
static void test_wake_from_elsewhere(void **state)
{
    (void)state;
    struct waker waker = {.stop = false};
    pthread_t thread;
    mpsc_init(&waker.queue);
    assert_true(thread_start(&thread, "waits", wait_on, &waker));
    for (unsigned i = 0; i < 2000; i++) {
        unsigned before = atomic_load(&waker.waits);
        mpsc_wake(&waker.queue);
        while (atomic_load(&waker.waits) == before) {
            sched_yield();
        }
    }
    atomic_store(&waker.stop, true);
    mpsc_wake(&waker.queue);
    thread_join(thread);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_interleaved),
        cmocka_unit_test(test_wait_returns),
        cmocka_unit_test(test_wake_is_kept),
        cmocka_unit_test(test_many_pushers),
        cmocka_unit_test(test_ping_pong),
        cmocka_unit_test(test_wake_from_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
