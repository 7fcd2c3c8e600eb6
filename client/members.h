/* SPDX-License-Identifier: Apache-2.0
 *
 * Members: who there is to ask when each node must be asked itself.
 *
 * The endpoints that the user gave are asked first; members that one of them names
 * and that did not answer under their id are asked at the endpoint that was named.
 * So a user who knows one endpoint reaches the whole cluster, and a member that
 * cannot be reached is a row too, never left out in silence.
 */
#ifndef ESTREAT_CLIENT_MEMBERS_H
#define ESTREAT_CLIENT_MEMBERS_H

#include "base/limits.h"
#include "client/client.h"

#define MEMBERS_ASKED_MAX (ROUTER_ENDPOINTS_MAX + MEMBERS_MAX)

struct member {
    char id[ESTREAT_NAME_BYTES];       /* "" if nobody told it */
    char endpoint[ESTREAT_NAME_BYTES]; /* "" if nobody told it */
    unsigned route;                    /* index in the router */
    bool has_route;
    bool answered;
    struct rpc_reply reply; /* of Cluster.Status; released by members_release() */
    struct error err;       /* why it did not answer */
    /* of the asking */
    struct estreat_client *client;
    uint32_t timeout_ms;
    pthread_t thread;
    bool started;
};

struct members {
    struct alloc *alloc;
    unsigned count;
    struct member *list; /* owned; room for MEMBERS_ASKED_MAX */
};

/* Asks all of them, at the same time. RESOURCE_EXHAUSTED without memory; not answering is not
 * a failure. */
enum status members_ask(struct estreat_client *client, uint32_t timeout_ms, struct members *out,
                        struct error *err) MUST_USE;

/* Endpoints of two clusters in one list are a mistake: FAILED_PRECONDITION names both. */
enum status members_check_one_cluster(const struct members *members, struct error *err) MUST_USE;

void members_release(struct members *members);

#endif
