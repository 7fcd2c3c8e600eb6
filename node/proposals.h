/* SPDX-License-Identifier: Apache-2.0
 *
 * Proposals: appends on their way into the Raft core: held back while that helps,
 * admitted or refused, given their time, and counted until they are applied.
 *
 * Admission is where a leader bounds its memory: calls that wait (pending.h) and
 * bytes that are proposed and not yet applied; and how far a quorum may lag in
 * applying (apply_lag.h). Past a bound, and on a full disk, the answer is
 * RESOURCE_EXHAUSTED at once.
 *
 * The driver's turns only.
 */
#ifndef ESTREAT_NODE_PROPOSALS_H
#define ESTREAT_NODE_PROPOSALS_H

#include "base/clock.h"
#include "base/rng.h"
#include "node/apply_lag.h"
#include "node/config.h"
#include "node/intake.h"
#include "node/log_writer.h"
#include "node/member_clocks.h"
#include "node/members.h"
#include "node/pending.h"
#include "node/replier.h"
#include "raft/raft.h"
#include "schema/log.pb-c.h"

/* One append. Whoever ends it answers the call, drops the entry and frees it. */
struct proposal {
    struct intake intake; /* first */
    struct alloc *alloc;  /* frees it */
    struct append_call *call;
    struct raft_entry *entry; /* APPEND without its time */
    struct proposal *next;    /* those that came together are handed over as one list */
};

/* Checks a request and makes a proposal of it, whose bytes do not change from here on but for the
 * time. Returns owned. INVALID_ARGUMENT says what is wrong; RESOURCE_EXHAUSTED without memory. Any
 * thread. */
enum status proposal_new(struct alloc *alloc, const Estreat__V1__AppendRequest *request, bool salt,
                         struct rng *rng, struct append_call *call, struct proposal **out,
                         struct error *err) MUST_USE;

struct proposals {
    struct clock *clock;
    struct member_clocks *clocks; /* for the times of events */
    const struct config *config;
    const struct members *members;
    struct raft *raft;
    struct log_writer *log;
    struct pending *pending;
    struct replier *replier;
    struct proposal *held_first; /* until the WAL group under way is done */
    struct proposal **held_last;
    size_t held_bytes;
    uint64_t held_since_ns; /* when the first of them came */
    uint64_t term;
    uint64_t last_index;      /* proposed in `term`; 0: nothing, or it leads no more */
    struct apply_lag own;     /* of this node, in `term` */
    struct apply_lag quorums; /* of a quorum, in `term` */
    uint64_t leader;          /* Raft number; 0: none is known */
    bool leads;               /* this node */
    bool closed;              /* the node is stopping: nothing more is admitted */
    bool low_space;
    bool stands; /* the applier does: nothing more is admitted */
};

/* Borrows all. */
void proposals_init(struct proposals *proposals, struct member_clocks *clocks,
                    const struct config *config, const struct members *members, struct raft *raft,
                    struct log_writer *log, struct pending *pending, struct replier *replier);

/* Takes the list. */
void proposals_add(struct proposals *proposals, struct proposal *first);

/* Proposes what is held, unless a WAL group is under way and little waits, and not for long. */
void proposals_go(struct proposals *proposals);

/* When proposals_go() is to be called again at the latest; UINT64_MAX: nothing is held. */
uint64_t proposals_due_ns(const struct proposals *proposals);

/* Refuses what is held: the node has stopped. */
void proposals_refuse_held(struct proposals *proposals);

/* Who leads changed. Calls whose entries are in the log fail: their outcome is unknown. */
void proposals_set_leader(struct proposals *proposals, bool leads, uint64_t leader);

/* True if something that it proposed is not yet applied here. */
bool proposals_wait(const struct proposals *proposals);

/* The applier stands (applier.h): nobody who waits for it is answered by it, and nobody shall. */
void proposals_stand(struct proposals *proposals);

/* Fails all calls that wait, as when leadership is lost. */
void proposals_fail_pending(struct proposals *proposals);

#endif
