/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rate_limit.h"

#include "base/clock.h"

#define REST_NS (NS_PER_S / 4)

void rate_limit_init(struct rate_limit *limit, uint64_t per_second)
{
    *limit = (struct rate_limit){.per_second = per_second};
    mutex_init(&limit->mutex);
}

void rate_limit_release(struct rate_limit *limit)
{
    mutex_release(&limit->mutex);
}

/* Of so much; without overflow, and rounded down: less than a nanosecond a charge. */
static uint64_t price_ns(const struct rate_limit *limit, uint64_t amount)
{
    uint64_t seconds = amount / limit->per_second;
    uint64_t rest = amount % limit->per_second;
    return seconds * NS_PER_S +
           (uint64_t)((double)rest * (double)NS_PER_S / (double)limit->per_second);
}

void rate_limit_charge(struct rate_limit *limit, uint64_t now_ns, uint64_t amount)
{
    if (limit->per_second == 0) {
        return;
    }
    mutex_lock(&limit->mutex);
    uint64_t rested_ns = now_ns > REST_NS ? now_ns - REST_NS : 0;
    uint64_t from_ns = limit->paid_at_ns > rested_ns ? limit->paid_at_ns : rested_ns;
    limit->paid_at_ns = from_ns + price_ns(limit, amount);
    mutex_unlock(&limit->mutex);
}

uint64_t rate_limit_wait_ns(struct rate_limit *limit, uint64_t now_ns)
{
    if (limit->per_second == 0) {
        return 0;
    }
    mutex_lock(&limit->mutex);
    uint64_t paid_at_ns = limit->paid_at_ns;
    mutex_unlock(&limit->mutex);
    return paid_at_ns > now_ns ? paid_at_ns - now_ns : 0;
}
