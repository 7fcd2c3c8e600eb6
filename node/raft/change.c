/* SPDX-License-Identifier: Apache-2.0
 *
 * Membership changes, one at a time (dissertation 4.1 to 4.3, and its author's correction of 2015:
 * not before an entry of the own term is committed).
 */
#include "base/check.h"
#include "raft/core.h"

void raft_adopt_membership(struct raft *raft, uint64_t leave_index)
{
    raft_members_set(&raft->members, &raft->changes.now, leave_index, raft->log.last_index,
                     raft->now);
    raft->membership_news = true;
}

static enum status check_change(struct raft *raft, const struct raft_entry *entry,
                                struct error *err)
{
    struct raft_membership next;
    uint64_t term = 0;
    if (raft->role != RAFT_LEADER) {
        return error_set(err, STATUS_FAILED_PRECONDITION, "not the leader");
    }
    enum status status = raft_membership_decode(raft_entry_slice(entry), &next, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (raft->transfer_target != 0) {
        return error_set(err, STATUS_UNAVAILABLE, "leadership is being handed over");
    }
    if (raft_changes_index(&raft->changes) > raft->commit && !PLANTED(CHANGE_UNGATED)) {
        return error_set(err, STATUS_UNAVAILABLE,
                         "another change of the members is under way; try again");
    }
    /* Two leaders, each with a change of the same membership that the other does not know of,
     * could count two quorums that have nobody in common. */
    bool settled = raft_log_term_at(&raft->log, raft->commit, &term) && term == raft->hard.term;
    if (!settled && !PLANTED(CHANGE_UNGATED)) {
        return error_set(err, STATUS_UNAVAILABLE,
                         "the new leader has not committed anything yet; try again");
    }
    if (raft_membership_find(&next, raft->id) == NULL) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "the leader does not remove itself: hand leadership over first");
    }
    return raft_membership_check_step(&raft->changes.now, &next, err);
}

enum status raft_change(struct raft *raft, struct raft_entry *entry, struct error *err)
{
    CHECK(entry->type == RAFT_ENTRY_MEMBERSHIP);
    enum status status = check_change(raft, entry, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (!raft_changes_reserve(&raft->changes, &entry, 1) || !raft_log_reserve(&raft->log, 1)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for an entry");
    }
    entry->index = raft->log.last_index + 1;
    entry->term = raft->hard.term;
    raft_log_append(&raft->log, entry);
    raft_changes_push(&raft->changes, entry, raft->commit);
    raft_adopt_membership(raft, entry->index);
    return STATUS_OK;
}

const struct raft_membership *raft_members_now(const struct raft *raft, uint64_t *index)
{
    *index = raft_changes_index(&raft->changes);
    return &raft->changes.now;
}

bool raft_knows_removed(const struct raft *raft, uint64_t id)
{
    /* One that is not committed may be taken back. */
    return raft_changes_index(&raft->changes) <= raft->commit &&
           raft_membership_removed(&raft->changes.now, id);
}
