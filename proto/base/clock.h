/* SPDX-License-Identifier: Apache-2.0
 *
 * Clock: the time seam. `monotonic_ns` never steps and measures intervals;
 * `realtime_ns` is nanoseconds since 1970 UTC and may be wrong. Thread-safe.
 */
#ifndef ESTREAT_BASE_CLOCK_H
#define ESTREAT_BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_MS 1000000ULL
#define NS_PER_S 1000000000ULL

struct clock {
    uint64_t (*monotonic_ns)(struct clock *clock);
    uint64_t (*realtime_ns)(struct clock *clock);
};

/* The machine's clocks. Borrowed for ever. */
struct clock *clock_system(void);

static inline uint64_t clock_monotonic_ns(struct clock *clock)
{
    return clock->monotonic_ns(clock);
}

static inline uint64_t clock_realtime_ns(struct clock *clock)
{
    return clock->realtime_ns(clock);
}

#define CLOCK_TEXT_BYTES 24

/* A time of realtime_ns as people read it, "2026-11-26T14:25:17Z"; "?" if it has no such form.
 * Returns `out`. */
const char *clock_text(char out[CLOCK_TEXT_BYTES], uint64_t realtime_ns);

#endif
