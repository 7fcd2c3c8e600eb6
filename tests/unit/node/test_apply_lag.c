/* SPDX-License-Identifier: Apache-2.0
 *
 * How much a quorum has not applied: never told too small, and too large by one mark at most.
 */
#include "node/apply_lag.h"

#include "base/rng.h"
#include "testlib/test.h"

static void test_against_sums(void **state)
{
    (void)state;
    struct rng_seeded rng;
    rng_seeded_init(&rng, test_seed());
    static struct apply_lag lag;
    static uint64_t bytes[4000];
    for (unsigned round = 0; round < 50; round++) {
        uint64_t applied = 0;
        uint64_t behind = 0; /* of those past `applied` */
        apply_lag_clear(&lag);
        for (uint64_t index = 1; index < 4000; index++) {
            bytes[index] = rng_below(&rng.rng, round % 2 == 0 ? 2000 : 200000);
            apply_lag_count(&lag, index, bytes[index]);
            behind += bytes[index];
            while (applied < index && rng_below(&rng.rng, 100) < 49 + round) {
                behind -= bytes[++applied];
            }
            /* Past the last mark that there is room for, the answer is only an upper bound. */
            uint64_t told = apply_lag_bytes(&lag, applied);
            assert_true(told >= behind);
            if (behind < (APPLY_LAG_MARKS - 1) * APPLY_LAG_MARK_BYTES / 2) {
                assert_true(told <= behind + APPLY_LAG_MARK_BYTES + 200000);
            }
        }
    }
}

static void test_quorum(void **state)
{
    (void)state;
    struct raft_peer peers[] = {
        {.id = 1, .voter = true, .applied = 0},  {.id = 2, .voter = true, .applied = 50},
        {.id = 3, .voter = true, .applied = 90}, {.id = 4, .voter = false, .applied = 5},
        {.id = 5, .voter = true, .applied = 10}, {.id = 6, .voter = true, .applied = 20},
    };
    assert_int_equal(apply_lag_quorum(peers, 6, 1, 100), 50);
    assert_int_equal(apply_lag_quorum(peers, 6, 1, 1), 20);
    assert_int_equal(apply_lag_quorum(peers, 1, 1, 7), 7);
    assert_int_equal(apply_lag_quorum(peers, 2, 1, 100), 50);
    assert_int_equal(apply_lag_quorum(NULL, 0, 1, 3), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_sums),
        cmocka_unit_test(test_quorum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
