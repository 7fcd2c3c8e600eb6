/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "rpc/timers.h"
#include "testlib/test.h"

enum { TIMERS = 500, STEPS = 20000 };

/* Whatever is set, moved and removed: the root is always the earliest of those that are set. */
static void earliest_first(void **state)
{
    (void)state;
    uint64_t seed = test_seed();
    struct rng_seeded rng;
    static struct rpc_timer timers[TIMERS];
    struct rpc_timers heap = {.root = NULL};
    memset(timers, 0, sizeof timers);
    rng_seeded_init(&rng, seed);
    for (int step = 0; step < STEPS; step++) {
        struct rpc_timer *timer = &timers[rng_below(&rng.rng, TIMERS)];
        uint64_t action = rng_below(&rng.rng, 10);
        if (action == 0 && heap.root != NULL) {
            timer = heap.root;
        }
        if (timer->set) {
            rpc_timers_remove(&heap, timer);
        } else {
            timer->at_ns = rng_below(&rng.rng, 1000);
            rpc_timers_insert(&heap, timer);
        }
        if (step % 10 == 0) {
            uint64_t least = UINT64_MAX;
            for (int i = 0; i < TIMERS; i++) {
                if (timers[i].set && timers[i].at_ns < least) {
                    least = timers[i].at_ns;
                }
            }
            assert_true((heap.root == NULL) == (least == UINT64_MAX));
            assert_true(heap.root == NULL || heap.root->at_ns == least);
        }
    }
    uint64_t last = 0;
    while (heap.root != NULL) {
        struct rpc_timer *timer = heap.root;
        assert_true(timer->at_ns >= last);
        last = timer->at_ns;
        rpc_timers_remove(&heap, timer);
    }
    for (int i = 0; i < TIMERS; i++) {
        assert_false(timers[i].set);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(earliest_first)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
