/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sync.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"

void mutex_init(struct mutex *mutex)
{
    CHECK(pthread_mutex_init(&mutex->mutex, NULL) == 0);
}

void mutex_release(struct mutex *mutex)
{
    CHECK(pthread_mutex_destroy(&mutex->mutex) == 0);
}

void mutex_lock(struct mutex *mutex)
{
    CHECK(pthread_mutex_lock(&mutex->mutex) == 0);
}

void mutex_unlock(struct mutex *mutex)
{
    CHECK(pthread_mutex_unlock(&mutex->mutex) == 0);
}

bool mutex_try_lock(struct mutex *mutex)
{
    int result = pthread_mutex_trylock(&mutex->mutex);
    CHECK(result == 0 || result == EBUSY);
    return result == 0;
}

void condition_init(struct condition *condition)
{
    pthread_condattr_t attributes;
    CHECK(pthread_condattr_init(&attributes) == 0);
    CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&condition->condition, &attributes) == 0);
    CHECK(pthread_condattr_destroy(&attributes) == 0);
}

void condition_release(struct condition *condition)
{
    CHECK(pthread_cond_destroy(&condition->condition) == 0);
}

void condition_signal(struct condition *condition)
{
    CHECK(pthread_cond_signal(&condition->condition) == 0);
}

void condition_broadcast(struct condition *condition)
{
    CHECK(pthread_cond_broadcast(&condition->condition) == 0);
}

void condition_wait(struct condition *condition, struct mutex *mutex)
{
    CHECK(pthread_cond_wait(&condition->condition, &mutex->mutex) == 0);
}

bool condition_wait_for(struct condition *condition, struct mutex *mutex, uint64_t timeout_ns)
{
    uint64_t now = clock_monotonic_ns(clock_system());
    if (timeout_ns > INT64_MAX - now) { /* 292 years: no timeout */
        condition_wait(condition, mutex);
        return true;
    }
    uint64_t until = now + timeout_ns;
    struct timespec deadline = {
        .tv_sec = (time_t)(until / NS_PER_S),
        .tv_nsec = (long)(until % NS_PER_S),
    };
    int result = pthread_cond_timedwait(&condition->condition, &mutex->mutex, &deadline);
    CHECK(result == 0 || result == ETIMEDOUT);
    return result == 0;
}

/* Signals are the business of the program's main thread (or of the program that our library is
 * part of), but for those that a thread's own fault raises. */
static void signals_of_others(sigset_t *set)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGPROF};
    CHECK(sigfillset(set) == 0);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        CHECK(sigdelset(set, own[i]) == 0);
    }
}

bool thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *context)
{
    CHECK(strlen(name) <= 15);
    sigset_t blocked;
    sigset_t before;
    signals_of_others(&blocked);
    CHECK(pthread_sigmask(SIG_BLOCK, &blocked, &before) == 0);
    bool started = pthread_create(thread, NULL, run, context) == 0;
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    if (started) {
        (void)pthread_setname_np(*thread, name); /* only for people who look at it */
    }
    return started;
}

void thread_join(pthread_t thread)
{
    CHECK(pthread_join(thread, NULL) == 0);
}
