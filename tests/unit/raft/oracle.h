/* SPDX-License-Identifier: Apache-2.0
 *
 * Oracle: what must hold of a cluster whatever happens (Raft paper, figure 3), kept beside the
 * cores and out of their reach.
 *
 *   election safety       at most one leader a term
 *   log matching          an (index, term) has one content and one predecessor
 *   commit                when an entry is committed first, a quorum of the voters that the node
 *                         goes by has it on disk, or had before the log was damaged
 *   state machine safety  an index is committed with one (term, content) for ever
 *   leader completeness   a leader's log has all that was committed before it led
 *
 * HOLDS stops the test and names the seed.
 */
#ifndef ESTREAT_TESTS_RAFT_ORACLE_H
#define ESTREAT_TESTS_RAFT_ORACLE_H

#include "base/coding.h"
#include "cluster.h"

struct known_entry {
    uint64_t index; /* 0: free slot */
    uint64_t term;
    uint64_t previous_term;
    uint64_t value;
};

struct committed_entry {
    uint64_t term;
    uint64_t value;
};

struct oracle {
    uint64_t seed;
    uint64_t time;
    struct known_entry *known; /* open addressing */
    size_t known_capacity;     /* power of two */
    size_t known_count;
    struct committed_entry *committed; /* [index] */
    size_t committed_capacity;
    uint64_t commit;   /* the highest index that any core has committed */
    uint64_t *leaders; /* [term], 0: none seen */
    size_t leader_capacity;
    uint64_t elections;
};

#define HOLDS(oracle, condition)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fail_msg("seed %llu, time %llu: %s does not hold", (unsigned long long)(oracle)->seed, \
                     (unsigned long long)(oracle)->time, #condition);                              \
        }                                                                                          \
    } while (0)

/* An entry's first 8 bytes name it; a no-op is named by its term, a membership by all bytes. */
static inline uint64_t entry_value(const struct raft_entry *entry)
{
    if (entry->type == RAFT_ENTRY_MEMBERSHIP) {
        uint64_t hash = 14695981039346656037ULL;
        for (uint32_t i = 0; i < entry->length; i++) {
            hash = (hash ^ entry->data[i]) * 1099511628211ULL;
        }
        return hash;
    }
    return entry->type == RAFT_ENTRY_NOOP ? ~entry->term : get_le64(entry->data);
}

static inline struct known_entry *oracle_slot(struct oracle *oracle, uint64_t index, uint64_t term)
{
    uint64_t hash = (index * 0x9e3779b97f4a7c15ULL) ^ (term * 0xc2b2ae3d27d4eb4fULL);
    size_t at = (size_t)(hash >> 20) & (oracle->known_capacity - 1);
    while (oracle->known[at].index != 0 &&
           (oracle->known[at].index != index || oracle->known[at].term != term)) {
        at = (at + 1) & (oracle->known_capacity - 1);
    }
    return &oracle->known[at];
}

static inline void oracle_grow(struct oracle *oracle)
{
    struct known_entry *old = oracle->known;
    size_t capacity = oracle->known_capacity;
    oracle->known_capacity = capacity == 0 ? 1024 : capacity * 2;
    oracle->known = calloc(oracle->known_capacity, sizeof *oracle->known);
    assert_non_null(oracle->known);
    for (size_t i = 0; i < capacity; i++) {
        if (old[i].index != 0) {
            *oracle_slot(oracle, old[i].index, old[i].term) = old[i];
        }
    }
    free(old);
}

/* Log matching: the entry was seen to be stored or sent behind one of `previous_term`. */
static inline void oracle_see_entry(struct oracle *oracle, const struct raft_entry *entry,
                                    uint64_t previous_term)
{
    if (oracle->known_count * 2 >= oracle->known_capacity) {
        oracle_grow(oracle);
    }
    struct known_entry *known = oracle_slot(oracle, entry->index, entry->term);
    if (known->index == 0) {
        *known = (struct known_entry){.index = entry->index,
                                      .term = entry->term,
                                      .previous_term = previous_term,
                                      .value = entry_value(entry)};
        oracle->known_count++;
        return;
    }
    HOLDS(oracle, known->value == entry_value(entry));
    HOLDS(oracle, known->previous_term == previous_term);
}

/* State machine safety, and commit if this is the first time. */
static inline void oracle_see_commit(struct oracle *oracle, const struct node *nodes,
                                     const struct node *by, const struct raft_entry *entry)
{
    if (entry->index > oracle->commit) {
        HOLDS(oracle, entry->index == oracle->commit + 1);
        size_t durable = 0;
        uint64_t at = 0;
        struct raft_status status;
        const struct raft_membership *members = raft_members_now(by->raft, &at);
        for (size_t i = 0; i < members->count; i++) {
            /* Whose log was damaged helps to elect nobody until it has again what it had. */
            const struct node *node = &nodes[members->of[i].id - 1];
            durable +=
                members->of[i].role == RAFT_VOTER && node_had(node, entry->index, entry->term);
        }
        /* A change that is not committed may have come between the commit and its being told: it
         * brings a voter who had no say, or takes one away who may have been of the majority. */
        raft_status(by->raft, &status);
        size_t voters = raft_membership_voters(members) - (at > status.commit ? 1 : 0);
        HOLDS(oracle, durable >= voters / 2 + 1);
        oracle->commit = entry->index;
        oracle->committed = test_grow(oracle->committed, &oracle->committed_capacity,
                                      (size_t)entry->index + 1, sizeof *oracle->committed);
        oracle->committed[entry->index] =
            (struct committed_entry){.term = entry->term, .value = entry_value(entry)};
    }
    HOLDS(oracle, oracle->committed[entry->index].term == entry->term);
    HOLDS(oracle, oracle->committed[entry->index].value == entry_value(entry));
}

/* Election safety and leader completeness. */
static inline void oracle_see_leader(struct oracle *oracle, const struct node *node, uint64_t term)
{
    size_t before = oracle->leader_capacity;
    oracle->leaders = test_grow(oracle->leaders, &oracle->leader_capacity, (size_t)term + 1,
                                sizeof *oracle->leaders);
    if (oracle->leader_capacity > before) {
        memset(oracle->leaders + before, 0,
               (oracle->leader_capacity - before) * sizeof *oracle->leaders);
    }
    HOLDS(oracle, oracle->leaders[term] == 0 || oracle->leaders[term] == node->id);
    if (oracle->leaders[term] == 0) {
        oracle->elections++;
        for (uint64_t index = node->disk.base_index + 1; index <= oracle->commit; index++) {
            uint64_t own = 0;
            /* What was committed in a later term than this leader's is none of its business. */
            if (oracle->committed[index].term > term) {
                break;
            }
            HOLDS(oracle, raft_term_at(node->raft, index, &own));
            HOLDS(oracle, own == oracle->committed[index].term);
        }
    }
    oracle->leaders[term] = node->id;
}

/* What a message promises must be on disk at the moment when it is given out. */
static inline void oracle_see_message(struct oracle *oracle, const struct node *node,
                                      const struct raft_message *message)
{
    const struct disk *disk = &node->disk;
    bool asks = message->type == RAFT_MESSAGE_PRE_VOTE ||
                (message->type == RAFT_MESSAGE_PRE_VOTE_REPLY && !message->reject);
    HOLDS(oracle, message->from == node->id);
    HOLDS(oracle, message->to != node->id);
    HOLDS(oracle, asks || message->term <= disk->hard_state.term);
    if (message->type == RAFT_MESSAGE_VOTE) {
        HOLDS(oracle, disk->hard_state.vote == node->id);
    }
    if (message->type == RAFT_MESSAGE_VOTE_REPLY && !message->reject) {
        HOLDS(oracle, disk->hard_state.vote == message->to);
    }
    bool helps = message->type == RAFT_MESSAGE_VOTE || message->type == RAFT_MESSAGE_PRE_VOTE ||
                 (message->type == RAFT_MESSAGE_VOTE_REPLY && !message->reject) ||
                 (message->type == RAFT_MESSAGE_PRE_VOTE_REPLY && !message->reject);
    HOLDS(oracle, !helps || node->refill_index == 0);
    /* What a snapshot covers is durable, and its terms are gone. */
    if (message->type == RAFT_MESSAGE_APPEND_REPLY && !message->reject &&
        message->index >= disk->base_index) {
        uint64_t term = 0;
        HOLDS(oracle, raft_term_at(node->raft, message->index, &term));
        HOLDS(oracle, message->index <= disk_last(disk));
        HOLDS(oracle, disk_has(disk, message->index, term)); /* this entry, not an older one */
    }
    uint64_t previous_term = message->log_term;
    for (size_t i = 0; i < message->entry_count; i++) {
        HOLDS(oracle, message->entries[i]->index == message->index + 1 + i);
        oracle_see_entry(oracle, message->entries[i], previous_term);
        previous_term = message->entries[i]->term;
    }
}

static inline void oracle_release(struct oracle *oracle)
{
    free(oracle->known);
    free(oracle->committed);
    free(oracle->leaders);
    *oracle = (struct oracle){0};
}

#endif
