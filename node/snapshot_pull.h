/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshot_pull: fetches another node's tables into DATA/incoming, for a node that lacks
 * log which its leader no longer has. It asks the leader, then the other members in
 * turn, until what it has staged is complete, durable, verified (snapshot_verify.h) and
 * reaches as far as the leader's log begins then.
 *
 * A few pieces are asked for at a time: that bounds the memory, whatever the size, and
 * is the flow control. What breaks off goes on: files that are there and have the right
 * hash are kept, the beginning of one too, whoever it came from, also over a restart of
 * the process.
 *
 * It is one job on the executor. Its clock is snapshot_pull_want(), which the driver
 * repeats with every heartbeat as long as the leader says so: a pull that failed begins
 * again then, and none begins without.
 */
#ifndef ESTREAT_NODE_SNAPSHOT_PULL_H
#define ESTREAT_NODE_SNAPSHOT_PULL_H

#include "base/clock.h"
#include "base/job.h"
#include "node/applied.h"
#include "node/config.h"
#include "node/members.h"
#include "node/snapshot.h"
#include "node/tile_store.h"

struct snapshot_pull;

struct snapshot_pull_options {
    struct alloc *alloc;
    struct clock *clock;
    struct fs *fs;
    const struct config *config; /* borrowed, as all that follows */
    struct executor *executor;
    struct snapshot_link *link;
    struct applied *applied;
    struct tile_store *tiles;
    /* Something is staged: the owner closes the replica and opens it again. On the executor. */
    void (*on_staged)(void *context);
    void *context;
};

/* Returns owned. */
enum status snapshot_pull_open(const struct snapshot_pull_options *options,
                               struct snapshot_pull **out, struct error *err) MUST_USE;

/* Any thread: this node needs a snapshot that reaches `least_index` at least; `leader` says so. Who
 * else may have one are the `members`, as far as this node knows them. */
void snapshot_pull_want(struct snapshot_pull *pull, const struct members *members, uint64_t leader,
                        uint64_t least_index);

/* Any thread, now and then: clears away what was staged and is no longer wanted. */
void snapshot_pull_poll(struct snapshot_pull *pull);

struct snapshot_progress {
    bool verifying;   /* all of it is there, and is checked */
    unsigned percent; /* of the bytes, or then of the events */
};

/* Any thread. False: nothing is being pulled. */
bool snapshot_pull_progress(struct snapshot_pull *pull, struct snapshot_progress *out);

/* Any thread: nothing is asked any more once this returns. NULL is allowed. */
void snapshot_pull_stop(struct snapshot_pull *pull);

/* After the executor is closed and the link gives no answers any more. False: nothing is staged;
 * else the last log index in it, and snapshot_commit() would install it. NULL is allowed. */
bool snapshot_pull_staged(const struct snapshot_pull *pull, uint64_t *index);

/* Likewise. NULL is allowed. */
void snapshot_pull_close(struct snapshot_pull *pull);

#endif
