/* SPDX-License-Identifier: Apache-2.0 */
#include "client/retry.h"

#include "base/clock.h"
#include "testlib/test.h"

static const struct retry_failure unavailable = {.status = STATUS_UNAVAILABLE};

/* What may pass by itself is tried again; what the cluster has decided is not. */
static void test_classification(void **state)
{
    (void)state;
    for (int code = 1; code <= STATUS_UNAUTHENTICATED; code++) {
        const struct retry_failure failure = {.status = (enum status)code};
        bool transient = code == STATUS_UNAVAILABLE || code == STATUS_DEADLINE_EXCEEDED ||
                         code == STATUS_CANCELLED;
        assert_int_equal(retry_is_transient(&failure), transient);
    }
    const struct retry_failure busy = {.status = STATUS_RESOURCE_EXHAUSTED, .pushback_ms = 7};
    assert_true(retry_is_transient(&busy));
}

/* Pauses double from the smallest to the largest, and each lies in the upper half of its bound. */
static void test_pauses_grow(void **state)
{
    struct rng_seeded seeded;
    struct retry retry;
    (void)state;
    rng_seeded_init(&seeded, test_seed());
    retry_init(&retry, 1000 * NS_PER_S);
    uint64_t bound_ms = RETRY_PAUSE_MIN_MS;
    for (int i = 0; i < 20; i++) {
        uint64_t pause_ns = 0;
        assert_true(retry_again(&retry, &unavailable, 0, &seeded.rng, &pause_ns));
        assert_in_range(pause_ns, bound_ms * NS_PER_MS / 2, bound_ms * NS_PER_MS);
        bound_ms = bound_ms * 2 < RETRY_PAUSE_MAX_MS ? bound_ms * 2 : RETRY_PAUSE_MAX_MS;
    }
    assert_int_equal(retry.attempts, 20);
    retry_progress(&retry, 1000 * NS_PER_S);
    uint64_t pause_ns = 0;
    assert_true(retry_again(&retry, &unavailable, 0, &seeded.rng, &pause_ns));
    assert_true(pause_ns <= RETRY_PAUSE_MIN_MS * NS_PER_MS);
}

/* A redirect costs nothing, but two nodes that name each other do not make a busy loop. */
static void test_redirects_are_bounded(void **state)
{
    const struct retry_failure redirect = {.status = STATUS_UNAVAILABLE, .redirected = true};
    struct rng_seeded seeded;
    struct retry retry;
    unsigned free_ones = 0;
    (void)state;
    rng_seeded_init(&seeded, 1);
    retry_init(&retry, 1000 * NS_PER_S);
    for (unsigned i = 0; i < 4 * (RETRY_REDIRECTS_MAX + 1); i++) {
        uint64_t pause_ns = 1;
        assert_true(retry_again(&retry, &redirect, 0, &seeded.rng, &pause_ns));
        free_ones += pause_ns == 0 ? 1 : 0;
    }
    assert_int_equal(free_ones, 4 * RETRY_REDIRECTS_MAX);
}

/* No attempt begins after the deadline, nor a pause that would end after it. */
static void test_deadline_ends_it(void **state)
{
    struct rng_seeded seeded;
    struct retry retry;
    uint64_t pause_ns = 77;
    (void)state;
    rng_seeded_init(&seeded, 1);
    retry_init(&retry, 10 * NS_PER_MS);
    assert_false(retry_again(&retry, &unavailable, 10 * NS_PER_MS, &seeded.rng, &pause_ns));
    assert_false(retry_again(&retry, &unavailable, 9999999, &seeded.rng, &pause_ns));
    assert_int_equal(pause_ns, 77);
    assert_true(retry_again(&retry, &unavailable, 0, &seeded.rng, &pause_ns));
    retry_init(&retry, 100 * NS_PER_S);
    assert_int_equal(retry_attempt_ms(&retry, false, 0), RETRY_ATTEMPT_MS);
    assert_int_equal(retry_attempt_ms(&retry, true, 0), 50000);
    assert_int_equal(retry_attempt_ms(&retry, true, 97 * NS_PER_S), 1500);
    assert_int_equal(retry_attempt_ms(&retry, false, 97 * NS_PER_S), 1500);
    assert_int_equal(retry_attempt_ms(&retry, false, 99700 * NS_PER_MS), RETRY_ATTEMPT_MIN_MS);
    assert_int_equal(retry_attempt_ms(&retry, false, 99900 * NS_PER_MS), 100);
    assert_int_equal(retry_attempt_ms(&retry, false, 100 * NS_PER_S - 1), 1);
    assert_int_equal(retry_attempt_ms(&retry, false, 200 * NS_PER_S), 1);
}

/* A server that asks to wait is not asked again before. */
static void test_pushback_is_kept(void **state)
{
    const struct retry_failure busy = {.status = STATUS_RESOURCE_EXHAUSTED, .pushback_ms = 400};
    struct rng_seeded seeded;
    struct retry retry;
    uint64_t pause_ns = 0;
    (void)state;
    rng_seeded_init(&seeded, 1);
    retry_init(&retry, 10 * NS_PER_S);
    assert_true(retry_again(&retry, &busy, 0, &seeded.rng, &pause_ns));
    assert_true(pause_ns >= 400 * NS_PER_MS);
}

/* A server without room for a connection may have it in a moment; one without room on its disk
 * will not. */
static void test_refused_connection(void **state)
{
    (void)state;
    const struct retry_failure disk = {.status = STATUS_RESOURCE_EXHAUSTED};
    const struct retry_failure connection = {.status = STATUS_RESOURCE_EXHAUSTED, .refused = true};
    assert_false(retry_is_transient(&disk));
    assert_true(retry_is_transient(&connection));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classification),        cmocka_unit_test(test_pauses_grow),
        cmocka_unit_test(test_redirects_are_bounded), cmocka_unit_test(test_deadline_ends_it),
        cmocka_unit_test(test_pushback_is_kept),      cmocka_unit_test(test_refused_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
