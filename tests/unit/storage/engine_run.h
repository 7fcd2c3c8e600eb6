/* SPDX-License-Identifier: Apache-2.0
 *
 * Engine run: a small engine in memory with a clock and an executor that the test moves, and the
 * model of what it holds.
 *
 *   engine_run_init(&run); ... run.options ...; engine_run_open(&run, seed);
 *   engine_run_close(&run), and again open; engine_run_end(&run)
 */
#ifndef ESTREAT_TESTS_ENGINE_RUN_H
#define ESTREAT_TESTS_ENGINE_RUN_H

#include "engine_model.h"
#include "testlib/clock_manual.h"
#include "testlib/fs_crash.h"

struct engine_run {
    struct fs_crash *crash;
    struct clock_manual clock;
    uint64_t wait_ns; /* what the clock moves when the writer waits */
    struct executor_manual executor;
    struct engine_options options; /* model_options(), to be changed before the open */
    struct engine *engine;
    struct model model;
    struct batch batch;
    struct error err;
};

static inline void engine_run_wait(void *context)
{
    struct engine_run *run = context;
    clock_manual_advance(&run->clock, run->wait_ns);
    (void)executor_manual_step(&run->executor);
}

static inline void engine_run_init(struct engine_run *run)
{
    memset(run, 0, sizeof *run);
    run->crash = fs_crash_new();
    clock_manual_init(&run->clock, NS_PER_S);
    batch_init(&run->batch, alloc_default());
    run->options = model_options(fs_crash_fs(run->crash), &run->executor.executor, "/store");
    run->options.clock = &run->clock.clock;
    run->options.on_wait = engine_run_wait;
    run->options.context = run;
}

/* `seed` orders the jobs' steps. */
static inline void engine_run_open(struct engine_run *run, uint64_t seed)
{
    executor_manual_init(&run->executor, seed);
    assert_ok(engine_open(&run->options, &run->engine, &run->err), &run->err);
}

static inline void engine_run_close(struct engine_run *run)
{
    executor_close(&run->executor.executor);
    engine_close(run->engine);
}

/* Closes it, and lets go of all. */
static inline void engine_run_end(struct engine_run *run)
{
    engine_run_close(run);
    batch_release(&run->batch);
    fs_crash_free(run->crash);
}

/* Seals what was written, with the model as the blob. */
static inline void engine_run_seal(struct engine_run *run)
{
    assert_ok(engine_seal(run->engine, model_blob(&run->model), &run->err), &run->err);
}

#endif
