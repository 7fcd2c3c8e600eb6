/* SPDX-License-Identifier: Apache-2.0
 *
 * Job: background work in small steps (flush, compaction, scrub, audit, reads).
 * Nothing runs "in a thread of its own": an executor calls step() until the job
 * says it is done or waits. Production runs executors on threads; a simulator
 * interleaves the steps by its seed.
 *
 * A job's step is never run by two threads at once. After JOB_WAIT it is not
 * run until job_submit() is called again, by anyone; a submit that comes while a
 * step runs is not lost: the step is run once more. After JOB_DONE the executor
 * does not touch the job again (step may have freed it).
 */
#ifndef ESTREAT_BASE_JOB_H
#define ESTREAT_BASE_JOB_H

#include "base/alloc.h"
#include "base/status.h"

enum job_result {
    JOB_AGAIN, /* there is more to do; others get a turn first */
    JOB_WAIT,  /* nothing to do until job_submit() */
    JOB_DONE,
};

/* What executors keep in a job; see the table in executor_threads.c. */
enum job_state { JOB_IDLE, JOB_QUEUED, JOB_RUNNING, JOB_RUNNING_AGAIN };

struct executor;

struct job {
    enum job_result (*step)(struct job *job);
    /* the executor's */
    struct job *next;
    enum job_state state;
};

struct executor_ops {
    void (*submit)(struct executor *executor, struct job *job);
    void (*close)(struct executor *executor);
};

struct executor {
    const struct executor_ops *ops;
};

/* `job` zeroed but for `step`. */
static inline void job_init(struct job *job, enum job_result (*step)(struct job *job))
{
    *job = (struct job){.step = step};
}

/* Any thread. The executor borrows the job until JOB_DONE. */
static inline void job_submit(struct executor *executor, struct job *job)
{
    executor->ops->submit(executor, job);
}

/* First come, first served on `threads` threads named `name`. Returns owned. */
enum status executor_open_threads(struct alloc *alloc, const char *name, unsigned threads,
                                  struct executor **out, struct error *err) MUST_USE;

/* Steps under way end; no further step is run; jobs still queued are left to their owners.
 * NULL is allowed. */
static inline void executor_close(struct executor *executor)
{
    if (executor != NULL) {
        executor->ops->close(executor);
    }
}

#endif
