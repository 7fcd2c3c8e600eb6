/* SPDX-License-Identifier: Apache-2.0
 *
 * Clock_manual: a clock that moves when the test says so. Thread-safe.
 *
 *   struct clock_manual clock;
 *   clock_manual_init(&clock, 1700000000 * NS_PER_S);
 *   ... pass &clock.clock ...
 *   clock_manual_advance(&clock, 50 * NS_PER_MS);
 */
#ifndef ESTREAT_TESTLIB_CLOCK_MANUAL_H
#define ESTREAT_TESTLIB_CLOCK_MANUAL_H

#include <stdatomic.h>

#include "base/clock.h"

struct clock_manual {
    struct clock clock; /* pass &clock.clock */
    _Atomic uint64_t monotonic_ns;
    _Atomic uint64_t realtime_ns;
};

/* Monotonic time begins at one second. */
void clock_manual_init(struct clock_manual *clock, uint64_t realtime_ns);

/* Both times go on by `ns`. */
void clock_manual_advance(struct clock_manual *clock, uint64_t ns);

/* Steps the time of day, also backwards; monotonic time stays. */
void clock_manual_set_realtime(struct clock_manual *clock, uint64_t realtime_ns);

#endif
