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
               " last %" PRIu64 "/%" PRIu64 " log %016" PRIx64 " commit %" PRIu64 "/%" PRIu64
               " committed %016" PRIx64 "\n",
               node->id, raft_role_name(status.role), status.hard_state.term,
               status.hard_state.vote, status.leader, status.last_index, status.last_term,
               log_digest(&node->disk), status.commit, commit_term, cores->digests[i]);
    }
}

/* One leader, all follow it, and all have and have committed what it has. */
static bool at_rest(const struct cores *cores)
{
    struct raft_status first;
    raft_status(cores->nodes[0].raft, &first);
    bool rest = first.leader != 0;
    for (size_t i = 0; i < cores->count; i++) {
        struct raft_status status;
        raft_status(cores->nodes[i].raft, &status);
        rest = rest && status.leader == first.leader &&
               status.hard_state.term == first.hard_state.term &&
               status.last_index == first.last_index && status.commit == first.last_index;
    }
    return rest;
}

static bool any_leader(const struct cores *cores)
{
    bool any = false;
    for (size_t i = 0; i < cores->count; i++) {
        any = any || cores->leads[i] != 0;
    }
    return any;
}

/* The node whose log is ahead of the others' or equal to it, the first of several. */
static uint64_t best_candidate(const struct cores *cores)
{
    struct raft_status best;
    raft_status(cores->nodes[0].raft, &best);
    for (size_t i = 1; i < cores->count; i++) {
        struct raft_status status;
        raft_status(cores->nodes[i].raft, &status);
        if (status.last_term > best.last_term ||
            (status.last_term == best.last_term && status.last_index > best.last_index)) {
            best = status;
        }
    }
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
        if (!any_leader(cores)) {
            for (uint64_t id = 1; id <= cores->count; id++) {
                cores_tick(cores, id, CORES_EXPIRED_TICKS);
            }
            cores_campaign(cores, best_candidate(cores));
        }
    }
    printf(at_rest(cores) ? "stable\n" : "unstable\n");
}
