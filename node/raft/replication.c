/* SPDX-License-Identifier: Apache-2.0
 *
 * Replication: the leader's side of APPEND (Raft paper 5.3, 5.4.2; dissertation 10.2.1 for
 * writing to its own disk while it sends, 10.2.2 for pipelining).
 */
#include "base/check.h"
#include "raft/core.h"
#include "raft/grow.h"

/* Who was removed is told so for this many election timeouts. */
#define LEAVE_TIMEOUTS 4ULL

void raft_advance_commit(struct raft *raft)
{
    CHECK(raft->role == RAFT_LEADER);
    uint64_t index = raft_members_quorum_match(&raft->members, raft->id, raft->log.stored_index);
    uint64_t term = 0;
    /* 5.4.2, figure 8: an entry of an earlier term on a majority may still be overwritten; only
     * one of the own term settles it and all before. */
    if (index <= raft->commit || !raft_log_term_at(&raft->log, index, &term) ||
        (term != raft->hard.term && !PLANTED(COMMIT_OLD_TERM))) {
        return;
    }
    CHECK(index <= raft->log.last_index);
    raft->commit = index;
}

/* What may still be sent to this peer in one message. */
static size_t window(const struct raft *raft, const struct raft_progress *progress)
{
    if (PLANTED(SEND_UNBOUNDED) && progress->flight_count < raft->members.flights_max) {
        return raft->message_bytes_max;
    }
    if (progress->flight_count >= raft->members.flights_max ||
        progress->flight_bytes >= raft->inflight_bytes_max) {
        return 0;
    }
    size_t left = raft->inflight_bytes_max - progress->flight_bytes;
    return left < raft->message_bytes_max ? left : raft->message_bytes_max;
}

/* The last entry that this peer is to get now. Who is removed hears of it when it is committed: if
 * it had the entry before, and the leader and nobody else, it would refuse its vote to all whose
 * logs are shorter and not campaign itself (dissertation 4.2.2). */
static uint64_t last_to_send(const struct raft *raft, const struct raft_progress *progress)
{
    bool leaves = progress->leave_index != 0 && raft->commit < raft->log.last_index;
    return leaves ? raft->commit : raft->log.last_index;
}

/* How many entries from progress->next on go into one message, and their bytes. When nothing is
 * in flight the first one goes whatever its size, else it would never go. */
static size_t batch_size(const struct raft *raft, const struct raft_progress *progress,
                         size_t *bytes)
{
    size_t bytes_max = window(raft, progress);
    size_t count = 0;
    *bytes = 0;
    uint64_t last = last_to_send(raft, progress);
    while (progress->next + count <= last && raft_log_cached(&raft->log, progress->next + count)) {
        size_t more = raft_entry_bytes(raft_log_at(&raft->log, progress->next + count));
        bool alone = count == 0 && progress->flight_count == 0;
        if (!alone && *bytes + more > bytes_max) {
            break;
        }
        *bytes += more;
        count++;
    }
    return count;
}

/* Gives out an APPEND of the `count` entries that were put last into out.entries; room for it
 * has been reserved. */
static void give_append(struct raft *raft, struct raft_progress *progress, size_t count)
{
    uint64_t term = 0;
    bool known = raft_log_term_at(&raft->log, progress->next - 1, &term);
    CHECK(known);
    raft_give_message(raft, (struct raft_message){
                                .type = RAFT_MESSAGE_APPEND,
                                .from = raft->id,
                                .to = progress->id,
                                .term = raft->hard.term,
                                .index = progress->next - 1,
                                .log_term = term,
                                .commit = raft->commit,
                                .applied = raft->applied,
                                .entry_count = count,
                            });
    uint64_t held = progress->next - 1 + count;
    if (progress->state == RAFT_PEER_REPLICATE) {
        progress->commit_sent = raft->commit < held ? raft->commit : held;
    }
}

/* Sends the next entries from memory; false if they do not fit the window, or there is no
 * memory for the message. */
static bool send_cached(struct raft *raft, struct raft_progress *progress)
{
    struct raft_reference *to = &raft->out.entries;
    size_t bytes = 0;
    size_t count = batch_size(raft, progress, &bytes);
    if (count == 0 || !raft_reserve_message(raft, count)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        to->entries[to->count++] = raft_entry_ref(raft_log_at(&raft->log, progress->next + i));
    }
    give_append(raft, progress, count);
    raft_progress_sent(progress, raft->members.flights_max, progress->next + count - 1, bytes);
    return true;
}

/* Sends what the driver has read for this peer. */
static bool send_loaded(struct raft *raft, struct raft_progress *progress)
{
    struct raft_reference *to = &raft->out.entries;
    size_t count = progress->loaded_count;
    CHECK(count > 0);
    CHECK(progress->loaded[0]->index == progress->next);
    if (!raft_reserve_message(raft, count)) {
        return false;
    }
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += raft_entry_bytes(progress->loaded[i]);
        to->entries[to->count++] = progress->loaded[i];
    }
    progress->loaded_count = 0;
    progress->loading = false;
    give_append(raft, progress, count);
    raft_progress_sent(progress, raft->members.flights_max, progress->next + count - 1, bytes);
    return true;
}

static bool ask_for_load(struct raft *raft, struct raft_progress *progress)
{
    struct raft_given *out = &raft->out;
    CHECK(progress->next < raft->log.cache_first);
    CHECK(progress->next <= raft->log.stored_index);
    if (!RAFT_GROW(raft->alloc, &out->loads, &out->load_capacity, out->load_count + 1)) {
        return false;
    }
    uint64_t end = last_to_send(raft, progress) + 1;
    out->loads[out->load_count++] = (struct raft_load){
        .peer = progress->id,
        .from_index = progress->next,
        .end_index = end < raft->log.cache_first ? end : raft->log.cache_first,
        .bytes_max = window(raft, progress),
    };
    progress->loading = true;
    return true;
}

static void stream(struct raft *raft, struct raft_progress *progress)
{
    bool sent = true;
    while (sent && progress->next <= last_to_send(raft, progress) && window(raft, progress) > 0) {
        if (progress->loaded_count > 0) {
            sent = send_loaded(raft, progress);
        } else if (raft_log_cached(&raft->log, progress->next)) {
            sent = send_cached(raft, progress);
        } else {
            sent = !progress->loading && ask_for_load(raft, progress);
        }
    }
    if (progress->check_due && raft_reserve_message(raft, 0)) {
        give_append(raft, progress, 0);
        progress->check_due = false;
    }
}

/* Where this log begins: a peer that has this entry goes on by APPENDs (it may have installed a
 * snapshot, or have more than it said), one that has not learns that it needs a snapshot. */
static void give_oldest(struct raft *raft, struct raft_progress *progress)
{
    if (progress->probe_sent || !raft_reserve_message(raft, 0)) {
        return;
    }
    raft_give_message(raft, (struct raft_message){
                                .type = RAFT_MESSAGE_APPEND,
                                .from = raft->id,
                                .to = progress->id,
                                .term = raft->hard.term,
                                .index = raft->log.snapshot_index,
                                .log_term = raft->log.snapshot_term,
                                .commit = raft->commit,
                                .applied = raft->applied,
                                .context = RAFT_APPEND_OLDEST,
                            });
    progress->probe_sent = true;
    progress->probe_tick = raft->now;
}

static void replicate_to(struct raft *raft, struct raft_progress *progress)
{
    if (progress->next <= raft->log.snapshot_index && progress->state != RAFT_PEER_SNAPSHOT) {
        raft_progress_drop_loaded(progress);
        progress->state = RAFT_PEER_SNAPSHOT;
        progress->probe_sent = false;
    }
    switch (progress->state) {
    case RAFT_PEER_PROBE:
        /* Without entries: that is answered at once, however slow the peer's disk. */
        if (!progress->probe_sent && raft_reserve_message(raft, 0)) {
            give_append(raft, progress, 0);
            progress->probe_sent = true;
            progress->probe_tick = raft->now;
        }
        break;
    case RAFT_PEER_REPLICATE:
        stream(raft, progress);
        break;
    case RAFT_PEER_SNAPSHOT:
        give_oldest(raft, progress);
        break;
    }
}

static void give_heartbeat(struct raft *raft, struct raft_progress *progress)
{
    if (!raft_reserve_message(raft, 0)) {
        return;
    }
    /* No more than the peer is known to have: it cannot tell from a heartbeat whether its tail
     * is ours. */
    uint64_t commit = raft->commit < progress->match ? raft->commit : progress->match;
    raft_give_message(raft, (struct raft_message){
                                .type = RAFT_MESSAGE_HEARTBEAT,
                                .from = raft->id,
                                .to = progress->id,
                                .term = raft->hard.term,
                                .commit = commit,
                                .context = raft->reads.round,
                                .applied = raft->applied,
                                .retain_index = raft->retain,
                            });
    progress->heartbeat_due = false;
    if (commit > progress->commit_sent) {
        progress->commit_sent = commit;
    }
}

static void raise_retain(struct raft *raft)
{
    uint64_t least = raft_members_least_match(&raft->members, raft->id, raft->log.stored_index, 0);
    uint64_t retain = least < raft->commit ? least : raft->commit;
    if (retain > raft->retain) {
        raft->retain = retain; /* a new leader knows less at first, but what is held is held */
    }
}

void raft_replicate(struct raft *raft)
{
    CHECK(raft->role == RAFT_LEADER);
    CHECK(raft_hard_state_is_safe(raft));
    raft_members_part(&raft->members, raft->now < LEAVE_TIMEOUTS * raft->election_ticks
                                          ? 0
                                          : raft->now - LEAVE_TIMEOUTS * raft->election_ticks);
    raise_retain(raft);
    for (size_t i = 0; i < raft->members.count; i++) {
        struct raft_progress *progress = &raft->members.of[i];
        if (progress->id == raft->id || !raft_members_track(&raft->members, progress)) {
            continue;
        }
        if (progress->heartbeat_due) {
            give_heartbeat(raft, progress);
        }
        replicate_to(raft, progress);
    }
}

void raft_spread_commit(struct raft *raft)
{
    for (size_t i = 0; i < raft->members.count; i++) {
        struct raft_progress *progress = &raft->members.of[i];
        uint64_t may = raft->commit < progress->match ? raft->commit : progress->match;
        if (progress->id != raft->id && progress->commit_sent < may) {
            progress->heartbeat_due = true;
        }
    }
}

static void handle_rejection(struct raft *raft, struct raft_progress *progress,
                             const struct raft_message *message)
{
    bool stale = progress->state == RAFT_PEER_SNAPSHOT || message->index <= progress->match ||
                 message->index >= progress->next ||
                 (progress->state == RAFT_PEER_PROBE && message->index != progress->next - 1);
    if (stale) {
        return;
    }
    uint64_t agreed = raft_log_agreement(&raft->log, message->hint_index, message->hint_term);
    if (agreed >= message->index) {
        agreed = message->index - 1; /* a hint that leads nowhere: one step back */
    }
    if (agreed < progress->match) {
        agreed = progress->match;
    }
    raft_progress_probe(progress, agreed + 1);
}

void raft_receive_append_reply(struct raft *raft, const struct raft_message *message)
{
    if (raft->role != RAFT_LEADER) {
        return;
    }
    struct raft_progress *progress = raft_members_find(&raft->members, message->from);
    CHECK(progress != NULL);
    progress->contact_tick = raft->now;
    progress->heard = true;
    raft_progress_applied(progress, message->applied);
    if (message->reject) {
        bool lost = message->context == RAFT_REPLY_LOST;
        bool set_back = lost && raft_take_loss(raft, progress, message);
        /* It may be told without an APPEND that it would refuse; one from the very beginning, after
         * index 0, is never refused. */
        bool refuses = !lost || message->index != 0;
        if (!set_back && refuses) {
            handle_rejection(raft, progress, message);
        }
        return;
    }
    if (message->index > raft->log.last_index) {
        return; /* no peer of this term can have more than its leader */
    }
    bool risen = raft_progress_acknowledged(progress, raft->members.flights_max, message->index);
    if (progress->state == RAFT_PEER_PROBE) {
        raft_progress_replicate(progress);
    } else if (progress->state == RAFT_PEER_SNAPSHOT &&
               progress->match >= raft->log.snapshot_index) {
        raft_progress_probe(progress, progress->match + 1);
    }
    if (risen) {
        raft_advance_commit(raft);
    }
    if (risen && progress->id == raft->transfer_target) {
        raft_continue_transfer(raft);
    }
}
