/* SPDX-License-Identifier: Apache-2.0
 *
 * The core's life, its inputs and the questions that it answers. See core.h for the other files.
 */
#include "raft/raft.h"

#include "base/check.h"
#include "raft/core.h"
#include "raft/grow.h"

#define INFLIGHT_MESSAGES_LIMIT 4096U
/* One term a nanosecond for a century; a larger one is garbage, and could not be counted up. */
#define TERM_MAX (UINT64_MAX / 4)

const char *raft_role_name(enum raft_role role)
{
    switch (role) {
    case RAFT_FOLLOWER:
        return "follower";
    case RAFT_PRE_CANDIDATE:
        return "pre-candidate";
    case RAFT_CANDIDATE:
        return "candidate";
    case RAFT_LEADER:
        return "leader";
    }
    return "?";
}

const char *raft_peer_state_name(enum raft_peer_state state)
{
    switch (state) {
    case RAFT_PEER_PROBE:
        return "probe";
    case RAFT_PEER_REPLICATE:
        return "replicate";
    case RAFT_PEER_SNAPSHOT:
        return "snapshot";
    }
    return "?";
}

/* ---- Life ------------------------------------------------------------------------------------ */

static enum status check_options(const struct raft_options *options, struct error *err)
{
    if (options->id == 0) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "a node needs an id");
    }
    if (options->heartbeat_ticks < 1 || options->election_ticks <= options->heartbeat_ticks) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "election timeout %u must exceed heartbeat interval %u",
                         options->election_ticks, options->heartbeat_ticks);
    }
    if (options->message_bytes_max == 0 || options->inflight_bytes_max == 0 ||
        options->inflight_messages_max == 0 ||
        options->inflight_messages_max > INFLIGHT_MESSAGES_LIMIT) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "bounds of messages are out of range");
    }
    if (options->applied_index < options->snapshot_index ||
        options->applied_index > options->last_index) {
        return error_set(err, STATUS_CORRUPT, "applied index %llu is not in the log (%llu, %llu]",
                         (unsigned long long)options->applied_index,
                         (unsigned long long)options->snapshot_index,
                         (unsigned long long)options->last_index);
    }
    return STATUS_OK;
}

static void init_state(struct raft *raft, const struct raft_options *options)
{
    raft->alloc = options->alloc;
    raft->rng = options->rng;
    raft->id = options->id;
    raft->election_ticks = options->election_ticks;
    raft->heartbeat_ticks = options->heartbeat_ticks;
    raft->message_bytes_max = options->message_bytes_max;
    raft->inflight_bytes_max = options->inflight_bytes_max;
    raft->cache_bytes_max = options->cache_bytes_max;
    raft->role = RAFT_FOLLOWER;
    raft->hard = options->hard_state;
    raft->given = options->hard_state;
    raft->safe = options->hard_state;
    if (options->snapshot_term > raft->hard.term) {
        /* It has not voted there: a vote is durable before anybody hears of it. */
        raft->hard = (struct raft_hard_state){.term = options->snapshot_term};
    }
    raft->soft_given.term = options->hard_state.term;
    raft->electable = true;
    raft->commit = options->applied_index;
    raft->commit_given = options->applied_index;
    raft->applied = options->applied_index;
    raft->election_timeout =
        raft->election_ticks + (unsigned)rng_below(raft->rng, raft->election_ticks);
    raft->reads.round = rng_u64(raft->rng);
    raft->refill_index = options->refill_index;
    raft->refill_term = options->refill_term;
}

enum status raft_new(const struct raft_options *options, struct raft **out, struct error *err)
{
    CHECK(options->alloc != NULL);
    CHECK(options->rng != NULL);
    enum status status = check_options(options, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct raft *raft = alloc_zeroed(options->alloc, 1, sizeof *raft);
    if (raft == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the core");
    }
    status = raft_changes_init(&raft->changes, options, err);
    if (status != STATUS_OK) {
        goto fail;
    }
    status = raft_log_init(&raft->log, options, err);
    if (status != STATUS_OK) {
        raft_changes_release(&raft->changes);
        goto fail;
    }
    init_state(raft, options);
    raft_members_init(&raft->members, options->alloc, options->inflight_messages_max);
    raft_adopt_membership(raft, 0);
    raft->membership_news = false; /* who made the core knows */
    raft_check_refilled(raft);
    *out = raft;
    return STATUS_OK;
fail:
    alloc_free(options->alloc, raft);
    return status;
}

void raft_free(struct raft *raft)
{
    if (raft == NULL) {
        return;
    }
    struct alloc *alloc = raft->alloc;
    raft_let_go(raft);
    raft_members_release(&raft->members);
    raft_changes_release(&raft->changes);
    raft_log_release(&raft->log);
    alloc_free(alloc, raft->reads.pending);
    alloc_free(alloc, raft->reads_done);
    alloc_free(alloc, raft->queue.messages);
    alloc_free(alloc, raft->out.entries.entries);
    alloc_free(alloc, raft->out.messages.messages);
    alloc_free(alloc, raft->out.reads);
    alloc_free(alloc, raft->out.loads);
    alloc_free(alloc, raft);
}

void raft_send(struct raft *raft, struct raft_message message)
{
    struct raft_outbox *queue = &raft->queue;
    CHECK(message.entry_count == 0);
    CHECK(message.to != raft->id);
    if (queue->count >= RAFT_MESSAGES_QUEUED_MAX ||
        !RAFT_GROW(raft->alloc, &queue->messages, &queue->capacity, queue->count + 1)) {
        raft->messages_dropped++;
        return;
    }
    message.from = raft->id;
    queue->messages[queue->count++] = message;
}

bool raft_hard_state_is_safe(const struct raft *raft)
{
    return raft->safe.term == raft->hard.term && raft->safe.vote == raft->hard.vote;
}

/* ---- Inputs ---------------------------------------------------------------------------------- */

enum status raft_tick(struct raft *raft, struct error *err)
{
    raft->now++;
    if (raft->role != RAFT_LEADER) {
        raft_tick_reads(raft);
        return raft_tick_election(raft, err);
    }
    raft_check_quorum(raft);
    if (raft->role != RAFT_LEADER) {
        return STATUS_OK;
    }
    raft_tick_transfer(raft);
    raft->heartbeat_elapsed++;
    if (raft->heartbeat_elapsed >= raft->heartbeat_ticks) {
        raft->heartbeat_elapsed = 0;
        raft_broadcast_heartbeat(raft);
    } else {
        raft_spread_commit(raft);
    }
    return STATUS_OK;
}

static enum status check_message(struct raft *raft, const struct raft_message *message,
                                 struct error *err)
{
    if (message->to != raft->id || message->from == raft->id || message->from == 0) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "message from %llu to %llu at node %llu",
                         (unsigned long long)message->from, (unsigned long long)message->to,
                         (unsigned long long)raft->id);
    }
    if (message->type < RAFT_MESSAGE_APPEND || message->type > RAFT_MESSAGE_TIMEOUT_NOW) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "message of unknown type %d",
                         (int)message->type);
    }
    if (message->term == 0 || message->term > TERM_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "message of term %llu",
                         (unsigned long long)message->term);
    }
    if (message->type == RAFT_MESSAGE_APPEND) {
        return raft_check_append(message, err);
    }
    if (message->entry_count > 0) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s with entries",
                         raft_message_type_name(message->type));
    }
    return STATUS_OK;
}

/* Deals with a message of another term than this node's (5.1). Returns true if it is to be
 * handled further. */
static bool settle_term(struct raft *raft, const struct raft_message *message)
{
    enum raft_message_type type = message->type;
    if (type == RAFT_MESSAGE_PRE_VOTE ||
        (type == RAFT_MESSAGE_PRE_VOTE_REPLY && !message->reject)) {
        return true; /* their terms are only asked for; nobody adopts them */
    }
    if (message->term > raft->hard.term) {
        if (type == RAFT_MESSAGE_VOTE && message->context != RAFT_VOTE_TRANSFER &&
            raft_in_lease(raft)) {
            return false; /* dissertation 4.2.3: nobody is deposed who is alive */
        }
        raft_become_follower(raft, message->term, 0);
        return true;
    }
    if (message->term == raft->hard.term) {
        return true;
    }
    if (type == RAFT_MESSAGE_APPEND || type == RAFT_MESSAGE_HEARTBEAT) {
        /* A leader of an earlier term, and this node has gone past it: without an answer it
         * would not learn that, and this node's votes would be refused under its lease. Only the
         * term counts: an index would be taken for a word about the log by one who, meanwhile,
         * leads the new term too. */
        raft_send(raft, (struct raft_message){
                            .type = RAFT_MESSAGE_APPEND_REPLY,
                            .to = message->from,
                            .term = raft->hard.term,
                            .reject = true,
                        });
        return false;
    }
    return type == RAFT_MESSAGE_VOTE; /* is refused with the newer term */
}

static bool is_reply(enum raft_message_type type)
{
    return type == RAFT_MESSAGE_APPEND_REPLY || type == RAFT_MESSAGE_PRE_VOTE_REPLY ||
           type == RAFT_MESSAGE_VOTE_REPLY || type == RAFT_MESSAGE_HEARTBEAT_REPLY;
}

/* Who asks may be a member that this node has not heard of yet; whose answer is awaited is known.
 * A node that was removed could disturb with its terms. */
static bool is_welcome(struct raft *raft, const struct raft_message *message)
{
    if (is_reply(message->type)) {
        const struct raft_progress *from = raft_members_find(&raft->members, message->from);
        return from != NULL && (from->leave_index == 0 || message->term <= raft->hard.term);
    }
    return !raft_knows_removed(raft, message->from);
}

enum status raft_receive(struct raft *raft, const struct raft_message *message, struct error *err)
{
    enum status status = check_message(raft, message, err);
    if (status != STATUS_OK || !is_welcome(raft, message) || !settle_term(raft, message)) {
        return status;
    }
    switch (message->type) {
    case RAFT_MESSAGE_APPEND:
        return raft_receive_append(raft, message, err);
    case RAFT_MESSAGE_APPEND_REPLY:
        raft_receive_append_reply(raft, message);
        return STATUS_OK;
    case RAFT_MESSAGE_PRE_VOTE:
        raft_receive_pre_vote(raft, message);
        return STATUS_OK;
    case RAFT_MESSAGE_VOTE:
        raft_receive_vote(raft, message);
        return STATUS_OK;
    case RAFT_MESSAGE_PRE_VOTE_REPLY:
    case RAFT_MESSAGE_VOTE_REPLY:
        return raft_receive_vote_reply(raft, message, err);
    case RAFT_MESSAGE_HEARTBEAT:
        return raft_receive_heartbeat(raft, message, err);
    case RAFT_MESSAGE_HEARTBEAT_REPLY:
        raft_receive_heartbeat_reply(raft, message);
        return STATUS_OK;
    case RAFT_MESSAGE_READ_INDEX:
        raft_receive_read_index(raft, message);
        return STATUS_OK;
    case RAFT_MESSAGE_READ_INDEX_REPLY:
        raft_receive_read_index_reply(raft, message);
        return STATUS_OK;
    case RAFT_MESSAGE_TIMEOUT_NOW:
        return raft_receive_timeout_now(raft, message, err);
    }
    return STATUS_INTERNAL; /* check_message has refused every other type */
}

enum status raft_propose(struct raft *raft, struct raft_entry *entry, struct error *err)
{
    CHECK(atomic_load_explicit(&entry->refs, memory_order_relaxed) == 1);
    if (entry->type == RAFT_ENTRY_NOOP || entry->type > RAFT_ENTRY_TYPE_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "type %u is not for proposals",
                         (unsigned)entry->type);
    }
    if (raft->role != RAFT_LEADER) {
        return error_set(err, STATUS_FAILED_PRECONDITION, "not the leader");
    }
    if (raft->transfer_target != 0 && raft->transfer_index == 0) {
        return error_set(err, STATUS_UNAVAILABLE, "leadership is being handed over to node %llu",
                         (unsigned long long)raft->transfer_target);
    }
    if (raft->log.cache_bytes > raft->cache_bytes_max) {
        raft_log_evict(&raft->log, 0, raft->cache_bytes_max);
        if (raft->log.cache_bytes > raft->cache_bytes_max) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%zu bytes wait for the disk",
                             raft->log.cache_bytes);
        }
    }
    if (!raft_log_reserve(&raft->log, 1)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for an entry");
    }
    entry->index = raft->log.last_index + 1;
    entry->term = raft->hard.term;
    raft_log_append(&raft->log, entry);
    return STATUS_OK;
}

void raft_stored(struct raft *raft, uint64_t store_sequence, uint64_t index, uint64_t term)
{
    CHECK(store_sequence > 0);
    CHECK(store_sequence <= raft->store_sequence);
    if (!raft_log_stored(&raft->log, store_sequence, index, term)) {
        return;
    }
    raft_check_refilled(raft);
    if (raft->role == RAFT_LEADER) {
        raft_advance_commit(raft);
    } else {
        raft_acknowledge_stored(raft);
    }
}

enum status raft_hard_state_stored(struct raft *raft, struct raft_hard_state stored,
                                   struct error *err)
{
    CHECK(stored.term <= raft->given.term);
    bool newer =
        stored.term > raft->safe.term || (stored.term == raft->safe.term && raft->safe.vote == 0);
    if (!newer) {
        return STATUS_OK;
    }
    raft->safe = stored;
    if (raft->role != RAFT_CANDIDATE || !raft_hard_state_is_safe(raft)) {
        return STATUS_OK;
    }
    CHECK(raft->hard.vote == raft->id);
    raft_members_find(&raft->members, raft->id)->ballot = RAFT_BALLOT_GRANTED;
    return raft_count_ballots(raft, err);
}

void raft_applied(struct raft *raft, uint64_t index)
{
    CHECK(index <= raft->commit_given);
    if (index > raft->applied) {
        raft->applied = index;
    }
}

void raft_stop_applying(struct raft *raft)
{
    raft->applies_nothing = true;
}

uint64_t raft_applied_to_tell(const struct raft *raft)
{
    return raft->applies_nothing ? RAFT_APPLIES_NOTHING : raft->applied;
}

/* True if `entries` are what this peer is to get next, as the log still has it. */
static bool is_wanted(const struct raft *raft, const struct raft_progress *progress,
                      struct raft_entry *const *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (entries[i]->index != progress->next + i ||
            !raft_log_has(&raft->log, entries[i]->index, entries[i]->term)) {
            return false;
        }
    }
    return true;
}

enum status raft_loaded(struct raft *raft, const struct raft_load *load,
                        struct raft_entry *const *entries, size_t count, struct error *err)
{
    struct raft_progress *progress = raft_members_find(&raft->members, load->peer);
    if (raft->role != RAFT_LEADER || progress == NULL || progress->state != RAFT_PEER_REPLICATE ||
        !progress->loading || progress->loaded_count > 0 || load->from_index != progress->next ||
        !is_wanted(raft, progress, entries, count)) {
        return STATUS_OK;
    }
    if (count == 0) {
        progress->load_failed = true;
        return STATUS_OK;
    }
    if (!RAFT_GROW(raft->alloc, &progress->loaded, &progress->loaded_capacity, count)) {
        progress->load_failed = true;
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for %zu loaded entries", count);
    }
    for (size_t i = 0; i < count; i++) {
        progress->loaded[i] = raft_entry_ref(entries[i]);
    }
    progress->loaded_count = count;
    return STATUS_OK;
}

void raft_unreachable(struct raft *raft, uint64_t peer)
{
    struct raft_progress *progress = raft_members_find(&raft->members, peer);
    if (raft->role == RAFT_LEADER && progress != NULL && progress->state == RAFT_PEER_REPLICATE) {
        raft_progress_probe(progress, progress->match + 1);
    }
}

void raft_recall_commit(struct raft *raft, uint64_t index)
{
    CHECK(index <= raft->log.stored_index);
    /* A log that lost its end may have, after the damage, replaced what is there now. */
    if (!raft_is_refilling(raft) && index > raft->commit) {
        raft->commit = index;
    }
}

void raft_set_electable(struct raft *raft, bool electable)
{
    raft->electable = electable;
}

void raft_purged(struct raft *raft, uint64_t index)
{
    CHECK(index <= raft->commit_given);
    raft_log_purge(&raft->log, index);
}

/* ---- Questions ------------------------------------------------------------------------------- */

size_t raft_entries(const struct raft *raft, uint64_t begin, uint64_t end, struct raft_entry **out)
{
    size_t count = 0;
    while (begin + count < end && raft_log_cached(&raft->log, begin + count)) {
        out[count] = raft_entry_ref(raft_log_at(&raft->log, begin + count));
        count++;
    }
    return count;
}

bool raft_term_at(const struct raft *raft, uint64_t index, uint64_t *term)
{
    return raft_log_term_at(&raft->log, index, term);
}

uint64_t raft_retain_index(const struct raft *raft)
{
    return raft->retain;
}

void raft_status(const struct raft *raft, struct raft_status *out)
{
    *out = (struct raft_status){
        .id = raft->id,
        .role = raft->role,
        .leader = raft->leader,
        .hard_state = raft->hard,
        .commit = raft->commit,
        .stored_index = raft->log.stored_index,
        .applied_index = raft->applied,
        .snapshot_index = raft->log.snapshot_index,
        .last_index = raft->log.last_index,
        .last_term = raft_log_last_term(&raft->log),
        .cache_first_index = raft->log.cache_first,
        .cache_bytes = raft->log.cache_bytes,
        .messages_dropped = raft->messages_dropped,
        .refill_index = raft->refill_index,
        .transferring = raft->transfer_target != 0,
    };
}

size_t raft_peers(const struct raft *raft, struct raft_peer *out, size_t max)
{
    size_t count = raft->members.count < max ? raft->members.count : max;
    for (size_t i = 0; i < count; i++) {
        const struct raft_progress *progress = &raft->members.of[i];
        out[i] = (struct raft_peer){
            .id = progress->id,
            .voter = progress->voter,
            .leaving = progress->leave_index != 0,
            .heard = progress->heard,
            .match = progress->match,
            .next = progress->next,
            .applied = progress->applied,
            .state = progress->state,
            .contact_ticks_ago = raft->now - progress->contact_tick,
            .inflight_bytes = progress->flight_bytes,
            .inflight_messages = progress->flight_count,
        };
        if (progress->id == raft->id) {
            out[i].match = raft->log.stored_index;
            out[i].next = raft->log.last_index + 1;
            out[i].applied = raft_applied_to_tell(raft);
            out[i].state = RAFT_PEER_REPLICATE;
            out[i].contact_ticks_ago = 0;
            out[i].heard = true;
        }
    }
    return count;
}
