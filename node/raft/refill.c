/* SPDX-License-Identifier: Apache-2.0
 *
 * A log that was damaged and lost its end (design 7, "log fault"; DESIGN.md says why this is
 * enough). The node is a member as before, but for elections: it grants no vote and does not
 * campaign until its log is equal, and durably so, to that of a leader who has all that it can have
 * acknowledged before. It acknowledges what it has, which is true, and tells a leader who takes it
 * to have more.
 */
#include "base/check.h"
#include "raft/core.h"

bool raft_is_refilling(const struct raft *raft)
{
    return raft->refill_index != 0;
}

/* True if the log up to `index`, which a leader of at least refill_term has too, is all. */
static bool is_all(const struct raft *raft, uint64_t index)
{
    uint64_t term = 0;
    /* An entry of a later term: its leader was elected without this node's help and has, before
     * that entry, all that was committed when this node lost its log. So it is also when that
     * leader's log is shorter than the lost one was. */
    return index >= raft->refill_index ||
           (index > raft->log.snapshot_index && raft_log_term_at(&raft->log, index, &term) &&
            term > raft->refill_term);
}

void raft_check_refilled(struct raft *raft)
{
    uint64_t checked = raft->checked;
    uint64_t stored = raft->log.stored_index;
    if (!raft_is_refilling(raft)) {
        return;
    }
    CHECK(raft->role == RAFT_FOLLOWER);
    /* What is applied is committed, so every leader to come has it. */
    if (is_all(raft, checked < stored ? checked : stored) || raft->applied >= raft->refill_index) {
        raft->refill_index = 0;
        raft->refilled_news = true;
    }
}

void raft_tell_loss(struct raft *raft, uint64_t leader)
{
    CHECK(raft_is_refilling(raft));
    /* Who gets entries is known to lack them. */
    bool fed = raft->refill_fed;
    raft->refill_fed = false;
    if (fed) {
        return;
    }
    raft_send(raft, (struct raft_message){
                        .type = RAFT_MESSAGE_APPEND_REPLY,
                        .to = leader,
                        .term = raft->hard.term,
                        .reject = true,
                        .hint_index = raft->log.last_index,
                        .hint_term = raft_log_last_term(&raft->log),
                        .context = RAFT_REPLY_LOST,
                        .applied = raft_applied_to_tell(raft),
                    });
}

bool raft_take_loss(struct raft *raft, struct raft_progress *progress,
                    const struct raft_message *message)
{
    CHECK(raft->role == RAFT_LEADER);
    /* What the damage left may end with entries that were overwritten once. */
    uint64_t agreed = raft_log_agreement(&raft->log, message->hint_index, message->hint_term);
    if (agreed > message->hint_index) {
        agreed = message->hint_index; /* below the leader's own log: it needs a snapshot */
    }
    if (agreed >= progress->match) {
        /* It lost nothing that it was known to have, and waits to have it compared: with the next
         * entries, but perhaps there are none. */
        progress->check_due = progress->state == RAFT_PEER_REPLICATE;
        return false;
    }
    /* Where the logs may agree is where to ask. What is known to be there is less, unless the ends
     * are the same entry: else no refusal could lead further back, nor to a snapshot. One that was
     * late says less than is true by now: that costs questions, no more. */
    bool is_same = raft_log_has(&raft->log, message->hint_index, message->hint_term);
    progress->match = is_same ? agreed : 0;
    raft_progress_probe(progress, agreed + 1);
    return true;
}
