/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/metrics_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"

enum { LINE_BYTES_MAX = 256, LABEL_BYTES_MAX = 64, NUMBER_BYTES_MAX = 32 };

void metrics_text_put(struct buf *out, const char *format, ...)
{
    char line[LINE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    CHECK(length > 0 && (size_t)length < sizeof line);
    buf_append_slice(out, slice_of_string(METRICS_TEXT_PREFIX));
    buf_append_slice(out, slice_of(line, (size_t)length));
    buf_put_u8(out, '\n');
}

void metrics_text_count(struct buf *out, const char *name, uint64_t value)
{
    metrics_text_put(out, "%s %" PRIu64, name, value);
}

static void print_value(char out[NUMBER_BYTES_MAX], uint64_t value, bool as_seconds)
{
    if (as_seconds) {
        (void)snprintf(out, NUMBER_BYTES_MAX, "%.9f", (double)value / (double)NS_PER_S);
    } else {
        (void)snprintf(out, NUMBER_BYTES_MAX, "%" PRIu64, value);
    }
}

static void put_histogram(struct buf *out, const char *name, const char *label,
                          struct histogram *histogram, bool as_seconds)
{
    static const double quantiles[] = {0.5, 0.99, 0.999, 1};
    const char *unit = as_seconds ? "_seconds" : "";
    char value[NUMBER_BYTES_MAX];
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
        print_value(value, histogram_quantile(histogram, quantiles[i]), as_seconds);
        metrics_text_put(out, "%s%s{%squantile=\"%g\"} %s", name, unit, label, quantiles[i], value);
    }
    char braces[LABEL_BYTES_MAX];
    int length = snprintf(braces, sizeof braces, label[0] == '\0' ? "%s" : "{%s}", label);
    CHECK(length >= 0 && (size_t)length < sizeof braces);
    print_value(value, atomic_load_explicit(&histogram->sum, memory_order_relaxed), as_seconds);
    metrics_text_put(out, "%s%s_sum%s %s", name, unit, braces, value);
    metrics_text_put(out, "%s%s_count%s %" PRIu64, name, unit, braces,
                     (uint64_t)atomic_load_explicit(&histogram->total, memory_order_relaxed));
}

void metrics_text_histogram(struct buf *out, const char *name, const char *label,
                            struct histogram *histogram)
{
    put_histogram(out, name, label, histogram, false);
}

void metrics_text_seconds(struct buf *out, const char *name, const char *label,
                          struct histogram *histogram)
{
    put_histogram(out, name, label, histogram, true);
}
