/* SPDX-License-Identifier: Apache-2.0 */
#include "raft/entry.h"

#include "base/check.h"

struct raft_entry *raft_entry_new(struct alloc *alloc, uint64_t index, uint64_t term, uint32_t type,
                                  uint32_t length)
{
    CHECK(alloc != NULL);
    struct raft_entry *entry = alloc_new(alloc, sizeof *entry + length);
    if (entry == NULL) {
        return NULL;
    }
    atomic_init(&entry->refs, 1);
    entry->type = type;
    entry->length = length;
    entry->alloc = alloc;
    entry->index = index;
    entry->term = term;
    return entry;
}

struct raft_entry *raft_entry_ref(struct raft_entry *entry)
{
    unsigned before = atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
    CHECK(before > 0);
    return entry;
}

void raft_entry_unref(struct raft_entry *entry)
{
    if (entry == NULL) {
        return;
    }
    /* Release, then acquire by the last one: what others did with the entry happens before the
     * memory goes. */
    unsigned before = atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before == 1) {
        alloc_free(entry->alloc, entry);
    }
}
