/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/format.h"

#include <time.h>

#include "base/clock.h"
#include "base/rng.h"
#include "testlib/test.h"

static uint64_t time_of(const char *text)
{
    uint64_t ns = 0;
    if (!parse_time(text, &ns)) {
        fail_msg("refused: %s", text);
    }
    return ns;
}

/* RFC 3339's own examples and what people write. */
static void test_times(void **state)
{
    (void)state;
    assert_int_equal(time_of("1970-01-01T00:00:00Z"), 0);
    assert_int_equal(time_of("1970-01-01T00:00:00.000000001Z"), 1);
    assert_int_equal(time_of("1985-04-12T23:20:50.52Z"), 482196050520000000);
    assert_int_equal(time_of("1996-12-19T16:39:57-08:00"), time_of("1996-12-20T00:39:57Z"));
    assert_int_equal(time_of("2026-11-22t14:05:06.123456789z"), 1795356306123456789);
    assert_int_equal(time_of("2026-11-22 14:05:06+01:30"), time_of("2026-11-22T12:35:06Z"));
    assert_int_equal(time_of("1990-12-31T23:59:60Z"), time_of("1991-01-01T00:00:00Z"));
    assert_int_equal(time_of("2024-02-29T00:00:00Z"), 1709164800000000000);
}

/* What is no time is refused, not guessed. */
static void test_no_times(void **state)
{
    static const char *const texts[] = {
        "",
        "yesterday",
        "2026-11-22",
        "2026-11-22T14:05Z",
        "2026-11-22T14:05:06",
        "2026-13-22T14:05:06Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-11-31T00:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T14:60:06Z",
        "2026-11-22T14:05:61Z",
        "2026-11-22T14:05:06.Z",
        "2026-11-22T14:05:06.1234567890Z",
        "2026-11-22T14:05:06Zx",
        "2026-11-22T14:05:06+1:00",
        "2026-11-22T14:05:06+24:00",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59Z",
        "-026-11-22T14:05:06Z",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        uint64_t ns = 77;
        if (parse_time(texts[i], &ns)) {
            fail_msg("accepted: %s", texts[i]);
        }
        assert_int_equal(ns, 77);
    }
}

/* What is written is read back the same, to the nanosecond. */
static void test_times_round_trip(void **state)
{
    struct rng_seeded seeded;
    char text[TIME_TEXT_BYTES];
    (void)state;
    rng_seeded_init(&seeded, test_seed());
    assert_string_equal(format_time(1795356306123456789, text), "2026-11-22T14:05:06.123456789Z");
    for (int i = 0; i < 10000; i++) {
        uint64_t ns = rng_u64(&seeded.rng);
        assert_int_equal(time_of(format_time(ns, text)), ns);
    }
}

/* Digits are positions, times are times, and all else is refused with its name. */
static void test_bounds(void **state)
{
    struct error err = ERROR_INIT;
    struct estreat_bound bound;
    (void)state;
    assert_ok(parse_bound("--from", NULL, &bound, &err), &err);
    assert_int_equal(bound.kind, ESTREAT_BOUND_NONE);
    assert_ok(parse_bound("--from", "18446744073709551615", &bound, &err), &err);
    assert_int_equal(bound.kind, ESTREAT_BOUND_POSITION);
    assert_int_equal(bound.value, UINT64_MAX);
    assert_ok(parse_bound("--from", "@1795356306123456789", &bound, &err), &err);
    assert_int_equal(bound.kind, ESTREAT_BOUND_TIME);
    assert_int_equal(bound.value, 1795356306123456789);
    assert_ok(parse_bound("--from", "2026-11-22T14:05:06.123456789Z", &bound, &err), &err);
    assert_int_equal(bound.kind, ESTREAT_BOUND_TIME);
    assert_int_equal(bound.value, 1795356306123456789);
    static const char *const bad[] = {"",   "@",        "@-1", "-1", "18446744073709551616",
                                      "1 ", "yesterday"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_status(parse_bound("--from", bad[i], &bound, &err), STATUS_INVALID_ARGUMENT, &err);
        assert_non_null(strstr(err.text, "--from"));
    }
}

static void test_numbers(void **state)
{
    struct error err = ERROR_INIT;
    uint64_t value = 77;
    uint32_t ms = 77;
    (void)state;
    assert_true(parse_number("007", &value));
    assert_int_equal(value, 7);
    assert_false(parse_number("18446744073709551616", &value));
    assert_false(parse_number("99999999999999999999999", &value));
    assert_false(parse_number("+1", &value));
    assert_int_equal(value, 7);
    assert_status(parse_number_in("--limit", "0", 1, 9, &value, &err), STATUS_INVALID_ARGUMENT,
                  &err);
    assert_ok(parse_number_in("--limit", "9", 1, 9, &value, &err), &err);
    assert_ok(parse_seconds("--timeout", "0.25", &ms, &err), &err);
    assert_int_equal(ms, 250);
    assert_ok(parse_seconds("--timeout", "30", &ms, &err), &err);
    assert_int_equal(ms, 30000);
    static const char *const bad[] = {"", "0", "-1", "1s", "nan", "inf", "1e9", " 1", "0.0001"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_status(parse_seconds("--timeout", bad[i], &ms, &err), STATUS_INVALID_ARGUMENT, &err);
    }
}

static void test_names(void **state)
{
    enum estreat_severity severity;
    enum estreat_kind kind;
    enum estreat_expect expect;
    uint64_t version;
    (void)state;
    assert_true(parse_severity("warn", &severity));
    assert_int_equal(severity, ESTREAT_SEVERITY_WARN);
    assert_false(parse_severity("loud", &severity));
    assert_true(parse_kind("delete", &kind));
    assert_int_equal(kind, ESTREAT_KIND_DELETE);
    assert_false(parse_kind("system", &kind));
    assert_true(parse_expect("none", &expect, &version));
    assert_int_equal(expect, ESTREAT_EXPECT_NONE);
    assert_true(parse_expect("any", &expect, &version));
    assert_int_equal(expect, ESTREAT_EXPECT_ANY);
    assert_true(parse_expect("12", &expect, &version));
    assert_int_equal(expect, ESTREAT_EXPECT_VERSION);
    assert_int_equal(version, 12);
    assert_false(parse_expect("some", &expect, &version));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),   cmocka_unit_test(test_no_times),
        cmocka_unit_test(test_bounds),  cmocka_unit_test(test_times_round_trip),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
