/* SPDX-License-Identifier: Apache-2.0
 *
 * Sync: pthread mutexes and conditions whose failures are programmer's errors.
 * Conditions use the monotonic clock.
 */
#ifndef ESTREAT_BASE_SYNC_H
#define ESTREAT_BASE_SYNC_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct mutex {
    pthread_mutex_t mutex;
};

struct condition {
    pthread_cond_t condition;
};

void mutex_init(struct mutex *mutex);
void mutex_release(struct mutex *mutex);
void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

/* False: somebody has it. */
bool mutex_try_lock(struct mutex *mutex);

void condition_init(struct condition *condition);
void condition_release(struct condition *condition);
void condition_signal(struct condition *condition);
void condition_broadcast(struct condition *condition);

/* With the mutex held; may return without a signal. */
void condition_wait(struct condition *condition, struct mutex *mutex);

/* As condition_wait; false if `timeout_ns` passed. */
bool condition_wait_for(struct condition *condition, struct mutex *mutex, uint64_t timeout_ns);

/* Starts a thread named `name` (at most 15 bytes); false if the system refuses. */
bool thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *context);
void thread_join(pthread_t thread);

#endif
