/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <time.h>

#include "base/check.h"

static uint64_t read_clock(clockid_t which)
{
    struct timespec now;
    CHECK(clock_gettime(which, &now) == 0);
    CHECK(now.tv_sec >= 0);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t system_monotonic_ns(struct clock *clock)
{
    (void)clock;
    return read_clock(CLOCK_MONOTONIC);
}

static uint64_t system_realtime_ns(struct clock *clock)
{
    (void)clock;
    return read_clock(CLOCK_REALTIME);
}

struct clock *clock_system(void)
{
    /* Never written to: the seam only wants a pointer that implementations may write through. */
    static struct clock system_clock = {
        .monotonic_ns = system_monotonic_ns,
        .realtime_ns = system_realtime_ns,
    };
    return &system_clock;
}
