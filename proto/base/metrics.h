/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics: counters and latency histograms that any thread may bump without a
 * lock, embedded in the module that owns them. Units end the names.
 */
#ifndef ESTREAT_BASE_METRICS_H
#define ESTREAT_BASE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

struct counter {
    _Atomic uint64_t value;
};

static inline void counter_add(struct counter *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(&counter->value, amount, memory_order_relaxed);
}

static inline uint64_t counter_get(struct counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

/* Log-linear buckets: 16 to each power of two, so a quantile is off by at most 6.25 %. */
#define HISTOGRAM_BUCKETS 976

struct histogram {
    _Atomic uint64_t counts[HISTOGRAM_BUCKETS];
    _Atomic uint64_t total;
    _Atomic uint64_t sum;
};

/* Zeroed memory is an empty histogram. */
void histogram_record(struct histogram *histogram, uint64_t value);

/* The value below which a share of `quantile` (0 to 1) of the records lie; 0 if empty. */
uint64_t histogram_quantile(struct histogram *histogram, double quantile);

/* Adds `from` into `into`. */
void histogram_merge(struct histogram *into, struct histogram *from);

#endif
