/* SPDX-License-Identifier: Apache-2.0
 *
 * Ways: how other members are reached: a table id -> endpoint -> channel.
 *
 * Who is in the membership (ways_set) is where that says. The channel to one who has left it is
 * closed, and one whose address has changed gets another, so the table stays as small as the
 * membership, however many come and go. Besides those there are strangers: nodes that wrote to this
 * one (ways_meet) and are in no membership that it knows, such as the leader that adds it. They
 * are where they say; of more than WAYS_STRANGERS_MAX who was heard of the longest ago is
 * forgotten.
 *
 * Any thread may call but for ways_close(); a mutex is held meanwhile, also while ways_use() calls
 * back. A channel's callbacks come on the loop's thread, with its `struct way` as context, which
 * lives until the last of them; they must not call in here. Channels are closed on the loop,
 * after what this node was told already, so nobody waits for that but ways_close().
 */
#ifndef ESTREAT_NODE_WAYS_H
#define ESTREAT_NODE_WAYS_H

#include "node/config.h"
#include "node/members.h"
#include "rpc/channel.h"

#define WAYS_STRANGERS_MAX                                                                         \
    8U /* a leader that this node does not know, and some who claim to be one */

struct ways;

/* To one member, at one address: another address is another way. Does not change. */
struct way {
    uint64_t raft_id;
    char endpoint[ENDPOINT_BYTES_MAX + 1];
    void *context; /* the owner's */
};

struct ways_options {
    struct alloc *alloc;
    struct rpc_loop *loop; /* borrowed, as the channel's strings */
    uint64_t self;         /* to whom there is no way */
    /* Of every channel. The URL is filled in, and the context: a const struct way. */
    struct rpc_channel_options channel;
    bool at_once;  /* channels are opened before they are first used */
    void *context; /* of each way */
};

/* Returns owned. */
enum status ways_open(const struct ways_options *options, struct ways **out,
                      struct error *err) MUST_USE;

/* Closes all channels: their calls and callbacks have ended when this returns. Nobody calls any
 * more. Blocks; not on the loop's thread. NULL is allowed. */
void ways_close(struct ways *ways);

/* These are the members now. Who was one and is none any more is forgotten. */
void ways_set(struct ways *ways, const struct members *members);

/* Somebody wrote who says that it is this member, and there. The membership knows better. */
void ways_meet(struct ways *ways, uint64_t raft_id, const char *endpoint);

/* Calls `use` with the channel to that member, which is open and perhaps not connected yet, and
 * returns what it returns; false if there is none. `use` does not keep the channel. */
bool ways_use(struct ways *ways, uint64_t raft_id,
              bool (*use)(void *context, struct rpc_channel *channel), void *context);

/* How many ways there are. */
unsigned ways_count(struct ways *ways);

#endif
