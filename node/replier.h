/* SPDX-License-Identifier: Apache-2.0
 *
 * Replier: how those who wait for their appends are told of the end. A call is
 * whatever the replier's owner takes for one (an RPC, a simulated client's request);
 * the parts of the node only carry it. Each call is ended exactly once.
 */
#ifndef ESTREAT_NODE_REPLIER_H
#define ESTREAT_NODE_REPLIER_H

#include "base/slice.h"
#include "base/status.h"
#include "node/reply_batch.h"

struct append_call; /* opaque */

struct append_failure {
    enum status status;
    const char *text;
    const char
        *leader_endpoint;    /* where to go instead; "" if nobody knows; NULL: nothing is said */
    unsigned retry_after_ms; /* 0: nothing is said */
};

struct replier {
    /* Any thread. The failure is valid during the call. */
    void (*refuse)(struct replier *replier, struct append_call *call,
                   const struct append_failure *failure);
    /* The applier's thread. Takes the batch. */
    void (*answer)(struct replier *replier, struct reply_batch *batch);
};

static inline void replier_refuse(struct replier *replier, struct append_call *call,
                                  enum status status, const char *text)
{
    const struct append_failure failure = {.status = status, .text = text};
    replier->refuse(replier, call, &failure);
}

#endif
