/* SPDX-License-Identifier: Apache-2.0
 *
 * Metadata: the name and value pairs that travel with a call or its status, at
 * most METADATA_PAIRS_MAX of them in METADATA_BYTES_MAX. Names are lower case.
 */
#ifndef ESTREAT_RPC_METADATA_H
#define ESTREAT_RPC_METADATA_H

#include "base/slice.h"

struct rpc_metadata {
    const char *name;
    struct slice value;
};

/* A view of pairs that somebody else owns. */
struct rpc_metadata_list {
    const struct rpc_metadata *pairs;
    size_t count;
};

/* The names that Estreat itself uses. */
#define RPC_METADATA_LEADER_ENDPOINT "leader-endpoint" /* HOST:PORT of the leader's client port */
/* Decimal milliseconds. With RESOURCE_EXHAUSTED it says that the request was not acted on and may
 * be sent again after that time; without it the answer is final. */
#define RPC_METADATA_RETRY_AFTER_MS "retry-after-ms"

/* The first value of that name. False, and `value` untouched, if there is none. */
bool rpc_metadata_get(struct rpc_metadata_list list, const char *name, struct slice *value);

#endif
