/* SPDX-License-Identifier: Apache-2.0
 *
 * Election: roles, terms and timers (Raft paper 5.2, dissertation 9.6 for pre-vote, 6.2 for
 * check-quorum).
 */
#include "base/check.h"
#include "raft/core.h"

static void restart_timer(struct raft *raft)
{
    raft->election_elapsed = 0;
    raft->election_timeout =
        raft->election_ticks + (unsigned)rng_below(raft->rng, raft->election_ticks);
}

void raft_become_follower(struct raft *raft, uint64_t term, uint64_t leader)
{
    CHECK(term >= raft->hard.term);
    CHECK(leader != raft->id);
    bool stands_back = raft->role != RAFT_FOLLOWER;
    if (term > raft->hard.term) {
        raft->hard = (struct raft_hard_state){.term = term};
        raft->checked = 0;
        raft->acknowledged = 0;
        raft->reply_due = false;
        /* What waits to be sent speaks for a term that is over. */
        raft->queue.count = 0;
    }
    if (leader != raft->leader || stands_back) {
        raft_fail_reads(raft);
    }
    raft->role = RAFT_FOLLOWER;
    raft->leader = leader;
    raft->transfer_target = 0;
    raft_members_part(&raft->members, UINT64_MAX);
    raft_members_clear_ballots(&raft->members);
    /* A newer term alone does not put off this node's own campaign: only a leader, a vote given
     * or a try of its own does (5.2), else a node that cannot win could keep others from it. */
    if (leader != 0 || stands_back) {
        restart_timer(raft);
    }
}

enum status raft_follow(struct raft *raft, uint64_t from, struct error *err)
{
    if (raft->role == RAFT_LEADER || (raft->leader != 0 && raft->leader != from)) {
        return error_set(err, STATUS_CORRUPT, "nodes %llu and %llu both lead in term %llu",
                         (unsigned long long)raft->leader, (unsigned long long)from,
                         (unsigned long long)raft->hard.term);
    }
    if (raft->role != RAFT_FOLLOWER || raft->leader == 0) {
        raft_become_follower(raft, raft->hard.term, from);
    }
    raft->election_elapsed = 0;
    return STATUS_OK;
}

bool raft_in_lease(const struct raft *raft)
{
    if (raft->role == RAFT_LEADER) {
        return raft_members_voters(&raft->members) > 1; /* it checks its quorum at each tick */
    }
    return raft->leader != 0 && raft->election_elapsed < raft->election_ticks;
}

static void become_pre_candidate(struct raft *raft)
{
    CHECK(raft->role != RAFT_LEADER);
    /* Term and vote stay as they are: this only asks (dissertation 9.6). */
    raft->role = RAFT_PRE_CANDIDATE;
    raft->leader = 0;
    raft_members_clear_ballots(&raft->members);
    raft_members_find(&raft->members, raft->id)->ballot = RAFT_BALLOT_GRANTED;
}

static void become_candidate(struct raft *raft)
{
    CHECK(raft->role != RAFT_LEADER);
    raft_become_follower(raft, raft->hard.term + 1, 0);
    raft->role = RAFT_CANDIDATE;
    raft->hard.vote = raft->id;
    /* The own ballot is counted when it is durable (raft_hard_state_stored). */
    CHECK(raft_members_ballots(&raft->members, RAFT_BALLOT_GRANTED) == 0);
}

/* The no-op lets the leader commit what earlier terms left, which it must not do by counting
 * (5.4.2), and gives ReadIndex its floor (dissertation 6.4). */
static enum status become_leader(struct raft *raft, struct error *err)
{
    CHECK(raft->role == RAFT_CANDIDATE);
    CHECK(raft_hard_state_is_safe(raft));
    uint64_t last_index = raft->log.last_index;
    struct raft_entry *noop =
        raft_entry_new(raft->alloc, last_index + 1, raft->hard.term, RAFT_ENTRY_NOOP, 0);
    if (noop == NULL || !raft_log_reserve(&raft->log, 1)) {
        raft_entry_unref(noop);
        raft_become_follower(raft, raft->hard.term, 0);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to lead term %llu",
                         (unsigned long long)raft->hard.term);
    }
    raft->role = RAFT_LEADER;
    raft->leader = raft->id;
    raft->heartbeat_elapsed = 0;
    for (size_t i = 0; i < raft->members.count; i++) {
        raft_progress_reset(&raft->members.of[i], last_index, raft->now);
    }
    /* Its probes tell the others who leads. */
    raft_log_append(&raft->log, noop);
    return STATUS_OK;
}

static void ask_for_ballots(struct raft *raft, enum raft_campaign kind)
{
    for (size_t i = 0; i < raft->members.count; i++) {
        if (raft->members.of[i].id == raft->id || !raft->members.of[i].voter) {
            continue;
        }
        raft_send(raft, (struct raft_message){
                            .type = kind == RAFT_CAMPAIGN_PRE_VOTE ? RAFT_MESSAGE_PRE_VOTE
                                                                   : RAFT_MESSAGE_VOTE,
                            .to = raft->members.of[i].id,
                            .term = raft->hard.term + (kind == RAFT_CAMPAIGN_PRE_VOTE ? 1 : 0),
                            .index = raft->log.last_index,
                            .log_term = raft_log_last_term(&raft->log),
                            .context = kind == RAFT_CAMPAIGN_TRANSFER ? RAFT_VOTE_TRANSFER : 0,
                        });
    }
}

enum status raft_campaign(struct raft *raft, enum raft_campaign kind, struct error *err)
{
    raft_fail_reads(raft);
    if (kind == RAFT_CAMPAIGN_PRE_VOTE) {
        become_pre_candidate(raft);
    } else {
        become_candidate(raft);
    }
    restart_timer(raft);
    ask_for_ballots(raft, kind);
    return raft_count_ballots(raft, err);
}

enum status raft_count_ballots(struct raft *raft, struct error *err)
{
    CHECK(raft->role == RAFT_PRE_CANDIDATE || raft->role == RAFT_CANDIDATE);
    size_t quorum = raft_members_quorum(&raft->members);
    if (raft_members_ballots(&raft->members, RAFT_BALLOT_GRANTED) >= quorum) {
        if (raft->role == RAFT_PRE_CANDIDATE) {
            return raft_campaign(raft, RAFT_CAMPAIGN_VOTE, err);
        }
        /* Votes of others may make a majority before the own vote is durable; what a leader
         * says must not be forgotten in a crash, so it waits. */
        return raft_hard_state_is_safe(raft) ? become_leader(raft, err) : STATUS_OK;
    }
    size_t spare = raft_members_voters(&raft->members) - quorum;
    if (raft_members_ballots(&raft->members, RAFT_BALLOT_REFUSED) > spare) {
        raft_become_follower(raft, raft->hard.term, 0);
    }
    return STATUS_OK;
}

enum status raft_tick_election(struct raft *raft, struct error *err)
{
    CHECK(raft->role != RAFT_LEADER);
    raft->election_elapsed++;
    /* Alone there is nobody to wait for; but a vote under way is to become durable. */
    bool alone = raft_members_voters(&raft->members) == 1 && raft->role == RAFT_FOLLOWER;
    if (!raft->electable || raft_is_refilling(raft) ||
        !raft_members_is_voter(&raft->members, raft->id) ||
        (!alone && raft->election_elapsed < raft->election_timeout)) {
        return STATUS_OK;
    }
    return raft_campaign(raft, RAFT_CAMPAIGN_PRE_VOTE, err);
}

void raft_check_quorum(struct raft *raft)
{
    CHECK(raft->role == RAFT_LEADER);
    size_t alive = 0;
    for (size_t i = 0; i < raft->members.count; i++) {
        const struct raft_progress *progress = &raft->members.of[i];
        alive += progress->voter && (progress->id == raft->id ||
                                     raft->now - progress->contact_tick < raft->election_ticks);
    }
    if (alive < raft_members_quorum(&raft->members)) {
        raft_become_follower(raft, raft->hard.term, 0);
    }
}
