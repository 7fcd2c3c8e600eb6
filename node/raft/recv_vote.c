/* SPDX-License-Identifier: Apache-2.0
 *
 * PRE_VOTE, VOTE and their replies (Raft paper 5.2, 5.4.1; dissertation 9.6). The caller has
 * dealt with terms: see raft_receive.
 */
#include "base/check.h"
#include "raft/core.h"

/* 5.4.1: the later last term wins, then the longer log. What is not yet durable counts too: it
 * makes this node choosier, never less so. */
static bool is_up_to_date(const struct raft *raft, const struct raft_message *message)
{
    if (PLANTED(VOTE_BLIND)) {
        return true;
    }
    uint64_t last_term = raft_log_last_term(&raft->log);
    if (message->log_term != last_term) {
        return message->log_term > last_term;
    }
    return message->index >= raft->log.last_index;
}

static bool must_refill(const struct raft *raft)
{
    return raft_is_refilling(raft) && !PLANTED(VOTE_UNFILLED);
}

/* True if this node's vote in its present term may go to `from`: it has gone nowhere else, and that
 * term has no leader as far as this node knows. */
static bool may_vote_for(const struct raft *raft, uint64_t from)
{
    return raft->hard.vote == from || (raft->hard.vote == 0 && raft->leader == 0);
}

void raft_receive_pre_vote(struct raft *raft, const struct raft_message *message)
{
    CHECK(message->type == RAFT_MESSAGE_PRE_VOTE);
    /* Diss. 9.6 asks whether this node would vote for the sender. It would in a term to come, and
     * in the present one if its vote is free: the sender may not have heard of that term yet, and a
     * no would make it wait for another timeout. */
    bool may = message->term > raft->hard.term ||
               (message->term == raft->hard.term && may_vote_for(raft, message->from));
    bool granted =
        may && !raft_in_lease(raft) && !must_refill(raft) && is_up_to_date(raft, message);
    /* A yes repeats the term asked for, a no tells the own one, so that the sender catches up. */
    raft_send(raft, (struct raft_message){
                        .type = RAFT_MESSAGE_PRE_VOTE_REPLY,
                        .to = message->from,
                        .term = granted ? message->term : raft->hard.term,
                        .reject = !granted,
                    });
}

void raft_receive_vote(struct raft *raft, const struct raft_message *message)
{
    CHECK(message->type == RAFT_MESSAGE_VOTE);
    CHECK(message->term <= raft->hard.term);
    bool may = message->term == raft->hard.term && may_vote_for(raft, message->from);
    may = may || (PLANTED(VOTE_TWICE) && message->term == raft->hard.term && raft->leader == 0 &&
                  raft->role == RAFT_FOLLOWER);
    bool granted = may && !must_refill(raft) && is_up_to_date(raft, message);
    if (granted && raft->hard.vote == 0) {
        CHECK(raft->role == RAFT_FOLLOWER || raft->role == RAFT_PRE_CANDIDATE);
        raft_become_follower(raft, raft->hard.term, 0);
        raft->hard.vote = message->from;
    }
    if (granted) {
        raft->election_elapsed = 0;
    }
    /* Leaves only when term and vote are durable (raft_ready). */
    raft_send(raft, (struct raft_message){
                        .type = RAFT_MESSAGE_VOTE_REPLY,
                        .to = message->from,
                        .term = raft->hard.term,
                        .reject = !granted,
                    });
}

enum status raft_receive_vote_reply(struct raft *raft, const struct raft_message *message,
                                    struct error *err)
{
    bool pre = message->type == RAFT_MESSAGE_PRE_VOTE_REPLY;
    enum raft_role awaited = pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE;
    uint64_t asked = raft->hard.term + (pre && !message->reject ? 1 : 0);
    if (raft->role != awaited || message->term != asked) {
        return STATUS_OK;
    }
    struct raft_progress *progress = raft_members_find(&raft->members, message->from);
    CHECK(progress != NULL);
    if (progress->ballot == RAFT_BALLOT_NONE) {
        progress->ballot = message->reject ? RAFT_BALLOT_REFUSED : RAFT_BALLOT_GRANTED;
    }
    return raft_count_ballots(raft, err);
}
