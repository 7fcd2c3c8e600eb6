/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics_text: metrics as lines of the Prometheus text format, each with this prefix:
 *   estreat_storage_lookup_seconds{quantile="0.99"} 0.000012
 *
 * Appends to a buf, whose failure is sticky (buf_failed). Names and labels are the program's own,
 * so that a line too long for its room is a mistake in it, and asserted. Any thread, one a buf.
 */
#ifndef ESTREAT_STORAGE_METRICS_TEXT_H
#define ESTREAT_STORAGE_METRICS_TEXT_H

#include "base/buf.h"
#include "base/metrics.h"
#include "base/status.h"

#define METRICS_TEXT_PREFIX "estreat_storage_"

/* One line, given without prefix and newline. */
void metrics_text_put(struct buf *out, const char *format, ...) PRINTF_LIKE(2, 3);

void metrics_text_count(struct buf *out, const char *name, uint64_t value);

/* Quantiles (1 is the largest), sum and count. `label` is empty or ends in a comma. */
void metrics_text_histogram(struct buf *out, const char *name, const char *label,
                            struct histogram *histogram);

/* One of nanoseconds: NAME_seconds. */
void metrics_text_seconds(struct buf *out, const char *name, const char *label,
                          struct histogram *histogram);

/* 0 if `to` is. */
static inline double metrics_ratio(uint64_t of, uint64_t to)
{
    return to == 0 ? 0.0 : (double)of / (double)to;
}

#endif
