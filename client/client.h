/* SPDX-License-Identifier: Apache-2.0
 *
 * Client: what is behind the handle of estreat.h, for the library's own files.
 *
 * Threads: one loop (rpc/loop.h) carries all calls and runs the completions of
 * asynchronous appends; blocking calls run on their callers' threads. The session
 * and the counts of appends under way are shared and stand under `mutex`.
 */
#ifndef ESTREAT_CLIENT_CLIENT_H
#define ESTREAT_CLIENT_CLIENT_H

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "base/sync.h"
#include "client/estreat.h"
#include "client/retry.h"
#include "client/router.h"
#include "client/session.h"

struct append;

struct estreat_client {
    struct alloc *alloc;
    struct clock *clock;
    struct rng *rng;
    struct rpc_loop *loop;
    struct router router;
    uint32_t timeout_ms;
    uint64_t in_flight_bytes_max;

    struct mutex mutex;
    struct condition changed; /* an append ended */
    struct session session;
    size_t in_flight; /* appends whose callback has not returned */
    uint64_t in_flight_bytes;

    bool closing;           /* the loop's: nothing is tried again */
    struct append *waiting; /* the loop's: appends that pause before their next attempt */
};

/* Fills the user's error, which may be NULL, and returns the code. */
enum estreat_code client_answer(enum status status, const struct error *err,
                                struct estreat_error *out);

/* Monotonic time at which a call that begins now must end. */
uint64_t client_deadline_ns(const struct estreat_client *client, uint32_t timeout_ms);

/* How an attempt failed, told to the router and in the form that retry_again() takes. */
struct retry_failure client_failure(struct estreat_client *client, enum route route,
                                    unsigned endpoint, enum status status, bool refused,
                                    struct rpc_metadata_list metadata);

/* Names the endpoint in an error text that does not name it yet, and how long was tried; asks
 * about a node that does not know the method. */
enum status client_explain(struct estreat_client *client, unsigned endpoint,
                           const struct retry *retry, struct error *err);

/* A read that met damage on one node is tried once on each other one, since any can answer it. */
struct client_detour {
    uint32_t tried;     /* endpoints, a set of bits; 0: no damage was met */
    unsigned endpoint;  /* to try now, unless `tried` is 0 */
    struct error first; /* the damage */
};

enum client_turn {
    CLIENT_TURN_NONE, /* the failure is none of the detour's: treat it as ever */
    CLIENT_TURN_NEXT, /* try detour->endpoint at once */
    CLIENT_TURN_OVER, /* none is left; the error is the damage that was met first */
};

enum client_turn client_detour(struct estreat_client *client, struct client_detour *detour,
                               unsigned endpoint, struct error *err);

/* The endpoint that a read tries now. */
unsigned client_reads_at(struct estreat_client *client, const struct client_detour *detour);

/* A question to any node, or to the leader, asked until it is answered, finally refused, or out of
 * time. `reply` is always filled; the caller releases it. */
struct client_query {
    const ProtobufCServiceDescriptor *service;
    unsigned method;
    const ProtobufCMessage *request;
    uint32_t timeout_ms; /* 0: the client's */
    bool leader;         /* only the leader can answer it */
    bool slow;           /* one attempt may take half of the time that is left */
};

enum status client_ask(struct estreat_client *client, const struct client_query *query,
                       struct rpc_reply *reply, struct error *err) MUST_USE;

/* The same question to one endpoint, with `attempts` (at least 1) tries. */
enum status client_ask_endpoint(struct estreat_client *client, unsigned endpoint,
                                const struct client_query *query, unsigned attempts,
                                struct rpc_reply *reply, struct error *err) MUST_USE;

/* Sleeps on the caller's thread. */
void client_pause(uint64_t pause_ns);

/* Ends appends that pause with CANCELLED. On the loop's thread, once, by estreat_close(). */
void appends_cancel(struct estreat_client *client);

#endif
