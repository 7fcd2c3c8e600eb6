/* SPDX-License-Identifier: Apache-2.0
 *
 * Store_alone_fixture: a store with a log of its own (storage/store.h) in memory, whose jobs run
 * while it waits, and the model of what it must hold.
 */
#ifndef ESTREAT_TESTS_STORE_ALONE_FIXTURE_H
#define ESTREAT_TESTS_STORE_ALONE_FIXTURE_H

#include "base/check.h"
#include "engine_model.h"
#include "storage/store.h"
#include "testlib/fs_crash.h"

enum { ALONE_BATCHES_MAX = 1200 };

struct store_alone {
    struct fs_crash *crash;
    struct executor_manual executor;
    struct rng_seeded rng;
    struct store_options options;
    struct store *store;
    uint64_t seed;
    struct batch batch;
    struct model model;                  /* with all batches that were written */
    uint64_t written;                    /* batches */
    uint64_t ops[ALONE_BATCHES_MAX + 1]; /* operations of the first n batches */
    struct error err;
};

static inline void alone_step(void *context)
{
    struct store_alone *fx = context;
    (void)executor_manual_step(&fx->executor);
}

static inline void alone_init(struct store_alone *fx, uint64_t seed)
{
    memset(fx, 0, sizeof *fx);
    fx->seed = seed;
    fx->crash = fs_crash_new();
    rng_seeded_init(&fx->rng, seed);
    batch_init(&fx->batch, alloc_default());
    fx->options = (struct store_options){
        .fs = fs_crash_fs(fx->crash),
        .rng = &fx->rng.rng,
        .executor = &fx->executor.executor,
        .dir = "store",
        .segment_bytes = 8 * KIB,
        .engine = model_options(NULL, NULL, NULL),
        .on_wait = alone_step,
        .context = fx,
    };
    assert_ok(fs_make_dir(fx->options.fs, "store", &fx->err), &fx->err);
    assert_ok(fs_sync_dir(fx->options.fs, "/", &fx->err), &fx->err);
}

static inline enum status alone_try_open(struct store_alone *fx)
{
    executor_manual_init(&fx->executor, fx->seed);
    enum status status = store_open(&fx->options, &fx->store, &fx->err);
    if (status != STATUS_OK) {
        fx->store = NULL;
    }
    return status;
}

static inline void alone_open(struct store_alone *fx)
{
    assert_ok(alone_try_open(fx), &fx->err);
}

static inline void alone_close(struct store_alone *fx)
{
    store_close(fx->store);
    fx->store = NULL;
}

static inline void alone_release(struct store_alone *fx)
{
    alone_close(fx);
    batch_release(&fx->batch);
    fs_crash_free(fx->crash);
}

/* The n-th batch, from 1, onto the model; it follows from n and the seed. */
static inline void alone_make(struct store_alone *fx, struct model *model, uint64_t n)
{
    struct rng_seeded rng;
    rng_seeded_init(&rng, fx->seed * 10007 + n);
    model_random_batch(model, &fx->batch, &rng.rng);
}

static inline enum status alone_try_write(struct store_alone *fx, bool sync)
{
    struct model next = fx->model;
    CHECK(fx->written < ALONE_BATCHES_MAX);
    alone_make(fx, &next, fx->written + 1);
    enum status status = store_write(fx->store, &fx->batch, sync, &fx->err);
    if (status == STATUS_OK) {
        fx->model = next;
        fx->written++;
        fx->ops[fx->written] = fx->ops[fx->written - 1] + fx->batch.count;
    }
    return status;
}

static inline void alone_write(struct store_alone *fx, unsigned count, bool sync)
{
    for (unsigned i = 0; i < count; i++) {
        assert_ok(alone_try_write(fx, sync), &fx->err);
    }
}

static inline void alone_expect(struct store_alone *fx)
{
    assert_content(store_engine(fx->store), NULL, &fx->model);
}

static inline void alone_crash(struct store_alone *fx, uint64_t seed, bool losing_all)
{
    fs_crash_stop(fx->crash);
    alone_close(fx);
    if (losing_all) {
        fs_crash_now_losing_all(fx->crash);
    } else {
        fs_crash_now(fx->crash, seed);
    }
}

#endif
