/* SPDX-License-Identifier: Apache-2.0
 *
 * Member_clocks: the time of day as the voters' clocks have it (design 3). Every message from
 * another member says what its clock shows; from there it is taken to go on as this node's
 * monotonic clock does, also while the member is silent.
 *
 * This node's own clock counts as long as it is within CLOCK_DIFFERENCE_NS_MAX of the median; else,
 * and until it is within half of that, the median does, the earlier one of two. So one wrong clock,
 * this node's or another's, neither runs ahead of the others nor, where three are known at least,
 * holds back the time. Of two that differ nobody can tell which is wrong: time may then stand
 * still.
 *
 * The driver's turns only.
 */
#ifndef ESTREAT_NODE_MEMBER_CLOCKS_H
#define ESTREAT_NODE_MEMBER_CLOCKS_H

#include "base/clock.h"
#include "node/members.h"

/* Far more than a message is under way, and than clocks differ that are kept in step. */
#define CLOCK_DIFFERENCE_NS_MAX NS_PER_S

struct member_clock {
    uint64_t raft_id;   /* 0: nobody's */
    uint64_t offset_ns; /* of its time of day from this node's monotonic time; wraps */
};

struct member_clocks {
    struct clock *clock;
    const struct members *members;
    uint64_t self;
    struct member_clock of[RAFT_PEERS_MAX];
    bool differs; /* this node's clock does; it was logged */
};

/* Borrows clock and members. `self` is this node's Raft number. */
void member_clocks_init(struct member_clocks *clocks, struct clock *clock,
                        const struct members *members, uint64_t self);

/* A member's clock shows `time_ns`. 0 (it did not say), and who is no member, are ignored. */
void member_clocks_heard(struct member_clocks *clocks, uint64_t raft_id, uint64_t time_ns);

/* Logs when, as it is asked, this node's clock has begun to differ from the others', and when it no
 * longer does. */
uint64_t member_clocks_now_ns(struct member_clocks *clocks);

#endif
