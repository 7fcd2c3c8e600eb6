/* SPDX-License-Identifier: Apache-2.0
 *
 * Power failures of a store with a log of its own, at random calls: what is there afterwards is the
 * first n batches, and n is no less than what was synced. ESTREAT_CRASHES: how many stores.
 */
#include <stdlib.h>

#include "base/log.h"
#include "store_alone_fixture.h"

/* Under ASan, which takes four times as long, a part of them. */
#ifdef __SANITIZE_ADDRESS__
enum { CRASHES = 40 };
#else
enum { CRASHES = 200 };
#endif
enum { LIVES = 4, TURNS = 120 };

static struct store_alone fixture;

/* Random work until something fails. Returns how many batches are durable. */
static uint64_t work(struct store_alone *fx, struct rng *rng)
{
    uint64_t synced = fx->written;
    enum status status = STATUS_OK;
    for (unsigned turn = 0; turn < TURNS && status == STATUS_OK; turn++) {
        uint64_t choice = rng_below(rng, 30);
        bool sync = choice == 0;
        if (choice < 18) {
            status = alone_try_write(fx, sync);
        } else if (choice == 18) {
            status = store_sync(fx->store, &fx->err);
            sync = true;
        } else if (choice == 19 && rng_below(rng, 4) == 0) {
            status = store_flush(fx->store, &fx->err);
            sync = true;
        } else {
            (void)executor_manual_step(&fx->executor);
        }
        synced = sync && status == STATUS_OK ? fx->written : synced;
    }
    return synced;
}

/* What is there is where the next life begins. */
static bool is_prefix(struct store_alone *fx, uint64_t synced, uint64_t tried)
{
    struct engine_stats stats;
    struct model model = {.events = 0};
    uint64_t n = 0;
    uint64_t ops = 0;
    engine_stats(store_engine(fx->store), &stats);
    while (ops < stats.last_sequence && n < tried) {
        alone_make(fx, &model, ++n);
        ops += fx->batch.count;
        fx->ops[n] = ops;
    }
    if (ops != stats.last_sequence || n < synced) {
        return false;
    }
    fx->model = model;
    fx->written = n;
    alone_expect(fx);
    return true;
}

/* False if something that was synced is gone. */
static bool run_seed(uint64_t seed, bool sync_lies)
{
    struct rng_seeded rng;
    bool good = true;
    rng_seeded_init(&rng, seed);
    alone_init(&fixture, seed);
    alone_open(&fixture);
    fs_crash_set_sync_lies(fixture.crash, sync_lies);
    for (int life = 0; life < LIVES && good; life++) {
        fs_crash_stop_at(fixture.crash, rng_below(&rng.rng, 200));
        uint64_t synced = work(&fixture, &rng.rng);
        alone_crash(&fixture, rng_u64(&rng.rng), sync_lies);
        /* And sometimes while opening. */
        fs_crash_stop_at(fixture.crash, rng_below(&rng.rng, 16));
        if (alone_try_open(&fixture) == STATUS_OK) {
            alone_crash(&fixture, rng_u64(&rng.rng), false);
        } else {
            fs_crash_stop(fixture.crash);
            fs_crash_now(fixture.crash, rng_u64(&rng.rng));
        }
        fs_crash_stop_at(fixture.crash, UINT64_MAX);
        enum status status = alone_try_open(&fixture);
        if (!sync_lies) {
            assert_ok(status, &fixture.err);
        }
        good = status == STATUS_OK && is_prefix(&fixture, synced, fixture.written + 1);
    }
    alone_release(&fixture);
    return good;
}

static void what_was_synced_is_there(void **state)
{
    (void)state;
    const char *wanted = getenv("ESTREAT_CRASHES");
    uint64_t stores = wanted == NULL ? CRASHES : strtoull(wanted, NULL, 10);
    uint64_t seed = test_seed();
    for (uint64_t i = 0; i < stores; i++) {
        if (!run_seed(seed + i, false)) {
            fail_msg("seed %llu: what is there is not what was written",
                     (unsigned long long)(seed + i));
        }
    }
}

/* With syncs that do nothing it is not: so the test above does look. */
static void lying_syncs_are_noticed(void **state)
{
    (void)state;
    unsigned noticed = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        noticed += run_seed(seed, true) ? 0 : 1;
    }
    assert_true(noticed > 6);
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_synced_is_there),
        cmocka_unit_test(lying_syncs_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
