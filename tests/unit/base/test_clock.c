/* SPDX-License-Identifier: Apache-2.0
 *
 * Times as people read them.
 */
#include "testlib/test.h"

#include "base/clock.h"

static void times_are_text(void **state)
{
    char text[CLOCK_TEXT_BYTES];
    (void)state;
    assert_string_equal(clock_text(text, 0), "1970-01-01T00:00:00Z");
    assert_string_equal(clock_text(text, 951782400 * NS_PER_S), "2000-02-29T00:00:00Z");
    assert_string_equal(clock_text(text, 1764167117 * NS_PER_S + 999999999),
                        "2025-11-26T14:25:17Z");
    assert_string_equal(clock_text(text, UINT64_MAX), "2554-07-21T23:34:33Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(times_are_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
