/* SPDX-License-Identifier: Apache-2.0
 *
 * Stabilize: bringing a cluster to rest, and what is printed of it.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cores.h"

#define TRIES_MAX 20U

static uint64_t log_digest(const struct disk *disk)
{
    uint64_t digest = FACTS_DIGEST_EMPTY;
    for (size_t i = 0; i < disk->count; i++) {
        digest = facts_digest(digest, disk->entries[i]);
    }
    return digest;
}

/* "1v,2v,3l": the members that a node goes by, voters and learners; "-": nobody. */
static void print_members(const struct node *node)
{
    uint64_t index = 0;
    const struct raft_membership *members = raft_members_now(node->raft, &index);
    printf("%s", members->count == 0 ? "-" : "");
    for (size_t i = 0; i < members->count; i++) {
        printf("%s%" PRIu64 "%c", i == 0 ? "" : ",", members->of[i].id,
               members->of[i].role == RAFT_VOTER ? 'v' : 'l');
    }
}

void cores_status(struct cores *cores)
{
    for (size_t i = 0; i < cores->count; i++) {
        const struct node *node = &cores->nodes[i];
        struct raft_status status;
        raft_status(node->raft, &status);
        CHECK(status.last_index == disk_last(&node->disk));
        CHECK(status.commit == node->applied);
        uint64_t commit_term = node->applied == 0 ? 0 : disk_at(&node->disk, node->applied)->term;
        printf("node %" PRIu64 " %s term %" PRIu64 " vote %" PRIu64 " leader %" PRIu64
               " last %" PRIu64 "/%" PRIu64 " log %016" PRIx64 " members ",
               node->id, raft_role_name(status.role), status.hard_state.term,
               status.hard_state.vote, status.leader, status.last_index, status.last_term,
               log_digest(&node->disk));
        print_members(node);
        printf(" commit %" PRIu64 "/%" PRIu64 " committed %016" PRIx64 "\n", status.commit,
               commit_term, cores->digests[i]);
    }
}

/* The node that leads the newest term; NULL: none. One that was removed may go on for a while. */
static const struct node *leader_of(const struct cores *cores)
{
    const struct node *leader = NULL;
    uint64_t term = 0;
    for (size_t i = 0; i < cores->count; i++) {
        if (!cores->removed[i] && cores->leads[i] > term) {
            leader = &cores->nodes[i];
            term = cores->leads[i];
        }
    }
    return leader;
}

/* All members follow one leader, and have and have committed what it has. */
static bool at_rest(const struct cores *cores)
{
    const struct node *leader = leader_of(cores);
    if (leader == NULL) {
        return false;
    }
    struct raft_status first;
    raft_status(leader->raft, &first);
    uint64_t index = 0;
    const struct raft_membership *members = raft_members_now(leader->raft, &index);
    bool rest = true;
    for (size_t i = 0; i < members->count; i++) {
        struct raft_status status;
        raft_status(cores->nodes[members->of[i].id - 1].raft, &status);
        rest = rest && status.leader == first.leader &&
               status.hard_state.term == first.hard_state.term &&
               status.last_index == first.last_index && status.commit == first.last_index;
    }
    return rest;
}

/* The node whose log is ahead of the others' or equal to it, the first of several; of those that
 * may campaign. */
static uint64_t best_candidate(const struct cores *cores)
{
    struct raft_status best = {0};
    for (size_t i = 0; i < cores->count; i++) {
        const struct node *node = &cores->nodes[i];
        struct raft_status status;
        raft_status(node->raft, &status);
        if (cores->removed[i] || !cores_is_voter(node, node->id)) {
            continue;
        }
        if (best.id == 0 || status.last_term > best.last_term ||
            (status.last_term == best.last_term && status.last_index > best.last_index)) {
            best = status;
        }
    }
    CHECK(best.id != 0);
    return best.id;
}

static void sweep(struct cores *cores)
{
    for (uint64_t a = 1; a <= cores->count; a++) {
        for (uint64_t b = a + 1; b <= cores->count; b++) {
            cores_exchange(cores, a, b, UINT64_MAX);
        }
    }
}

void cores_stabilize(struct cores *cores)
{
    cores_heal(cores);
    for (unsigned i = 0; i < TRIES_MAX && !at_rest(cores); i++) {
        sweep(cores);
        sweep(cores);
        if (leader_of(cores) == NULL) {
            for (uint64_t id = 1; id <= cores->count; id++) {
                cores_tick(cores, id, CORES_EXPIRED_TICKS);
            }
            cores_campaign(cores, best_candidate(cores));
        }
    }
    printf(at_rest(cores) ? "stable\n" : "unstable\n");
}
