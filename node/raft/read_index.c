/* SPDX-License-Identifier: Apache-2.0
 *
 * READ_INDEX (dissertation 6.4): a leader notes its commit index, has a quorum confirm that it
 * still leads, and then lets reads go on at that index. A follower asks the leader. All reads
 * that come while a round is under way wait for the next one and share it.
 */
#include "base/check.h"
#include "raft/core.h"
#include "raft/grow.h"

static bool add_read(struct raft *raft, uint64_t from, uint64_t context)
{
    struct raft_reads *reads = &raft->reads;
    size_t count = reads->count + 1;
    /* Room for the answers is made now, so that giving them cannot fail. */
    if (count > RAFT_READS_PENDING_MAX ||
        !RAFT_GROW(raft->alloc, &reads->pending, &reads->capacity, count) ||
        !RAFT_GROW(raft->alloc, &raft->reads_done, &raft->reads_done_capacity,
                   raft->reads_done_count + count)) {
        return false;
    }
    reads->pending[reads->count++] = (struct raft_pending_read){.from = from, .context = context};
    return true;
}

enum status raft_read(struct raft *raft, uint64_t context, struct error *err)
{
    if (raft->leader == 0) {
        return error_set(err, STATUS_UNAVAILABLE, "no leader is known");
    }
    if (!add_read(raft, raft->id, context)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%zu reads wait already",
                         raft->reads.count);
    }
    return STATUS_OK;
}

void raft_receive_read_index(struct raft *raft, const struct raft_message *message)
{
    if (raft->role != RAFT_LEADER) {
        raft_send(raft, (struct raft_message){
                            .type = RAFT_MESSAGE_READ_INDEX_REPLY,
                            .to = message->from,
                            .term = raft->hard.term,
                            .context = message->context,
                            .reject = true,
                        });
        return;
    }
    if (!add_read(raft, message->from, message->context)) {
        raft->messages_dropped++; /* the follower asks again */
    }
}

static void answer(struct raft *raft, const struct raft_pending_read *read, uint64_t index, bool ok)
{
    if (read->from == raft->id) {
        CHECK(raft->reads_done_count < raft->reads_done_capacity);
        raft->reads_done[raft->reads_done_count++] =
            (struct raft_read_state){.context = read->context, .index = index, .ok = ok};
        return;
    }
    if (!ok) {
        return; /* the follower notices the new term */
    }
    raft_send(raft, (struct raft_message){
                        .type = RAFT_MESSAGE_READ_INDEX_REPLY,
                        .to = read->from,
                        .term = raft->hard.term,
                        .index = index,
                        .context = read->context,
                    });
    /* The follower must also learn that it may apply that far. */
    struct raft_progress *progress = raft_members_find(&raft->members, read->from);
    if (progress != NULL) {
        progress->heartbeat_due = true;
    }
}

/* Answers the round under way and takes it out of the queue. */
static void end_round(struct raft *raft, uint64_t index, bool ok)
{
    struct raft_reads *reads = &raft->reads;
    CHECK(reads->in_round <= reads->count);
    for (size_t i = 0; i < reads->in_round; i++) {
        answer(raft, &reads->pending[i], index, ok);
    }
    reads->count -= reads->in_round;
    if (reads->count > 0) {
        memmove(reads->pending, reads->pending + reads->in_round,
                reads->count * sizeof *reads->pending);
    }
    reads->in_round = 0;
}

void raft_fail_reads(struct raft *raft)
{
    raft->reads.in_round = raft->reads.count;
    end_round(raft, 0, false);
    CHECK(raft->reads.count == 0);
}

static void ask_leader(struct raft *raft)
{
    struct raft_reads *reads = &raft->reads;
    reads->round++;
    reads->in_round = reads->count;
    reads->round_tick = raft->now;
    raft_send(raft, (struct raft_message){
                        .type = RAFT_MESSAGE_READ_INDEX,
                        .to = raft->leader,
                        .term = raft->hard.term,
                        .context = reads->round,
                    });
}

void raft_begin_read_round(struct raft *raft)
{
    struct raft_reads *reads = &raft->reads;
    if (reads->count == 0 || reads->in_round > 0) {
        return;
    }
    if (raft->role != RAFT_LEADER) {
        CHECK(raft->leader != 0);
        ask_leader(raft);
        return;
    }
    uint64_t term = 0;
    /* 6.4, step 1: before its first commit a leader does not know what is committed. */
    if (!raft_log_term_at(&raft->log, raft->commit, &term) || term != raft->hard.term) {
        return;
    }
    reads->round++;
    reads->in_round = reads->count;
    reads->round_index = raft->commit;
    raft_broadcast_heartbeat(raft);
    raft_release_reads(raft);
}

void raft_release_reads(struct raft *raft)
{
    struct raft_reads *reads = &raft->reads;
    CHECK(raft->role == RAFT_LEADER);
    if (reads->in_round == 0) {
        return;
    }
    size_t confirmed = 0;
    for (size_t i = 0; i < raft->members.count; i++) {
        const struct raft_progress *progress = &raft->members.of[i];
        confirmed +=
            progress->voter && (progress->id == raft->id || progress->round == reads->round);
    }
    if (confirmed >= raft_members_quorum(&raft->members)) {
        end_round(raft, reads->round_index, true);
    }
}

void raft_receive_read_index_reply(struct raft *raft, const struct raft_message *message)
{
    struct raft_reads *reads = &raft->reads;
    if (raft->role == RAFT_LEADER || message->from != raft->leader || reads->in_round == 0 ||
        message->context != reads->round) {
        return;
    }
    end_round(raft, message->index, !message->reject);
}

void raft_tick_reads(struct raft *raft)
{
    struct raft_reads *reads = &raft->reads;
    if (raft->role == RAFT_LEADER || reads->in_round == 0 ||
        raft->now - reads->round_tick < raft->heartbeat_ticks) {
        return;
    }
    /* Question or answer was lost: ask anew, for all that wait by now. */
    reads->in_round = 0;
    raft_begin_read_round(raft);
}
