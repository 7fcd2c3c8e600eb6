/* SPDX-License-Identifier: Apache-2.0 */
#include "client/retry.h"

#include "base/check.h"
#include "base/clock.h"

void retry_init(struct retry *retry, uint64_t deadline_ns)
{
    *retry = (struct retry){.deadline_ns = deadline_ns, .pause_ms = RETRY_PAUSE_MIN_MS};
}

void retry_progress(struct retry *retry, uint64_t deadline_ns)
{
    retry->deadline_ns = deadline_ns;
    retry->redirects = 0;
    retry->pause_ms = RETRY_PAUSE_MIN_MS;
}

unsigned retry_attempt_ms(const struct retry *retry, bool slow, uint64_t now_ns)
{
    if (retry->deadline_ns <= now_ns) {
        return 1;
    }
    uint64_t left_ms = (retry->deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
    uint64_t ms = left_ms / 2;
    if (ms < RETRY_ATTEMPT_MIN_MS) {
        ms = left_ms < RETRY_ATTEMPT_MIN_MS ? left_ms : RETRY_ATTEMPT_MIN_MS;
    } else if (ms > RETRY_ATTEMPT_MS && !slow) {
        ms = RETRY_ATTEMPT_MS;
    }
    return (unsigned)ms;
}

bool retry_is_transient(const struct retry_failure *failure)
{
    switch (failure->status) {
    case STATUS_UNAVAILABLE:
    case STATUS_DEADLINE_EXCEEDED:
    case STATUS_CANCELLED:
        return true;
    case STATUS_RESOURCE_EXHAUSTED:
        /* A full disk stays full; a full queue says when to come again; connections end. */
        return failure->pushback_ms > 0 || failure->refused;
    default:
        return false;
    }
}

bool retry_again(struct retry *retry, const struct retry_failure *failure, uint64_t now_ns,
                 struct rng *rng, uint64_t *pause_ns)
{
    CHECK(failure->status != STATUS_OK);
    CHECK(retry->pause_ms >= RETRY_PAUSE_MIN_MS);
    retry->attempts++;
    if (!retry_is_transient(failure) || now_ns >= retry->deadline_ns) {
        return false;
    }
    uint64_t pause = 0;
    if (failure->redirected && retry->redirects < RETRY_REDIRECTS_MAX) {
        retry->redirects++;
    } else {
        uint64_t half_ns = retry->pause_ms * NS_PER_MS / 2;
        pause = half_ns + rng_below(rng, half_ns + 1);
        retry->redirects = 0;
        retry->pause_ms =
            retry->pause_ms > RETRY_PAUSE_MAX_MS / 2 ? RETRY_PAUSE_MAX_MS : retry->pause_ms * 2;
    }
    if (failure->pushback_ms > 0 && pause < failure->pushback_ms * NS_PER_MS) {
        pause = failure->pushback_ms * NS_PER_MS;
    }
    if (pause >= retry->deadline_ns - now_ns) {
        return false;
    }
    *pause_ns = pause;
    return true;
}
