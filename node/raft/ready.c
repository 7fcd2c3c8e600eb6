/* SPDX-License-Identifier: Apache-2.0
 *
 * Ready: what is to be stored, sent, read and applied. APPENDs and HEARTBEATs are made here and
 * not when their cause comes in, so that all that happened since the last ready shares them.
 */
#include "base/check.h"
#include "raft/core.h"
#include "raft/grow.h"

bool raft_reserve_message(struct raft *raft, size_t entry_count)
{
    struct raft_given *out = &raft->out;
    return RAFT_GROW(raft->alloc, &out->messages.messages, &out->messages.capacity,
                     out->messages.count + 1) &&
           RAFT_GROW(raft->alloc, &out->entries.entries, &out->entries.capacity,
                     out->entries.count + entry_count);
}

void raft_give_message(struct raft *raft, struct raft_message message)
{
    struct raft_outbox *to = &raft->out.messages;
    CHECK(to->count < to->capacity);
    CHECK(message.entry_count <= raft->out.entries.count - raft->out.store_count);
    to->messages[to->count++] = message;
}

void raft_let_go(struct raft *raft)
{
    struct raft_given *out = &raft->out;
    for (size_t i = 0; i < out->entries.count; i++) {
        raft_entry_unref(out->entries.entries[i]);
    }
    out->entries.count = 0;
    out->store_count = 0;
    out->messages.count = 0;
    out->read_count = 0;
    out->load_count = 0;
}

static void give_hard_state(struct raft *raft, struct raft_ready *ready)
{
    if (raft->hard.term == raft->given.term && raft->hard.vote == raft->given.vote) {
        return;
    }
    CHECK(raft->hard.term >= raft->given.term);
    ready->has_hard_state = true;
    ready->hard_state = raft->hard;
    raft->given = raft->hard;
}

/* Without memory the entries wait for the next ready. */
static void give_entries(struct raft *raft)
{
    struct raft_reference *to = &raft->out.entries;
    struct raft_log *log = &raft->log;
    size_t count = (size_t)(log->last_index - log->handed_index);
    CHECK(to->count == 0);
    if (count == 0 || !RAFT_GROW(raft->alloc, &to->entries, &to->capacity, count)) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        to->entries[i] = raft_entry_ref(raft_log_at(log, log->handed_index + 1 + i));
    }
    to->count = count;
    raft->out.store_count = count;
    log->handed_index = log->last_index;
}

static void give_messages(struct raft *raft)
{
    /* What depends on term and vote being durable is everything but the question whether one
     * might campaign, and that can wait too. */
    if (!raft_hard_state_is_safe(raft) && !PLANTED(VOTE_BEFORE_SYNC)) {
        return;
    }
    CHECK(raft->out.messages.count == 0);
    struct raft_outbox queued = raft->queue;
    raft->queue = raft->out.messages;
    raft->out.messages = queued;
    struct raft_message acknowledgement;
    if (raft->reply_due && raft_reserve_message(raft, 0) &&
        raft_take_acknowledgement(raft, &acknowledgement)) {
        raft_give_message(raft, acknowledgement);
    }
    if (raft->role == RAFT_LEADER) {
        raft_replicate(raft);
    }
}

static void give_reads(struct raft *raft)
{
    struct raft_given *out = &raft->out;
    struct raft_read_state *done = raft->reads_done;
    size_t capacity = raft->reads_done_capacity;
    size_t count = raft->reads_done_count;
    CHECK(out->read_count == 0);
    /* The array that comes back must have room for the answers to all that wait. */
    if (count == 0 ||
        !RAFT_GROW(raft->alloc, &out->reads, &out->read_capacity, raft->reads.count + 1)) {
        return;
    }
    raft->reads_done = out->reads;
    raft->reads_done_capacity = out->read_capacity;
    raft->reads_done_count = 0;
    out->reads = done;
    out->read_capacity = capacity;
    out->read_count = count;
}

/* The messages' entries stand one after another behind those to store. */
static void point_to_entries(struct raft *raft)
{
    size_t at = raft->out.store_count;
    for (size_t i = 0; i < raft->out.messages.count; i++) {
        struct raft_message *message = &raft->out.messages.messages[i];
        message->entries = message->entry_count == 0 ? NULL : raft->out.entries.entries + at;
        at += message->entry_count;
    }
    CHECK(at == raft->out.entries.count);
}

static void give_commit(struct raft *raft, struct raft_ready *ready)
{
    /* Applying what is not durable here would let a crash take back what was shown. */
    uint64_t durable = PLANTED(APPLY_NOT_DURABLE) ? raft->log.last_index : raft->log.stored_index;
    uint64_t commit = raft->commit < durable ? raft->commit : durable;
    if (commit <= raft->commit_given) {
        return;
    }
    ready->has_commit = true;
    ready->commit = commit;
    raft->commit_given = commit;
}

static void give_soft_state(struct raft *raft, struct raft_ready *ready)
{
    struct raft_soft_state now = {
        .role = raft->role, .leader = raft->leader, .term = raft->hard.term};
    const struct raft_soft_state *before = &raft->soft_given;
    if (now.role == before->role && now.leader == before->leader && now.term == before->term) {
        return;
    }
    ready->has_soft_state = true;
    ready->soft_state = now;
    raft->soft_given = now;
}

/* Up to here nobody wants an entry from memory: it is applied, and the members that answer have it.
 * For one that is silent memory would only fill; it is served from the disk when it comes back. */
static uint64_t unneeded(const struct raft *raft)
{
    uint64_t index = raft->applied;
    if (raft->role == RAFT_LEADER) {
        uint64_t since = raft->now < raft->election_ticks ? 0 : raft->now - raft->election_ticks;
        uint64_t held =
            raft_members_least_match(&raft->members, raft->id, raft->log.stored_index, since);
        index = held < index ? held : index;
    }
    return index;
}

bool raft_ready(struct raft *raft, struct raft_ready *ready)
{
    struct raft_given *out = &raft->out;
    *ready = (struct raft_ready){0};
    raft_let_go(raft);
    raft_begin_read_round(raft);
    give_hard_state(raft, ready);
    give_entries(raft);
    give_messages(raft);
    give_reads(raft);
    point_to_entries(raft);
    give_commit(raft, ready);
    give_soft_state(raft, ready);
    ready->has_membership = raft->membership_news;
    raft->membership_news = false;
    ready->refilled = raft->refilled_news;
    raft->refilled_news = false;
    ready->snapshot_wanted = raft->snapshot_wanted;
    raft->snapshot_wanted = 0;
    if (ready->has_hard_state || out->store_count > 0) {
        ready->store_sequence = ++raft->store_sequence;
    }
    ready->entries = out->store_count == 0 ? NULL : out->entries.entries;
    ready->entry_count = out->store_count;
    ready->messages = out->messages.messages;
    ready->message_count = out->messages.count;
    ready->reads = out->reads;
    ready->read_count = out->read_count;
    ready->loads = out->loads;
    ready->load_count = out->load_count;
    raft_log_evict(&raft->log, unneeded(raft), raft->cache_bytes_max);
    return ready->store_sequence != 0 || ready->message_count > 0 || ready->read_count > 0 ||
           ready->load_count > 0 || ready->has_commit || ready->has_soft_state ||
           ready->has_membership || ready->refilled || ready->snapshot_wanted != 0;
}
