/* SPDX-License-Identifier: Apache-2.0
 *
 * Progress: what a leader knows of each member, and the members as a set with
 * its quorums. Everything that counts a quorum goes through here: voters count,
 * learners and those who leave are only sent to.
 *
 *     match < next; (match, next) is in flight
 *
 *     PROBE ──reply agrees──▶ REPLICATE        any ──needs purged entries──▶ SNAPSHOT
 *       ▲───reply rejects─────────┘
 *
 * Part of the core: one thread, no I/O.
 */
#ifndef ESTREAT_RAFT_PROGRESS_H
#define ESTREAT_RAFT_PROGRESS_H

#include "base/limits.h"
#include "raft/raft.h"

/* One APPEND that is under way. */
struct raft_flight {
    uint64_t last_index;
    size_t bytes;
};

enum raft_ballot {
    RAFT_BALLOT_NONE,
    RAFT_BALLOT_GRANTED,
    RAFT_BALLOT_REFUSED,
};

struct raft_progress {
    uint64_t id;
    bool voter;
    uint64_t leave_index; /* 0: a member; else removed by this entry, which it is to learn of */
    uint64_t leave_tick;  /* since when */
    uint64_t match;
    uint64_t next;
    uint64_t applied;
    uint64_t contact_tick; /* when it was last heard of */
    uint64_t commit_sent;  /* the highest commit index it was told and may act on */
    uint64_t round;        /* the last read round that it has confirmed */
    enum raft_peer_state state;
    enum raft_ballot ballot; /* in the election under way; one a member, however often sent */

    bool heard;          /* in this term, so that contact_tick is more than a grace */
    bool probe_sent;     /* PROBE: a reply is awaited */
    uint64_t probe_tick; /* since when */
    bool check_due;      /* REPLICATE: have the peer compare its log, and say what has arrived */
    bool heartbeat_due;  /* with the next ready */

    bool loading;     /* a load was given out, or its answer waits in `loaded` */
    bool load_failed; /* it is asked for again with the next heartbeat */
    struct raft_entry **loaded;
    size_t loaded_count;
    size_t loaded_capacity;

    struct raft_flight *flights; /* ring of inflight_messages_max; NULL until it is sent to */
    size_t flight_first;
    size_t flight_count;
    size_t flight_bytes;
};

struct raft_members {
    struct alloc *alloc;
    size_t count;
    size_t flights_max;
    struct raft_progress of[RAFT_PEERS_MAX]; /* ascending by id */
};

void raft_members_init(struct raft_members *members, struct alloc *alloc, size_t flights_max);
void raft_members_release(struct raft_members *members);

/* Makes them those of `membership`; who stays keeps what is known of him. With leave_index a
 * member that is gone is kept as leaving (a leader's removal), else dropped. */
void raft_members_set(struct raft_members *members, const struct raft_membership *membership,
                      uint64_t leave_index, uint64_t last_index, uint64_t now);

/* Drops who was leaving, if he has learned of it or has had until `tick`. */
void raft_members_part(struct raft_members *members, uint64_t tick);

/* True if messages to this one can be kept count of; false if there is no memory. */
bool raft_members_track(struct raft_members *members, struct raft_progress *progress);

/* NULL if `id` is not a member. */
struct raft_progress *raft_members_find(struct raft_members *members, uint64_t id);

bool raft_members_is_voter(struct raft_members *members, uint64_t id);
size_t raft_members_voters(const struct raft_members *members);

/* More than half of the voters. */
size_t raft_members_quorum(const struct raft_members *members);

/* The largest index that a quorum has: `match` of each voter, and `own` for member `id`. */
uint64_t raft_members_quorum_match(const struct raft_members *members, uint64_t id, uint64_t own);

/* The smallest index that all members have which were heard of at tick `since` or later, with `own`
 * for member `id`; with `since` 0 all count. */
uint64_t raft_members_least_match(const struct raft_members *members, uint64_t id, uint64_t own,
                                  uint64_t since);

/* How many voters have this ballot. */
size_t raft_members_ballots(const struct raft_members *members, enum raft_ballot ballot);
void raft_members_clear_ballots(struct raft_members *members);

/* A new leader knows nothing of its peers but that they may be asked after `last_index`. */
void raft_progress_reset(struct raft_progress *progress, uint64_t last_index, uint64_t now);

/* What a reply says of applying: messages overtake each other, so the largest holds; but one that
 * applied nothing any more and does again was started anew. */
void raft_progress_applied(struct raft_progress *progress, uint64_t applied);

/* To PROBE from `next` on: nothing counts as in flight any more. `next` > match. */
void raft_progress_probe(struct raft_progress *progress, uint64_t next);
void raft_progress_replicate(struct raft_progress *progress);

/* Entries up to `last_index` are under way in one more message; there must be room for it. */
void raft_progress_sent(struct raft_progress *progress, size_t flights_max, uint64_t last_index,
                        size_t bytes);

/* The peer has everything up to `index`. Returns true if that is news. */
bool raft_progress_acknowledged(struct raft_progress *progress, size_t flights_max, uint64_t index);

/* Drops what was loaded for the peer, and forgets a load under way. */
void raft_progress_drop_loaded(struct raft_progress *progress);

#endif
