/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/test.h"

#include <signal.h>

#include "base/clock.h"
#include "base/sync.h"

struct shared {
    struct mutex mutex;
    struct condition changed;
    int value;
};

static void *count_up(void *context)
{
    struct shared *shared = context;
    for (int i = 0; i < 10000; i++) {
        mutex_lock(&shared->mutex);
        shared->value++;
        mutex_unlock(&shared->mutex);
    }
    condition_broadcast(&shared->changed);
    return NULL;
}

/* The mutex keeps threads apart, and a waiter sees what it waits for. */
static void test_mutex_and_condition(void **state)
{
    (void)state;
    struct shared shared = {.value = 0};
    pthread_t threads[2];
    mutex_init(&shared.mutex);
    condition_init(&shared.changed);
    for (int i = 0; i < 2; i++) {
        assert_true(thread_start(&threads[i], "counts", count_up, &shared));
    }
    mutex_lock(&shared.mutex);
    while (shared.value < 20000) {
        condition_wait_for(&shared.changed, &shared.mutex, UINT64_MAX);
    }
    mutex_unlock(&shared.mutex);
    for (int i = 0; i < 2; i++) {
        thread_join(threads[i]);
    }
    condition_release(&shared.changed);
    mutex_release(&shared.mutex);
}

/* A mutex that is taken is refused, and no one waits. */
static void test_try_lock(void **state)
{
    (void)state;
    struct mutex mutex;
    mutex_init(&mutex);
    assert_true(mutex_try_lock(&mutex));
    assert_false(mutex_try_lock(&mutex));
    mutex_unlock(&mutex);
    assert_true(mutex_try_lock(&mutex));
    mutex_unlock(&mutex);
    mutex_release(&mutex);
}

/* Without a signal the wait ends when its time is over, and says so. */
static void test_wait_for_ends(void **state)
{
    (void)state;
    struct shared shared = {.value = 0};
    mutex_init(&shared.mutex);
    condition_init(&shared.changed);
    mutex_lock(&shared.mutex);
    uint64_t begin = clock_monotonic_ns(clock_system());
    while (condition_wait_for(&shared.changed, &shared.mutex, 10 * NS_PER_MS)) {
    }
    assert_true(clock_monotonic_ns(clock_system()) - begin >= 10 * NS_PER_MS);
    mutex_unlock(&shared.mutex);
    condition_release(&shared.changed);
    mutex_release(&shared.mutex);
}

static void *look_at_itself(void *context)
{
    sigset_t blocked;
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
    *(int *)context = sigismember(&blocked, SIGTERM) * 2 + sigismember(&blocked, SIGSEGV);
    return NULL;
}

/* Threads of ours leave SIGTERM to the main thread and keep the signals of their own faults; the
 * starter's own mask is as it was. */
static void test_signals(void **state)
{
    (void)state;
    int seen = -1;
    pthread_t thread;
    sigset_t blocked;
    assert_true(thread_start(&thread, "fifteen-letters", look_at_itself, &seen));
    thread_join(thread);
    assert_int_equal(seen, 2);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
    assert_int_equal(sigismember(&blocked, SIGTERM), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mutex_and_condition),
        cmocka_unit_test(test_try_lock),
        cmocka_unit_test(test_wait_for_ends),
        cmocka_unit_test(test_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
