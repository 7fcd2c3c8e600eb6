/* SPDX-License-Identifier: Apache-2.0
 *
 * Duties: whether this node should lead. Who is damaged, waits for its disk or has much
 * to apply still stores and votes, but does not campaign; who leads and is damaged,
 * waits for its disk or is about to end hands leadership over, again and again until
 * somebody takes it. Alone it has no choice.
 *
 * The driver's turns only.
 */
#ifndef ESTREAT_NODE_DUTIES_H
#define ESTREAT_NODE_DUTIES_H

#include "node/admin.h"
#include "node/applied.h"
#include "node/fault.h"
#include "node/proposals.h"

struct duties {
    const struct config *config;
    const struct members *members;
    struct raft *raft;
    struct admin *admin;
    const struct proposals *proposals;
    struct applied *applied;
    struct fault *fault;
    uint64_t found_index; /* the log's last one at the start */
    uint64_t others_first_until_ns;
    bool faulty;                 /* what is stored here is damaged */
    bool stalled;                /* the disk does not answer */
    uint64_t busy_since_ns;      /* the write to the log under way; 0: none is */
    bool leaving;                /* it is to lead no more */
    bool handed_over;            /* or nobody is there to take it */
    uint64_t hand_over_at_ns;    /* whatever is not answered, if it is leaving */
    uint64_t hand_over_again_ns; /* if it was handed over */
    uint64_t leave_at_ns;        /* whoever leads, if it is leaving */
};

/* Borrows all. `found_index`: of the log's last entry at the start. */
void duties_init(struct duties *duties, const struct config *config, const struct members *members,
                 struct raft *raft, struct admin *admin, const struct proposals *proposals,
                 struct applied *applied, struct fault *fault, uint64_t found_index,
                 uint64_t now_ns);

/* A write to the log is under way from now on, unless one was; or none is. */
void duties_log_busy(struct duties *duties, uint64_t now_ns);
void duties_log_idle(struct duties *duties);

/* At each tick. `commit`: as far as it is known. */
void duties_watch(struct duties *duties, uint64_t commit, uint64_t now_ns);

/* In each turn: a leader that should not be one hands over. */
void duties_hand_over(struct duties *duties, bool leads, uint64_t now_ns);

/* The node is to lead no more. It hands over, also what it comes to later, when the appends that it
 * took are answered, or soon. */
void duties_leave(struct duties *duties, uint64_t now_ns);

/* It was to lead no more, and does not, or nobody takes over. */
bool duties_left(const struct duties *duties, bool leads, uint64_t now_ns);

#endif
