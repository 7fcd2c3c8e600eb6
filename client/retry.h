/* SPDX-License-Identifier: Apache-2.0
 *
 * Retry: whether a failed attempt is followed by another, and after what pause.
 *
 * A failure is tried again if the cluster may answer otherwise in a moment: no
 * leader, a broken connection, an attempt that took too long, a server that asks
 * to come again. Pauses double from RETRY_PAUSE_MIN_MS to RETRY_PAUSE_MAX_MS and
 * are drawn from their upper half, so that clients that failed together do not
 * come back together. Being sent to another node costs no pause, up to
 * RETRY_REDIRECTS_MAX times in a row: two nodes that name each other must not
 * make a busy loop.
 *
 * Pure; one owner.
 */
#ifndef ESTREAT_CLIENT_RETRY_H
#define ESTREAT_CLIENT_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/status.h"

/* An election takes some hundred milliseconds: ask a few times during it, not a thousand. */
#define RETRY_PAUSE_MIN_MS 5U
#define RETRY_PAUSE_MAX_MS 250U
#define RETRY_REDIRECTS_MAX 3U
/* One attempt may not use up the time of the call, for its machine may have vanished: it gets half
 * of what is left, but no less than the one and, unless it is known to be slow, no more than the
 * other. */
#define RETRY_ATTEMPT_MIN_MS 250U
#define RETRY_ATTEMPT_MS 3000U

struct retry {
    uint64_t deadline_ns; /* of the call, monotonic */
    unsigned attempts;    /* that failed so far */
    unsigned redirects;   /* in a row */
    unsigned pause_ms;    /* the next one's upper bound */
};

/* How an attempt failed. */
struct retry_failure {
    enum status status;
    bool refused;         /* the server had no room for the connection */
    bool redirected;      /* the answer named another endpoint, which is tried next */
    unsigned pushback_ms; /* the server asks to wait so long; 0: it does not ask */
};

void retry_init(struct retry *retry, uint64_t deadline_ns);

/* Milliseconds for an attempt that begins at `now_ns`: at least 1, and not past the deadline. */
unsigned retry_attempt_ms(const struct retry *retry, bool slow, uint64_t now_ns);

/* True if this failure can go away by itself. */
bool retry_is_transient(const struct retry_failure *failure);

/* Counts the failure. True: try again after `*pause_ns`. False: it is final, or no time is
 * left. */
bool retry_again(struct retry *retry, const struct retry_failure *failure, uint64_t now_ns,
                 struct rng *rng, uint64_t *pause_ns);

/* There was progress: the next failure begins with the shortest pause. */
void retry_progress(struct retry *retry, uint64_t deadline_ns);

#endif
