/* SPDX-License-Identifier: Apache-2.0 */
#include "raft/changes.h"

#include "base/check.h"
#include "raft/grow.h"

static void read_last(struct raft_changes *changes)
{
    struct error err = ERROR_INIT;
    CHECK(changes->count > 0);
    enum status status = raft_membership_decode(
        raft_entry_slice(changes->entries[changes->count - 1]), &changes->now, &err);
    CHECK(status == STATUS_OK); /* checked before it came into the log */
}

static enum status check_recovered(const struct raft_options *options, struct error *err)
{
    struct raft_membership membership;
    enum status status = raft_membership_decode(options->membership, &membership, err);
    uint64_t after = options->applied_index;
    for (size_t i = 0; i < options->change_count && status == STATUS_OK; i++) {
        const struct raft_entry *entry = options->changes[i];
        if (entry->type != RAFT_ENTRY_MEMBERSHIP || entry->index <= after ||
            entry->index > options->last_index) {
            return error_set(err, STATUS_CORRUPT, "membership entry %llu is out of place",
                             (unsigned long long)entry->index);
        }
        after = entry->index;
        status = raft_membership_decode(raft_entry_slice(entry), &membership, err);
    }
    return status;
}

enum status raft_changes_init(struct raft_changes *changes, const struct raft_options *options,
                              struct error *err)
{
    enum status status = check_recovered(options, err);
    if (status != STATUS_OK) {
        return status;
    }
    *changes = (struct raft_changes){.alloc = options->alloc};
    /* Where in the log it stands does not matter: it is applied. */
    struct raft_entry *base =
        raft_entry_new(options->alloc, options->snapshot_index, 0, RAFT_ENTRY_MEMBERSHIP,
                       (uint32_t)options->membership.length);
    if (base == NULL || !RAFT_GROW(changes->alloc, &changes->entries, &changes->capacity,
                                   options->change_count + 1)) {
        raft_entry_unref(base);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the membership");
    }
    if (options->membership.length > 0) {
        memcpy(base->data, options->membership.data, options->membership.length);
    }
    changes->entries[changes->count++] = base;
    for (size_t i = 0; i < options->change_count; i++) {
        changes->entries[changes->count++] = raft_entry_ref(options->changes[i]);
    }
    read_last(changes);
    return STATUS_OK;
}

void raft_changes_release(struct raft_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        raft_entry_unref(changes->entries[i]);
    }
    alloc_free(changes->alloc, changes->entries);
    *changes = (struct raft_changes){.alloc = changes->alloc};
}

bool raft_changes_reserve(struct raft_changes *changes, struct raft_entry *const *entries,
                          size_t count)
{
    size_t needed = changes->count;
    for (size_t i = 0; i < count; i++) {
        needed += entries[i]->type == RAFT_ENTRY_MEMBERSHIP;
    }
    return RAFT_GROW(changes->alloc, &changes->entries, &changes->capacity, needed);
}

void raft_changes_push(struct raft_changes *changes, struct raft_entry *entry, uint64_t commit)
{
    CHECK(entry->type == RAFT_ENTRY_MEMBERSHIP);
    CHECK(changes->count < changes->capacity);
    CHECK(entry->index > raft_changes_index(changes));
    size_t settled = 0;
    while (settled + 1 < changes->count && changes->entries[settled + 1]->index <= commit) {
        raft_entry_unref(changes->entries[settled++]);
    }
    changes->count -= settled;
    memmove(changes->entries, changes->entries + settled,
            changes->count * sizeof(struct raft_entry *));
    changes->entries[changes->count++] = raft_entry_ref(entry);
    read_last(changes);
}

bool raft_changes_truncate(struct raft_changes *changes, uint64_t from)
{
    bool changed = false;
    while (raft_changes_index(changes) >= from) {
        CHECK(changes->count > 1); /* committed entries are not cut */
        raft_entry_unref(changes->entries[--changes->count]);
        changed = true;
    }
    if (changed) {
        read_last(changes);
    }
    return changed;
}

uint64_t raft_changes_index(const struct raft_changes *changes)
{
    CHECK(changes->count > 0);
    return changes->entries[changes->count - 1]->index;
}
