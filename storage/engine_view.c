/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/engine_view.h"

#include "base/check.h"

/* --- memtables of a seal ------------------------------------------------------------------- */

struct mem_set *mem_set_new(struct alloc *alloc, size_t keyspace_count)
{
    CHECK(keyspace_count > 0 && keyspace_count <= KEYSPACES_MAX);
    struct mem_set *set =
        alloc_zeroed(alloc, 1, sizeof *set + keyspace_count * sizeof(struct memtable *));
    if (set == NULL) {
        return NULL;
    }
    set->alloc = alloc;
    set->references = 1;
    buf_init(&set->owner_state, alloc, ENGINE_STATE_BYTES_MAX);
    for (; set->count < keyspace_count; set->count++) {
        set->memtables[set->count] = memtable_new(alloc);
        if (set->memtables[set->count] == NULL) {
            mem_set_unref(set);
            return NULL;
        }
    }
    return set;
}

void mem_set_ref(struct mem_set *set)
{
    uint64_t before = atomic_fetch_add(&set->references, 1);
    CHECK(before > 0);
}

void mem_set_unref(struct mem_set *set)
{
    if (set == NULL || atomic_fetch_sub(&set->references, 1) > 1) {
        return;
    }
    for (size_t i = 0; i < set->count; i++) {
        memtable_unref(set->memtables[i]);
    }
    struct mem_floor *floor = atomic_load(&set->floors);
    while (floor != NULL) {
        struct mem_floor *older = floor->older;
        alloc_free(set->alloc, floor);
        floor = older;
    }
    buf_release(&set->owner_state);
    alloc_free(set->alloc, set);
}

bool mem_set_add_floor(struct mem_set *set, uint64_t sequence, unsigned keyspace, struct slice key)
{
    struct mem_floor *floor = alloc_zeroed(set->alloc, 1, sizeof *floor);
    if (floor == NULL) {
        return false;
    }
    floor->sequence = sequence;
    floor->keyspace = keyspace;
    floor_set(&floor->floor, key);
    floor->older = atomic_load_explicit(&set->floors, memory_order_relaxed);
    atomic_fetch_add_explicit(&set->floors_bytes, sizeof *floor, memory_order_relaxed);
    atomic_store_explicit(&set->floors, floor, memory_order_release);
    return true;
}

const struct floor *mem_set_floor(const struct mem_set *set, unsigned keyspace, uint64_t sequence)
{
    const struct mem_floor *at = atomic_load_explicit(&set->floors, memory_order_acquire);
    while (at != NULL && (at->keyspace != keyspace || at->sequence > sequence)) {
        at = at->older;
    }
    return at == NULL ? NULL : &at->floor;
}

uint64_t mem_set_bytes(const struct mem_set *set)
{
    uint64_t bytes = atomic_load_explicit(&set->floors_bytes, memory_order_relaxed);
    for (size_t i = 0; i < set->count; i++) {
        bytes += memtable_bytes(set->memtables[i]);
    }
    return bytes;
}

bool mem_set_is_empty(const struct mem_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        if (memtable_count(set->memtables[i]) > 0) {
            return false;
        }
    }
    return atomic_load(&set->floors) == NULL;
}

/* --- views --------------------------------------------------------------------------------- */

struct view *view_new(struct alloc *alloc)
{
    struct view *view = alloc_zeroed(alloc, 1, sizeof *view);
    if (view != NULL) {
        view->alloc = alloc;
        view->references = 1;
    }
    return view;
}

void view_fill(struct view *view, struct version *version, struct mem_set *active,
               struct mem_set *const *immutables, size_t immutable_count, struct pick_level0 level0)
{
    CHECK(view->version == NULL);
    CHECK(immutable_count <= ENGINE_IMMUTABLE_MAX);
    version_ref(version);
    mem_set_ref(active);
    view->version = version;
    view->active = active;
    view->level0 = level0;
    for (size_t i = 0; i < immutable_count; i++) {
        mem_set_ref(immutables[i]);
        view->immutables[i] = immutables[i];
    }
    view->immutable_count = immutable_count;
}

void view_ref(struct view *view)
{
    uint64_t before = atomic_fetch_add(&view->references, 1);
    CHECK(before > 0);
}

void view_unref(struct view *view)
{
    if (view == NULL || atomic_fetch_sub(&view->references, 1) > 1) {
        return;
    }
    for (size_t i = 0; i < view->immutable_count; i++) {
        mem_set_unref(view->immutables[i]);
    }
    mem_set_unref(view->active);
    version_release(view->version);
    alloc_free(view->alloc, view);
}
