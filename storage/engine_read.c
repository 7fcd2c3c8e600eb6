/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots and lookups of single keys.
 *
 * A reader takes its view first and its sequence second. What the view holds up to
 * that sequence is then complete: a batch that went into newer memtables was
 * written after the view was taken, and is as if it were not there.
 */
#include "base/check.h"
#include "storage/engine_internal.h"

struct snapshot *engine_snapshot_new(struct engine *engine)
{
    size_t count = engine->options.keyspace_count;
    struct snapshot *snapshot =
        alloc_zeroed(engine->alloc, 1, sizeof *snapshot + count * sizeof *snapshot->floors);
    if (snapshot == NULL) {
        return NULL;
    }
    mutex_lock(&engine->mutex);
    const struct view *view = atomic_load_explicit(&engine->view, memory_order_relaxed);
    snapshot->sequence = atomic_load_explicit(&engine->last_sequence, memory_order_acquire);
    for (unsigned i = 0; i < count; i++) {
        snapshot->floors[i] = engine_view_floor(view, i, snapshot->sequence);
    }
    snapshot_list_add(&engine->snapshots, snapshot);
    mutex_unlock(&engine->mutex);
    return snapshot;
}

void engine_snapshot_free(struct engine *engine, struct snapshot *snapshot)
{
    if (snapshot == NULL) {
        return;
    }
    mutex_lock(&engine->mutex);
    snapshot_list_remove(&engine->snapshots, snapshot);
    engine->compact_due = engine->compact_due || engine->floors_held;
    mutex_unlock(&engine->mutex);
    alloc_free(engine->alloc, snapshot);
}

/* NULL: the value is not wanted. */
static void clear(struct buf *value)
{
    if (value != NULL) {
        buf_clear(value);
    }
}

static enum status copy_value(struct slice found, struct buf *value, struct error *err)
{
    if (value == NULL) {
        return STATUS_OK;
    }
    buf_append_slice(value, found);
    if (buf_failed(value)) {
        buf_clear(value);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a value");
    }
    return STATUS_OK;
}

/* One table; LOOKUP_ABSENT: go on. */
static enum status get_from_table(struct table_file *file, struct slice key, uint64_t sequence,
                                  enum lookup *result, struct buf *value, struct error *err)
{
    struct table *table = NULL;
    enum status status = table_file_open(file, &table, err);
    if (status == STATUS_OK) {
        status = table_get(table, key, sequence, NULL, result, value, err);
    }
    return status;
}

static enum status get_from_tables(const struct view *view, uint64_t sequence, unsigned keyspace,
                                   struct slice key, enum lookup *result, struct buf *value,
                                   struct error *err)
{
    const struct version *version = view->version;
    size_t count = version_count(version, keyspace, 0);
    for (size_t i = 0; i < count; i++) {
        struct table_file *file = version_at(version, keyspace, 0, i);
        enum status status = get_from_table(file, key, sequence, result, value, err);
        if (status != STATUS_OK || *result != LOOKUP_ABSENT) {
            return status;
        }
    }
    for (unsigned level = 1; level < TREE_LEVELS; level++) {
        struct table_file *file = version_find(version, keyspace, level, key);
        if (file == NULL) {
            continue;
        }
        enum status status = get_from_table(file, key, sequence, result, value, err);
        if (status != STATUS_OK || *result != LOOKUP_ABSENT) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status get_from_view(const struct view *view, const struct snapshot *snapshot,
                                 uint64_t sequence, unsigned keyspace, struct slice key,
                                 struct buf *value, struct error *err)
{
    CHECK(keyspace < view->active->count);
    clear(value);
    struct floor floor = engine_floor_at(view, snapshot, keyspace, sequence);
    if (floor_hides(&floor, key)) {
        return STATUS_NOT_FOUND;
    }
    struct slice found;
    enum lookup result = memtable_get(view->active->memtables[keyspace], key, sequence, &found);
    for (size_t i = view->immutable_count; result == LOOKUP_ABSENT && i > 0; i--) {
        result = memtable_get(view->immutables[i - 1]->memtables[keyspace], key, sequence, &found);
    }
    if (result == LOOKUP_FOUND) {
        return copy_value(found, value, err);
    }
    if (result == LOOKUP_ABSENT) {
        enum status status = get_from_tables(view, sequence, keyspace, key, &result, value, err);
        if (status != STATUS_OK) {
            clear(value);
            return status;
        }
    }
    if (result != LOOKUP_FOUND) {
        clear(value);
        return STATUS_NOT_FOUND;
    }
    return STATUS_OK;
}

static uint64_t begin_lookup(struct engine *engine)
{
    return metrics_sample_begin(&engine->metrics.lookups, engine->options.clock);
}

static void end_lookup(struct engine *engine, uint64_t began_ns, enum status status,
                       const struct buf *value)
{
    if (status == STATUS_OK) {
        counter_add(&engine->metrics.lookups_found, 1);
        counter_add(&engine->metrics.lookup_bytes, value == NULL ? 0 : value->length);
    }
    metrics_sample_end(&engine->metrics.lookup_ns, engine->options.clock, began_ns);
}

static enum status look_up(struct engine *engine, const struct snapshot *snapshot,
                           unsigned keyspace, struct slice key, struct buf *value,
                           struct error *err)
{
    uint64_t began_ns = begin_lookup(engine);
    struct view *view = engine_view_acquire(engine);
    uint64_t sequence = snapshot != NULL
                            ? snapshot->sequence
                            : atomic_load_explicit(&engine->last_sequence, memory_order_acquire);
    enum status status = get_from_view(view, snapshot, sequence, keyspace, key, value, err);
    view_unref(view);
    end_lookup(engine, began_ns, status, value);
    return status;
}

enum status engine_get(struct engine *engine, const struct snapshot *snapshot, unsigned keyspace,
                       struct slice key, struct buf *value, struct error *err)
{
    CHECK(value != NULL);
    return look_up(engine, snapshot, keyspace, key, value, err);
}

enum status engine_exists(struct engine *engine, const struct snapshot *snapshot, unsigned keyspace,
                          struct slice key, bool *out, struct error *err)
{
    enum status status = look_up(engine, snapshot, keyspace, key, NULL, err);
    *out = status == STATUS_OK;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status engine_get_by_writer(struct engine *engine, unsigned keyspace, struct slice key,
                                 struct buf *value, struct error *err)
{
    uint64_t began_ns = begin_lookup(engine);
    const struct view *view = engine_writer_view(engine);
    uint64_t sequence = atomic_load_explicit(&engine->last_sequence, memory_order_relaxed);
    enum status status = get_from_view(view, NULL, sequence, keyspace, key, value, err);
    end_lookup(engine, began_ns, status, value);
    return status;
}
