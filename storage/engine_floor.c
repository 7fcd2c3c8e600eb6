/* SPDX-License-Identifier: Apache-2.0
 *
 * Floors: what of a KEYSPACE_APPEND is gone. A floor is set in a batch, so it has a sequence and
 * is seen by those who see the batch; until its seal is flushed it stands beside the memtables,
 * then in the version. Only what is below a durable floor, and below those that held snapshots see,
 * may be removed: then the store of any moment is that of its seal.
 */
#include "base/check.h"
#include "storage/engine_internal.h"

struct floor engine_view_floor(const struct view *view, unsigned keyspace, uint64_t sequence)
{
    const struct floor *floor = mem_set_floor(view->active, keyspace, sequence);
    for (size_t i = view->immutable_count; floor == NULL && i > 0; i--) {
        floor = mem_set_floor(view->immutables[i - 1], keyspace, sequence);
    }
    return floor != NULL ? *floor : *version_floor(view->version, keyspace);
}

struct floor engine_floor_at(const struct view *view, const struct snapshot *snapshot,
                             unsigned keyspace, uint64_t sequence)
{
    return snapshot != NULL ? snapshot->floors[keyspace]
                            : engine_view_floor(view, keyspace, sequence);
}

enum status engine_floor(struct engine *engine, const struct snapshot *snapshot, unsigned keyspace,
                         struct buf *out, struct error *err)
{
    CHECK(keyspace < engine->options.keyspace_count);
    struct view *view = engine_view_acquire(engine);
    uint64_t sequence = atomic_load_explicit(&engine->last_sequence, memory_order_acquire);
    struct floor floor = engine_floor_at(view, snapshot, keyspace, sequence);
    view_unref(view);
    buf_clear(out);
    buf_append_slice(out, floor_key(&floor));
    return buf_failed(out) ? error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a floor")
                           : STATUS_OK;
}

/* For each keyspace, the floor below which nobody can see anything, nor after a crash. A snapshot
 * that is taken later sees at least the version's floors. */
static void dead_floors(struct engine *engine, const struct version *version,
                        struct floor out[KEYSPACES_MAX])
{
    size_t count = engine->options.keyspace_count;
    bool held = false;
    for (unsigned i = 0; i < count; i++) {
        out[i] = *version_floor(version, i);
    }
    mutex_lock(&engine->mutex);
    for (const struct snapshot *at = engine->snapshots.oldest; at != NULL; at = at->newer) {
        for (unsigned i = 0; i < count; i++) {
            if (slice_compare(floor_key(&at->floors[i]), floor_key(&out[i])) < 0) {
                out[i] = at->floors[i];
                held = true;
            }
        }
    }
    engine->floors_held = held;
    mutex_unlock(&engine->mutex);
}

struct pick_options engine_pick_options(struct engine *engine, const struct version *version,
                                        struct floor floors[KEYSPACES_MAX])
{
    struct pick_options options = engine->pick_options;
    dead_floors(engine, version, floors);
    options.floors = floors;
    options.rewrite = atomic_load(&engine->rewrites_left) > 0;
    return options;
}
