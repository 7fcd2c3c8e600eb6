/* SPDX-License-Identifier: Apache-2.0
 *
 * View: all that a read looks through at one moment: the active memtables, those
 * that wait for their flush, and a version of the catalog. Immutable but for what
 * the writer adds to the active memtables; reference counted. A seal, a flush and
 * a compaction each replace the engine's view by a new one. Readers find the current
 * one in an epoch, as they find versions of the catalog (tree/catalog.h); the engine's
 * own reference on one that was replaced goes when the epoch has passed.
 */
#ifndef ESTREAT_STORAGE_ENGINE_VIEW_H
#define ESTREAT_STORAGE_ENGINE_VIEW_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/epoch.h"
#include "storage/engine.h"
#include "storage/mem/memtable.h"
#include "storage/tree/pick.h"

/* A floor that a batch has set. */
struct mem_floor {
    struct mem_floor *older;
    uint64_t sequence;
    unsigned keyspace;
    struct floor floor;
};

/* The memtables of one seal, one a keyspace, and the floors that were set meanwhile. */
struct mem_set {
    struct alloc *alloc;
    _Atomic uint64_t references;
    /* Set by the seal, before the set is handed to the flush. */
    struct buf owner_state;
    uint64_t seal_number; /* from 1 */
    uint64_t last_sequence;
    _Atomic(struct mem_floor *) floors; /* the newest first */
    _Atomic uint64_t floors_bytes;
    size_t count;
    struct memtable *memtables[];
};

/* Returns owned; NULL if there is no memory. */
struct mem_set *mem_set_new(struct alloc *alloc, size_t keyspace_count);
void mem_set_ref(struct mem_set *set);
void mem_set_unref(struct mem_set *set); /* NULL is allowed */

/* The writer, to the active set. False if there is no memory. */
bool mem_set_add_floor(struct mem_set *set, uint64_t sequence, unsigned keyspace,
                       struct slice key) MUST_USE;

/* The newest one of the keyspace that was set at or before `sequence`; NULL: none here. Any thread;
 * valid as long as the set. */
const struct floor *mem_set_floor(const struct mem_set *set, unsigned keyspace, uint64_t sequence);

/* Memory of all memtables, and whether they hold no entry and no floor. Any thread. */
uint64_t mem_set_bytes(const struct mem_set *set);
bool mem_set_is_empty(const struct mem_set *set);

struct view {
    struct epoch_item retired; /* first */
    struct alloc *alloc;
    _Atomic uint64_t references;
    struct version *version;
    struct mem_set *active;
    size_t immutable_count;
    struct mem_set *immutables[ENGINE_IMMUTABLE_MAX]; /* the oldest first */
    struct pick_level0 level0;                        /* as of when the view was made */
};

/* Memory for a view that view_fill() makes one; NULL if there is none. */
struct view *view_new(struct alloc *alloc);

/* Takes new references to all. Cannot fail. */
void view_fill(struct view *view, struct version *version, struct mem_set *active,
               struct mem_set *const *immutables, size_t immutable_count,
               struct pick_level0 level0);

void view_ref(struct view *view);
void view_unref(struct view *view); /* NULL and an unfilled view are allowed */

#endif
