/* SPDX-License-Identifier: Apache-2.0 */
#define ESTREAT_PLANTS
#include "cores.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/plant.h"
#include "links.h"

#define ENTRY_BYTES 8U
#define ROUNDS_MAX 10000U
#define LOAD_ENTRIES_MAX 64U

struct node *cores_node(struct cores *cores, uint64_t id)
{
    CHECK(id >= 1);
    CHECK(id <= cores->count);
    return &cores->nodes[id - 1];
}

static void must(const struct node *node, enum status status, const struct error *err)
{
    if (status != STATUS_OK) {
        printf("error node %" PRIu64 " %s: %s\n", node->id, status_name(status), err->text);
    }
}

static struct raft_status status_of(const struct node *node)
{
    struct raft_status status;
    raft_status(node->raft, &status);
    return status;
}

/* ---- One core -------------------------------------------------------------------------------- */

static void sync_first(struct node *node)
{
    struct error err = ERROR_INIT;
    struct disk_write *write = &node->disk.writes[0];
    disk_persist_first(&node->disk, write->count);
    if (write->has_hard_state) {
        must(node, raft_hard_state_stored(node->raft, write->hard_state, &err), &err);
    }
    if (write->count > 0) {
        const struct raft_entry *entry = write->entries[write->count - 1];
        raft_stored(node->raft, write->sequence, entry->index, entry->term);
    }
    disk_drop_first(&node->disk);
}

static void apply(struct cores *cores, struct node *node, uint64_t commit)
{
    uint64_t *digest = &cores->digests[node->id - 1];
    while (node->applied < commit) {
        const struct raft_entry *entry = disk_at(&node->disk, node->applied + 1);
        CHECK(entry != NULL); /* what may be applied is durable */
        *digest = facts_digest(*digest, entry);
        node->applied++;
        facts_commit(&cores->facts, node->id, node->applied, *digest);
    }
    raft_applied(node->raft, node->applied);
}

static void load(struct node *node, const struct raft_load *wanted)
{
    struct raft_entry *entries[LOAD_ENTRIES_MAX];
    struct error err = ERROR_INIT;
    size_t count = node_read_load(node, wanted, entries, LOAD_ENTRIES_MAX);
    must(node, raft_loaded(node->raft, wanted, entries, count, &err), &err);
}

/* What a leader had under way is lost when it leads no longer. */
static void note_role(struct cores *cores, const struct node *node)
{
    struct raft_status status = status_of(node);
    uint64_t leads = status.role == RAFT_LEADER ? status.hard_state.term : 0;
    uint64_t *before = &cores->leads[node->id - 1];
    if (*before != 0 && *before != leads) {
        link_lose_leaders(cores, node->id);
    }
    if (leads != 0 && *before != leads) {
        facts_lead(&cores->facts, leads, node->id);
    }
    *before = leads;
}

/* Does all that the core wants done, until it wants nothing. */
static void drain(struct cores *cores, struct node *node)
{
    struct raft_ready ready;
    for (unsigned rounds = 0; raft_ready(node->raft, &ready); rounds++) {
        CHECK(rounds < ROUNDS_MAX);
        struct raft_load loads[NODES_MAX];
        size_t load_count = ready.load_count;
        CHECK(load_count <= NODES_MAX);
        for (size_t i = 0; i < load_count; i++) {
            loads[i] = ready.loads[i];
        }
        if (ready.store_sequence != 0) {
            disk_submit(&node->disk, &ready);
        }
        for (size_t i = 0; i < ready.message_count; i++) {
            link_post(cores, &ready.messages[i]);
        }
        uint64_t commit = ready.has_commit ? ready.commit : 0;
        while (!cores->slow_disks && node->disk.write_count > 0) {
            sync_first(node);
        }
        apply(cores, node, commit);
        for (size_t i = 0; i < load_count; i++) {
            load(node, &loads[i]);
        }
    }
    note_role(cores, node);
}

/* What waits for slow disks becomes durable, one write after another. */
static void sync_all(struct cores *cores)
{
    for (size_t i = 0; i < cores->count; i++) {
        while (cores->nodes[i].disk.write_count > 0) {
            sync_first(&cores->nodes[i]);
            drain(cores, &cores->nodes[i]);
        }
    }
}

static void boot(struct cores *cores, struct node *node)
{
    struct error err = ERROR_INIT;
    cores->options.membership =
        node->id <= cores->voters ? voters_up_to(cores->voters) : slice_of_string("");
    must(node, node_boot(node, &cores->options, &err), &err);
    CHECK(node->raft != NULL);
    drain(cores, node);
}

void cores_init(struct cores *cores, size_t count, size_t voters, bool entry_messages,
                bool slow_disks)
{
    CHECK(count >= voters);
    CHECK(voters >= 1);
    CHECK(count <= NODES_MAX);
    *cores = (struct cores){.count = count, .voters = voters, .slow_disks = slow_disks};
    rng_seeded_init(&cores->rng, count);
    for (size_t i = 0; i < count; i++) {
        cores->nodes[i].id = i + 1;
        cores->digests[i] = FACTS_DIGEST_EMPTY;
    }
    cores->options = (struct raft_options){
        .election_ticks = CORES_ELECTION_TICKS,
        .heartbeat_ticks = 1,
        .message_bytes_max =
            entry_messages ? ENTRY_BYTES + RAFT_ENTRY_OVERHEAD_BYTES : RAFT_MESSAGE_BYTES_DEFAULT,
        .inflight_bytes_max = RAFT_INFLIGHT_BYTES_DEFAULT,
        .inflight_messages_max = RAFT_INFLIGHT_MESSAGES_DEFAULT,
        .cache_bytes_max = RAFT_CACHE_BYTES_DEFAULT,
        .alloc = alloc_default(),
        .rng = &cores->rng.rng,
    };
    for (size_t i = 0; i < count; i++) {
        boot(cores, &cores->nodes[i]);
    }
}

void cores_release(struct cores *cores)
{
    for (size_t i = 0; i < cores->count; i++) {
        raft_free(cores->nodes[i].raft);
        disk_release(&cores->nodes[i].disk);
        for (size_t j = 0; j < cores->count; j++) {
            network_release(&cores->links[i][j]);
        }
    }
    facts_release(&cores->facts);
    cores->count = 0;
}

/* ---- Time ------------------------------------------------------------------------------------ */

static void tick_once(struct cores *cores, struct node *node)
{
    struct error err = ERROR_INIT;
    must(node, raft_tick(node->raft, &err), &err);
    drain(cores, node);
    sync_all(cores);
}

void cores_tick(struct cores *cores, uint64_t id, uint64_t ticks)
{
    struct node *node = cores_node(cores, id);
    raft_set_electable(node->raft, false);
    for (uint64_t i = 0; i < ticks; i++) {
        tick_once(cores, node);
    }
    raft_set_electable(node->raft, true);
}

void cores_campaign(struct cores *cores, uint64_t id)
{
    struct node *node = cores_node(cores, id);
    if (status_of(node).role == RAFT_LEADER) {
        return;
    }
    cores_tick(cores, id, CORES_EXPIRED_TICKS);
    tick_once(cores, node);
}

static void tick_leader(struct cores *cores, uint64_t id)
{
    struct node *node = cores_node(cores, id);
    if (status_of(node).role == RAFT_LEADER) {
        tick_once(cores, node);
    }
}

/* ---- Commands -------------------------------------------------------------------------------- */

bool cores_submit(struct cores *cores, uint64_t id, struct raft_entry *entry)
{
    struct node *node = cores_node(cores, id);
    struct error err = ERROR_INIT;
    enum status status = STATUS_UNAVAILABLE;
    if (!status_of(node).transferring) { /* as etcd's: see README.md */
        status = entry->type == RAFT_ENTRY_MEMBERSHIP ? raft_change(node->raft, entry, &err)
                                                      : raft_propose(node->raft, entry, &err);
    }
    if (status != STATUS_OK) {
        raft_entry_unref(entry);
        return false;
    }
    drain(cores, node);
    sync_all(cores);
    return true;
}

void cores_propose(struct cores *cores, uint64_t id, uint64_t number)
{
    char text[ENTRY_BYTES + 1];
    struct raft_entry *entry =
        raft_entry_new(alloc_default(), 0, 0, RAFT_ENTRY_DATA, (uint32_t)ENTRY_BYTES);
    CHECK(entry != NULL);
    (void)snprintf(text, sizeof text, "%08" PRIu64, number % 100000000);
    memcpy(entry->data, text, ENTRY_BYTES);
    if (cores_submit(cores, id, entry)) {
        printf("accepted %" PRIu64 "\n", disk_last(&cores_node(cores, id)->disk));
    } else {
        printf("refused\n");
    }
}

static void hand_over(struct cores *cores, struct letter *letter)
{
    struct node *node = cores_node(cores, letter->message.to);
    struct error err = ERROR_INIT;
    must(node, raft_receive(node->raft, &letter->message, &err), &err);
    drain(cores, node);
    letter_release(letter);
}

void cores_deliver_elections(struct cores *cores, uint64_t from, uint64_t to)
{
    struct network taken = link_take(cores, from, to);
    for (size_t i = 0; i < taken.count; i++) {
        struct letter *letter = &taken.letters[i];
        if (link_is_election(letter->message.type)) {
            hand_over(cores, letter);
        } else {
            /* The receiver's turn cannot have added to this link. */
            network_post(&cores->links[from - 1][to - 1], &letter->message, 0);
            letter_release(letter);
        }
    }
    free(taken.letters);
    sync_all(cores);
}

/* All that is on a link. Each message that changes the receiver's log takes one from *entries;
 * at 0 entries no APPEND passes any more. */
static void deliver(struct cores *cores, uint64_t from, uint64_t to, uint64_t *entries)
{
    struct network taken = link_take(cores, from, to);
    const struct node *node = cores_node(cores, to);
    for (size_t i = 0; i < taken.count; i++) {
        struct letter *letter = &taken.letters[i];
        bool append = letter->message.type == RAFT_MESSAGE_APPEND;
        if (append && *entries == 0) {
            letter_release(letter);
            continue;
        }
        struct raft_status before = status_of(node);
        hand_over(cores, letter);
        struct raft_status after = status_of(node);
        bool changed = after.last_index != before.last_index || after.last_term != before.last_term;
        *entries -= append && changed ? 1 : 0;
    }
    free(taken.letters);
    sync_all(cores);
}

void cores_exchange(struct cores *cores, uint64_t a, uint64_t b, uint64_t entries_max)
{
    const struct network *there = &cores->links[a - 1][b - 1];
    const struct network *back = &cores->links[b - 1][a - 1];
    uint64_t entries = entries_max;
    for (unsigned twice = 0; twice < 2; twice++) {
        tick_leader(cores, a);
        tick_leader(cores, b);
        for (unsigned rounds = 0; there->count + back->count > 0; rounds++) {
            CHECK(rounds < ROUNDS_MAX);
            deliver(cores, a, b, &entries);
            deliver(cores, b, a, &entries);
        }
    }
}

void cores_restart(struct cores *cores, uint64_t id)
{
    struct node *node = cores_node(cores, id);
    raft_free(node->raft);
    node->raft = NULL;
    if (PLANTED(FORGET_VOTE)) {
        node->disk.hard_state.vote = 0;
    }
    boot(cores, node);
}

void cores_transfer(struct cores *cores, uint64_t id, uint64_t target)
{
    struct node *node = cores_node(cores, id);
    struct raft_status status = status_of(node);
    struct error err = ERROR_INIT;
    if (status.role != RAFT_LEADER || id == target || !cores_is_voter(node, target)) {
        return;
    }
    must(node, raft_transfer(node->raft, target, &err), &err);
    drain(cores, node);
    sync_all(cores);
}
