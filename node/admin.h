/* SPDX-License-Identifier: Apache-2.0
 *
 * Admin: the driver's part of what operators ask for: changes of the membership and
 * transfers of leadership; and what a leader does by itself: a learner that has
 * caught up becomes a voter, a node that stops or is damaged hands leadership over.
 *
 * A change is answered when its entry is committed, a transfer when the other node
 * leads. Only the leader can do either; others say who that is.
 *
 * The driver's turns only.
 */
#ifndef ESTREAT_NODE_ADMIN_H
#define ESTREAT_NODE_ADMIN_H

#include "node/intake.h"
#include "node/members.h"
#include "node/replier.h"
#include "raft/raft.h"

enum admin_kind {
    ADMIN_ADD,      /* `member` as a learner */
    ADMIN_PROMOTE,  /* the learner with member.id becomes a voter now */
    ADMIN_REMOVE,   /* member.id */
    ADMIN_TRANSFER, /* leadership to member.id; "": to whoever has most of the log */
};

struct admin_request {
    struct intake intake; /* first; INTAKE_ADMIN */
    enum admin_kind kind;
    struct config_member member;
    uint64_t deadline_ns; /* monotonic */
    /* Called once, in a turn: it only hands on. NULL: it is done. Valid during the call. */
    void (*done)(struct admin_request *request, const struct append_failure *failure);
    /* ours */
    uint64_t index; /* a change: of its entry */
    uint64_t term;
    uint64_t heir; /* a transfer: who is to lead */
    struct admin_request *next;
};

struct admin {
    struct alloc *alloc;
    struct raft *raft;
    const struct config *config;
    const struct members *members;
    struct admin_request *waiting;
    /* The log's last one when learners were last looked at; UINT64_MAX: it did not lead. */
    uint64_t looked_index;
    /* With whom a hand-over was tried, in vain, until it has been with all. */
    uint64_t heirs[RAFT_PEERS_MAX];
    size_t heir_count;
};

void admin_init(struct admin *admin, struct alloc *alloc, struct raft *raft,
                const struct config *config, const struct members *members);

/* Takes the request until `done`. */
void admin_add(struct admin *admin, struct admin_request *request);

/* Once a turn: ends what is settled, or past its deadline. */
void admin_settle(struct admin *admin, uint64_t commit, uint64_t now_ns);

/* Now and then: a leader promotes a learner that has caught up. */
void admin_promote(struct admin *admin);

/* Begins to hand leadership over to the voter that has most of the log among those that answer,
 * the next time to another, until it has been all of them. False: there is none, or this node does
 * not lead. */
bool admin_hand_over(struct admin *admin);

/* True if whom it would be handed to next did not take it before: all have been tried. */
bool admin_tried_all(const struct admin *admin);

/* Ends all. */
void admin_close(struct admin *admin);

#endif
