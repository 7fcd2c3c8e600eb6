/* SPDX-License-Identifier: Apache-2.0
 *
 * Jobs on a fixed set of threads: one queue, one mutex. A step is milliseconds
 * of work, so the lock does not matter; what matters is that no submit is lost.
 *
 *   state      submit           taken      step said AGAIN   WAIT      DONE
 *   IDLE       QUEUED           -          -                 -         -
 *   QUEUED     QUEUED           RUNNING    -                 -         -
 *   RUNNING    RUNNING_AGAIN    -          QUEUED            IDLE      (forgotten)
 *   RUNNING_AGAIN  the same     -          QUEUED            QUEUED    (forgotten)
 */
#include <stddef.h>

#include "base/check.h"
#include "base/job.h"
#include "base/sync.h"

enum { EXECUTOR_THREADS_MAX = 64 };

struct executor_threads {
    struct executor executor;
    struct alloc *alloc;
    struct mutex mutex;
    struct condition changed;
    /* under the mutex */
    struct job *first;
    struct job *last;
    bool closing;
    unsigned count;
    pthread_t threads[];
};

static struct executor_threads *threads_of(struct executor *executor)
{
    return (struct executor_threads *)((char *)executor -
                                       offsetof(struct executor_threads, executor));
}

static void enqueue_locked(struct executor_threads *self, struct job *job)
{
    job->state = JOB_QUEUED;
    job->next = NULL;
    if (self->first == NULL) {
        self->first = job;
    } else {
        self->last->next = job;
    }
    self->last = job;
}

static void threads_submit(struct executor *executor, struct job *job)
{
    struct executor_threads *self = threads_of(executor);
    CHECK(job->step != NULL);
    mutex_lock(&self->mutex);
    switch (job->state) {
    case JOB_IDLE:
        enqueue_locked(self, job);
        condition_signal(&self->changed);
        break;
    case JOB_RUNNING:
        job->state = JOB_RUNNING_AGAIN;
        break;
    default:
        CHECK(job->state == JOB_QUEUED || job->state == JOB_RUNNING_AGAIN);
        break;
    }
    mutex_unlock(&self->mutex);
}

static void step_ended_locked(struct executor_threads *self, struct job *job,
                              enum job_result result)
{
    if (result == JOB_DONE) {
        return; /* the job may be gone */
    }
    CHECK(job->state == JOB_RUNNING || job->state == JOB_RUNNING_AGAIN);
    if (result == JOB_AGAIN || job->state == JOB_RUNNING_AGAIN) {
        /* This thread comes back for it unless somebody else is quicker: no signal. */
        enqueue_locked(self, job);
    } else {
        CHECK(result == JOB_WAIT);
        job->state = JOB_IDLE;
    }
}

static void *run(void *context)
{
    struct executor_threads *self = context;
    mutex_lock(&self->mutex);
    for (;;) {
        while (self->first == NULL && !self->closing) {
            condition_wait(&self->changed, &self->mutex);
        }
        if (self->closing) {
            break;
        }
        struct job *job = self->first;
        self->first = job->next;
        job->next = NULL;
        CHECK(job->state == JOB_QUEUED);
        job->state = JOB_RUNNING;
        mutex_unlock(&self->mutex);
        enum job_result result = job->step(job);
        mutex_lock(&self->mutex);
        step_ended_locked(self, job, result);
    }
    mutex_unlock(&self->mutex);
    return NULL;
}

static void threads_close(struct executor *executor)
{
    struct executor_threads *self = threads_of(executor);
    mutex_lock(&self->mutex);
    self->closing = true;
    mutex_unlock(&self->mutex);
    condition_broadcast(&self->changed);
    for (unsigned i = 0; i < self->count; i++) {
        thread_join(self->threads[i]);
    }
    /* Their owners may free them or hand them to another executor. */
    while (self->first != NULL) {
        struct job *job = self->first;
        self->first = job->next;
        job->next = NULL;
        job->state = JOB_IDLE;
    }
    condition_release(&self->changed);
    mutex_release(&self->mutex);
    alloc_free(self->alloc, self);
}

static const struct executor_ops executor_ops_threads = {
    .submit = threads_submit,
    .close = threads_close,
};

enum status executor_open_threads(struct alloc *alloc, const char *name, unsigned threads,
                                  struct executor **out, struct error *err)
{
    CHECK(threads > 0);
    CHECK(threads <= EXECUTOR_THREADS_MAX);
    struct executor_threads *self =
        alloc_zeroed(alloc, 1, sizeof *self + threads * sizeof self->threads[0]);
    if (self == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "open executor %s: no memory", name);
    }
    self->executor.ops = &executor_ops_threads;
    self->alloc = alloc;
    mutex_init(&self->mutex);
    condition_init(&self->changed);
    while (self->count < threads) {
        if (!thread_start(&self->threads[self->count], name, run, self)) {
            threads_close(&self->executor);
            return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                             "open executor %s: cannot start thread %u of %u", name,
                             self->count + 1, threads);
        }
        self->count++;
    }
    *out = &self->executor;
    return STATUS_OK;
}
