/* SPDX-License-Identifier: Apache-2.0
 *
 * APPEND on a follower (Raft paper 5.3), and how it is acknowledged.
 *
 * The acknowledged index is min(checked, stored): checked is how far this log was compared with
 * this term's leader's, stored how far it is durable. A tail that an earlier leader left may be
 * durable and yet differ from what the present leader has, and what was just received may equal
 * it and yet get lost in a crash; neither may count for a commit.
 */
#include "base/check.h"
#include "raft/core.h"

/* What does not depend on this node's state; bytes from the network are never asserted. */
enum status raft_check_append(const struct raft_message *message, struct error *err)
{
    if (message->log_term > message->term || (message->index == 0) != (message->log_term == 0)) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "APPEND after (%llu, %llu) in term %llu",
                         (unsigned long long)message->index, (unsigned long long)message->log_term,
                         (unsigned long long)message->term);
    }
    if (message->index > UINT64_MAX - message->entry_count - 1) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "APPEND's index is too large");
    }
    uint64_t term = message->log_term > 0 ? message->log_term : 1;
    for (size_t i = 0; i < message->entry_count; i++) {
        const struct raft_entry *entry = message->entries[i];
        if (entry->index != message->index + 1 + i || entry->term < term ||
            entry->term > message->term) {
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "APPEND's entry (%llu, %llu) does not follow (%llu, %llu)",
                             (unsigned long long)entry->index, (unsigned long long)entry->term,
                             (unsigned long long)(message->index + i), (unsigned long long)term);
        }
        term = entry->term;
        struct raft_membership membership;
        if (entry->type == RAFT_ENTRY_MEMBERSHIP &&
            raft_membership_decode(raft_entry_slice(entry), &membership, err) != STATUS_OK) {
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "APPEND's entry (%llu, %llu) is no membership",
                             (unsigned long long)entry->index, (unsigned long long)entry->term);
        }
    }
    return STATUS_OK;
}

static uint64_t acknowledgeable(const struct raft *raft)
{
    uint64_t stored = PLANTED(ACK_BEFORE_SYNC) ? raft->log.last_index : raft->log.stored_index;
    uint64_t checked = PLANTED(ACK_UNCHECKED) ? raft->log.last_index : raft->checked;
    return checked < stored ? checked : stored;
}

void raft_acknowledge_stored(struct raft *raft)
{
    if (raft->role == RAFT_FOLLOWER && raft->leader != 0 &&
        acknowledgeable(raft) > raft->acknowledged) {
        raft->reply_due = true;
    }
}

bool raft_take_acknowledgement(struct raft *raft, struct raft_message *message)
{
    if (!raft->reply_due || raft->role != RAFT_FOLLOWER || raft->leader == 0) {
        return false;
    }
    raft->reply_due = false;
    raft->acknowledged = acknowledgeable(raft);
    *message = (struct raft_message){
        .type = RAFT_MESSAGE_APPEND_REPLY,
        .from = raft->id,
        .to = raft->leader,
        .term = raft->hard.term,
        .index = raft->acknowledged,
        .applied = raft_applied_to_tell(raft),
    };
    return true;
}

/* 5.3: tell the leader where the logs may agree, so that it need not go back entry by entry. */
static void refuse(struct raft *raft, const struct raft_message *message)
{
    uint64_t hint = raft_log_agreement(&raft->log, message->index, message->log_term);
    uint64_t hint_term = 0;
    bool known = raft_log_term_at(&raft->log, hint, &hint_term);
    CHECK(known);
    raft_send(raft, (struct raft_message){
                        .type = RAFT_MESSAGE_APPEND_REPLY,
                        .to = message->from,
                        .term = raft->hard.term,
                        .index = message->index,
                        .reject = true,
                        .hint_index = hint,
                        .hint_term = hint_term,
                        .context = raft_is_refilling(raft) ? RAFT_REPLY_LOST : 0,
                        .applied = raft_applied_to_tell(raft),
                    });
}

static enum status conflict(const struct raft *raft, uint64_t index, struct error *err)
{
    return error_set(err, STATUS_CORRUPT,
                     "a committed entry would be overwritten: entry %llu differs from leader "
                     "%llu's, commit index is %llu",
                     (unsigned long long)index, (unsigned long long)raft->leader,
                     (unsigned long long)raft->commit);
}

/* How many of the message's entries are already in the log: only what differs is cut (5.3,
 * figure 2, step 3), since a delayed APPEND may well be shorter than the log it was sent for. */
static size_t count_held(const struct raft *raft, const struct raft_message *message)
{
    size_t held = 0;
    while (held < message->entry_count) {
        const struct raft_entry *entry = message->entries[held];
        bool kept = PLANTED(CUT_NOTHING) && entry->index <= raft->log.last_index;
        if (!kept && entry->index > raft->log.snapshot_index &&
            !raft_log_has(&raft->log, entry->index, entry->term)) {
            break;
        }
        held++;
    }
    return held;
}

static enum status take_entries(struct raft *raft, const struct raft_message *message, size_t held,
                                struct error *err)
{
    CHECK(held < message->entry_count);
    uint64_t first = message->entries[held]->index;
    if (first <= raft->log.last_index) {
        if (first <= raft->commit) {
            return conflict(raft, first, err);
        }
        if (first <= raft->checked) {
            return error_set(err, STATUS_CORRUPT, "leader %llu sent two entries (%llu, %llu)",
                             (unsigned long long)raft->leader, (unsigned long long)first,
                             (unsigned long long)raft->hard.term);
        }
    }
    if (!raft_log_reserve(&raft->log, message->entry_count - held) ||
        !raft_changes_reserve(&raft->changes, message->entries + held,
                              message->entry_count - held)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for %zu entries",
                         message->entry_count - held);
    }
    bool changed = false;
    if (first <= raft->log.last_index) {
        raft_log_truncate(&raft->log, first, raft->store_sequence + 1);
        changed = raft_changes_truncate(&raft->changes, first);
    }
    for (size_t i = held; i < message->entry_count; i++) {
        struct raft_entry *entry = message->entries[i];
        raft_log_append(&raft->log, raft_entry_ref(entry));
        if (entry->type == RAFT_ENTRY_MEMBERSHIP) {
            raft_changes_push(&raft->changes, entry, raft->commit);
            changed = true;
        }
    }
    if (changed) {
        raft_adopt_membership(raft, 0);
    }
    return STATUS_OK;
}

enum status raft_receive_append(struct raft *raft, const struct raft_message *message,
                                struct error *err)
{
    CHECK(message->type == RAFT_MESSAGE_APPEND);
    CHECK(message->term == raft->hard.term);
    enum status status = raft_follow(raft, message->from, err);
    if (status != STATUS_OK) {
        return status;
    }
    raft->refill_fed = true;
    /* What the snapshot covers is committed, so the leader has the same; its terms are gone. */
    if (message->index >= raft->log.snapshot_index &&
        !raft_log_has(&raft->log, message->index, message->log_term) &&
        !(PLANTED(APPEND_ANYWHERE) && message->index <= raft->log.last_index)) {
        if (message->index <= raft->commit) {
            return conflict(raft, message->index, err);
        }
        if (message->context == RAFT_APPEND_OLDEST) {
            raft->snapshot_wanted = message->index;
        }
        refuse(raft, message);
        return STATUS_OK;
    }
    size_t held = count_held(raft, message);
    uint64_t last = message->index + message->entry_count;
    if (held < message->entry_count) {
        status = take_entries(raft, message, held, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (last > raft->checked) {
        raft->checked = last;
        raft_check_refilled(raft);
    }
    uint64_t commit = message->commit < raft->checked ? message->commit : raft->checked;
    if (commit > raft->commit) {
        raft->commit = commit;
    }
    /* Entries are answered when they are durable, a question (no entries) and what is durable
     * already (so that the answer was lost) at once. */
    if (message->entry_count == 0 || last <= raft->log.stored_index ||
        acknowledgeable(raft) > raft->acknowledged) {
        raft->reply_due = true;
    }
    CHECK(raft->checked <= raft->log.last_index);
    CHECK(raft->commit <= raft->log.last_index);
    return STATUS_OK;
}
