/* SPDX-License-Identifier: Apache-2.0
 *
 * The writer's side of the engine: batches, seals, and when to wait.
 */
#include "base/check.h"
#include "base/plant.h"
#include "storage/engine_internal.h"

#define WAIT_NS (10 * NS_PER_MS)
#define SLOWDOWN_NS (1 * NS_PER_MS)
/* Where damage keeps level 0 from being merged, writes go on to so many times its stop: waiting
 * would not help, and each table more costs every read a little, memory and an open file. */
#define STUCK_FACTOR 4U

/* --- waiting ------------------------------------------------------------------------------- */

typedef bool (*ready_fn)(const struct engine *engine, const struct view *view);

static bool has_room_for_seal(const struct engine *engine, const struct view *view)
{
    return view->immutable_count < engine->options.immutable_max;
}

static bool is_flushed(const struct engine *engine, const struct view *view)
{
    (void)engine;
    return view->immutable_count == 0;
}

static bool is_compacted(const struct engine *engine, const struct view *view)
{
    (void)view;
    return !atomic_load(&engine->compact_whole);
}

static bool is_below_stop(const struct engine *engine, const struct view *view)
{
    return view->level0.mergeable < engine->options.l0_stop;
}

static void note_stall(struct engine *engine, enum engine_stall stall, uint64_t start_ns)
{
    histogram_record(&engine->metrics.stall_ns[stall],
                     clock_monotonic_ns(engine->options.clock) - start_ns);
}

/* One turn of waiting, with the mutex held; `poke` (may be NULL) is given another chance. */
static void wait_a_little_locked(struct engine *engine, struct backoff *poke, uint64_t ns)
{
    if (poke == NULL && engine->options.on_wait == NULL) {
        (void)condition_wait_for(&engine->changed, &engine->mutex, ns);
        return;
    }
    mutex_unlock(&engine->mutex);
    if (poke != NULL) {
        poke->submit(engine);
    }
    if (engine->options.on_wait != NULL) {
        engine->options.on_wait(engine->options.context);
    }
    mutex_lock(&engine->mutex);
    if (poke != NULL && engine->options.on_wait == NULL) {
        (void)condition_wait_for(&engine->changed, &engine->mutex, ns);
    }
}

/* Waits until `ready`, which work of the kind `by` will bring about. Fails at once with the final
 * error, or with the cause of its backoff. `stall` is what it counts as; ENGINE_STALLS: as none,
 * the caller wants to wait. */
static enum status wait_for(struct engine *engine, ready_fn ready, struct backoff *by,
                            enum engine_stall stall, struct error *err)
{
    enum status status = STATUS_OK;
    uint64_t start_ns = 0;
    mutex_lock(&engine->mutex);
    while (!ready(engine, atomic_load_explicit(&engine->view, memory_order_relaxed))) {
        uint64_t now_ns = clock_monotonic_ns(engine->options.clock);
        start_ns = start_ns == 0 ? now_ns : start_ns;
        status = engine_check_failed(engine, err);
        if (status != STATUS_OK) {
            break;
        }
        if (by->on && now_ns < by->until_ns) {
            status = by->cause.status;
            if (err != NULL) {
                *err = by->cause;
            }
            break;
        }
        if (engine->options.write_bytes_per_second > 0) {
            /* Whoever else polls may be the one who waits here. */
            mutex_unlock(&engine->mutex);
            engine_poll_compactions(engine, now_ns);
            mutex_lock(&engine->mutex);
        }
        wait_a_little_locked(engine, by->on ? by : NULL, WAIT_NS);
    }
    mutex_unlock(&engine->mutex);
    if (start_ns != 0 && stall != ENGINE_STALLS) {
        note_stall(engine, stall, start_ns);
    }
    return status;
}

static void slow_down(struct engine *engine)
{
    uint64_t start_ns = clock_monotonic_ns(engine->options.clock);
    mutex_lock(&engine->mutex);
    wait_a_little_locked(engine, NULL, SLOWDOWN_NS);
    mutex_unlock(&engine->mutex);
    note_stall(engine, STALL_LEVEL0_SLOWDOWN, start_ns);
}

/* --- batches ------------------------------------------------------------------------------- */

/* What a batch leaves of a KEYSPACE_APPEND. */
struct append_end {
    struct slice last;
    struct floor floor;
};

static enum status check_floor(const struct keyspace_options *keyspace, struct slice key,
                               struct append_end *end, struct error *err)
{
    if (!keyspace_is_timed(keyspace) || key.length > FLOOR_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "keyspace %s: has no such floor",
                         keyspace->name);
    }
    if (floor_hides(&end->floor, key)) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "keyspace %s: a floor never falls",
                         keyspace->name);
    }
    floor_set(&end->floor, key);
    return STATUS_OK;
}

static enum status check_append(const struct keyspace_options *keyspace, const struct batch_op *op,
                                struct append_end *end, struct error *err)
{
    if (op->type != KEY_PUT) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "keyspace %s: nothing can be deleted",
                         keyspace->name);
    }
    if (slice_compare(op->key, end->last) <= 0) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "keyspace %s: a key is not above those before it", keyspace->name);
    }
    if (floor_hides(&end->floor, op->key)) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "keyspace %s: a key is below the floor",
                         keyspace->name);
    }
    end->last = op->key;
    return STATUS_OK;
}

/* Keys of a KEYSPACE_APPEND must ascend, from the last batch through this one, and floors not
 * fall. */
static enum status check_order(struct engine *engine, const struct batch *batch,
                               struct append_end ends[KEYSPACES_MAX], struct error *err)
{
    for (size_t i = 0; i < engine->options.keyspace_count; i++) {
        ends[i].last = buf_slice(&engine->append_last[i]);
        ends[i].floor = engine->append_floor[i];
    }
    struct batch_op op;
    size_t offset = 0;
    while (batch_next(batch, &offset, &op)) {
        CHECK(op.keyspace < engine->options.keyspace_count);
        const struct keyspace_options *keyspace = &engine->keyspaces[op.keyspace];
        enum status status = STATUS_OK;
        if (op.type == BATCH_SET_FLOOR) {
            status = check_floor(keyspace, op.key, &ends[op.keyspace], err);
        } else if (keyspace->layout == KEYSPACE_APPEND) {
            status = check_append(keyspace, &op, &ends[op.keyspace], err);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static void remember_ends(struct engine *engine, const struct append_end ends[KEYSPACES_MAX])
{
    for (size_t i = 0; i < engine->options.keyspace_count; i++) {
        struct buf *buf = &engine->append_last[i];
        engine->append_floor[i] = ends[i].floor;
        if (engine->keyspaces[i].layout == KEYSPACE_APPEND && ends[i].last.data != buf->data) {
            buf_clear(buf);
            buf_append_slice(buf, ends[i].last);
            CHECK(!buf_failed(buf)); /* its memory was reserved at the open */
        }
    }
}

/* Adds all operations above `sequence`; readers do not see them yet. */
static enum status insert(struct view *view, const struct batch *batch, uint64_t sequence,
                          struct error *err)
{
    struct batch_op op;
    size_t offset = 0;
    while (batch_next(batch, &offset, &op)) {
        enum status status = STATUS_OK;
        sequence++;
        if (op.type != BATCH_SET_FLOOR) {
            status = memtable_add(view->active->memtables[op.keyspace], sequence,
                                  (enum key_type)op.type, op.key, op.value, err);
        } else if (!mem_set_add_floor(view->active, sequence, op.keyspace, op.key)) {
            status = error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a floor");
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static uint64_t memtable_bytes_stop(const struct engine *engine)
{
    return 2 * (uint64_t)engine->options.memtable_bytes + engine->options.memtable_slack_bytes;
}

static bool is_stuck(const struct engine *engine, const struct view *view)
{
    return view->level0.stuck >= STUCK_FACTOR * engine->options.l0_stop;
}

bool engine_is_stuck(struct engine *engine)
{
    return is_stuck(engine, engine_writer_view(engine));
}

/* Waits while level 0 is too full; refuses while the memtables are, or a level 0 that damage keeps
 * from being merged. */
static enum status make_room(struct engine *engine, bool paced, struct error *err)
{
    struct view *view = engine_writer_view(engine);
    if (is_stuck(engine, view)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                         "%zu tables of level 0 wait to be merged with one that is damaged",
                         view->level0.stuck);
    }
    if (view->level0.mergeable >= engine->options.l0_stop) {
        enum status status =
            wait_for(engine, is_below_stop, &engine->compact_backoff, STALL_LEVEL0_STOP, err);
        if (status != STATUS_OK) {
            return status;
        }
    } else if (paced && view->level0.mergeable >= engine->options.l0_slowdown) {
        slow_down(engine);
    }
    view = engine_writer_view(engine);
    if (mem_set_bytes(view->active) >= memtable_bytes_stop(engine)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "the memtables are full: seal first");
    }
    return STATUS_OK;
}

/* `ends`: where each KEYSPACE_APPEND ends with the batch. `paced`: slows down if it is due. */
static enum status admit(struct engine *engine, const struct batch *batch, bool paced,
                         struct append_end ends[KEYSPACES_MAX], struct error *err)
{
    enum status status = engine_check_failed(engine, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (buf_failed(&batch->bytes)) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "the batch has failed");
    }
    if (batch->count == 0) {
        return STATUS_OK;
    }
    status = check_order(engine, batch, ends, err);
    return status == STATUS_OK ? make_room(engine, paced, err) : status;
}

enum status engine_check_write(struct engine *engine, const struct batch *batch, struct error *err)
{
    struct append_end ends[KEYSPACES_MAX] = {{.last = {.length = 0}}};
    return admit(engine, batch, false, ends, err);
}

static enum status write_batch(struct engine *engine, const struct batch *batch, struct error *err)
{
    struct append_end ends[KEYSPACES_MAX] = {{.last = {.length = 0}}};
    enum status status = admit(engine, batch, true, ends, err);
    if (status != STATUS_OK || batch->count == 0) {
        return status;
    }
    uint64_t sequence = atomic_load_explicit(&engine->last_sequence, memory_order_relaxed);
    CHECK(batch->count <= SEQUENCE_MAX - sequence);
    struct error why = ERROR_INIT;
    status = insert(engine_writer_view(engine), batch, sequence, &why);
    if (status != STATUS_OK) {
        /* What was added cannot be taken back, and its sequences would be used again. */
        why.status = STATUS_INTERNAL;
        (void)error_wrap(&why, "in the middle of a batch");
        engine_fail(engine, &why);
        return engine_check_failed(engine, err);
    }
    remember_ends(engine, ends);
    atomic_store_explicit(&engine->last_sequence, sequence + batch->count, memory_order_release);
    counter_add(&engine->metrics.writes, 1);
    counter_add(&engine->metrics.written_entries, batch->count);
    counter_add(&engine->metrics.written_bytes,
                batch_bytes(batch) - (size_t)BATCH_OP_HEADER_BYTES * batch->count);
    return STATUS_OK;
}

enum status engine_write(struct engine *engine, const struct batch *batch, struct error *err)
{
    if (counter_get(&engine->metrics.writes) % METRICS_SAMPLE != 0) {
        return write_batch(engine, batch, err);
    }
    uint64_t began_ns = clock_monotonic_ns(engine->options.clock);
    enum status status = write_batch(engine, batch, err);
    histogram_record(&engine->metrics.write_ns,
                     clock_monotonic_ns(engine->options.clock) - began_ns);
    return status;
}

/* --- seals --------------------------------------------------------------------------------- */

bool engine_should_seal(struct engine *engine)
{
    const struct mem_set *active = engine_writer_view(engine)->active;
    return mem_set_bytes(active) >= engine->options.memtable_bytes && !mem_set_is_empty(active) &&
           !PLANTED(SEAL_NEVER);
}

enum status engine_seal(struct engine *engine, struct slice owner_state, struct error *err)
{
    CHECK(owner_state.length <= ENGINE_STATE_BYTES_MAX);
    enum status status = engine_check_failed(engine, err);
    if (status == STATUS_OK) {
        status = wait_for(engine, has_room_for_seal, &engine->flush_backoff, STALL_SEALS, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct mem_set *sealed = engine_writer_view(engine)->active;
    struct mem_set *active = mem_set_new(engine->alloc, engine->options.keyspace_count);
    struct view *next = view_new(engine->alloc);
    buf_clear(&sealed->owner_state);
    buf_append_slice(&sealed->owner_state, owner_state);
    if (active == NULL || next == NULL || buf_failed(&sealed->owner_state)) {
        mem_set_unref(active);
        view_unref(next);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a seal");
    }
    sealed->seal_number = ++engine->seal_number;
    sealed->last_sequence = atomic_load_explicit(&engine->last_sequence, memory_order_relaxed);
    mutex_lock(&engine->mutex);
    struct view *old = engine_view_replace_locked(engine, next, active, NULL, NULL);
    mutex_unlock(&engine->mutex);
    mem_set_unref(active);
    engine_view_retire(engine, old);
    (void)engine_writer_view(engine);
    job_submit(engine->options.executor, &engine->flush_job.job);
    engine_poll(engine);
    return STATUS_OK;
}

enum status engine_flush(struct engine *engine, struct error *err)
{
    enum status status = engine_check_failed(engine, err);
    if (status != STATUS_OK) {
        return status;
    }
    mutex_lock(&engine->mutex);
    /* Who asks wants it tried now. */
    bool backing_off = engine->flush_backoff.on;
    engine->flush_backoff.until_ns = 0;
    mutex_unlock(&engine->mutex);
    if (backing_off) {
        job_submit(engine->options.executor, &engine->flush_job.job);
    }
    status = wait_for(engine, is_flushed, &engine->flush_backoff, ENGINE_STALLS, err);
    (void)engine_writer_view(engine);
    return status;
}

enum status engine_compact(struct engine *engine, struct error *err)
{
    enum status status = engine_check_failed(engine, err);
    if (status != STATUS_OK) {
        return status;
    }
    atomic_store(&engine->compact_whole, true);
    engine_submit_compactions(engine);
    status = wait_for(engine, is_compacted, &engine->compact_backoff, ENGINE_STALLS, err);
    atomic_store(&engine->compact_whole, false);
    (void)engine_writer_view(engine);
    return status;
}
