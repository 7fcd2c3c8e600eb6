/* SPDX-License-Identifier: Apache-2.0
 *
 * Service: what the handlers behind the RPC services share, and how they are
 * registered. Handlers run on the client loop's thread and only check and hand
 * on: appends to the driver, everything that reads to `readers` (see request.h).
 */
#ifndef ESTREAT_NODE_SERVICE_H
#define ESTREAT_NODE_SERVICE_H

#include <stdatomic.h>

#include "node/applied.h"
#include "node/applier.h"
#include "node/backups.h"
#include "node/config.h"
#include "node/driver.h"
#include "node/fault.h"
#include "node/signer.h"
#include "node/snapshot_pull.h"
#include "node/tile_store.h"
#include "rpc/server.h"

struct service {
    struct alloc *alloc;
    struct clock *clock;
    struct rng *rng;
    const struct config *config;
    struct engine *engine;
    struct tile_store *tiles;
    struct signer *signer;
    struct fault *fault;
    struct applied *applied;
    struct applier *applier;
    struct driver *driver;
    struct snapshot_pull *pull;
    struct backups *backups; /* NULL: none are configured */
    struct rpc_loop *loop;   /* the clients' */
    /* appends that came in this turn of the loop: handed to the driver at its end, all at once */
    struct proposal *proposals;
    struct proposal **proposals_last;
    struct rpc_late propose;
    struct executor *readers; /* runs what reads */
    atomic_uint requests;     /* reading calls that have not ended */
};

enum status service_log_register(struct service *service, struct rpc_server *server,
                                 struct error *err) MUST_USE;
enum status service_proof_register(struct service *service, struct rpc_server *server,
                                   struct error *err) MUST_USE;
enum status service_audit_register(struct service *service, struct rpc_server *server,
                                   struct error *err) MUST_USE;
enum status service_cluster_register(struct service *service, struct rpc_server *server,
                                     struct error *err) MUST_USE;

/* The streaming handlers of the Log service (service_read.c). */
void service_read(void *context, struct rpc_server_call *call, const ProtobufCMessage *message);
void service_history(void *context, struct rpc_server_call *call, const ProtobufCMessage *message);
void service_count(void *context, struct rpc_server_call *call, const ProtobufCMessage *message);

/* The deep audit (service_deep.c). */
void service_deep(void *context, struct rpc_server_call *call, const ProtobufCMessage *message);

#endif
