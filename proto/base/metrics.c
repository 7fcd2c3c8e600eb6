/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"

#include "base/check.h"

enum { SUB_BITS = 4, SUB_COUNT = 1 << SUB_BITS };

_Static_assert(HISTOGRAM_BUCKETS == SUB_COUNT + (64 - SUB_BITS) * SUB_COUNT,
               "sixteen exact values, then sixteen buckets for each further power of two");

static unsigned bucket_of(uint64_t value)
{
    if (value < SUB_COUNT) {
        return (unsigned)value;
    }
    unsigned exponent = 63U - (unsigned)__builtin_clzll(value);
    unsigned shift = exponent - SUB_BITS;
    return SUB_COUNT + shift * SUB_COUNT + (unsigned)((value >> shift) & (SUB_COUNT - 1));
}

/* The largest value that falls into the bucket. */
static uint64_t bucket_last(unsigned bucket)
{
    if (bucket < SUB_COUNT) {
        return bucket;
    }
    unsigned shift = (bucket - SUB_COUNT) / SUB_COUNT;
    uint64_t first = (uint64_t)(SUB_COUNT + bucket % SUB_COUNT) << shift;
    return first + ((1ULL << shift) - 1);
}

void histogram_record(struct histogram *histogram, uint64_t value)
{
    unsigned bucket = bucket_of(value);
    CHECK(bucket < HISTOGRAM_BUCKETS);
    atomic_fetch_add_explicit(&histogram->counts[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->total, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum, value, memory_order_relaxed);
}

uint64_t histogram_quantile(struct histogram *histogram, double quantile)
{
    /* `total` may run ahead of the counts or behind them while others record. */
    uint64_t total = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        total += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
    }
    if (total == 0) {
        return 0;
    }
    double share = quantile > 0 ? (quantile < 1 ? quantile : 1) : 0;
    double wanted = share * (double)total;
    uint64_t seen = 0;
    unsigned last = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t count = atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
        if (count == 0) {
            continue;
        }
        last = i;
        seen += count;
        if ((double)seen >= wanted) {
            break;
        }
    }
    return bucket_last(last);
}

void histogram_merge(struct histogram *into, struct histogram *from)
{
    CHECK(into != from);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t count = atomic_load_explicit(&from->counts[i], memory_order_relaxed);
        if (count != 0) {
            atomic_fetch_add_explicit(&into->counts[i], count, memory_order_relaxed);
        }
    }
    atomic_fetch_add_explicit(&into->total,
                              atomic_load_explicit(&from->total, memory_order_relaxed),
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&into->sum, atomic_load_explicit(&from->sum, memory_order_relaxed),
                              memory_order_relaxed);
}
