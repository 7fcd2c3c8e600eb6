/* SPDX-License-Identifier: Apache-2.0
 *
 * Peers: the connections to the other members, and the listener for theirs. A
 * node sends on the channels that it opened and receives on those that the
 * others opened. Raft's messages are one-way calls; what cannot be sent now is
 * dropped, since Raft repeats it.
 *
 * They have a loop thread of their own, so that clients' load does not delay
 * heartbeats; the driver takes its turns there, too (turns.h). Received messages
 * are converted and pushed to it.
 */
#ifndef ESTREAT_NODE_PEERS_H
#define ESTREAT_NODE_PEERS_H

#include "node/config.h"
#include "node/incarnation.h"
#include "node/members.h"
#include "node/peer_message.h"
#include "node/snapshot_source.h"

struct peers;

struct peers_options {
    struct alloc *alloc;
    const struct config *config; /* borrowed, as all that follows */
    struct rpc_loop *loop;
    struct intake_queue *intake; /* the driver's */
    struct incarnations *incarnations;
    struct snapshot_source *snapshots; /* what other members may pull */
    /* Told on the loop's thread, over and over, where a node is that writes to this one. */
    void (*on_met)(void *context, uint64_t raft_id, const char *endpoint);
    void *context;
};

/* Binds the peer port of this node. Returns owned. UNAVAILABLE if the port is in use. */
enum status peers_open(const struct peers_options *options, struct peers **out,
                       struct error *err) MUST_USE;

/* Ends connections and listener. Not on the loop's thread. NULL is allowed. */
void peers_close(struct peers *peers);

/* The bound port: the configured one, or what the system chose for port 0. */
uint16_t peers_port(const struct peers *peers);

/* Connects to these, and to nobody else that it was given before. On the loop's thread. */
void peers_set(struct peers *peers, const struct members *members);

/* On the loop's thread. False if it was dropped. */
bool peers_send(struct peers *peers, const struct raft_message *message,
                const struct peer_news *news);

#endif
