/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/codec_counters.h"

#include <stddef.h>

struct codec_lap codec_lap_begin(struct codec_counter *counter, struct clock *clock)
{
    struct codec_lap lap = {.counter = counter};
    if (counter != NULL) {
        uint64_t number =
            atomic_fetch_add_explicit(&counter->blocks.value, 1, memory_order_relaxed);
        if (clock != NULL && number % CODEC_TIMED_BLOCKS == 0) {
            lap.clock = clock;
            lap.began_ns = clock_monotonic_ns(clock);
        }
    }
    return lap;
}

void codec_lap_end(const struct codec_lap *lap, uint64_t raw_bytes, uint64_t stored_bytes)
{
    struct codec_counter *counter = lap->counter;
    if (counter == NULL) {
        return;
    }
    counter_add(&counter->raw_bytes, raw_bytes);
    counter_add(&counter->stored_bytes, stored_bytes);
    if (lap->clock != NULL) {
        counter_add(&counter->timed_bytes, raw_bytes);
        counter_add(&counter->timed_ns, clock_monotonic_ns(lap->clock) - lap->began_ns);
    }
}

struct codec_figures codec_counter_read(struct codec_counter *counter)
{
    struct codec_figures figures = {.blocks = counter_get(&counter->blocks),
                                    .raw_bytes = counter_get(&counter->raw_bytes),
                                    .stored_bytes = counter_get(&counter->stored_bytes)};
    uint64_t timed_bytes = counter_get(&counter->timed_bytes);
    if (timed_bytes > 0) {
        /* In floating point: a product of bytes and nanoseconds passes 64 bits in an hour. */
        figures.ns = (uint64_t)((double)counter_get(&counter->timed_ns) *
                                ((double)figures.raw_bytes / (double)timed_bytes));
    }
    return figures;
}
