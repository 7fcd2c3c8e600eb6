/* SPDX-License-Identifier: Apache-2.0
 *
 * Format: how people write numbers, times and bounds, and how they read them.
 * Pure.
 */
#ifndef ESTREAT_CLI_FORMAT_H
#define ESTREAT_CLI_FORMAT_H

#include "base/status.h"
#include "client/estreat.h"

/* "2026-11-22T14:05:06.123456789Z" and its NUL. */
#define TIME_TEXT_BYTES 40

/* Writes nanoseconds since 1970 UTC as RFC 3339 with nine digits. Returns `out`. */
const char *format_time(uint64_t time_ns, char out[TIME_TEXT_BYTES]);

/* Decimal digits only, below 2^64. */
bool parse_number(const char *text, uint64_t *out);

/* A number in [min, max]. INVALID_ARGUMENT names `what`. */
enum status parse_number_in(const char *what, const char *text, uint64_t min, uint64_t max,
                            uint64_t *out, struct error *err) MUST_USE;

/* Seconds with at most three decimals, more than 0, as milliseconds. */
enum status parse_seconds(const char *what, const char *text, uint32_t *ms,
                          struct error *err) MUST_USE;

/* RFC 3339, at most nine decimals, from 1970 on. */
bool parse_time(const char *text, uint64_t *time_ns);

/* Digits are a position; RFC 3339 or @NANOSECONDS a time. NULL is no bound. */
enum status parse_bound(const char *what, const char *text, struct estreat_bound *out,
                        struct error *err) MUST_USE;

/* Names in lower case. */
bool parse_severity(const char *text, enum estreat_severity *out);
bool parse_kind(const char *text, enum estreat_kind *out);

/* "none", "any", or a version. */
bool parse_expect(const char *text, enum estreat_expect *expect, uint64_t *version);

#endif
