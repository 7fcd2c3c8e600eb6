/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/executor_manual.h"

#include "base/check.h"

static void enqueue(struct executor_manual *manual, struct job *job)
{
    job->state = JOB_QUEUED;
    job->next = manual->first;
    manual->first = job;
    manual->queued++;
}

static void manual_submit(struct executor *executor, struct job *job)
{
    struct executor_manual *manual = (struct executor_manual *)executor;
    CHECK(job->step != NULL);
    if (job->state == JOB_IDLE) {
        enqueue(manual, job);
    } else if (job->state == JOB_RUNNING) {
        job->state = JOB_RUNNING_AGAIN;
    }
}

static struct job *take(struct executor_manual *manual, uint64_t n)
{
    struct job **link = &manual->first;
    for (; n > 0; n--) {
        link = &(*link)->next;
    }
    struct job *job = *link;
    *link = job->next;
    job->next = NULL;
    manual->queued--;
    return job;
}

bool executor_manual_step(struct executor_manual *manual)
{
    if (manual->queued == 0) {
        return false;
    }
    struct job *job = take(manual, rng_below(&manual->rng.rng, manual->queued));
    CHECK(job->state == JOB_QUEUED);
    job->state = JOB_RUNNING;
    enum job_result result = job->step(job);
    if (result == JOB_DONE) {
        return true; /* the job may be gone */
    }
    CHECK(result == JOB_AGAIN || result == JOB_WAIT);
    if (result == JOB_AGAIN || job->state == JOB_RUNNING_AGAIN) {
        enqueue(manual, job);
    } else {
        job->state = JOB_IDLE;
    }
    return true;
}

size_t executor_manual_run(struct executor_manual *manual, size_t steps_max)
{
    size_t steps = 0;
    while (executor_manual_step(manual)) {
        steps++;
        CHECK(steps <= steps_max);
    }
    return steps;
}

size_t executor_manual_queued(const struct executor_manual *manual)
{
    return manual->queued;
}

static void manual_close(struct executor *executor)
{
    struct executor_manual *manual = (struct executor_manual *)executor;
    while (manual->queued > 0) {
        take(manual, 0)->state = JOB_IDLE;
    }
}

static const struct executor_ops executor_ops_manual = {
    .submit = manual_submit,
    .close = manual_close,
};

void executor_manual_init(struct executor_manual *manual, uint64_t seed)
{
    *manual = (struct executor_manual){.executor = {.ops = &executor_ops_manual}};
    rng_seeded_init(&manual->rng, seed);
}
