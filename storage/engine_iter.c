/* SPDX-License-Identifier: Apache-2.0
 *
 * The user's iterator: of the entries that a merge yields, the newest visible
 * version of each key, deletions skipped, within bounds, in both directions.
 *
 * Forward, the merge stands on the entry that is shown. Backward, it stands before
 * all entries of the key that is shown, since the newest visible version comes last
 * on that way; key and value are then copies.
 */
#include "base/check.h"
#include "storage/engine_internal.h"
#include "storage/tree/iter_level.h"
#include "storage/tree/iter_merge.h"

#define READAHEAD_BYTES (512 * KIB)

struct engine_iter {
    struct engine *engine; /* for its metrics */
    struct alloc *alloc;
    struct view *view;
    uint64_t sequence;
    struct iter *merge;
    struct buf begin; /* empty: no bound */
    struct buf end;
    bool by_time;
    struct time_range range; /* then */
    uint32_t time_place;
    uint64_t shown; /* entries so far; the next: their keys and values */
    uint64_t shown_bytes;
    bool valid;
    bool backward;
    struct buf key;    /* backward: what is shown; forward: the key being skipped */
    struct buf value;  /* backward: what is shown */
    struct buf target; /* internal key of a seek */
    struct error failure;
};

/* --- making one ---------------------------------------------------------------------------- */

struct sources {
    struct iter **iters;
    size_t count;
};

static enum status add_memtable(struct sources *sources, struct memtable *memtable,
                                struct error *err)
{
    struct iter *iter = memtable_iter_new(memtable);
    if (iter == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for an iterator");
    }
    sources->iters[sources->count++] = iter;
    return STATUS_OK;
}

static enum status add_memtables(struct sources *sources, const struct view *view,
                                 unsigned keyspace, struct error *err)
{
    enum status status = add_memtable(sources, view->active->memtables[keyspace], err);
    for (size_t i = 0; status == STATUS_OK && i < view->immutable_count; i++) {
        struct memtable *memtable = view->immutables[i]->memtables[keyspace];
        if (memtable_count(memtable) > 0) {
            status = add_memtable(sources, memtable, err);
        }
    }
    return status;
}

static enum status add_tables(struct sources *sources, struct alloc *alloc,
                              const struct version *version, unsigned keyspace,
                              const struct table_read_options *options,
                              const struct time_range *range, struct error *err)
{
    enum status status = STATUS_OK;
    size_t count = version_count(version, keyspace, 0);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        struct table *table = NULL;
        status = table_file_open(version_at(version, keyspace, 0, i), &table, err);
        if (status == STATUS_OK) {
            status = table_iter_new(table, options, &sources->iters[sources->count], err);
            sources->count += status == STATUS_OK ? 1 : 0;
        }
    }
    for (unsigned level = 1; status == STATUS_OK && level < TREE_LEVELS; level++) {
        count = version_count(version, keyspace, level);
        if (count > 0) {
            struct iter **iter = &sources->iters[sources->count];
            status = iter_level_new(alloc, version, keyspace, level, 0, count, options, iter, err);
            sources->count += status == STATUS_OK ? 1 : 0;
            if (status == STATUS_OK && range != NULL) {
                iter_level_set_times(*iter, range);
            }
        }
    }
    return status;
}

static enum status open_merge(struct engine_iter *iter, unsigned keyspace,
                              const struct table_read_options *options, struct error *err)
{
    const struct view *view = iter->view;
    size_t most =
        1 + view->immutable_count + version_count(view->version, keyspace, 0) + TREE_LEVELS;
    struct sources sources = {.iters = alloc_zeroed(iter->alloc, most, sizeof(struct iter *))};
    if (sources.iters == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for an iterator");
    }
    enum status status = add_memtables(&sources, view, keyspace, err);
    if (status == STATUS_OK) {
        status = add_tables(&sources, iter->alloc, view->version, keyspace, options,
                            iter->by_time ? &iter->range : NULL, err);
    }
    if (status == STATUS_OK) {
        status = iter_merge_new(iter->alloc, sources.iters, sources.count, &iter->merge, err);
    } else {
        for (size_t i = 0; i < sources.count; i++) {
            iter_close(sources.iters[i]);
        }
    }
    alloc_free(iter->alloc, sources.iters);
    return status;
}

/* What is below the floor is not there. */
static enum status begin_at_floor(struct engine_iter *iter, const struct snapshot *snapshot,
                                  unsigned keyspace, struct error *err)
{
    struct floor floor = engine_floor_at(iter->view, snapshot, keyspace, iter->sequence);
    if (floor_hides(&floor, buf_slice(&iter->begin))) {
        buf_clear(&iter->begin);
        buf_append_slice(&iter->begin, floor_key(&floor));
    }
    return buf_failed(&iter->begin)
               ? error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a bound")
               : STATUS_OK;
}

enum status engine_iter_new(struct engine *engine, const struct snapshot *snapshot,
                            unsigned keyspace, const struct engine_iter_options *options,
                            struct engine_iter **out, struct error *err)
{
    CHECK(keyspace < engine->options.keyspace_count);
    struct engine_iter *iter = alloc_zeroed(engine->alloc, 1, sizeof *iter);
    if (iter == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for an iterator");
    }
    counter_add(&engine->metrics.iterators, 1);
    iter->engine = engine;
    iter->alloc = engine->alloc;
    buf_init(&iter->begin, engine->alloc, KEYSPACE_KEY_BYTES_MAX);
    buf_init(&iter->end, engine->alloc, KEYSPACE_KEY_BYTES_MAX);
    buf_init(&iter->key, engine->alloc, INTERNAL_KEY_BYTES_MAX);
    buf_init(&iter->value, engine->alloc, KEYSPACE_VALUE_BYTES_MAX);
    buf_init(&iter->target, engine->alloc, INTERNAL_KEY_BYTES_MAX);
    struct table_read_options reading = {.fill_cache = true};
    if (options != NULL) {
        reading.fill_cache = !options->no_fill_cache && !options->past_cache;
        reading.past_cache = options->past_cache;
        reading.readahead_bytes = options->readahead ? READAHEAD_BYTES : 0;
        buf_append_slice(&iter->begin, options->begin);
        buf_append_slice(&iter->end, options->end);
        iter->by_time = options->by_time;
        iter->range = (struct time_range){options->time_begin, options->time_end};
        iter->time_place = engine->keyspaces[keyspace].number_place;
        /* Elsewhere what is passed over could be a newer version, and let an older one be seen. */
        CHECK(!iter->by_time || keyspace_is_timed(&engine->keyspaces[keyspace]));
    }
    enum status status = STATUS_OK;
    if (buf_failed(&iter->begin) || buf_failed(&iter->end)) {
        status = error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a bound, or too long");
    }
    if (status == STATUS_OK) {
        /* The view first, the sequence second: see engine_read.c. */
        iter->view = engine_view_acquire(engine);
        iter->sequence = snapshot != NULL
                             ? snapshot->sequence
                             : atomic_load_explicit(&engine->last_sequence, memory_order_acquire);
        status = begin_at_floor(iter, snapshot, keyspace, err);
    }
    if (status == STATUS_OK) {
        status = open_merge(iter, keyspace, &reading, err);
    }
    if (status != STATUS_OK) {
        engine_iter_close(iter);
        return status;
    }
    *out = iter;
    return STATUS_OK;
}

void engine_iter_close(struct engine_iter *iter)
{
    if (iter == NULL) {
        return;
    }
    /* All at once: threads that iterate do not meet at each step. */
    counter_add(&iter->engine->metrics.iterator_entries, iter->shown);
    counter_add(&iter->engine->metrics.iterator_bytes, iter->shown_bytes);
    iter_close(iter->merge);
    view_unref(iter->view);
    buf_release(&iter->begin);
    buf_release(&iter->end);
    buf_release(&iter->key);
    buf_release(&iter->value);
    buf_release(&iter->target);
    alloc_free(iter->alloc, iter);
}

/* --- walking ------------------------------------------------------------------------------- */

/* Replaces `to`; on failure the iterator has failed. */
static bool copy(struct engine_iter *iter, struct buf *to, struct slice from)
{
    buf_clear(to);
    buf_append_slice(to, from);
    if (buf_failed(to)) {
        buf_clear(to);
        iter->valid = false;
        (void)error_set(&iter->failure, STATUS_RESOURCE_EXHAUSTED, "no memory for an iterator");
        return false;
    }
    return true;
}

/* The merge has no entry: at an end, or in error. */
static void stop(struct engine_iter *iter)
{
    iter->valid = false;
    enum status status = iter_status(iter->merge, &iter->failure);
    if (status == STATUS_OK) {
        iter->failure.status = STATUS_OK;
    }
}

static bool is_past_end(const struct engine_iter *iter, struct slice user)
{
    return iter->end.length > 0 && slice_compare(user, buf_slice(&iter->end)) >= 0;
}

/* True if the entry at which the merge stands is one that is asked for. */
static bool is_shown(const struct engine_iter *iter)
{
    uint64_t time = 0;
    return internal_key_type(iter_key(iter->merge)) == KEY_PUT &&
           (!iter->by_time || (value_time(iter_value(iter->merge), iter->time_place, &time) &&
                               time_range_has(&iter->range, time)));
}

static void count_shown(struct engine_iter *iter, struct slice key, struct slice value)
{
    iter->shown++;
    iter->shown_bytes += key.length + value.length;
}

/* Goes on to the first visible entry at or after where the merge stands. `skipping`: entries of
 * iter->key are passed over. */
static void find_forward(struct engine_iter *iter, bool skipping)
{
    iter->backward = false;
    for (; iter_valid(iter->merge); iter_next(iter->merge)) {
        struct slice internal = iter_key(iter->merge);
        struct slice user = internal_key_user(internal);
        if (internal_key_sequence(internal) > iter->sequence ||
            (skipping && slice_equal(user, buf_slice(&iter->key)))) {
            continue;
        }
        if (is_past_end(iter, user)) {
            iter->valid = false;
            return;
        }
        if (is_shown(iter)) {
            iter->valid = true;
            count_shown(iter, user, iter_value(iter->merge));
            return;
        }
        skipping = true;
        if (!copy(iter, &iter->key, user)) {
            return;
        }
    }
    stop(iter);
}

/* Goes back to the last visible key at or before where the merge stands. */
static void find_backward(struct engine_iter *iter)
{
    iter->backward = true;
    bool found = false; /* iter->key and iter->value hold a version that may be shown */
    for (; iter_valid(iter->merge); iter_prev(iter->merge)) {
        struct slice internal = iter_key(iter->merge);
        struct slice user = internal_key_user(internal);
        if (found && !slice_equal(user, buf_slice(&iter->key))) {
            break;
        }
        if (!found && iter->begin.length > 0 && slice_compare(user, buf_slice(&iter->begin)) < 0) {
            iter->valid = false;
            return;
        }
        if (internal_key_sequence(internal) > iter->sequence) {
            continue;
        }
        found = is_shown(iter);
        if (found &&
            (!copy(iter, &iter->key, user) || !copy(iter, &iter->value, iter_value(iter->merge)))) {
            return;
        }
    }
    if (!iter_valid(iter->merge) && iter_status(iter->merge, NULL) != STATUS_OK) {
        /* A newer version of the key may lie where it cannot be read. */
        stop(iter);
        return;
    }
    iter->valid = found;
    if (found) {
        count_shown(iter, buf_slice(&iter->key), buf_slice(&iter->value));
    }
}

/* Places the merge at the newest entry of `user` with a sequence <= `sequence`, or what follows. */
static bool seek_merge(struct engine_iter *iter, struct slice user, uint64_t sequence)
{
    iter->valid = false;
    iter->failure.status = STATUS_OK;
    buf_clear(&iter->target);
    internal_key_encode(&iter->target, user, sequence, KEY_SEEK);
    if (buf_failed(&iter->target)) {
        buf_clear(&iter->target);
        (void)error_set(&iter->failure, STATUS_RESOURCE_EXHAUSTED,
                        "no memory for a key, or too long");
        return false;
    }
    iter_seek(iter->merge, buf_slice(&iter->target));
    return true;
}

static void seek_to(struct engine_iter *iter, struct slice key)
{
    struct slice begin = buf_slice(&iter->begin);
    if (seek_merge(iter, slice_compare(key, begin) < 0 ? begin : key, iter->sequence)) {
        find_forward(iter, false);
    }
}

static void seek_first(struct engine_iter *iter)
{
    if (iter->begin.length > 0) {
        seek_to(iter, buf_slice(&iter->begin));
        return;
    }
    iter->failure.status = STATUS_OK;
    iter_seek_to_first(iter->merge);
    find_forward(iter, false);
}

static void seek_before(struct engine_iter *iter, struct slice key)
{
    struct slice end = buf_slice(&iter->end);
    if (end.length > 0 && slice_compare(end, key) < 0) {
        key = end;
    }
    if (!seek_merge(iter, key, SEQUENCE_MAX)) {
        return;
    }
    if (iter_valid(iter->merge)) {
        iter_prev(iter->merge);
    } else if (iter_status(iter->merge, NULL) == STATUS_OK) {
        iter_seek_to_last(iter->merge);
    }
    find_backward(iter);
}

static void seek_last(struct engine_iter *iter)
{
    if (iter->end.length > 0) {
        seek_before(iter, buf_slice(&iter->end));
        return;
    }
    iter->failure.status = STATUS_OK;
    iter_seek_to_last(iter->merge);
    find_backward(iter);
}

static uint64_t begin_seek(struct engine_iter *iter)
{
    return metrics_sample_begin(&iter->engine->metrics.seeks, iter->engine->options.clock);
}

static void end_seek(struct engine_iter *iter, uint64_t began_ns)
{
    metrics_sample_end(&iter->engine->metrics.seek_ns, iter->engine->options.clock, began_ns);
}

void engine_iter_seek(struct engine_iter *iter, struct slice key)
{
    uint64_t began_ns = begin_seek(iter);
    seek_to(iter, key);
    end_seek(iter, began_ns);
}

void engine_iter_seek_first(struct engine_iter *iter)
{
    uint64_t began_ns = begin_seek(iter);
    seek_first(iter);
    end_seek(iter, began_ns);
}

void engine_iter_seek_before(struct engine_iter *iter, struct slice key)
{
    uint64_t began_ns = begin_seek(iter);
    seek_before(iter, key);
    end_seek(iter, began_ns);
}

void engine_iter_seek_last(struct engine_iter *iter)
{
    uint64_t began_ns = begin_seek(iter);
    seek_last(iter);
    end_seek(iter, began_ns);
}

void engine_iter_next(struct engine_iter *iter)
{
    CHECK(iter->valid);
    if (!iter->backward) {
        if (!copy(iter, &iter->key, internal_key_user(iter_key(iter->merge)))) {
            return;
        }
        iter_next(iter->merge);
    } else if (iter_valid(iter->merge)) {
        iter_next(iter->merge);
    } else {
        iter_seek_to_first(iter->merge);
    }
    find_forward(iter, true);
}

void engine_iter_prev(struct engine_iter *iter)
{
    CHECK(iter->valid);
    if (!iter->backward) {
        /* Back over the newer versions of the key that is shown. */
        if (!copy(iter, &iter->key, internal_key_user(iter_key(iter->merge)))) {
            return;
        }
        do {
            iter_prev(iter->merge);
        } while (iter_valid(iter->merge) &&
                 slice_equal(internal_key_user(iter_key(iter->merge)), buf_slice(&iter->key)));
    }
    find_backward(iter);
}

bool engine_iter_valid(const struct engine_iter *iter)
{
    return iter->valid;
}

struct slice engine_iter_key(const struct engine_iter *iter)
{
    CHECK(iter->valid);
    return iter->backward ? buf_slice(&iter->key) : internal_key_user(iter_key(iter->merge));
}

struct slice engine_iter_value(const struct engine_iter *iter)
{
    CHECK(iter->valid);
    return iter->backward ? buf_slice(&iter->value) : iter_value(iter->merge);
}

enum status engine_iter_status(const struct engine_iter *iter, struct error *err)
{
    if (iter->failure.status != STATUS_OK && err != NULL) {
        *err = iter->failure;
    }
    return iter->failure.status;
}
