/* SPDX-License-Identifier: Apache-2.0
 *
 * Cluster: Raft cores on simulated disks and one simulated network, in one thread.
 *
 * A disk takes writes in order and makes them durable when the test says so; a crash loses the
 * rest, but may keep any prefix of it, as a real disk may. The network is a list of copies of
 * messages; which one arrives next, twice or never is the test's choice. What is done with the
 * outputs of a core is the test's as well: see cluster_drain.
 */
#ifndef ESTREAT_TESTS_RAFT_CLUSTER_H
#define ESTREAT_TESTS_RAFT_CLUSTER_H

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "raft/raft.h"
#include "testlib/test.h"

#define NODES_MAX 7U

/* ---- Disk ------------------------------------------------------------------------------------ */

struct disk_write {
    uint64_t sequence;
    bool has_hard_state;
    struct raft_hard_state hard_state;
    struct raft_entry **entries;
    size_t count;
    size_t done; /* entries that are durable already */
};

struct disk {
    struct raft_hard_state hard_state; /* durable */
    uint64_t base_index;               /* entries (base_index, base_index + count] are durable */
    uint64_t base_term;
    struct raft_entry **entries;
    size_t count;
    size_t capacity;
    struct raft_entry *membership;   /* the newest one that was purged; NULL: none */
    struct raft_entry **overwritten; /* the tail that was, last */
    size_t overwritten_count;
    struct disk_write *writes; /* in order, not yet durable */
    size_t write_count;
    size_t write_capacity;
};

static inline void *test_grow(void *items, size_t *capacity, size_t needed, size_t bytes)
{
    if (needed > *capacity) {
        *capacity = needed * 2 + 8;
        items = realloc(items, *capacity * bytes);
        assert_non_null(items);
    }
    return items;
}

static inline uint64_t disk_last(const struct disk *disk)
{
    return disk->base_index + disk->count;
}

static inline struct raft_entry *disk_at(const struct disk *disk, uint64_t index)
{
    if (index <= disk->base_index || index > disk_last(disk)) {
        return NULL;
    }
    return disk->entries[index - disk->base_index - 1];
}

/* True if (index, term) is durable here, or is below what was purged. */
static inline bool disk_has(const struct disk *disk, uint64_t index, uint64_t term)
{
    const struct raft_entry *entry = disk_at(disk, index);
    return index <= disk->base_index || (entry != NULL && entry->term == term);
}

static inline void disk_cut(struct disk *disk, uint64_t from)
{
    assert_true(from > disk->base_index);
    while (disk_last(disk) >= from) {
        raft_entry_unref(disk->entries[--disk->count]);
    }
}

static inline void disk_forget_overwritten(struct disk *disk)
{
    for (size_t i = 0; i < disk->overwritten_count; i++) {
        raft_entry_unref(disk->overwritten[i]);
    }
    free(disk->overwritten);
    disk->overwritten = NULL;
    disk->overwritten_count = 0;
}

/* The entries from `from` on are overwritten; what damage spoils then may bring them back. */
static inline void disk_overwrite(struct disk *disk, uint64_t from)
{
    size_t count = disk_last(disk) < from ? 0 : (size_t)(disk_last(disk) - from + 1);
    if (count == 0) {
        return;
    }
    disk_forget_overwritten(disk);
    disk->overwritten = calloc(count, sizeof(struct raft_entry *));
    assert_non_null(disk->overwritten);
    for (size_t i = 0; i < count; i++) {
        disk->overwritten[disk->overwritten_count++] = raft_entry_ref(disk_at(disk, from + i));
    }
    disk_cut(disk, from);
}

static inline void disk_put(struct disk *disk, struct raft_entry *entry)
{
    disk_overwrite(disk, entry->index);
    assert_int_equal(entry->index, disk_last(disk) + 1);
    disk->entries =
        test_grow(disk->entries, &disk->capacity, disk->count + 1, sizeof *disk->entries);
    disk->entries[disk->count++] = raft_entry_ref(entry);
}

static inline void disk_submit(struct disk *disk, const struct raft_ready *ready)
{
    disk->writes =
        test_grow(disk->writes, &disk->write_capacity, disk->write_count + 1, sizeof *disk->writes);
    struct disk_write *write = &disk->writes[disk->write_count++];
    *write = (struct disk_write){
        .sequence = ready->store_sequence,
        .has_hard_state = ready->has_hard_state,
        .hard_state = ready->hard_state,
        .count = ready->entry_count,
    };
    if (write->count > 0) {
        write->entries = calloc(write->count, sizeof *write->entries);
        assert_non_null(write->entries);
        for (size_t i = 0; i < write->count; i++) {
            write->entries[i] = raft_entry_ref(ready->entries[i]);
        }
    }
}

static inline void disk_write_release(struct disk_write *write)
{
    for (size_t i = 0; i < write->count; i++) {
        raft_entry_unref(write->entries[i]);
    }
    free(write->entries);
}

/* Makes the first write durable as far as its hard state and its first `entries` entries. */
static inline void disk_persist_first(struct disk *disk, size_t entries)
{
    struct disk_write *write = &disk->writes[0];
    if (write->has_hard_state) {
        disk->hard_state = write->hard_state;
    }
    while (write->done < entries && write->done < write->count) {
        disk_put(disk, write->entries[write->done++]);
    }
}

static inline void disk_drop_first(struct disk *disk)
{
    disk_write_release(&disk->writes[0]);
    disk->write_count--;
    memmove(disk->writes, disk->writes + 1, disk->write_count * sizeof *disk->writes);
}

static inline void disk_release(struct disk *disk)
{
    while (disk->write_count > 0) {
        disk_drop_first(disk);
    }
    while (disk->count > 0) {
        raft_entry_unref(disk->entries[--disk->count]);
    }
    disk_forget_overwritten(disk);
    raft_entry_unref(disk->membership);
    free(disk->writes);
    free(disk->entries);
    *disk = (struct disk){0};
}

/* The newest membership up to `index`; NULL: what the log began with. Borrowed. */
static inline struct raft_entry *disk_membership(const struct disk *disk, uint64_t index)
{
    struct raft_entry *found = disk->membership;
    for (size_t i = 0; i < disk->count && disk->entries[i]->index <= index; i++) {
        if (disk->entries[i]->type == RAFT_ENTRY_MEMBERSHIP) {
            found = disk->entries[i];
        }
    }
    return found;
}

/* Entries up to `index` are gone; it must be durable. */
static inline void disk_purge(struct disk *disk, uint64_t index)
{
    if (index <= disk->base_index) {
        return;
    }
    assert_true(index <= disk_last(disk));
    size_t gone = (size_t)(index - disk->base_index);
    disk->base_term = disk->entries[gone - 1]->term;
    for (size_t i = 0; i < gone; i++) {
        if (disk->entries[i]->type == RAFT_ENTRY_MEMBERSHIP) {
            raft_entry_unref(disk->membership);
            disk->membership = raft_entry_ref(disk->entries[i]);
        }
        raft_entry_unref(disk->entries[i]);
    }
    disk->count -= gone;
    memmove(disk->entries, disk->entries + gone, disk->count * sizeof(struct raft_entry *));
    disk->base_index = index;
}

/* ---- Network --------------------------------------------------------------------------------- */

struct letter {
    struct raft_message message; /* its entries are owned */
    uint64_t due;
};

struct network {
    struct letter *letters; /* in order of sending */
    size_t count;
    size_t capacity;
};

static inline void network_post(struct network *network, const struct raft_message *message,
                                uint64_t due)
{
    network->letters = test_grow(network->letters, &network->capacity, network->count + 1,
                                 sizeof *network->letters);
    struct letter *letter = &network->letters[network->count++];
    *letter = (struct letter){.message = *message, .due = due};
    if (message->entry_count > 0) {
        struct raft_entry **entries = calloc(message->entry_count, sizeof *entries);
        assert_non_null(entries);
        for (size_t i = 0; i < message->entry_count; i++) {
            entries[i] = raft_entry_ref(message->entries[i]);
        }
        letter->message.entries = entries;
    }
}

static inline void letter_release(struct letter *letter)
{
    for (size_t i = 0; i < letter->message.entry_count; i++) {
        raft_entry_unref(letter->message.entries[i]);
    }
    free((void *)(uintptr_t)letter->message.entries);
}

/* Takes the letter at `at` out, keeping the others' order. */
static inline struct letter network_take(struct network *network, size_t at)
{
    struct letter letter = network->letters[at];
    network->count--;
    memmove(network->letters + at, network->letters + at + 1,
            (network->count - at) * sizeof *network->letters);
    return letter;
}

static inline void network_release(struct network *network)
{
    while (network->count > 0) {
        struct letter letter = network_take(network, network->count - 1);
        letter_release(&letter);
    }
    free(network->letters);
    *network = (struct network){0};
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

struct node {
    uint64_t id;
    struct raft *raft; /* NULL while it is down */
    struct disk disk;
    uint64_t commit;  /* as given out by the core that runs */
    uint64_t applied; /* what the state machine has, durably: it survives a crash */
    /* A damaged log: as raft_options, durably; and the entries that it lost, ascending. */
    uint64_t refill_index;
    uint64_t refill_term;
    struct raft_entry **lost;
    size_t lost_count;
};

/* The log was refilled. */
static inline void node_refilled(struct node *node)
{
    for (size_t i = 0; i < node->lost_count; i++) {
        raft_entry_unref(node->lost[i]);
    }
    free(node->lost);
    node->lost = NULL;
    node->lost_count = 0;
    node->refill_index = 0;
    node->refill_term = 0;
}

/* The node is down, and its log is damaged: it ends at `last`, which is in it. */
static inline void node_lose(struct node *node, uint64_t last)
{
    struct disk *disk = &node->disk;
    assert_null(node->raft);
    assert_in_range(last, disk->base_index, disk_last(disk));
    size_t count = (size_t)(disk_last(disk) - last);
    node->lost = realloc(node->lost, (node->lost_count + count + 1) * sizeof(struct raft_entry *));
    assert_non_null(node->lost);
    for (size_t i = 0; i < count; i++) {
        node->lost[node->lost_count++] = raft_entry_ref(disk_at(disk, last + 1 + i));
    }
    if (disk_last(disk) > node->refill_index) {
        node->refill_index = disk_last(disk);
    }
    node->refill_term = disk->hard_state.term;
    disk_cut(disk, last + 1);
    if (node->applied > last) {
        node->applied = last; /* what is in tables is older than the log's end */
    }
}

/* The log can be damaged where it overwrote a tail: where that begins, else 0. */
static inline uint64_t node_overwritten_from(const struct node *node)
{
    const struct disk *disk = &node->disk;
    uint64_t from = disk->overwritten_count == 0 ? 0 : disk->overwritten[0]->index;
    return from > disk->base_index && from <= disk_last(disk) ? from : 0;
}

/* The same as node_lose, and the tail that was overwritten last is there again. */
static inline void node_lose_to_overwritten(struct node *node)
{
    struct disk *disk = &node->disk;
    assert_int_not_equal(node_overwritten_from(node), 0);
    node_lose(node, node_overwritten_from(node) - 1);
    for (size_t i = 0; i < disk->overwritten_count; i++) {
        disk_put(disk, disk->overwritten[i]);
    }
}

/* True if it has, or had before the damage, this entry. */
static inline bool node_had(const struct node *node, uint64_t index, uint64_t term)
{
    bool had = disk_has(&node->disk, index, term);
    for (size_t i = 0; i < node->lost_count; i++) {
        had = had || (node->lost[i]->index == index && node->lost[i]->term == term);
    }
    return had;
}

/* The bytes of a membership of voters 1 to `count`. Valid until the next call. */
static inline struct slice voters_up_to(size_t count)
{
    static uint8_t bytes[256];
    struct raft_membership membership = {.count = count};
    struct buf encoded;
    for (size_t i = 0; i < count; i++) {
        membership.of[i] = (struct raft_member){.id = i + 1, .role = RAFT_VOTER};
    }
    buf_init(&encoded, alloc_default(), sizeof bytes);
    raft_membership_encode(&membership, &encoded);
    assert_false(buf_failed(&encoded));
    memcpy(bytes, encoded.data, encoded.length);
    struct slice slice = slice_of(bytes, encoded.length);
    buf_release(&encoded);
    return slice;
}

/* A core for this node on what its disk has. common->membership is what the log began with. */
static inline enum status node_boot(struct node *node, const struct raft_options *common,
                                    struct error *err)
{
    assert_null(node->raft);
    struct disk *disk = &node->disk;
    struct raft_options options = *common;
    struct raft_term_run *runs = calloc(disk->count + 1, sizeof *runs);
    struct raft_entry **changes = calloc(disk->count + 1, sizeof *changes);
    assert_non_null(runs);
    assert_non_null(changes);
    struct raft_entry *membership = disk_membership(disk, node->applied);
    if (membership != NULL) {
        options.membership = raft_entry_slice(membership);
    }
    for (size_t i = 0; i < disk->count; i++) {
        struct raft_entry *entry = disk->entries[i];
        if (entry->type == RAFT_ENTRY_MEMBERSHIP && entry->index > node->applied) {
            changes[options.change_count++] = entry;
        }
    }
    options.changes = changes;
    size_t run_count = 0;
    for (size_t i = 0; i < disk->count; i++) {
        if (i == 0 || disk->entries[i]->term != disk->entries[i - 1]->term) {
            runs[run_count++] = (struct raft_term_run){.first_index = disk->entries[i]->index,
                                                       .term = disk->entries[i]->term};
        }
    }
    options.id = node->id;
    options.hard_state = disk->hard_state;
    options.snapshot_index = disk->base_index;
    options.snapshot_term = disk->base_term;
    options.applied_index = node->applied;
    options.last_index = disk_last(disk);
    options.runs = runs;
    options.run_count = run_count;
    options.refill_index = node->refill_index;
    options.refill_term = node->refill_term;
    enum status status = raft_new(&options, &node->raft, err);
    free(runs);
    free(changes);
    node->commit = node->applied;
    return status;
}

/* The entries of a load, as many as fit; returns their number. */
static inline size_t node_read_load(const struct node *node, const struct raft_load *load,
                                    struct raft_entry **out, size_t max)
{
    size_t count = 0;
    size_t bytes = 0;
    for (uint64_t index = load->from_index; index < load->end_index && count < max; index++) {
        struct raft_entry *entry = disk_at(&node->disk, index);
        if (entry == NULL || (count > 0 && bytes + raft_entry_bytes(entry) > load->bytes_max)) {
            break;
        }
        bytes += raft_entry_bytes(entry);
        out[count++] = entry;
    }
    return count;
}

/* The entry at `index`, from memory or disk, as the applier gets it. Returns a reference. */
static inline struct raft_entry *node_fetch(const struct node *node, uint64_t index)
{
    struct raft_entry *entry = NULL;
    if (raft_entries(node->raft, index, index + 1, &entry) == 1) {
        return entry;
    }
    entry = disk_at(&node->disk, index);
    assert_non_null(entry); /* what is not in memory must be on disk */
    return raft_entry_ref(entry);
}

#endif
