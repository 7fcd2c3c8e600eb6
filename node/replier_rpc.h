/* SPDX-License-Identifier: Apache-2.0
 *
 * Replier_rpc: calls are RPCs. The answers of a group cross to the clients' loop as
 * one event, so that they leave in one turn, in one write a connection.
 */
#ifndef ESTREAT_NODE_REPLIER_RPC_H
#define ESTREAT_NODE_REPLIER_RPC_H

#include "node/replier.h"
#include "rpc/server.h"

struct replier_rpc {
    struct replier replier; /* pass &replier_rpc.replier */
    struct rpc_loop *loop;
};

/* Borrows the loop. */
void replier_rpc_init(struct replier_rpc *rpc, struct rpc_loop *loop);

static inline struct append_call *append_call_of(struct rpc_server_call *call)
{
    return (struct append_call *)(void *)call;
}

#endif
