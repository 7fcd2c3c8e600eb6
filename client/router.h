/* SPDX-License-Identifier: Apache-2.0
 *
 * Router: which endpoint a call goes to. It knows the endpoints that the user gave
 * and those that nodes named as the leader's, opens a channel to each at its first
 * use, and remembers two choices, which stay until they fail: where appends go
 * (the leader, as far as known) and where reads go (any node).
 *
 * A client talks to one cluster: that of the first node that it shakes hands with.
 * A connection to a node of another is refused before any call is sent on it, since
 * an append that was retried there would be applied as a new one.
 *
 * Endpoints are only ever added, so an index stays valid. Thread-safe.
 */
#ifndef ESTREAT_CLIENT_ROUTER_H
#define ESTREAT_CLIENT_ROUTER_H

#include "base/slice.h"
#include "base/sync.h"
#include "rpc/channel.h"
#include "rpc/endpoint.h"
#include "rpc/hello.h"

#define ROUTER_ENDPOINTS_MAX 32U
#define ROUTER_NAME_BYTES 256U

_Static_assert(ROUTER_ENDPOINTS_MAX <= 32, "sets of endpoints are the bits of a uint32_t");

enum route {
    ROUTE_LEADER,
    ROUTE_ANY,
};

struct router_endpoint {
    char name[ROUTER_NAME_BYTES]; /* HOST:PORT, as given */
    char url[RPC_URL_BYTES_MAX];
    struct router *router;
    struct rpc_channel *channel; /* owned; NULL until the first use */
    struct error foreign;        /* not OK: its node belongs to another cluster */
};

struct router {
    struct mutex mutex;
    struct rpc_loop *loop; /* borrowed */
    size_t queued_bytes_max;
    struct router_endpoint endpoints[ROUTER_ENDPOINTS_MAX];
    unsigned count;
    unsigned given; /* the first ones, which the user gave */
    unsigned chosen[2];
    char cluster[RPC_NAME_BYTES_MAX + 1]; /* "": not known yet */
    unsigned cluster_from;                /* the endpoint that told it */
};

/* Reads a comma-separated list. Nothing is connected yet. INVALID_ARGUMENT names the part that
 * cannot be read. On failure there is nothing to release. */
enum status router_init(struct router *router, struct rpc_loop *loop, const char *endpoints,
                        size_t queued_bytes_max, struct rng *rng, struct error *err) MUST_USE;

/* Closes all channels: their calls end with CANCELLED. Not on the loop's thread. */
void router_release(struct router *router);

/* The endpoint to try now. */
unsigned router_pick(struct router *router, enum route route);

/* A call to endpoint `failed` did not reach anybody who could serve it. `leader` is whom it
 * named (may be empty). Chooses another one, unless somebody has done so since. Returns true if
 * that is the one that was named. */
bool router_failed(struct router *router, enum route route, unsigned failed, struct slice leader);

/* Chooses an endpoint that is not in `tried`, a set of bits, in place of `failed`. False: there is
 * none. */
bool router_elsewhere(struct router *router, enum route route, unsigned failed, uint32_t tried,
                      unsigned *index);

/* The index of an endpoint, which is added if it is new. False if it cannot be read or there is
 * no room. */
bool router_find(struct router *router, const char *name, unsigned *index);

/* How many endpoints the user gave: indices [0, count). */
unsigned router_given(struct router *router);

/* Valid until release. */
const char *router_name(struct router *router, unsigned index);

/* Not OK if the node that was last met at this endpoint belongs to another cluster: names both. */
enum status router_check_cluster(struct router *router, unsigned index, struct error *err) MUST_USE;

/* The endpoint's channel, opened at need; borrowed until release. Calls on it end with
 * FAILED_PRECONDITION if a node of another cluster is there. */
enum status router_channel(struct router *router, unsigned index, struct rpc_channel **out,
                           struct error *err) MUST_USE;

#endif
