/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/test.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/job.h"
#include "base/sync.h"
#include "testlib/executor_manual.h"
#include "testlib/fail_alloc.h"

struct counting {
    struct job job;
    _Atomic int running; /* threads that are in the step */
    _Atomic int steps;
    _Atomic int wanted; /* steps until it is done or waits */
    bool done_at_end;
    _Atomic bool ended;
};

static enum job_result count_step(struct job *job)
{
    struct counting *self = (struct counting *)job;
    assert_int_equal(atomic_fetch_add(&self->running, 1), 0);
    int step = atomic_fetch_add(&self->steps, 1) + 1;
    sched_yield();
    atomic_fetch_sub(&self->running, 1);
    if (step < atomic_load(&self->wanted)) {
        return JOB_AGAIN;
    }
    enum job_result result = self->done_at_end ? JOB_DONE : JOB_WAIT;
    atomic_store(&self->ended, true);
    return result;
}

static void counting_init(struct counting *self, int wanted, bool done_at_end)
{
    *self = (struct counting){.wanted = wanted, .done_at_end = done_at_end};
    job_init(&self->job, count_step);
}

static void wait_until(_Atomic bool *flag)
{
    while (!atomic_load(flag)) {
        sched_yield();
    }
}

/* Jobs run to their end, on one thread as on several, and a step never on two at once. */
static void test_runs_to_the_end(void **state)
{
    (void)state;
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct error err = ERROR_INIT;
        struct executor *executor = NULL;
        struct counting jobs[10];
        assert_ok(executor_open_threads(alloc_default(), "test", threads, &executor, &err), &err);
        for (int i = 0; i < 10; i++) {
            counting_init(&jobs[i], 50, i % 2 == 0);
            job_submit(executor, &jobs[i].job);
        }
        for (int i = 0; i < 10; i++) {
            wait_until(&jobs[i].ended);
        }
        executor_close(executor);
        for (int i = 0; i < 10; i++) {
            assert_int_equal(jobs[i].steps, 50);
        }
    }
    executor_close(NULL);
}

struct token_job {
    struct job job;
    _Atomic int tokens;
    _Atomic int taken;
};

static enum job_result take_tokens(struct job *job)
{
    struct token_job *self = (struct token_job *)job;
    int there = atomic_exchange(&self->tokens, 0);
    atomic_fetch_add(&self->taken, there);
    return JOB_WAIT;
}

struct submitter {
    struct executor *executor;
    struct token_job *job;
};

enum { TOKENS = 5000, SUBMITTERS = 3 };

static void *submit_tokens(void *context)
{
    struct submitter *submitter = context;
    for (int i = 0; i < TOKENS; i++) {
        atomic_fetch_add(&submitter->job->tokens, 1);
        job_submit(submitter->executor, &submitter->job->job);
    }
    return NULL;
}

/* A submit that comes while the step runs makes it run once more: no token is left lying. */
static void test_no_submit_is_lost(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct executor *executor = NULL;
    struct token_job job = {.tokens = 0};
    pthread_t threads[SUBMITTERS];
    job_init(&job.job, take_tokens);
    assert_ok(executor_open_threads(alloc_default(), "test", 2, &executor, &err), &err);
    struct submitter submitter = {.executor = executor, .job = &job};
    for (int i = 0; i < SUBMITTERS; i++) {
        assert_true(thread_start(&threads[i], "submits", submit_tokens, &submitter));
    }
    for (int i = 0; i < SUBMITTERS; i++) {
        thread_join(threads[i]);
    }
    while (atomic_load(&job.taken) < SUBMITTERS * TOKENS) {
        sched_yield();
    }
    executor_close(executor);
    assert_int_equal(job.taken, SUBMITTERS * TOKENS);
}

struct freed_job {
    struct job job;
    _Atomic int *freed;
};

static enum job_result free_step(struct job *job)
{
    _Atomic int *freed = ((struct freed_job *)job)->freed;
    free(job);
    atomic_fetch_add(freed, 1);
    return JOB_DONE;
}

/* After JOB_DONE the executor does not touch the job: the step may have freed it. */
static void test_step_may_free_the_job(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct executor *executor = NULL;
    _Atomic int freed = 0;
    assert_ok(executor_open_threads(alloc_default(), "test", 2, &executor, &err), &err);
    for (int i = 0; i < 200; i++) {
        struct freed_job *job = malloc(sizeof *job);
        assert_non_null(job);
        job_init(&job->job, free_step);
        job->freed = &freed;
        job_submit(executor, &job->job);
    }
    while (atomic_load(&freed) < 200) {
        sched_yield();
    }
    executor_close(executor);
}

struct blocking_job {
    struct job job;
    _Atomic bool entered;
    _Atomic bool leave;
};

static enum job_result block_step(struct job *job)
{
    struct blocking_job *self = (struct blocking_job *)job;
    atomic_store(&self->entered, true);
    wait_until(&self->leave);
    return JOB_AGAIN;
}

struct again_job {
    struct blocking_job blocking;
    _Atomic int steps;
    _Atomic bool second;
};

static enum job_result block_then_wait(struct job *job)
{
    struct again_job *self = (struct again_job *)job;
    if (atomic_fetch_add(&self->steps, 1) == 0) {
        atomic_store(&self->blocking.entered, true);
        wait_until(&self->blocking.leave);
    } else {
        atomic_store(&self->second, true);
    }
    return JOB_WAIT;
}

/* The submit that comes between a step's last look at its work and its end is kept. */
static void test_submit_while_running(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct executor *executor = NULL;
    struct again_job job = {.steps = 0};
    job_init(&job.blocking.job, block_then_wait);
    assert_ok(executor_open_threads(alloc_default(), "test", 2, &executor, &err), &err);
    job_submit(executor, &job.blocking.job);
    wait_until(&job.blocking.entered);
    job_submit(executor, &job.blocking.job);
    job_submit(executor, &job.blocking.job);
    atomic_store(&job.blocking.leave, true);
    wait_until(&job.second);
    executor_close(executor);
    assert_int_equal(job.steps, 2);
}

static void *close_executor(void *context)
{
    executor_close(context);
    return NULL;
}

/* Closing waits for the step under way, runs no other, and leaves queued jobs fit for another
 * executor. */
static void test_close(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct executor *executor = NULL;
    struct blocking_job blocking = {.entered = false};
    struct counting queued;
    pthread_t closer;
    job_init(&blocking.job, block_step);
    counting_init(&queued, 1, false);
    assert_ok(executor_open_threads(alloc_default(), "test", 1, &executor, &err), &err);
    job_submit(executor, &blocking.job);
    wait_until(&blocking.entered);
    job_submit(executor, &queued.job);
    assert_true(thread_start(&closer, "closes", close_executor, executor));
    atomic_store(&blocking.leave, true);
    thread_join(closer);
    /* Whether the step ended before or after the close began is open; it may have run `queued`. */
    assert_true(queued.steps <= 1);
    assert_int_equal(blocking.job.state, JOB_IDLE);
    assert_int_equal(queued.job.state, JOB_IDLE);

    struct executor_manual manual;
    executor_manual_init(&manual, 1);
    int before = queued.steps;
    job_submit(&manual.executor, &queued.job);
    assert_int_equal(executor_manual_run(&manual, 10), 1);
    assert_int_equal(queued.steps, before + 1);
}

/* Without memory there is no executor, and nothing leaks. */
static void test_open_without_memory(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct executor *executor = NULL;
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    fail_alloc_arm(&fail, 0);
    assert_status(executor_open_threads(&fail.alloc, "test", 1, &executor, &err),
                  STATUS_RESOURCE_EXHAUSTED, &err);
    assert_null(executor);
    fail_alloc_arm(&fail, 1);
    assert_ok(executor_open_threads(&fail.alloc, "test", 1, &executor, &err), &err);
    executor_close(executor);
    fail_alloc_release(&fail);
}

struct trace_job {
    struct job job;
    char *trace;
    char letter;
    int left;
};

static enum job_result trace_step(struct job *job)
{
    struct trace_job *self = (struct trace_job *)job;
    size_t length = strlen(self->trace);
    self->trace[length] = self->letter;
    self->trace[length + 1] = '\0';
    return --self->left == 0 ? JOB_DONE : JOB_AGAIN;
}

static void run_trace(uint64_t seed, char *trace)
{
    struct executor_manual manual;
    struct trace_job jobs[3];
    trace[0] = '\0';
    executor_manual_init(&manual, seed);
    for (int i = 0; i < 3; i++) {
        jobs[i] = (struct trace_job){.trace = trace, .letter = (char)('a' + i), .left = 4};
        job_init(&jobs[i].job, trace_step);
        job_submit(&manual.executor, &jobs[i].job);
    }
    assert_int_equal(executor_manual_queued(&manual), 3);
    assert_int_equal(executor_manual_run(&manual, 100), 12);
}

/* The manual executor's order is the seed's: the same again, and another for another seed. */
static void test_manual_order(void **state)
{
    (void)state;
    char first[16];
    char again[16];
    int others = 0;
    run_trace(7, first);
    for (uint64_t seed = 0; seed < 20; seed++) {
        run_trace(seed, again);
        others += strcmp(first, again) != 0;
    }
    assert_true(others > 10);
    run_trace(7, again);
    assert_string_equal(first, again);
}

static struct executor *executor_of_step;

static enum job_result submit_itself(struct job *job)
{
    struct token_job *self = (struct token_job *)job;
    if (atomic_fetch_add(&self->taken, 1) < 3) {
        job_submit(executor_of_step, job);
    }
    return JOB_WAIT;
}

/* A step may submit its own job and then wait: it is run again. */
static void test_manual_submit_in_step(void **state)
{
    (void)state;
    struct executor_manual manual;
    struct token_job job = {.taken = 0};
    executor_manual_init(&manual, 1);
    executor_of_step = &manual.executor;
    job_init(&job.job, submit_itself);
    job_submit(&manual.executor, &job.job);
    job_submit(&manual.executor, &job.job); /* queued already */
    assert_int_equal(executor_manual_run(&manual, 10), 4);
    assert_false(executor_manual_step(&manual));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_to_the_end),
        cmocka_unit_test(test_no_submit_is_lost),
        cmocka_unit_test(test_step_may_free_the_job),
        cmocka_unit_test(test_submit_while_running),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_open_without_memory),
        cmocka_unit_test(test_manual_order),
        cmocka_unit_test(test_manual_submit_in_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
