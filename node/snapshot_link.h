/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshot_link: the way to other members' snapshots over RPC: a connection to the peer
 * port of its own for each member that is asked, so that nothing else waits behind the
 * pieces, opened when it is first asked. Not on the loop of the other connections between nodes
 * either.
 */
#ifndef ESTREAT_NODE_SNAPSHOT_LINK_H
#define ESTREAT_NODE_SNAPSHOT_LINK_H

#include "node/config.h"
#include "node/snapshot.h"
#include "rpc/loop.h"

struct snapshot_link_rpc;

/* Borrows the configuration. *link is a part of *out. Nothing can be asked yet. Returns owned. */
enum status snapshot_link_rpc_new(struct alloc *alloc, const struct config *config,
                                  struct snapshot_link_rpc **out, struct snapshot_link **link,
                                  struct error *err) MUST_USE;

/* From now on it asks on this loop, until it is closed. */
void snapshot_link_rpc_use(struct snapshot_link_rpc *rpc, struct rpc_loop *loop);

/* Nobody asks any more: ends all questions, whose `done` have been called when this returns. Not on
 * the loop's thread. NULL is allowed. */
void snapshot_link_rpc_close(struct snapshot_link_rpc *rpc);

/* After the close. NULL is allowed. */
void snapshot_link_rpc_free(struct snapshot_link_rpc *rpc);

#endif
