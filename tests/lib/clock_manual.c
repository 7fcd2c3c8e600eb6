/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/clock_manual.h"

static uint64_t manual_monotonic_ns(struct clock *clock)
{
    return atomic_load(&((struct clock_manual *)clock)->monotonic_ns);
}

static uint64_t manual_realtime_ns(struct clock *clock)
{
    return atomic_load(&((struct clock_manual *)clock)->realtime_ns);
}

void clock_manual_init(struct clock_manual *clock, uint64_t realtime_ns)
{
    clock->clock.monotonic_ns = manual_monotonic_ns;
    clock->clock.realtime_ns = manual_realtime_ns;
    atomic_init(&clock->monotonic_ns, NS_PER_S);
    atomic_init(&clock->realtime_ns, realtime_ns);
}

void clock_manual_advance(struct clock_manual *clock, uint64_t ns)
{
    atomic_fetch_add(&clock->monotonic_ns, ns);
    atomic_fetch_add(&clock->realtime_ns, ns);
}

void clock_manual_set_realtime(struct clock_manual *clock, uint64_t realtime_ns)
{
    atomic_store(&clock->realtime_ns, realtime_ns);
}
