/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's background jobs: what they share, the flush, the removal of dead files
 * (engine_compact.c has the compactions). Each is a loop turned inside out: a step begins, goes on
 * with, or completes a piece of work, and returns.
 */
#include "base/check.h"
#include "base/log.h"
#include "storage/engine_internal.h"

/* --- what the jobs share ------------------------------------------------------------------- */

struct background *engine_background(struct job *job)
{
    return (struct background *)job;
}

bool engine_may_begin(struct background *background)
{
    struct engine *engine = background->engine;
    if (atomic_load(&engine->failed)) {
        return false;
    }
    uint64_t now_ns = clock_monotonic_ns(engine->options.clock);
    mutex_lock(&engine->mutex);
    struct backoff *backoff = background->backoff;
    bool may = !backoff->on || now_ns >= backoff->until_ns;
    if (may) {
        backoff->on = false;
    }
    mutex_unlock(&engine->mutex);
    return may;
}

void engine_note_success(struct background *background)
{
    mutex_lock(&background->engine->mutex);
    background->backoff->length_ns = 0;
    mutex_unlock(&background->engine->mutex);
}

void engine_note_failure(struct background *background, const char *what, enum status status,
                         struct error *err)
{
    struct engine *engine = background->engine;
    (void)error_wrap(err, "%s", what);
    err->status = status;
    if (status != STATUS_RESOURCE_EXHAUSTED) {
        engine_fail(engine, err);
        return;
    }
    uint64_t now_ns = clock_monotonic_ns(engine->options.clock);
    counter_add(&engine->metrics.background_retries, 1);
    mutex_lock(&engine->mutex);
    struct backoff *backoff = background->backoff;
    bool first = backoff->length_ns == 0;
    uint64_t length_ns = backoff->length_ns * 2;
    length_ns = length_ns < ENGINE_BACKOFF_MIN_NS ? ENGINE_BACKOFF_MIN_NS : length_ns;
    length_ns = length_ns > ENGINE_BACKOFF_MAX_NS ? ENGINE_BACKOFF_MAX_NS : length_ns;
    backoff->length_ns = length_ns;
    backoff->until_ns = now_ns + length_ns;
    backoff->on = true;
    backoff->cause = *err;
    condition_broadcast(&engine->changed);
    mutex_unlock(&engine->mutex);
    if (first) {
        char quoted[2 * ERROR_TEXT_BYTES];
        log_write("storage", LOG_WARN, "background work will be repeated", "cause=%s",
                  log_quote(quoted, sizeof quoted, err->text));
    }
}

enum status engine_copy_snapshots(struct engine *engine, struct snapshot_copy *copy,
                                  struct error *err)
{
    size_t room = 0;
    for (;;) {
        mutex_lock(&engine->mutex);
        size_t count = snapshot_list_sequences(&engine->snapshots, copy->sequences, room);
        mutex_unlock(&engine->mutex);
        if (count <= room) {
            copy->count = count;
            return STATUS_OK;
        }
        room = count + 8;
        uint64_t *grown =
            alloc_resize(engine->alloc, copy->sequences, room * sizeof *copy->sequences);
        if (grown == NULL) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for snapshots");
        }
        copy->sequences = grown;
    }
}

void engine_release_snapshots(struct engine *engine, struct snapshot_copy *copy)
{
    alloc_free(engine->alloc, copy->sequences);
    *copy = (struct snapshot_copy){.count = 0};
}

/* --- installing an edit -------------------------------------------------------------------- */

/* Writes the whole state anew once edits have piled up. Want of space postpones it. */
static void rewrite_manifest(struct engine *engine, struct version *version)
{
    if (!manifest_wants_rewrite(engine->manifest)) {
        return;
    }
    struct edit full;
    struct error err = ERROR_INIT;
    edit_init(&full, engine->alloc);
    uint64_t number = atomic_fetch_add(&engine->next_file, 1);
    version_describe(version, &full);
    full.full = true;
    full.has_seal = engine->sealed_count > 0;
    full.seal_count = engine->sealed_count;
    full.owner_state = buf_slice(&engine->owner_state);
    full.last_sequence = engine->durable_sequence;
    full.next_file = number + 1;
    enum status status = manifest_rewrite(engine->manifest, number, &full, &err);
    if (status != STATUS_OK && status != STATUS_RESOURCE_EXHAUSTED) {
        engine_fail(engine, &err);
    }
    edit_release(&full);
}

/* What a flushed seal changes besides the view. */
static void take_seal_locked(struct engine *engine, struct mem_set *flushed)
{
    engine->sealed_count = flushed->seal_number;
    engine->durable_sequence = flushed->last_sequence;
    /* The set's readers never look at the blob, so it may move. */
    buf_release(&engine->owner_state);
    engine->owner_state = flushed->owner_state;
    buf_init(&flushed->owner_state, engine->alloc, ENGINE_STATE_BYTES_MAX);
}

enum status engine_install_edit(struct engine *engine, struct edit *edit, struct mem_set *flushed,
                                struct error *err)
{
    struct version *version = NULL;
    struct view *next = view_new(engine->alloc);
    if (next == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a view");
    }
    enum status status = STATUS_OK;
    if (edit_add_count(edit) > 0) {
        status = fs_sync_dir(engine->options.fs, engine->dir, err);
        if (status == STATUS_RESOURCE_EXHAUSTED) {
            /* A failed sync is final, whatever the cause. */
            status = error_set(err, STATUS_INTERNAL, "sync %s: no space", engine->dir);
        }
    }
    mutex_lock(&engine->edit_mutex);
    edit->next_file = atomic_load(&engine->next_file);
    if (status == STATUS_OK) {
        status = catalog_prepare(engine->catalog, edit, &version, err);
    }
    if (status == STATUS_OK) {
        status = manifest_append(engine->manifest, edit, err);
    }
    struct view *old = NULL;
    if (status == STATUS_OK) {
        mutex_lock(&engine->mutex);
        if (flushed != NULL) {
            take_seal_locked(engine, flushed);
        }
        old = engine_view_replace_locked(engine, next, NULL, flushed, version);
        mutex_unlock(&engine->mutex);
        catalog_publish(engine->catalog, version);
        engine_mark_hot(engine, version);
        if (edit_floor_count(edit) > 0) {
            atomic_store(&engine->rewrites_left, (unsigned)engine->options.rewrites_max);
        }
        rewrite_manifest(engine, version);
    } else {
        version_release(version);
    }
    mutex_unlock(&engine->edit_mutex);
    if (old != NULL) {
        engine_view_retire(engine, old);
    } else {
        view_unref(next);
    }
    return status;
}

/* --- flush --------------------------------------------------------------------------------- */

static void end_flush(struct engine *engine)
{
    flush_release(&engine->flush);
    engine_release_snapshots(engine, &engine->flush_snapshots);
    mem_set_unref(engine->flush_set);
    engine->flush_set = NULL;
    edit_clear(&engine->flush_edit);
    engine->flushing = false;
}

/* Takes the oldest seal that waits. OK with engine->flushing unset: none does. */
static enum status begin_flush(struct engine *engine, struct error *err)
{
    CHECK(!engine->flushing);
    mutex_lock(&engine->mutex);
    struct view *view = atomic_load_explicit(&engine->view, memory_order_relaxed);
    struct mem_set *set = view->immutable_count > 0 ? view->immutables[0] : NULL;
    if (set != NULL) {
        mem_set_ref(set);
    }
    mutex_unlock(&engine->mutex);
    if (set == NULL) {
        return STATUS_OK;
    }
    enum status status = engine_copy_snapshots(engine, &engine->flush_snapshots, err);
    if (status != STATUS_OK) {
        engine_release_snapshots(engine, &engine->flush_snapshots);
        mem_set_unref(set);
        return status;
    }
    engine->flush_set = set;
    engine->flushing = true;
    engine->flush_began_ns = clock_monotonic_ns(engine->options.clock);
    struct edit *edit = &engine->flush_edit;
    edit_clear(edit);
    edit->has_seal = true;
    edit->seal_count = set->seal_number;
    edit->owner_state = buf_slice(&set->owner_state);
    edit->last_sequence = set->last_sequence;
    for (unsigned i = 0; i < engine->options.keyspace_count; i++) {
        const struct floor *floor = mem_set_floor(set, i, SEQUENCE_MAX);
        if (floor != NULL) {
            edit_set_floor(edit, i, floor_key(floor));
        }
    }
    flush_init(&engine->flush, &engine->place, engine->keyspaces, engine->options.keyspace_count,
               set->memtables, engine->flush_snapshots.sequences, engine->flush_snapshots.count,
               edit);
    return STATUS_OK;
}

static void complete_flush(struct engine *engine)
{
    uint64_t now_ns = clock_monotonic_ns(engine->options.clock);
    counter_add(&engine->metrics.flushes, 1);
    counter_add(&engine->metrics.flush_bytes_written, engine->flush.written);
    histogram_record(&engine->metrics.flush_ns, now_ns - engine->flush_began_ns);
    rate_limit_charge(&engine->rate, now_ns, engine->flush.written);
    end_flush(engine);
    engine_note_success(&engine->flush_job);
    if (engine->options.on_flushed != NULL) {
        /* Only this job replaces the blob, so it stands still during the call. */
        engine->options.on_flushed(engine->options.context, buf_slice(&engine->owner_state));
    }
    engine_submit_compactions(engine);
}

static enum job_result run_flush(struct job *job)
{
    struct background *background = engine_background(job);
    struct engine *engine = background->engine;
    struct error err = ERROR_INIT;
    enum status status = STATUS_OK;
    bool done = false;
    if (!engine->flushing) {
        if (!engine_may_begin(background)) {
            return JOB_WAIT;
        }
        status = begin_flush(engine, &err);
        if (status == STATUS_OK && !engine->flushing) {
            return JOB_WAIT;
        }
    }
    if (status == STATUS_OK) {
        status = flush_step(&engine->flush, engine->options.step_bytes, &done, &err);
    }
    if (status == STATUS_OK && done) {
        status = engine_install_edit(engine, &engine->flush_edit, engine->flush_set, &err);
    }
    if (status == STATUS_OK) {
        if (done) {
            complete_flush(engine);
        }
        return JOB_AGAIN;
    }
    if (engine->flushing) {
        if (status == STATUS_RESOURCE_EXHAUSTED) {
            /* Only then is it known that no manifest names them. */
            output_discard(&engine->place, &engine->flush_edit);
        }
        end_flush(engine);
    }
    engine_note_failure(background, "flush", status, &err);
    return JOB_WAIT;
}

/* --- removal of dead files ----------------------------------------------------------------- */

static enum job_result run_removal(struct job *job)
{
    catalog_remove_dead(engine_background(job)->engine->catalog);
    return JOB_WAIT;
}

void engine_jobs_on_dead(void *context)
{
    struct engine *engine = context;
    if (!atomic_load(&engine->closing)) {
        job_submit(engine->options.executor, &engine->remove_job.job);
    }
}

/* --- life ---------------------------------------------------------------------------------- */

static void submit_flush(struct engine *engine)
{
    job_submit(engine->options.executor, &engine->flush_job.job);
}

void engine_jobs_init(struct engine *engine)
{
    job_init(&engine->flush_job.job, run_flush);
    job_init(&engine->remove_job.job, run_removal);
    engine->flush_job.engine = engine;
    engine->flush_job.backoff = &engine->flush_backoff;
    engine->flush_backoff.submit = submit_flush;
    engine->remove_job.engine = engine;
    engine_compactions_init(engine);
}

void engine_jobs_release(struct engine *engine)
{
    if (engine->flushing) {
        output_discard(&engine->place, &engine->flush_edit);
        end_flush(engine);
    }
    engine_compactions_release(engine);
}

static bool is_due(const struct backoff *backoff, uint64_t now_ns)
{
    return backoff->on && now_ns >= backoff->until_ns;
}

void engine_poll(struct engine *engine)
{
    uint64_t now_ns = clock_monotonic_ns(engine->options.clock);
    mutex_lock(&engine->mutex);
    bool flush_due = is_due(&engine->flush_backoff, now_ns);
    bool compaction_due = is_due(&engine->compact_backoff, now_ns) || engine->compact_due;
    engine->compact_due = false;
    mutex_unlock(&engine->mutex);
    if (flush_due) {
        submit_flush(engine);
    }
    if (compaction_due) {
        engine_submit_compactions(engine);
    }
    engine_poll_compactions(engine, now_ns);
}
