/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rate_limit.h"

#include "base/clock.h"
#include "testlib/test.h"

static void test_no_limit(void **state)
{
    (void)state;
    struct rate_limit limit;
    rate_limit_init(&limit, 0);
    rate_limit_charge(&limit, 5, UINT64_MAX);
    assert_int_equal(rate_limit_wait_ns(&limit, 5), 0);
    rate_limit_release(&limit);
}

/* After a rest a quarter of a second's worth is free; what is above is waited for. */
static void test_debt(void **state)
{
    (void)state;
    struct rate_limit limit;
    const uint64_t now_ns = 100 * NS_PER_S;
    rate_limit_init(&limit, 1000);
    rate_limit_charge(&limit, now_ns, 250);
    assert_int_equal(rate_limit_wait_ns(&limit, now_ns), 0);
    rate_limit_charge(&limit, now_ns, 3000);
    assert_int_equal(rate_limit_wait_ns(&limit, now_ns), 3 * NS_PER_S);
    assert_int_equal(rate_limit_wait_ns(&limit, now_ns + 2 * NS_PER_S), NS_PER_S);
    assert_int_equal(rate_limit_wait_ns(&limit, now_ns + 3 * NS_PER_S), 0);
    rate_limit_release(&limit);
}

/* Who asks before each piece comes to the rate, however large the pieces are and however late he
 * asks again. */
static void test_rate(void **state)
{
    (void)state;
    struct rate_limit limit;
    rate_limit_init(&limit, 10000000);
    uint64_t now_ns = NS_PER_S;
    uint64_t done = 0;
    while (now_ns < 101 * NS_PER_S) {
        uint64_t wait_ns = rate_limit_wait_ns(&limit, now_ns);
        if (wait_ns == 0) {
            uint64_t piece = done % 3 == 0 ? 1000003 : 77777;
            rate_limit_charge(&limit, now_ns, piece);
            done += piece;
            continue;
        }
        now_ns += wait_ns < 100 * NS_PER_MS ? 100 * NS_PER_MS : wait_ns;
    }
    assert_in_range(done, 990000000, 1005000000);
    rate_limit_release(&limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_debt),
        cmocka_unit_test(test_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
