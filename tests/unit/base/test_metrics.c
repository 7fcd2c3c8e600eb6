/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/test.h"

#include <stdlib.h>

#include "base/metrics.h"
#include "base/rng.h"
#include "base/sync.h"

/* Every value's bucket is at most 6.25 % wide, from 0 to the largest number. */
static void test_one_value(void **state)
{
    (void)state;
    static struct histogram histogram;
    for (unsigned bits = 0; bits < 64; bits++) {
        const uint64_t values[] = {(1ULL << bits) - 1, 1ULL << bits, (1ULL << bits) / 3 * 4 + 1};
        for (size_t i = 0; i < 3; i++) {
            memset(&histogram, 0, sizeof histogram);
            histogram_record(&histogram, values[i]);
            uint64_t told = histogram_quantile(&histogram, 0.5);
            assert_true(told >= values[i]);
            assert_true(told - values[i] <= values[i] / 16);
        }
    }
    memset(&histogram, 0, sizeof histogram);
    histogram_record(&histogram, UINT64_MAX);
    assert_true(histogram_quantile(&histogram, 1) == UINT64_MAX);
}

/* Nothing recorded, nothing to tell. */
static void test_empty(void **state)
{
    (void)state;
    static struct histogram histogram;
    assert_int_equal(histogram_quantile(&histogram, 0.99), 0);
}

/* Quantiles of numbers whose quantiles are known. */
static void test_quantiles(void **state)
{
    (void)state;
    static struct histogram histogram;
    for (uint64_t i = 1; i <= 10000; i++) {
        histogram_record(&histogram, i);
    }
    static const double shares[] = {0.01, 0.5, 0.9, 0.99, 0.999, 1};
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        uint64_t exact = (uint64_t)(shares[i] * 10000);
        uint64_t told = histogram_quantile(&histogram, shares[i]);
        assert_true(told >= exact);
        assert_true(told - exact <= exact / 16);
    }
    assert_int_equal(histogram_quantile(&histogram, 0), 1);
    assert_int_equal(histogram_quantile(&histogram, -1), 1);
    assert_true(histogram_quantile(&histogram, 2) >= 10000);
    assert_int_equal(histogram.total, 10000);
    assert_int_equal(histogram.sum, 50005000);
}

/* Merged histograms tell what one that saw everything would. */
static void test_merge(void **state)
{
    (void)state;
    static struct histogram all;
    static struct histogram parts[2];
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    for (int i = 0; i < 5000; i++) {
        uint64_t value = rng_u64(&seeded.rng) >> rng_below(&seeded.rng, 64);
        histogram_record(&all, value);
        histogram_record(&parts[i % 2], value);
    }
    histogram_merge(&parts[0], &parts[1]);
    assert_memory_equal(&parts[0], &all, sizeof all);
}

struct shared {
    struct counter counter;
    struct histogram histogram;
};

static void *bump(void *context)
{
    struct shared *shared = context;
    for (int i = 0; i < 10000; i++) {
        counter_add(&shared->counter, 2);
        histogram_record(&shared->histogram, (uint64_t)i);
    }
    return NULL;
}

/* Nothing is lost when several threads count. */
static void test_threads(void **state)
{
    (void)state;
    static struct shared shared;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        assert_true(thread_start(&threads[i], "bumps", bump, &shared));
    }
    (void)histogram_quantile(&shared.histogram, 0.5);
    for (int i = 0; i < 3; i++) {
        thread_join(threads[i]);
    }
    assert_int_equal(counter_get(&shared.counter), 60000);
    assert_int_equal(shared.histogram.total, 30000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_value), cmocka_unit_test(test_empty),
        cmocka_unit_test(test_quantiles), cmocka_unit_test(test_merge),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
