/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads: the driver's part of linearizable reads (Raft dissertation, 6.4).
 * Barriers that come in together share one round of the core's ReadIndex; when
 * the core answers the round, each barrier waits until that index is applied.
 * Without a leader they wait for one, up to their deadline.
 *
 * The driver's turns only.
 */
#ifndef ESTREAT_NODE_READS_H
#define ESTREAT_NODE_READS_H

#include "node/applied.h"
#include "node/intake.h"
#include "raft/raft.h"

/* A read that must see everything acknowledged before it. */
struct read_barrier {
    struct intake intake; /* first */
    uint64_t deadline_ns; /* monotonic */
    /* Called once, on the driver's or the applier's thread: it only hands on. */
    void (*ready)(struct read_barrier *barrier, enum status status, const char *text);
    /* ours */
    struct applied_wait wait;
    uint64_t round; /* 0: not asked yet */
    uint64_t asked_ns;
    struct read_barrier *next;
};

struct reads {
    struct applied *applied;
    struct read_barrier *waiting; /* in rounds, and those without */
    uint64_t round;
    bool any_new;
};

void reads_init(struct reads *reads, struct applied *applied);

/* Takes the barrier until `ready`. */
void reads_add(struct reads *reads, struct read_barrier *barrier);

/* After a turn's intake: asks the core for all barriers that are in no round. */
void reads_ask(struct reads *reads, struct raft *raft, uint64_t now_ns);

/* The core answered a round. */
void reads_answer(struct reads *reads, const struct raft_read_state *state);

/* Now and then: ends barriers past their deadline, and asks again for those whose round got no
 * answer for `patience_ns`. */
void reads_tick(struct reads *reads, uint64_t now_ns, uint64_t patience_ns);

/* Ends all. */
void reads_close(struct reads *reads);

#endif
