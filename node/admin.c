/* SPDX-License-Identifier: Apache-2.0 */
#include "node/admin.h"

#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "node/driver.h"

/* A learner that lags by no more than this may be counted, or, under a load that has always more on
 * its way, one that has all that there was when learners were last looked at: a quorum that needs
 * it does not wait long (the rounds of dissertation 4.2.1). */
#define PROMOTE_ENTRIES_MAX 256U
#define ADMIN_TICK_MS (DRIVER_TICK_NS / NS_PER_MS)

void admin_init(struct admin *admin, struct alloc *alloc, struct raft *raft,
                const struct config *config, const struct members *members)
{
    *admin = (struct admin){.alloc = alloc,
                            .raft = raft,
                            .config = config,
                            .members = members,
                            .looked_index = UINT64_MAX};
}

static void end(struct admin_request *request, enum status status, const char *text)
{
    const struct append_failure failure = {.status = status, .text = text};
    request->done(request, &failure);
}

static bool leads(const struct admin *admin)
{
    struct raft_status status;
    raft_status(admin->raft, &status);
    return status.role == RAFT_LEADER;
}

static void refuse_for_leader(struct admin *admin, struct admin_request *request)
{
    struct raft_status status;
    raft_status(admin->raft, &status);
    const struct member *leader = members_find(admin->members, status.leader);
    char text[NODE_ID_BYTES_MAX + 64] = "no leader is known";
    if (leader != NULL) {
        (void)snprintf(text, sizeof text, "this node does not lead; %s does", leader->at.id);
    }
    const struct append_failure failure = {.status = STATUS_UNAVAILABLE,
                                           .text = text,
                                           .leader_endpoint =
                                               leader == NULL ? "" : leader->at.client};
    request->done(request, &failure);
}

/* True if the member was heard of within an election timeout, as a leader counts it alive. */
static bool answers(const struct admin *admin, const struct raft_peer *peer)
{
    return peer->heard && peer->contact_ticks_ago * ADMIN_TICK_MS < admin->config->election_ms;
}

/* ---- membership ---------------------------------------------------------------------------- */

static enum status next_membership(const struct raft_membership *now,
                                   const struct admin_request *request, struct buf *out,
                                   struct error *err)
{
    uint64_t id = raft_id_of(request->member.id);
    struct buf info;
    enum status status;
    switch (request->kind) {
    case ADMIN_ADD:
        buf_init(&info, out->alloc, MEMBERSHIP_BYTES_MAX);
        member_info_encode(&request->member, &info);
        status = buf_failed(&info)
                     ? error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the member")
                     : raft_membership_add(now, id, buf_slice(&info), out, err);
        buf_release(&info);
        return status;
    case ADMIN_PROMOTE:
        return raft_membership_promote(now, id, out, err);
    case ADMIN_REMOVE:
        return raft_membership_remove(now, id, out, err);
    case ADMIN_TRANSFER:
        break;
    }
    return error_set(err, STATUS_INTERNAL, "no change of the membership");
}

/* A change after which nothing could be committed any more, nor taken back, is none to make. */
static enum status check_majority(const struct admin *admin, struct slice bytes, struct error *err)
{
    struct raft_membership next;
    struct raft_peer peers[RAFT_PEERS_MAX];
    size_t alive = 0;
    size_t count = raft_peers(admin->raft, peers, RAFT_PEERS_MAX);
    enum status status = raft_membership_decode(bytes, &next, err);
    if (status != STATUS_OK) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        const struct raft_member *member = raft_membership_find(&next, peers[i].id);
        alive += member != NULL && member->role == RAFT_VOTER && answers(admin, &peers[i]);
    }
    size_t voters = raft_membership_voters(&next);
    if (alive < voters / 2 + 1) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%zu of the %zu voters that there would be answer, which is no majority",
                         alive, voters);
    }
    return STATUS_OK;
}

/* Proposes what `request` makes of the membership; its entry's index and term go into it. */
static enum status propose(struct admin *admin, struct admin_request *request, struct error *err)
{
    uint64_t index = 0;
    struct buf bytes;
    buf_init(&bytes, admin->alloc, MEMBERSHIP_BYTES_MAX);
    enum status status =
        next_membership(raft_members_now(admin->raft, &index), request, &bytes, err);
    struct raft_entry *entry = NULL;
    if (status == STATUS_OK && !buf_failed(&bytes)) {
        status = check_majority(admin, buf_slice(&bytes), err);
    }
    if (status == STATUS_OK && !buf_failed(&bytes)) {
        entry = raft_entry_new(admin->alloc, 0, 0, RAFT_ENTRY_MEMBERSHIP, (uint32_t)bytes.length);
    }
    if (status == STATUS_OK && entry == NULL) {
        status = error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the membership");
    }
    if (status == STATUS_OK) {
        memcpy(entry->data, bytes.data, bytes.length);
        status = raft_change(admin->raft, entry, err);
        if (status == STATUS_OK) {
            request->index = entry->index;
            request->term = entry->term;
        } else {
            raft_entry_unref(entry);
        }
    }
    buf_release(&bytes);
    return status;
}

/* NULL if there is none. */
static const struct raft_peer *peer_of(const struct raft_peer *peers, size_t count, uint64_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (peers[i].id == id) {
            return &peers[i];
        }
    }
    return NULL;
}

/* One that has all is no help as a voter either if nothing is heard of it. */
static bool is_learner_ready(const struct admin *admin, const struct raft_peer *peer)
{
    struct raft_status status;
    raft_status(admin->raft, &status);
    return answers(admin, peer) && peer->state == RAFT_PEER_REPLICATE &&
           (peer->match + PROMOTE_ENTRIES_MAX >= status.last_index ||
            peer->match >= admin->looked_index);
}

static bool is_learner_behind(const struct admin *admin, uint64_t id)
{
    struct raft_peer peers[RAFT_PEERS_MAX];
    size_t count = raft_peers(admin->raft, peers, RAFT_PEERS_MAX);
    const struct raft_peer *peer = peer_of(peers, count, id);
    return peer != NULL && !peer->voter && !is_learner_ready(admin, peer);
}

/* True if the change was made before; none is under way. Whoever asks again, since an answer was
 * lost, hears the same. */
static bool is_made(const struct admin *admin, const struct admin_request *request)
{
    uint64_t index = 0;
    const struct raft_membership *now = raft_members_now(admin->raft, &index);
    const struct raft_member *member = raft_membership_find(now, raft_id_of(request->member.id));
    switch (request->kind) {
    case ADMIN_ADD: {
        const struct member *known = members_named(admin->members, request->member.id);
        return member != NULL && known != NULL &&
               strcmp(known->at.client, request->member.client) == 0 &&
               strcmp(known->at.peer, request->member.peer) == 0;
    }
    case ADMIN_PROMOTE:
        return member != NULL && member->role == RAFT_VOTER;
    case ADMIN_REMOVE:
        return raft_membership_removed(now, raft_id_of(request->member.id));
    case ADMIN_TRANSFER:
        break;
    }
    return false;
}

static bool is_under_way(const struct admin *admin)
{
    uint64_t index = 0;
    struct raft_status status;
    (void)raft_members_now(admin->raft, &index);
    raft_status(admin->raft, &status);
    return index > status.commit;
}

static void change(struct admin *admin, struct admin_request *request)
{
    struct error err = ERROR_INIT;
    uint64_t id = raft_id_of(request->member.id);
    if (request->kind == ADMIN_PROMOTE && is_learner_behind(admin, id)) {
        end(request, STATUS_FAILED_PRECONDITION,
            "it has not caught up yet, or does not answer; it is promoted by itself when it has");
        return;
    }
    if (request->kind == ADMIN_REMOVE && strcmp(request->member.id, admin->config->node_id) == 0 &&
        admin_hand_over(admin)) {
        /* Whoever leads next removes it: the client asks there. */
        end(request, STATUS_UNAVAILABLE, "the leader is to be removed: it hands leadership over");
        return;
    }
    if (is_under_way(admin)) {
        /* Perhaps this very one, asked for before: what it will have been is not known yet. */
        end(request, STATUS_UNAVAILABLE, "a change of the members is under way; try again");
        return;
    }
    if (is_made(admin, request)) {
        request->done(request, NULL);
        return;
    }
    if (propose(admin, request, &err) != STATUS_OK) {
        char text[ERROR_TEXT_BYTES];
        (void)snprintf(text, sizeof text, "%.64s: %.400s", request->member.id, err.text);
        end(request, err.status, text);
        return;
    }
    request->next = admin->waiting;
    admin->waiting = request;
}

void admin_promote(struct admin *admin)
{
    struct raft_peer peers[RAFT_PEERS_MAX];
    size_t count = leads(admin) ? raft_peers(admin->raft, peers, RAFT_PEERS_MAX) : 0;
    for (size_t i = 0; i < count; i++) {
        const struct member *member = members_find(admin->members, peers[i].id);
        if (peers[i].voter || peers[i].leaving || member == NULL ||
            !is_learner_ready(admin, &peers[i])) {
            continue;
        }
        struct admin_request request = {.kind = ADMIN_PROMOTE, .member = member->at};
        struct error err = ERROR_INIT;
        /* While another change is under way: the next time, then. */
        if (propose(admin, &request, &err) == STATUS_OK) {
            log_write("raft", LOG_INFO, "learner has caught up", "member=%s", member->at.id);
        }
    }
    struct raft_status status;
    raft_status(admin->raft, &status);
    admin->looked_index = status.role == RAFT_LEADER ? status.last_index : UINT64_MAX;
}

/* ---- leadership ---------------------------------------------------------------------------- */

static bool was_tried(const struct admin *admin, uint64_t id)
{
    for (size_t i = 0; i < admin->heir_count; i++) {
        if (admin->heirs[i] == id) {
            return true;
        }
    }
    return false;
}

/* Several may be damaged, as the one that hands over is: if only the last were passed over, two of
 * them would be asked by turns for ever. */
static void note_tried(struct admin *admin, uint64_t id)
{
    if (was_tried(admin, id) || admin->heir_count == RAFT_PEERS_MAX) {
        admin->heir_count = 0; /* all were, those that are members now */
    }
    admin->heirs[admin->heir_count++] = id;
}

/* True if `a` would take over with less delay than `b`. */
static bool is_better(const struct admin *admin, const struct raft_peer *a,
                      const struct raft_peer *b)
{
    bool a_again = was_tried(admin, a->id);
    bool b_again = was_tried(admin, b->id);
    if (a_again != b_again) {
        return b_again; /* it did not take over */
    }
    return a->match > b->match || (a->match == b->match && a->applied > b->applied);
}

/* 0: there is no other voter that answers. */
static uint64_t heir(const struct admin *admin)
{
    struct raft_status status;
    struct raft_peer peers[RAFT_PEERS_MAX];
    const struct raft_peer *best = NULL;
    size_t count = raft_peers(admin->raft, peers, RAFT_PEERS_MAX);
    raft_status(admin->raft, &status);
    for (size_t i = 0; i < count; i++) {
        if (peers[i].voter && peers[i].id != status.id && answers(admin, &peers[i]) &&
            peers[i].state == RAFT_PEER_REPLICATE && peers[i].applied != RAFT_APPLIES_NOTHING &&
            (best == NULL || is_better(admin, &peers[i], best))) {
            best = &peers[i];
        }
    }
    return best == NULL ? 0 : best->id;
}

bool admin_tried_all(const struct admin *admin)
{
    uint64_t next = heir(admin);
    return next != 0 && was_tried(admin, next);
}

bool admin_hand_over(struct admin *admin)
{
    struct error err = ERROR_INIT;
    struct raft_status status;
    raft_status(admin->raft, &status);
    if (status.transferring) {
        return true;
    }
    uint64_t target = heir(admin);
    if (target == 0) {
        return false;
    }
    note_tried(admin, target);
    return raft_transfer(admin->raft, target, &err) == STATUS_OK;
}

static void transfer(struct admin *admin, struct admin_request *request)
{
    struct error err = ERROR_INIT;
    uint64_t target = heir(admin);
    if (request->member.id[0] != '\0') {
        const struct member *member = members_named(admin->members, request->member.id);
        if (member == NULL) {
            end(request, STATUS_NOT_FOUND, "there is no such member");
            return;
        }
        if (strcmp(request->member.id, admin->config->node_id) == 0) {
            request->done(request, NULL); /* it leads already */
            return;
        }
        target = member->raft_id;
    }
    struct raft_peer peers[RAFT_PEERS_MAX];
    size_t count = raft_peers(admin->raft, peers, RAFT_PEERS_MAX);
    const struct raft_peer *peer = peer_of(peers, count, target);
    if (peer == NULL || !answers(admin, peer)) {
        end(request, STATUS_FAILED_PRECONDITION,
            peer == NULL ? "there is no other voter that answers" : "that member does not answer");
        return;
    }
    if (raft_transfer(admin->raft, target, &err) != STATUS_OK) {
        end(request,
            err.status == STATUS_INVALID_ARGUMENT ? STATUS_FAILED_PRECONDITION : err.status,
            err.status == STATUS_INVALID_ARGUMENT ? "a learner cannot lead" : err.text);
        return;
    }
    request->heir = target;
    request->next = admin->waiting;
    admin->waiting = request;
}

/* ---- requests ------------------------------------------------------------------------------ */

void admin_add(struct admin *admin, struct admin_request *request)
{
    if (!leads(admin)) {
        refuse_for_leader(admin, request);
    } else if (request->kind == ADMIN_TRANSFER) {
        transfer(admin, request);
    } else {
        change(admin, request);
    }
}

/* What became of a transfer. True if the request was ended. */
static bool settle_transfer(struct admin *admin, struct admin_request *request)
{
    struct raft_status status;
    raft_status(admin->raft, &status);
    bool led = status.role == RAFT_LEADER;
    if (led ? status.transferring : status.leader == 0) {
        return false;
    }
    if (led) {
        end(request, STATUS_UNAVAILABLE, "the other node did not take over in time");
    } else if (status.leader != request->heir) {
        end(request, STATUS_UNAVAILABLE, "another node took over");
    } else {
        request->done(request, NULL);
    }
    return true;
}

/* What became of a change's entry. True if the request was ended. */
static bool settle_change(struct admin *admin, struct admin_request *request, uint64_t commit)
{
    struct raft_status status;
    uint64_t term = 0;
    raft_status(admin->raft, &status);
    bool there = raft_term_at(admin->raft, request->index, &term) && term == request->term;
    if (there && commit < request->index) {
        return false;
    }
    /* Not there: cut, or so old that it was purged, and then it is committed. */
    if (there || status.snapshot_index >= request->index) {
        request->done(request, NULL);
    } else {
        end(request, STATUS_UNAVAILABLE, "leadership was lost before the change was committed");
    }
    return true;
}

/* True if the request was ended. */
static bool settle(struct admin *admin, struct admin_request *request, uint64_t commit,
                   uint64_t now_ns)
{
    if (request->kind == ADMIN_TRANSFER ? settle_transfer(admin, request)
                                        : settle_change(admin, request, commit)) {
        return true;
    }
    if (now_ns >= request->deadline_ns) {
        end(request, STATUS_DEADLINE_EXCEEDED,
            "it is under way and not settled; see: estreat member list");
        return true;
    }
    return false;
}

void admin_settle(struct admin *admin, uint64_t commit, uint64_t now_ns)
{
    struct admin_request **link = &admin->waiting;
    while (*link != NULL) {
        struct admin_request *request = *link;
        struct admin_request *next = request->next;
        if (settle(admin, request, commit, now_ns)) {
            *link = next;
        } else {
            link = &request->next;
        }
    }
}

void admin_close(struct admin *admin)
{
    while (admin->waiting != NULL) {
        struct admin_request *request = admin->waiting;
        admin->waiting = request->next;
        end(request, STATUS_UNAVAILABLE, "the node is stopping; see: estreat member list");
    }
}
