/* SPDX-License-Identifier: Apache-2.0
 *
 * Rate limit: a token bucket that may go into debt: what is done is charged, and who can wait does
 * so until the debt is paid. So work that must not wait is never refused, and what can wait makes
 * room for it. Thread-safe.
 *
 *   rate_limit_charge(&limit, now_ns, bytes);            done already
 *   uint64_t ns = rate_limit_wait_ns(&limit, now_ns);    0: go on
 */
#ifndef ESTREAT_BASE_RATE_LIMIT_H
#define ESTREAT_BASE_RATE_LIMIT_H

#include "base/sync.h"

struct rate_limit {
    uint64_t per_second; /* 0: no limit */
    struct mutex mutex;
    uint64_t paid_at_ns; /* when all that was charged is paid for */
};

/* A quarter of a second's worth may be used at once after a rest. */
void rate_limit_init(struct rate_limit *limit, uint64_t per_second);
void rate_limit_release(struct rate_limit *limit);

void rate_limit_charge(struct rate_limit *limit, uint64_t now_ns, uint64_t amount);

uint64_t rate_limit_wait_ns(struct rate_limit *limit, uint64_t now_ns);

#endif
