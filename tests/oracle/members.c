/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes of the members: each is begun only where it will be committed, and ends when all who
 * hear the leader know that (README.md says why).
 */
#include <inttypes.h>
#include <stdio.h>

#include "cores.h"

#define VOTERS_MIN 3U
/* Once for the quorum, once more for those who were asked before it was reached. */
#define ROUNDS 2U

static const struct raft_membership *members_of(const struct node *node)
{
    uint64_t index = 0;
    return raft_members_now(node->raft, &index);
}

bool cores_is_voter(const struct node *node, uint64_t id)
{
    const struct raft_member *member = raft_membership_find(members_of(node), id);
    return member != NULL && member->role == RAFT_VOTER;
}

/* The entry that makes this change of what `node` goes by; NULL: there is no such change. */
static struct raft_entry *change_entry(const struct node *node, enum cores_change change,
                                       uint64_t target)
{
    const struct raft_membership *from = members_of(node);
    struct error err = ERROR_INIT;
    struct raft_entry *entry = NULL;
    struct buf bytes;
    enum status status = STATUS_INTERNAL;
    buf_init(&bytes, alloc_default(), 4096);
    switch (change) {
    case CORES_ADD:
        status = raft_membership_add(from, target, slice_of_string(""), &bytes, &err);
        break;
    case CORES_PROMOTE:
        status = raft_membership_promote(from, target, &bytes, &err);
        break;
    case CORES_REMOVE:
        status = raft_membership_remove(from, target, &bytes, &err);
        break;
    }
    if (status == STATUS_OK) {
        CHECK(!buf_failed(&bytes));
        entry =
            raft_entry_new(alloc_default(), 0, 0, RAFT_ENTRY_MEMBERSHIP, (uint32_t)bytes.length);
        CHECK(entry != NULL);
        memcpy(entry->data, bytes.data, bytes.length);
    }
    buf_release(&bytes);
    return entry;
}

/* Those who take part: the leader, and all members of after the change who hear it and it them. */
static void find_audience(const struct cores *cores, uint64_t id,
                          const struct raft_membership *after, bool *audience)
{
    for (uint64_t other = 1; other <= cores->count; other++) {
        bool hears = !cores->cut[id - 1][other - 1] && !cores->cut[other - 1][id - 1];
        audience[other - 1] = other == id || (hears && raft_membership_find(after, other) != NULL);
    }
}

static bool is_quorum(const struct raft_membership *members, const bool *audience)
{
    size_t present = 0;
    for (size_t i = 0; i < members->count; i++) {
        present += members->of[i].role == RAFT_VOTER && audience[members->of[i].id - 1];
    }
    size_t voters = raft_membership_voters(members);
    return voters >= VOTERS_MIN && present > voters / 2;
}

/* Nobody knows of a later term, and there is a quorum of before and of after the change. */
static bool will_commit(const struct cores *cores, uint64_t id, const struct raft_membership *after,
                        const bool *audience)
{
    const struct node *leader = &cores->nodes[id - 1];
    struct raft_status status;
    raft_status(leader->raft, &status);
    uint64_t term = status.hard_state.term;
    for (size_t i = 0; i < cores->count; i++) {
        raft_status(cores->nodes[i].raft, &status);
        if (audience[i] && status.hard_state.term > term) {
            return false;
        }
    }
    return is_quorum(members_of(leader), audience) && is_quorum(after, audience);
}

static void drop_all(struct cores *cores, uint64_t id)
{
    for (uint64_t other = 1; other <= cores->count; other++) {
        cores_drop(cores, id, other);
        cores_drop(cores, other, id);
    }
}

/* Where etcd's core refuses a change it takes an empty entry in its place. */
static void submit_empty(struct cores *cores, uint64_t id)
{
    struct raft_entry *entry = raft_entry_new(alloc_default(), 0, 0, RAFT_ENTRY_DATA, 0);
    CHECK(entry != NULL);
    (void)cores_submit(cores, id, entry); /* refused, too, while leadership is handed over */
}

/* Before the change is committed another one is refused: that of the last member but the leader. */
static void try_second(struct cores *cores, uint64_t id)
{
    const struct node *leader = &cores->nodes[id - 1];
    const struct raft_membership *members = members_of(leader);
    uint64_t last = members->of[members->count - 1].id;
    uint64_t target = last != id ? last : members->of[members->count - 2].id;
    struct raft_entry *entry = change_entry(leader, CORES_REMOVE, target);
    CHECK(entry != NULL);
    if (cores_submit(cores, id, entry)) {
        printf("second accepted\n");
    } else {
        printf("second refused\n");
        submit_empty(cores, id);
    }
}

static void spread(struct cores *cores, uint64_t id, const bool *audience)
{
    uint64_t index = disk_last(&cores->nodes[id - 1].disk);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (uint64_t other = 1; other <= cores->count; other++) {
            if (other != id && audience[other - 1]) {
                cores_exchange(cores, id, other, UINT64_MAX);
            }
        }
    }
    for (size_t i = 0; i < cores->count; i++) {
        if (audience[i] && cores->nodes[i].applied < index) {
            printf("error node %zu has not committed the change\n", i + 1);
        }
    }
}

/* The entry is known to make a change that will be committed, if the core takes it. */
static bool begin(struct cores *cores, uint64_t id, struct raft_entry *entry)
{
    drop_all(cores, id);
    if (!cores_submit(cores, id, entry)) {
        printf("refused\n");
        submit_empty(cores, id);
        return false;
    }
    printf("changed %" PRIu64 "\n", disk_last(&cores->nodes[id - 1].disk));
    return true;
}

/* Our core refuses it, and says to hand over first. */
static void remove_itself(struct cores *cores, uint64_t id)
{
    struct raft_entry *entry = change_entry(&cores->nodes[id - 1], CORES_REMOVE, id);
    bool taken = entry != NULL && cores_submit(cores, id, entry);
    printf(taken ? "changed\n" : "refused\n");
}

void cores_change(struct cores *cores, enum cores_change change, uint64_t id, uint64_t target)
{
    struct raft_membership after;
    struct error err = ERROR_INIT;
    bool audience[NODES_MAX] = {false};
    bool leads = cores->leads[id - 1] != 0 && target >= 1 && target <= cores->count;
    if (leads && change == CORES_REMOVE && id == target) {
        remove_itself(cores, id);
        return;
    }
    struct raft_entry *entry = leads ? change_entry(&cores->nodes[id - 1], change, target) : NULL;
    if (entry == NULL) {
        printf("refused\n");
        return;
    }
    enum status status = raft_membership_decode(raft_entry_slice(entry), &after, &err);
    CHECK(status == STATUS_OK);
    find_audience(cores, id, &after, audience);
    if (!will_commit(cores, id, &after, audience)) {
        raft_entry_unref(entry);
        printf("unheard\n");
        return;
    }
    if (!begin(cores, id, entry)) {
        return;
    }
    try_second(cores, id);
    spread(cores, id, audience);
    if (change == CORES_REMOVE) {
        cores->removed[target - 1] = true;
        cores_drop(cores, id, target);
        cores_drop(cores, target, id);
        cores_restart(cores, target);
    }
}
