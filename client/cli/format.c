/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/format.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"

const char *format_time(uint64_t time_ns, char out[TIME_TEXT_BYTES])
{
    time_t seconds = (time_t)(time_ns / NS_PER_S);
    struct tm parts;
    if (gmtime_r(&seconds, &parts) == NULL) {
        (void)snprintf(out, TIME_TEXT_BYTES, "@%lu", (unsigned long)time_ns);
        return out;
    }
    char date[22];
    (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(out, TIME_TEXT_BYTES, "%s.%09luZ", date, (unsigned long)(time_ns % NS_PER_S));
    return out;
}

bool parse_number(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    if (*text == '\0') {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10U, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value)) {
            return false;
        }
    }
    *out = value;
    return true;
}

enum status parse_number_in(const char *what, const char *text, uint64_t min, uint64_t max,
                            uint64_t *out, struct error *err)
{
    uint64_t value;
    if (!parse_number(text, &value) || value < min || value > max) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s: '%.100s' is no number from %lu to %lu",
                         what, text, (unsigned long)min, (unsigned long)max);
    }
    *out = value;
    return STATUS_OK;
}

enum status parse_seconds(const char *what, const char *text, uint32_t *ms, struct error *err)
{
    char *end;
    double seconds = strtod(text, &end);
    bool starts_well = text[0] >= '0' && text[0] <= '9';
    if (!starts_well || *end != '\0' || !(seconds >= 0.001) || seconds > 1e6) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s: '%.100s' is no number of seconds", what,
                         text);
    }
    *ms = (uint32_t)(seconds * 1000 + 0.5);
    return STATUS_OK;
}

/* --- times -------------------------------------------------------------------------------- */

static bool take_digits(const char **at, unsigned count, unsigned *out)
{
    unsigned value = 0;
    for (unsigned i = 0; i < count; i++) {
        char c = (*at)[i];
        if (c < '0' || c > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(c - '0');
    }
    *at += count;
    *out = value;
    return true;
}

static bool take_char(const char **at, char c)
{
    if (**at != c) {
        return false;
    }
    (*at)++;
    return true;
}

struct civil {
    unsigned year, month, day, hour, minute, second;
};

static bool take_date_and_time(const char **at, struct civil *out)
{
    if (!take_digits(at, 4, &out->year) || !take_char(at, '-') ||
        !take_digits(at, 2, &out->month) || !take_char(at, '-') || !take_digits(at, 2, &out->day)) {
        return false;
    }
    if (!take_char(at, 'T') && !take_char(at, 't') && !take_char(at, ' ')) {
        return false;
    }
    return take_digits(at, 2, &out->hour) && take_char(at, ':') &&
           take_digits(at, 2, &out->minute) && take_char(at, ':') &&
           take_digits(at, 2, &out->second);
}

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year) ? 1U : 0U);
}

/* A leap second (RFC 3339, section 5.6) counts as the first second of the next minute. */
static bool is_possible(const struct civil *civil)
{
    return civil->year >= 1970 && civil->month >= 1 && civil->month <= 12 && civil->day >= 1 &&
           civil->day <= days_in_month(civil->year, civil->month) && civil->hour <= 23 &&
           civil->minute <= 59 && civil->second <= 60;
}

static int64_t seconds_of(const struct civil *civil)
{
    int64_t days = 0;
    for (unsigned year = 1970; year < civil->year; year++) {
        days += is_leap(year) ? 366 : 365;
    }
    for (unsigned month = 1; month < civil->month; month++) {
        days += days_in_month(civil->year, month);
    }
    days += civil->day - 1;
    return ((days * 24 + civil->hour) * 60 + civil->minute) * 60 + civil->second;
}

/* The part behind the seconds' point, at most nine digits. */
static bool take_fraction(const char **at, uint64_t *ns)
{
    unsigned digits = 0;
    *ns = 0;
    if (!take_char(at, '.')) {
        return true;
    }
    for (; **at >= '0' && **at <= '9'; (*at)++, digits++) {
        if (digits == 9) {
            return false;
        }
        *ns = *ns * 10 + (uint64_t)(**at - '0');
    }
    for (unsigned i = digits; i < 9; i++) {
        *ns *= 10;
    }
    return digits > 0;
}

/* "Z" or "+HH:MM": seconds to subtract. */
static bool take_offset(const char **at, int64_t *seconds)
{
    unsigned hours;
    unsigned minutes;
    *seconds = 0;
    if (take_char(at, 'Z') || take_char(at, 'z')) {
        return true;
    }
    bool west = **at == '-';
    if (!take_char(at, '+') && !take_char(at, '-')) {
        return false;
    }
    if (!take_digits(at, 2, &hours) || !take_char(at, ':') || !take_digits(at, 2, &minutes) ||
        hours > 23 || minutes > 59) {
        return false;
    }
    *seconds = (int64_t)(hours * 3600 + minutes * 60);
    *seconds = west ? -*seconds : *seconds;
    return true;
}

bool parse_time(const char *text, uint64_t *time_ns)
{
    struct civil civil;
    uint64_t fraction_ns;
    int64_t offset;
    const char *at = text;
    if (!take_date_and_time(&at, &civil) || !is_possible(&civil) ||
        !take_fraction(&at, &fraction_ns) || !take_offset(&at, &offset) || *at != '\0') {
        return false;
    }
    int64_t seconds = seconds_of(&civil) - offset;
    uint64_t ns;
    if (seconds < 0 || __builtin_mul_overflow((uint64_t)seconds, NS_PER_S, &ns) ||
        __builtin_add_overflow(ns, fraction_ns, &ns)) {
        return false;
    }
    *time_ns = ns;
    return true;
}

enum status parse_bound(const char *what, const char *text, struct estreat_bound *out,
                        struct error *err)
{
    uint64_t value;
    if (text == NULL) {
        *out = (struct estreat_bound){.kind = ESTREAT_BOUND_NONE};
    } else if (parse_number(text, &value)) {
        *out = estreat_position(value);
    } else if (text[0] == '@' ? parse_number(text + 1, &value) : parse_time(text, &value)) {
        *out = estreat_time(value);
    } else {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "%s: '%.100s' is neither a position nor a time (RFC 3339 with an offset, "
                         "or @NANOSECONDS)",
                         what, text);
    }
    return STATUS_OK;
}

/* --- names -------------------------------------------------------------------------------- */

bool parse_severity(const char *text, enum estreat_severity *out)
{
    for (int i = ESTREAT_SEVERITY_NONE; i <= ESTREAT_SEVERITY_FATAL; i++) {
        if (strcmp(text, estreat_severity_name((enum estreat_severity)i)) == 0) {
            *out = (enum estreat_severity)i;
            return true;
        }
    }
    return false;
}

bool parse_kind(const char *text, enum estreat_kind *out)
{
    for (int i = ESTREAT_KIND_AUTO; i <= ESTREAT_KIND_DELETE; i++) {
        if (strcmp(text, estreat_kind_name((enum estreat_kind)i)) == 0) {
            *out = (enum estreat_kind)i;
            return true;
        }
    }
    return false;
}

bool parse_expect(const char *text, enum estreat_expect *expect, uint64_t *version)
{
    *version = 0;
    if (strcmp(text, "any") == 0) {
        *expect = ESTREAT_EXPECT_ANY;
    } else if (strcmp(text, "none") == 0) {
        *expect = ESTREAT_EXPECT_NONE;
    } else if (parse_number(text, version)) {
        *expect = ESTREAT_EXPECT_VERSION;
    } else {
        return false;
    }
    return true;
}
