/* SPDX-License-Identifier: Apache-2.0
 *
 * Service_snapshot: the Snapshot service, on the listener for peers. Its calls are handed
 * to the source, which answers on another thread.
 */
#ifndef ESTREAT_NODE_SERVICE_SNAPSHOT_H
#define ESTREAT_NODE_SERVICE_SNAPSHOT_H

#include "node/snapshot_source.h"
#include "rpc/server.h"

/* Before the server's start. Borrows the source until the server is closed and the source has
 * answered. */
enum status service_snapshot_register(struct snapshot_source *source, struct rpc_server *server,
                                      struct error *err) MUST_USE;

#endif
