/* SPDX-License-Identifier: Apache-2.0
 *
 * HEARTBEAT and its reply. A heartbeat shows that the leader lives, tells how far to apply and
 * what of the log nobody needs any more, and confirms a round of reads. Its reply shows that the
 * follower lives; it never acknowledges an entry.
 */
#include "base/check.h"
#include "raft/core.h"

void raft_broadcast_heartbeat(struct raft *raft)
{
    CHECK(raft->role == RAFT_LEADER);
    for (size_t i = 0; i < raft->members.count; i++) {
        struct raft_progress *progress = &raft->members.of[i];
        progress->heartbeat_due = progress->id != raft->id;
        if (progress->load_failed) {
            raft_progress_drop_loaded(progress); /* it is asked for again */
        }
    }
}

enum status raft_receive_heartbeat(struct raft *raft, const struct raft_message *message,
                                   struct error *err)
{
    CHECK(message->term == raft->hard.term);
    enum status status = raft_follow(raft, message->from, err);
    if (status != STATUS_OK) {
        return status;
    }
    uint64_t commit = message->commit;
    if (raft_is_refilling(raft)) {
        raft_tell_loss(raft, message->from);
        /* What was acknowledged may be lost, and what the log has instead is not yet compared. */
        commit = commit < raft->checked ? commit : raft->checked;
    }
    if (commit > raft->log.last_index) {
        /* The leader sends no more than this node has acknowledged, and durably so. */
        return error_set(err, STATUS_CORRUPT,
                         "entries were acknowledged up to %llu or more, but the log ends at %llu",
                         (unsigned long long)commit, (unsigned long long)raft->log.last_index);
    }
    if (commit > raft->commit) {
        raft->commit = commit;
    }
    if (message->retain_index > raft->retain && message->retain_index <= raft->commit) {
        raft->retain = message->retain_index;
    }
    raft_send(raft, (struct raft_message){
                        .type = RAFT_MESSAGE_HEARTBEAT_REPLY,
                        .to = message->from,
                        .term = raft->hard.term,
                        .context = message->context,
                        .applied = raft_applied_to_tell(raft),
                    });
    return STATUS_OK;
}

void raft_receive_heartbeat_reply(struct raft *raft, const struct raft_message *message)
{
    if (raft->role != RAFT_LEADER) {
        return;
    }
    struct raft_progress *progress = raft_members_find(&raft->members, message->from);
    CHECK(progress != NULL);
    progress->contact_tick = raft->now;
    progress->heard = true;
    raft_progress_applied(progress, message->applied);
    /* Whatever was lost is noticed here, since this message came through: a probe is repeated if
     * it has had time to be answered, and what is in flight is asked for. */
    if (raft->now - progress->probe_tick >= raft->heartbeat_ticks) {
        progress->probe_sent = false;
    }
    progress->check_due =
        progress->state == RAFT_PEER_REPLICATE && progress->match + 1 < progress->next;
    if (message->context == raft->reads.round) {
        progress->round = message->context;
        raft_release_reads(raft);
    }
}
