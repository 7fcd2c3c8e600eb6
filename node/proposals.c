/* SPDX-License-Identifier: Apache-2.0 */
#include "node/proposals.h"

#include "base/check.h"
#include "base/plant.h"
#include "node/append_entry.h"
#include "node/apply.h"

#define BYTES_MAX (48 * MIB) /* admitted and not yet applied */
#define QUORUM_LAG_BYTES_MAX (64 * MIB)
#define RETRY_MS 20
/* Held back at most: enough to share the cost of a group; and for how long, so that a leader's slow
 * disk does not keep entries from the others. */
#define HELD_BYTES_MAX (256 * KIB)
#define HELD_NS_MAX (5 * NS_PER_MS)

void proposals_init(struct proposals *proposals, struct member_clocks *clocks,
                    const struct config *config, const struct members *members, struct raft *raft,
                    struct log_writer *log, struct pending *pending, struct replier *replier)
{
    *proposals = (struct proposals){.clock = clocks->clock,
                                    .clocks = clocks,
                                    .config = config,
                                    .members = members,
                                    .raft = raft,
                                    .log = log,
                                    .pending = pending,
                                    .replier = replier};
    proposals->held_last = &proposals->held_first;
}

enum status proposal_new(struct alloc *alloc, const Estreat__V1__AppendRequest *request, bool salt,
                         struct rng *rng, struct append_call *call, struct proposal **out,
                         struct error *err)
{
    enum status status = append_request_check(request, err);
    if (status != STATUS_OK) {
        return status;
    }
    size_t length = append_entry_length(request, salt);
    if (length > ENTRY_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "the request's events are too large together");
    }
    struct raft_entry *entry = raft_entry_new(alloc, 0, 0, ENTRY_APPEND, (uint32_t)length);
    struct proposal *proposal = alloc_new(alloc, sizeof *proposal);
    if (entry == NULL || proposal == NULL) {
        raft_entry_unref(entry);
        alloc_free(alloc, proposal);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the request");
    }
    append_entry_encode(request, salt, rng, entry->data);
    *proposal = (struct proposal){.alloc = alloc, .call = call, .entry = entry};
    *out = proposal;
    return STATUS_OK;
}

static void refuse_for_leader(struct proposals *proposals, struct append_call *call)
{
    const struct member *leader = members_find(proposals->members, proposals->leader);
    if (leader == NULL || strcmp(leader->at.id, proposals->config->node_id) == 0) {
        /* The empty name says, as another would, that the append was not taken. */
        const struct append_failure failure = {
            .status = STATUS_UNAVAILABLE, .text = "no leader is known", .leader_endpoint = ""};
        proposals->replier->refuse(proposals->replier, call, &failure);
        return;
    }
    char text[NODE_ID_BYTES_MAX + 64];
    (void)snprintf(text, sizeof text, "this node does not lead; %s does", leader->at.id);
    const struct append_failure failure = {
        .status = STATUS_UNAVAILABLE, .text = text, .leader_endpoint = leader->at.client};
    proposals->replier->refuse(proposals->replier, call, &failure);
}

/* A full queue empties within some groups of the log; a full disk does not. */
static void refuse(struct proposals *proposals, struct append_call *call, const struct error *err)
{
    bool passing = err->status == STATUS_RESOURCE_EXHAUSTED && !proposals->low_space;
    const struct append_failure failure = {
        .status = err->status,
        .text = err->text,
        .leader_endpoint = proposals->stands ? "" : NULL, /* not taken; another may lead soon */
        .retry_after_ms = passing ? RETRY_MS : 0};
    proposals->replier->refuse(proposals->replier, call, &failure);
}

/* True if too many would have much to apply before they could take over. */
static bool quorum_lags(struct proposals *proposals, const struct raft_status *status)
{
    if (apply_lag_bytes(&proposals->quorums, 0) <= QUORUM_LAG_BYTES_MAX) {
        return false;
    }
    struct raft_peer peers[RAFT_PEERS_MAX];
    size_t count = raft_peers(proposals->raft, peers, RAFT_PEERS_MAX);
    uint64_t applied = apply_lag_quorum(peers, count, status->id, status->applied_index);
    return apply_lag_bytes(&proposals->quorums, applied) > QUORUM_LAG_BYTES_MAX;
}

static enum status admit(struct proposals *proposals, struct raft_entry *entry, struct error *err)
{
    if (!proposals->leads || proposals->closed) {
        return STATUS_FAILED_PRECONDITION;
    }
    if (proposals->stands) {
        return error_set(err, STATUS_UNAVAILABLE,
                         "what %s stores is damaged, so it applies nothing and is not to lead; "
                         "estreat status says what to mend",
                         proposals->config->node_id);
    }
    if (proposals->low_space) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                         "the disk of %s has less than %lu MiB left; make room in %s",
                         proposals->config->node_id,
                         (unsigned long)(config_free_bytes_min(proposals->config) / MIB),
                         proposals->config->data);
    }
    struct raft_status status;
    raft_status(proposals->raft, &status);
    if (!pending_reserve(proposals->pending, status.last_index + 1) ||
        apply_lag_bytes(&proposals->own, status.applied_index) + entry->length > BYTES_MAX ||
        quorum_lags(proposals, &status)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                         "too many appends wait to be applied; try again");
    }
    /* Strictly after the log's last event, applied or not, whatever the clock says. */
    uint64_t time_ns = PLANTED(CLOCK_UNCHECKED) ? clock_realtime_ns(proposals->clock)
                                                : member_clocks_now_ns(proposals->clocks);
    if (time_ns <= proposals->log->last_time_ns && !PLANTED(CLOCK_TIME)) {
        time_ns = proposals->log->last_time_ns + 1;
    }
    append_entry_set_time(entry->data, time_ns);
    return raft_propose(proposals->raft, entry, err);
}

static void propose(struct proposals *proposals, struct proposal *proposal)
{
    struct append_call *call = proposal->call;
    struct raft_entry *entry = proposal->entry;
    struct error err = ERROR_INIT;
    size_t length = entry->length;
    alloc_free(proposal->alloc, proposal);
    enum status status = admit(proposals, entry, &err);
    if (status != STATUS_OK) {
        raft_entry_unref(entry);
        if (status == STATUS_FAILED_PRECONDITION) {
            refuse_for_leader(proposals, call);
        } else {
            refuse(proposals, call, &err);
        }
        return;
    }
    /* The core holds the entry, so it may be looked at until the core is called again. */
    proposals->log->last_time_ns = append_entry_last_time(raft_entry_slice(entry));
    if (proposals->term != entry->term) {
        proposals->term = entry->term;
        apply_lag_clear(&proposals->own);
        apply_lag_clear(&proposals->quorums);
    }
    proposals->last_index = entry->index;
    apply_lag_count(&proposals->own, entry->index, length);
    apply_lag_count(&proposals->quorums, entry->index, length);
    pending_add(proposals->pending,
                (struct pending_call){.index = entry->index, .term = entry->term, .call = call});
}

/* Proposals that come while a WAL group is under way could not be written before it is done anyway.
 * Together they share the next group on each node, and one message each way, instead of waking
 * everybody for each. An idle disk holds nothing back, so a request alone does not wait. */
void proposals_add(struct proposals *proposals, struct proposal *first)
{
    if (proposals->held_first == NULL) {
        proposals->held_since_ns = clock_monotonic_ns(proposals->clock);
    }
    *proposals->held_last = first;
    for (struct proposal *proposal = first; proposal != NULL; proposal = proposal->next) {
        proposals->held_last = &proposal->next;
        proposals->held_bytes += proposal->entry->length;
    }
}

uint64_t proposals_due_ns(const struct proposals *proposals)
{
    return proposals->held_first == NULL ? UINT64_MAX : proposals->held_since_ns + HELD_NS_MAX;
}

static void propose_all(struct proposals *proposals)
{
    while (proposals->held_first != NULL) {
        struct proposal *proposal = proposals->held_first;
        proposals->held_first = proposal->next;
        propose(proposals, proposal);
    }
    proposals->held_last = &proposals->held_first;
    proposals->held_bytes = 0;
}

void proposals_go(struct proposals *proposals)
{
    bool under_way = proposals->leads && wal_busy(proposals->log->wal);
    if (!under_way || proposals->held_bytes >= HELD_BYTES_MAX ||
        clock_monotonic_ns(proposals->clock) >= proposals_due_ns(proposals)) {
        propose_all(proposals);
    }
}

void proposals_refuse_held(struct proposals *proposals)
{
    CHECK(proposals->closed);
    propose_all(proposals);
}

static void fail_pending(void *context, struct append_call *call)
{
    replier_refuse(context, call, STATUS_UNAVAILABLE,
                   "leadership was lost before the append was committed; outcome unknown");
}

void proposals_fail_pending(struct proposals *proposals)
{
    pending_drain(proposals->pending, fail_pending, proposals->replier);
}

static void fail_unapplied(void *context, struct append_call *call)
{
    replier_refuse(context, call, STATUS_UNAVAILABLE,
                   "what this node stores is damaged, so it does not apply the append; outcome "
                   "unknown");
}

void proposals_stand(struct proposals *proposals)
{
    proposals->stands = true;
    pending_drain(proposals->pending, fail_unapplied, proposals->replier);
}

void proposals_set_leader(struct proposals *proposals, bool leads, uint64_t leader)
{
    if (proposals->leads && !leads) {
        proposals_fail_pending(proposals);
        proposals->last_index = 0;
    }
    proposals->leads = leads;
    proposals->leader = leader;
}

bool proposals_wait(const struct proposals *proposals)
{
    struct raft_status status;
    raft_status(proposals->raft, &status);
    return proposals->last_index > status.applied_index;
}
