/* SPDX-License-Identifier: Apache-2.0
 *
 * Executor_manual: runs jobs' steps when the test says so, in an order that a
 * seed decides, so that every interleaving of background work can be had again.
 * One thread: submit may be called from within a step.
 *
 *   struct executor_manual executor;
 *   executor_manual_init(&executor, test_seed());
 *   ... pass &executor.executor ...
 *   executor_manual_step(&executor);            one step of one job
 *   executor_manual_run(&executor, 10000);      until all wait or are done
 */
#ifndef ESTREAT_TESTLIB_EXECUTOR_MANUAL_H
#define ESTREAT_TESTLIB_EXECUTOR_MANUAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/job.h"
#include "base/rng.h"

struct executor_manual {
    struct executor executor; /* pass &executor.executor */
    struct rng_seeded rng;
    struct job *first;
    size_t queued;
};

/* executor_close() forgets the queued jobs and frees nothing. */
void executor_manual_init(struct executor_manual *manual, uint64_t seed);

/* Runs one step of one of the queued jobs. False if none is queued. */
bool executor_manual_step(struct executor_manual *manual);

/* Steps until no job is queued. Returns the steps run; stops the test after `steps_max`: a job
 * that always says JOB_AGAIN is a defect. */
size_t executor_manual_run(struct executor_manual *manual, size_t steps_max);

size_t executor_manual_queued(const struct executor_manual *manual);

#endif
