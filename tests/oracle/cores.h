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
    struct node nodes[NODES_MAX];
    struct network links[NODES_MAX][NODES_MAX]; /* [from - 1][to - 1] */
    bool cut[NODES_MAX][NODES_MAX];
    uint64_t leads[NODES_MAX];           /* the term that the node leads; 0: none */
    uint64_t transfer_target[NODES_MAX]; /* of the last raft_transfer */
    uint64_t digests[NODES_MAX];         /* of what is applied */
    bool slow_disks;
    struct raft_options options;
    struct rng_seeded rng;
    struct facts facts;
};

/* `count` empty nodes that run. With `entry_messages` each message takes one entry. With
 * `slow_disks` nothing is durable before all else that a command causes has been done. */
void cores_init(struct cores *cores, size_t count, bool entry_messages, bool slow_disks);
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
/* Prints "stable" or "unstable". */
void cores_stabilize(struct cores *cores);
/* Prints one line a node. */
void cores_status(struct cores *cores);

#endif
