/* SPDX-License-Identifier: Apache-2.0
 *
 * Cores: a cluster of our Raft cores under the rules that both programs of this folder keep
 * (README.md): disks are done when a command is, a link holds messages until they are delivered,
 * no election begins by itself. Each difference from etcd's core that is bridged here is printed as
 * "allowed REASON". One thread.
 */
#ifndef ESTREAT_TESTS_ORACLE_CORES_H
#define ESTREAT_TESTS_ORACLE_CORES_H

#include "cluster.h"
#include "facts.h"

#define CORES_ELECTION_TICKS 128U
/* No timeout is longer, no lease outlives it. */
#define CORES_EXPIRED_TICKS (2ULL * CORES_ELECTION_TICKS)

struct cores {
    size_t count;
    size_t voters; /* the first so many are members from the start, the others wait */
    struct node nodes[NODES_MAX];
    struct network links[NODES_MAX][NODES_MAX]; /* [from - 1][to - 1] */
    bool cut[NODES_MAX][NODES_MAX];
    uint64_t leads[NODES_MAX];   /* the term that the node leads; 0: none */
    uint64_t digests[NODES_MAX]; /* of what is applied */
    bool removed[NODES_MAX];
    bool slow_disks;
    struct raft_options options;
    struct rng_seeded rng;
    struct facts facts;
};

/* `count` empty nodes that run; the first `voters` are the cluster, the others wait to be added.
 * With `entry_messages` each message takes one entry. With `slow_disks` nothing is durable before
 * all else that a command causes has been done. */
void cores_init(struct cores *cores, size_t count, size_t voters, bool entry_messages,
                bool slow_disks);
void cores_release(struct cores *cores);

/* The commands; README.md says what they do. Ids are those of nodes. */
void cores_campaign(struct cores *cores, uint64_t id);
void cores_tick(struct cores *cores, uint64_t id, uint64_t ticks);
/* Prints "accepted INDEX" or "refused". */
void cores_propose(struct cores *cores, uint64_t id, uint64_t number);
void cores_deliver_elections(struct cores *cores, uint64_t from, uint64_t to);
void cores_exchange(struct cores *cores, uint64_t a, uint64_t b, uint64_t entries_max);
void cores_repeat(struct cores *cores, uint64_t from, uint64_t to);
void cores_drop(struct cores *cores, uint64_t from, uint64_t to);
void cores_cut(struct cores *cores, uint64_t from, uint64_t to);
void cores_heal(struct cores *cores);
void cores_restart(struct cores *cores, uint64_t id);
void cores_transfer(struct cores *cores, uint64_t id, uint64_t target);
enum cores_change { CORES_ADD, CORES_PROMOTE, CORES_REMOVE };
/* Prints "changed INDEX", "refused" or "unheard". */
void cores_change(struct cores *cores, enum cores_change change, uint64_t id, uint64_t target);
/* Prints "stable" or "unstable". */
void cores_stabilize(struct cores *cores);
/* Prints one line a node. */
void cores_status(struct cores *cores);

/* What several files need. */

struct node *cores_node(struct cores *cores, uint64_t id);

/* Takes an entry without index for a node's core; all that follows at that node is done. False if
 * the core refuses it. */
bool cores_submit(struct cores *cores, uint64_t id, struct raft_entry *entry);
/* True if `node` goes by a membership in which `id` is a voter. */
bool cores_is_voter(const struct node *node, uint64_t id);

#endif
