/* SPDX-License-Identifier: Apache-2.0
 *
 * Peer_message: Raft's messages between nodes: as protobuf (proto/schema/raft.proto),
 * and as what a driver takes from its intake. Any thread; no state.
 */
#ifndef ESTREAT_NODE_PEER_MESSAGE_H
#define ESTREAT_NODE_PEER_MESSAGE_H

#include "node/applied.h"
#include "node/intake.h"
#include "raft/raft.h"
#include "schema/raft.pb-c.h"

/* What a node says of itself along with a message. */
struct peer_news {
    uint64_t clock_ns; /* its wall clock */
    bool tells_applied;
    struct applied_point applied; /* if so; its term is not told */
};

/* Freed with peer_message_free by whoever takes it from the queue. */
struct peer_message {
    struct intake intake; /* first */
    struct alloc *alloc;
    struct raft_message message; /* its entries are owned by this */
    struct peer_news news;       /* of the sender */
    struct raft_entry *entries[];
};

/* The connection to a member broke; whoever takes it frees it. */
struct peer_lost {
    struct intake intake;
    struct alloc *alloc; /* frees it */
    uint64_t peer;
};

/* Copies. Returns owned; NULL without memory or for more entries than a driver sends. */
struct peer_message *peer_message_new(struct alloc *alloc, const Estreat__V1__RaftMessage *wire);
void peer_message_free(struct peer_message *message);

/* The wire form; `out` is initialised. */
void peer_applied(const struct applied_point *applied, Estreat__V1__Applied *out);

/* Makes the wire form, which is valid during the call of `use`, and returns what that does. False
 * without memory. */
typedef bool (*peer_wire_fn)(void *context, const Estreat__V1__RaftMessage *wire);
bool peer_wire(const struct raft_message *message, const struct peer_news *news,
               struct alloc *alloc, peer_wire_fn use, void *context);

#endif
