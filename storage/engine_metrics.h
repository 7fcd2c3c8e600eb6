/* SPDX-License-Identifier: Apache-2.0
 *
 * Engine metrics: what an engine has done since it was opened, beside what it holds (struct
 * engine_stats): operations, how long they took, and what the writer waited for. Any thread bumps
 * them without a lock. Of lookups, seeks and writes one of METRICS_SAMPLE is timed, since reading
 * the clock costs a hundredth of one; of everything else each.
 */
#ifndef ESTREAT_STORAGE_ENGINE_METRICS_H
#define ESTREAT_STORAGE_ENGINE_METRICS_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/metrics.h"

#define METRICS_SAMPLE 16U

/* What the writer waits for. */
enum engine_stall {
    STALL_LEVEL0_SLOWDOWN, /* a millisecond: level 0 is past its slowdown */
    STALL_LEVEL0_STOP,     /* compaction must catch up */
    STALL_SEALS,           /* immutable_max seals wait for their flush */
    ENGINE_STALLS,
};

struct engine_metrics {
    struct counter lookups;
    struct counter lookups_found;
    struct counter lookup_bytes; /* values that were given out */
    struct counter iterators;
    struct counter iterator_entries; /* that were shown, and their keys and values; as iterators */
    struct counter iterator_bytes;   /* are closed */
    struct counter seeks;            /* of iterators, to a key or an end */
    struct counter writes;           /* batches */
    struct counter written_entries;
    struct counter written_bytes; /* keys and values */
    struct counter flushes;
    struct counter flush_bytes_written;
    struct counter compactions; /* moves included */
    struct counter compaction_bytes_read;
    struct counter compaction_bytes_written;
    struct counter background_retries;
    struct counter partitions_dropped; /* and fresh tables, whole below a floor */
    struct counter partition_bytes_dropped;
    struct counter partitions_rewritten; /* partly below */
    struct counter partition_bytes_rewritten;
    struct histogram lookup_ns; /* sampled */
    struct histogram seek_ns;   /* sampled */
    struct histogram write_ns;  /* sampled, waiting included */
    struct histogram flush_ns;  /* from begin to durable */
    struct histogram compaction_ns;
    struct histogram stall_ns[ENGINE_STALLS];
};

/* "level0_slowdown" ... */
const char *engine_stall_name(enum engine_stall stall);

/* Counts one of what is sampled. Returns when it began; 0: this one is not timed. */
static inline uint64_t metrics_sample_begin(struct counter *counter, struct clock *clock)
{
    uint64_t before = atomic_fetch_add_explicit(&counter->value, 1, memory_order_relaxed);
    return before % METRICS_SAMPLE == 0 ? clock_monotonic_ns(clock) : 0;
}

static inline void metrics_sample_end(struct histogram *histogram, struct clock *clock,
                                      uint64_t began_ns)
{
    if (began_ns != 0) {
        histogram_record(histogram, clock_monotonic_ns(clock) - began_ns);
    }
}

struct engine;

/* Appends all of it, with the engine's present shape (levels, debt, amplification) and what its
 * caches, filters and codecs do, as lines of the Prometheus text format:
 *   estreat_storage_lookup_seconds{quantile="0.99"} 0.000012
 * Any thread; takes longer than bumping: for whoever looks once in seconds. */
void engine_metrics_write(struct engine *engine, struct buf *out);

#endif
