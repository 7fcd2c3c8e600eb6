/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <string.h>
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

const char *clock_text(char out[CLOCK_TEXT_BYTES], uint64_t realtime_ns)
{
    struct tm parts;
    time_t seconds = (time_t)(realtime_ns / NS_PER_S);
    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(out, CLOCK_TEXT_BYTES, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
        memcpy(out, "?", 2);
    }
    return out;
}
