/* SPDX-License-Identifier: Apache-2.0
 *
 * Core: the state behind raft.h, and what its files call of each other. Nobody
 * outside this folder includes it.
 *
 *     raft.c             life, dispatch of inputs, questions
 *     ready.c            what is given out
 *     election.c         roles, terms and timers
 *     recv_vote.c        PRE_VOTE, VOTE and their replies
 *     recv_append.c      APPEND on a follower, and its acknowledgement
 *     replication.c      APPENDs to followers, their replies, commit
 *     recv_heartbeat.c   HEARTBEAT and its reply
 *     read_index.c       READ_INDEX and its reply
 *     transfer.c         TIMEOUT_NOW
 *     change.c           changes of the membership
 *     refill.c           a log that was damaged, and lost its end
 *     progress.c, log.c, changes.c   members, log, and what the log says of the members
 */
#ifndef ESTREAT_RAFT_CORE_H
#define ESTREAT_RAFT_CORE_H

#include "base/plant.h"
#include "raft/changes.h"
#include "raft/log.h"
#include "raft/progress.h"
#include "raft/raft.h"

/* A read that waits: for a member (this node's own driver, or a follower's core). */
struct raft_pending_read {
    uint64_t from;
    uint64_t context;
};

/* Reads wait in order of arrival; the first `in_round` of them are in the round under way, the
 * others go with the next one. A leader's round is confirmed by heartbeats of a quorum, a
 * follower's by the leader's answer. */
struct raft_reads {
    struct raft_pending_read *pending;
    size_t count;
    size_t capacity;
    size_t in_round;
    uint64_t round;       /* its number; begins anywhere, so that no restart repeats one */
    uint64_t round_index; /* leader: the commit index when the round began */
    uint64_t round_tick;  /* follower: when it was sent */
};

struct raft_reference {
    struct raft_entry **entries; /* each with a reference */
    size_t count;
    size_t capacity;
};

struct raft_outbox {
    struct raft_message *messages;
    size_t count;
    size_t capacity;
};

/* What a ready points to, until the next one. */
struct raft_given {
    struct raft_reference entries; /* those to store, then those of the messages in order */
    size_t store_count;
    struct raft_outbox messages;
    struct raft_read_state *reads;
    size_t read_count;
    size_t read_capacity;
    struct raft_load *loads;
    size_t load_count;
    size_t load_capacity;
};

struct raft {
    struct alloc *alloc;
    struct rng *rng;
    uint64_t id;
    unsigned election_ticks;
    unsigned heartbeat_ticks;
    size_t message_bytes_max;
    size_t inflight_bytes_max;
    size_t cache_bytes_max;

    enum raft_role role;
    uint64_t leader;              /* 0: not known */
    struct raft_hard_state hard;  /* now */
    struct raft_hard_state given; /* last given to storage */
    struct raft_hard_state safe;  /* durable */
    struct raft_soft_state soft_given;
    bool electable;

    struct raft_log log;
    uint64_t commit;
    uint64_t commit_given;
    uint64_t applied;
    bool applies_nothing;
    uint64_t retain;         /* every member has the log durably up to here */
    uint64_t store_sequence; /* of the last ready with something to store */

    struct raft_changes changes; /* who belongs to the cluster */
    struct raft_members members; /* what is known of each */

    /* Follower: what it may tell this term's leader. */
    uint64_t checked;         /* equal to the leader's log up to here */
    uint64_t acknowledged;    /* the last index it has told it */
    uint64_t snapshot_wanted; /* to be told with the next ready; 0: none */
    bool reply_due;
    bool refill_fed;      /* an APPEND has come in since the last heartbeat */
    bool refilled_news;   /* for the next ready */
    bool membership_news; /* for the next ready: another one is in force */

    uint64_t refill_index; /* 0: the log has not lost anything */
    uint64_t refill_term;

    uint64_t now;              /* ticks since the start */
    unsigned election_elapsed; /* ticks since the leader was heard of, or a campaign began */
    unsigned election_timeout;
    unsigned heartbeat_elapsed;

    uint64_t transfer_target; /* 0: none */
    uint64_t transfer_index;  /* once it has so much, proposals are refused; 0: they are */
    unsigned transfer_elapsed;

    struct raft_reads reads;
    struct raft_read_state *reads_done; /* has room for every pending read */
    size_t reads_done_count;
    size_t reads_done_capacity;

    struct raft_outbox queue; /* messages without entries, waiting for a ready */
    uint64_t messages_dropped;
    struct raft_given out;
};

/* ---- raft.c ---- */

/* Fills in `from` and queues a copy; without room it is lost. */
void raft_send(struct raft *raft, struct raft_message message);

/* True if term and vote are durable: before that no message leaves. */
bool raft_hard_state_is_safe(const struct raft *raft);

/* ---- election.c ---- */

/* Follower in `term`; `leader` 0: not known. A newer term forgets vote and checked index. */
void raft_become_follower(struct raft *raft, uint64_t term, uint64_t leader);

enum raft_campaign {
    RAFT_CAMPAIGN_PRE_VOTE,
    RAFT_CAMPAIGN_VOTE,
    RAFT_CAMPAIGN_TRANSFER, /* at a leader's wish: breaks its lease */
};

MUST_USE enum status raft_campaign(struct raft *raft, enum raft_campaign kind, struct error *err);

/* Counts the ballots of the present (pre-)election and acts on a majority. */
MUST_USE enum status raft_count_ballots(struct raft *raft, struct error *err);

MUST_USE enum status raft_tick_election(struct raft *raft, struct error *err);

/* A leader that has not heard of a quorum within an election timeout stands back. */
void raft_check_quorum(struct raft *raft);

/* What replies say of applying. */
uint64_t raft_applied_to_tell(const struct raft *raft);

/* True while a leader is known to be alive, so that nobody needs another. */
bool raft_in_lease(const struct raft *raft);

/* `from` has shown itself as the leader of the present term. DATA_LOSS if there is another. */
MUST_USE enum status raft_follow(struct raft *raft, uint64_t from, struct error *err);

/* ---- one file a message ---- */

void raft_receive_pre_vote(struct raft *raft, const struct raft_message *message);
void raft_receive_vote(struct raft *raft, const struct raft_message *message);
MUST_USE enum status raft_receive_vote_reply(struct raft *raft, const struct raft_message *message,
                                             struct error *err);
MUST_USE enum status raft_check_append(const struct raft_message *message, struct error *err);
MUST_USE enum status raft_receive_append(struct raft *raft, const struct raft_message *message,
                                         struct error *err);
void raft_receive_append_reply(struct raft *raft, const struct raft_message *message);
MUST_USE enum status raft_receive_heartbeat(struct raft *raft, const struct raft_message *message,
                                            struct error *err);
void raft_receive_heartbeat_reply(struct raft *raft, const struct raft_message *message);
void raft_receive_read_index(struct raft *raft, const struct raft_message *message);
void raft_receive_read_index_reply(struct raft *raft, const struct raft_message *message);
MUST_USE enum status raft_receive_timeout_now(struct raft *raft, const struct raft_message *message,
                                              struct error *err);

/* ---- recv_append.c: the follower's acknowledgement ---- */

/* More has become durable: an acknowledgement may be due. */
void raft_acknowledge_stored(struct raft *raft);
/* Fills in the acknowledgement that is due, if there is one. */
bool raft_take_acknowledgement(struct raft *raft, struct raft_message *message);

/* ---- replication.c ---- */

/* Raises the leader's commit index as far as the quorum allows. */
void raft_advance_commit(struct raft *raft);
/* All that may be sent to followers now, into raft->out. */
void raft_replicate(struct raft *raft);
/* Followers that may apply more than they know of get a heartbeat. */
void raft_spread_commit(struct raft *raft);

/* ---- recv_heartbeat.c ---- */

void raft_broadcast_heartbeat(struct raft *raft);

/* ---- read_index.c ---- */

/* Begins the next round of reads if none is under way; sends what that takes. */
void raft_begin_read_round(struct raft *raft);
/* Releases the leader's round if a quorum has confirmed it. */
void raft_release_reads(struct raft *raft);
/* The leader has changed or is lost: this node's reads fail, followers' are dropped. */
void raft_fail_reads(struct raft *raft);
void raft_tick_reads(struct raft *raft);

/* ---- transfer.c ---- */

/* Of the target something new is known: see raft_transfer(). */
void raft_continue_transfer(struct raft *raft);
void raft_tick_transfer(struct raft *raft);

/* ---- change.c ---- */

/* What raft->changes says is in force now. leave_index: see raft_members_set. */
void raft_adopt_membership(struct raft *raft, uint64_t leave_index);
/* True if `id` has been removed for good. */
bool raft_knows_removed(const struct raft *raft, uint64_t id);

/* ---- refill.c ---- */

/* True: this node helps to elect nobody. */
bool raft_is_refilling(const struct raft *raft);
/* More was checked or has become durable: is the log whole again? */
void raft_check_refilled(struct raft *raft);
/* At a heartbeat of the leader's, which may not know what was lost. */
void raft_tell_loss(struct raft *raft, uint64_t leader);
/* Leader: the peer says that it has lost what it had acknowledged. Sets its progress back; false if
 * that is known already. */
bool raft_take_loss(struct raft *raft, struct raft_progress *progress,
                    const struct raft_message *message);

/* ---- ready.c ---- */

/* Room in what is being given out for one message and `entry_count` entries; false if there is
 * no memory. Then the entries go into raft->out.entries, and the message after them. */
bool raft_reserve_message(struct raft *raft, size_t entry_count);
void raft_give_message(struct raft *raft, struct raft_message message);
/* Drops the references of the last ready. */
void raft_let_go(struct raft *raft);

#endif
