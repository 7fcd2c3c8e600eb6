/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/test.h"

#include "base/clock.h"
#include "base/rng.h"
#include "testlib/clock_manual.h"

/* A seed gives its sequence for ever: seeds of failed runs are kept as regressions. The numbers
 * come from the published algorithms (splitmix64, xoshiro256**), computed apart. */
static void test_seeded_sequence(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 42);
    assert_true(rng_u64(&seeded.rng) == 0x15780b2e0c2ec716ULL);
    assert_true(rng_u64(&seeded.rng) == 0x6104d9866d113a7eULL);
    assert_true(rng_u64(&seeded.rng) == 0xae17533239e499a1ULL);
}

/* Other seeds, other numbers; the same seed, the same. */
static void test_seeds_differ(void **state)
{
    (void)state;
    struct rng_seeded a;
    struct rng_seeded b;
    rng_seeded_init(&a, 0);
    rng_seeded_init(&b, 1);
    assert_true(rng_u64(&a.rng) != rng_u64(&b.rng));
    rng_seeded_init(&b, 0);
    rng_seeded_init(&a, 0);
    for (int i = 0; i < 100; i++) {
        assert_true(rng_u64(&a.rng) == rng_u64(&b.rng));
    }
}

/* Below the bound, each value as often as the others, also for bounds beside powers of two. */
static void test_below(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    unsigned counts[7] = {0};
    for (int i = 0; i < 70000; i++) {
        uint64_t value = rng_below(&seeded.rng, 7);
        assert_true(value < 7);
        counts[value]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(counts[i], 9300, 10700); /* seven standard deviations */
    }
    assert_int_equal(rng_below(&seeded.rng, 1), 0);
    /* A plain remainder would give half of them below a third of this bound. */
    unsigned low = 0;
    for (int i = 0; i < 30000; i++) {
        low += rng_below(&seeded.rng, 3ULL << 62) < 1ULL << 62;
    }
    assert_in_range(low, 9400, 10600);
    for (int i = 0; i < 1000; i++) {
        assert_true(rng_below(&seeded.rng, (1ULL << 63) + 1) <= 1ULL << 63);
    }
}

/* The kernel's numbers fill odd lengths whole, and do not repeat. */
static void test_system(void **state)
{
    (void)state;
    uint8_t a[67] = {0};
    uint8_t b[67] = {0};
    rng_fill(rng_system(), a, sizeof a);
    rng_fill(rng_system(), b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    rng_fill(rng_system(), a, 0);
    assert_true(rng_u64(rng_system()) != rng_u64(rng_system()));
}

/* The monotonic clock does not go back; the time of day is later than this test was written. */
static void test_system_clock(void **state)
{
    (void)state;
    uint64_t before = clock_monotonic_ns(clock_system());
    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_monotonic_ns(clock_system());
        assert_true(now >= before);
        before = now;
    }
    assert_true(clock_realtime_ns(clock_system()) > 1700000000ULL * NS_PER_S);
}

/* A manual clock stands still until told, and the time of day may step back. */
static void test_manual_clock(void **state)
{
    (void)state;
    struct clock_manual manual;
    clock_manual_init(&manual, 5 * NS_PER_S);
    uint64_t begin = clock_monotonic_ns(&manual.clock);
    assert_true(clock_monotonic_ns(&manual.clock) == begin);
    clock_manual_advance(&manual, 7 * NS_PER_MS);
    assert_true(clock_monotonic_ns(&manual.clock) == begin + 7 * NS_PER_MS);
    assert_true(clock_realtime_ns(&manual.clock) == 5 * NS_PER_S + 7 * NS_PER_MS);
    clock_manual_set_realtime(&manual, 1);
    assert_true(clock_realtime_ns(&manual.clock) == 1);
    assert_true(clock_monotonic_ns(&manual.clock) == begin + 7 * NS_PER_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeded_sequence), cmocka_unit_test(test_seeds_differ),
        cmocka_unit_test(test_below),           cmocka_unit_test(test_system),
        cmocka_unit_test(test_system_clock),    cmocka_unit_test(test_manual_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
