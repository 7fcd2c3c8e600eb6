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
#include "node/members.h"
#include "node/snapshot.h"
#include "rpc/loop.h"

struct snapshot_link_rpc;

/* Borrows the configuration. *link is a part of *out. Nothing can be asked yet. Returns owned. */
enum status snapshot_link_rpc_new(struct alloc *alloc, const struct config *config,
                                  struct snapshot_link_rpc **out, struct snapshot_link **link,
                                  struct error *err) MUST_USE;

/* From now on it asks on this loop, and says which run of which directory it is (incarnation.h),
 * until it is closed. Borrows both. Before anybody asks. */
enum status snapshot_link_rpc_use(struct snapshot_link_rpc *rpc, struct rpc_loop *loop,
                                  const char *instance, struct error *err) MUST_USE;

/* Any thread: see ways_set() and ways_meet(). */
void snapshot_link_rpc_set(struct snapshot_link_rpc *rpc, const struct members *members);
void snapshot_link_rpc_meet(struct snapshot_link_rpc *rpc, uint64_t raft_id, const char *endpoint);

/* Nobody asks any more: ends all questions, whose `done` have been called when this returns. Not on
 * the loop's thread. NULL is allowed. */
void snapshot_link_rpc_close(struct snapshot_link_rpc *rpc);

/* After the close. NULL is allowed. */
void snapshot_link_rpc_free(struct snapshot_link_rpc *rpc);

#endif
