/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's compactions: jobs that each take the tables of a pick, merge them step by step,
 * and give them back. What they take is disjoint, so they know nothing of each other.
 */
#include "base/check.h"
#include "storage/engine_internal.h"

/* --- the rate limit ------------------------------------------------------------------------ */

static void charge(struct compaction *compaction)
{
    struct engine *engine = compaction->background.engine;
    uint64_t written = output_bytes(&compaction->compact.output);
    rate_limit_charge(&engine->rate, clock_monotonic_ns(engine->options.clock),
                      written - compaction->charged);
    compaction->charged = written;
}

/* True if there is a debt: engine_poll() submits the job again when it is paid. */
static bool is_in_debt(struct compaction *compaction)
{
    struct engine *engine = compaction->background.engine;
    if (engine->options.write_bytes_per_second == 0) {
        return false;
    }
    uint64_t now_ns = clock_monotonic_ns(engine->options.clock);
    uint64_t wait_ns = rate_limit_wait_ns(&engine->rate, now_ns);
    mutex_lock(&engine->mutex);
    compaction->in_debt = wait_ns > 0;
    compaction->until_ns = now_ns + wait_ns;
    mutex_unlock(&engine->mutex);
    return wait_ns > 0;
}

/* Of what is under way: nothing rests while level 0 is due, which may wait for its tables, or for
 * a job. */
static bool may_rest(const struct compaction *compaction)
{
    struct engine *engine = compaction->background.engine;
    struct view *view = engine_view_acquire(engine);
    bool due = view->level0.mergeable >= engine->options.l0_trigger &&
               pick_level0_is_due(view->version, &engine->pick_options);
    view_unref(view);
    return !due && compaction->compact.pick.level > 0;
}

void engine_poll_compactions(struct engine *engine, uint64_t now_ns)
{
    for (unsigned i = 0; i < engine->options.compactions; i++) {
        struct compaction *compaction = &engine->compactions[i];
        mutex_lock(&engine->mutex);
        bool due = compaction->in_debt && now_ns >= compaction->until_ns;
        mutex_unlock(&engine->mutex);
        if (due) {
            job_submit(engine->options.executor, &compaction->background.job);
        }
    }
}

/* --- taking tables ------------------------------------------------------------------------- */

/* With pick_mutex held. */
static void take(const struct version *version, const struct pick *pick, bool taken)
{
    for (size_t i = 0; i < pick_table_count(pick); i++) {
        table_file_take(pick_table_at(version, pick, i), taken);
    }
}

static void give_back(struct engine *engine, const struct version *version, const struct pick *pick)
{
    mutex_lock(&engine->pick_mutex);
    take(version, pick, false);
    CHECK(atomic_fetch_sub(&engine->compacting, 1) > 0);
    mutex_unlock(&engine->pick_mutex);
}

/* What is due by the sizes comes first: level 0 must not wait for a compaction of the whole. */
static bool pick_next_locked(struct engine *engine, const struct version *version, bool in_debt,
                             struct pick *pick)
{
    struct floor floors[KEYSPACES_MAX];
    struct pick_options options = engine_pick_options(engine, version, floors);
    options.only_level0 = in_debt;
    if (pick_compaction(version, &options, pick)) {
        return true;
    }
    if (in_debt || !atomic_load(&engine->compact_whole)) {
        return false;
    }
    options.whole = true;
    if (pick_compaction(version, &options, pick)) {
        return true;
    }
    if (atomic_load(&engine->compacting) == 0) {
        mutex_lock(&engine->mutex);
        atomic_store(&engine->compact_whole, false);
        condition_broadcast(&engine->changed);
        mutex_unlock(&engine->mutex);
    }
    return false;
}

/* What failed for want of space is tried alone: two that each need most of the room that there is
 * would take it from each other for ever. */
static bool must_be_alone(struct engine *engine)
{
    mutex_lock(&engine->mutex);
    bool failing = engine->compact_backoff.length_ns > 0;
    mutex_unlock(&engine->mutex);
    return failing && atomic_load(&engine->compacting) > 0;
}

/* One partition less may be rewritten in this round. */
static void count_rewrite_locked(struct engine *engine, const struct pick *pick)
{
    unsigned left = atomic_load(&engine->rewrites_left);
    if (pick->begin == pick->end && left > 0) {
        /* If a floor begins the next round just now, that round has one less. */
        atomic_store(&engine->rewrites_left, left - 1);
    }
}

/* The version that has the tables, referenced; NULL: nothing is due that is not taken. */
static struct version *take_next(struct compaction *compaction, struct pick *pick)
{
    struct engine *engine = compaction->background.engine;
    bool in_debt = is_in_debt(compaction);
    mutex_lock(&engine->pick_mutex);
    struct version *version = catalog_acquire(engine->catalog);
    bool found = !must_be_alone(engine) && pick_next_locked(engine, version, in_debt, pick);
    if (found) {
        take(version, pick, true);
        count_rewrite_locked(engine, pick);
        (void)atomic_fetch_add(&engine->compacting, 1);
    }
    mutex_unlock(&engine->pick_mutex);
    if (!found) {
        version_release(version);
        version = NULL;
    }
    return version;
}

/* --- one compaction ------------------------------------------------------------------------ */

/* Lets go of all but the tables. */
static void let_go(struct compaction *compaction)
{
    struct engine *engine = compaction->background.engine;
    compact_release(&compaction->compact);
    engine_release_snapshots(engine, &compaction->snapshots);
    edit_clear(&compaction->edit);
    compaction->working = false;
}

static void end(struct compaction *compaction)
{
    give_back(compaction->background.engine, compaction->compact.version,
              &compaction->compact.pick);
    let_go(compaction);
}

/* OK with compaction->working unset: nothing is due, or damage was met at once. */
static enum status begin(struct compaction *compaction, struct error *err)
{
    CHECK(!compaction->working);
    struct engine *engine = compaction->background.engine;
    struct pick pick;
    struct version *version = take_next(compaction, &pick);
    if (version == NULL) {
        return STATUS_OK;
    }
    enum status status = engine_copy_snapshots(engine, &compaction->snapshots, err);
    edit_clear(&compaction->edit);
    if (status == STATUS_OK) {
        status = compact_init(&compaction->compact, &engine->place, engine->keyspaces, version,
                              &pick, compaction->snapshots.sequences, compaction->snapshots.count,
                              &compaction->edit, err);
    }
    compaction->working = status == STATUS_OK;
    compaction->charged = 0;
    compaction->began_ns = clock_monotonic_ns(engine->options.clock);
    if (status != STATUS_OK) {
        engine_release_snapshots(engine, &compaction->snapshots);
    }
    if (status == STATUS_CORRUPT) {
        engine_suspect(&compaction->suspects, version, &pick, err);
        status = STATUS_OK;
    } else if (status != STATUS_OK) {
        give_back(engine, version, &pick);
    }
    version_release(version);
    return status;
}

/* The tables are suspects now; what was written is named by no manifest. */
static void give_up(struct compaction *compaction, const struct error *what)
{
    engine_suspect(&compaction->suspects, compaction->compact.version, &compaction->compact.pick,
                   what);
    output_discard(&compaction->background.engine->place, &compaction->edit);
    let_go(compaction);
}

/* What was below a floor. */
static void count_dead(struct engine_metrics *metrics, const struct compact *compact)
{
    const struct pick *pick = &compact->pick;
    if (pick->drop) {
        for (size_t i = pick->begin; i < pick->end; i++) {
            counter_add(&metrics->partition_bytes_dropped,
                        version_at(compact->version, pick->keyspace, pick->level, i)->bytes);
        }
        counter_add(&metrics->partitions_dropped, pick->end - pick->begin);
    } else if (pick->begin == pick->end) {
        counter_add(&metrics->partitions_rewritten, pick->below_end - pick->below_begin);
        counter_add(&metrics->partition_bytes_rewritten, compact->output.written);
    }
}

static void complete(struct compaction *compaction)
{
    struct engine *engine = compaction->background.engine;
    struct engine_metrics *metrics = &engine->metrics;
    count_dead(metrics, &compaction->compact);
    counter_add(&metrics->compactions, 1);
    counter_add(&metrics->compaction_bytes_read, compaction->compact.read);
    counter_add(&metrics->compaction_bytes_written, compaction->compact.output.written);
    histogram_record(&metrics->compaction_ns,
                     clock_monotonic_ns(engine->options.clock) - compaction->began_ns);
    end(compaction);
    engine_note_success(&compaction->background);
    engine_submit_compactions(engine); /* some may have waited for these tables */
}

static enum job_result look_at_suspects(struct compaction *compaction)
{
    struct engine *engine = compaction->background.engine;
    struct suspects *suspects = &compaction->suspects;
    struct error err = ERROR_INIT;
    bool done = false;
    enum status status = engine_suspects_step(engine, suspects, &done, &err);
    if (status != STATUS_OK) {
        engine_note_failure(&compaction->background, "compaction", status, &err);
        return JOB_WAIT;
    }
    if (done) {
        give_back(engine, suspects->version, &suspects->pick);
        engine_suspects_release(suspects);
    }
    return JOB_AGAIN;
}

/* --- the job ------------------------------------------------------------------------------- */

static enum job_result fail(struct compaction *compaction, enum status status, struct error *err)
{
    if (compaction->working) {
        if (status == STATUS_RESOURCE_EXHAUSTED) {
            /* Only then is it known that no manifest names them. */
            output_discard(&compaction->background.engine->place, &compaction->edit);
        }
        end(compaction);
    }
    engine_note_failure(&compaction->background, "compaction", status, err);
    return JOB_WAIT;
}

static enum job_result run(struct job *job)
{
    struct compaction *compaction = (struct compaction *)engine_background(job);
    struct engine *engine = compaction->background.engine;
    struct error err = ERROR_INIT;
    enum status status = STATUS_OK;
    bool done = false;
    if (!compaction->working) {
        if (!engine_may_begin(&compaction->background)) {
            return JOB_WAIT;
        }
        if (compaction->suspects.version != NULL) {
            return look_at_suspects(compaction);
        }
        status = begin(compaction, &err);
        if (status == STATUS_OK && !compaction->working) {
            return compaction->suspects.version != NULL ? JOB_AGAIN : JOB_WAIT;
        }
    }
    if (status == STATUS_OK && is_in_debt(compaction) && may_rest(compaction)) {
        return JOB_WAIT;
    }
    if (status == STATUS_OK) {
        status = compact_step(&compaction->compact, engine->options.step_bytes, &done, &err);
    }
    if (status == STATUS_CORRUPT) {
        give_up(compaction, &err);
        return JOB_AGAIN;
    }
    if (status == STATUS_OK) {
        charge(compaction);
    }
    if (status == STATUS_OK && done) {
        status = engine_install_edit(engine, &compaction->edit, NULL, &err);
    }
    if (status != STATUS_OK) {
        return fail(compaction, status, &err);
    }
    if (done) {
        complete(compaction);
    }
    return JOB_AGAIN;
}

/* --- life ---------------------------------------------------------------------------------- */

void engine_submit_compactions(struct engine *engine)
{
    for (unsigned i = 0; i < engine->options.compactions; i++) {
        job_submit(engine->options.executor, &engine->compactions[i].background.job);
    }
}

void engine_compactions_init(struct engine *engine)
{
    engine->compact_backoff.submit = engine_submit_compactions;
    for (unsigned i = 0; i < ENGINE_COMPACTIONS_MAX; i++) {
        struct compaction *compaction = &engine->compactions[i];
        job_init(&compaction->background.job, run);
        compaction->background.engine = engine;
        compaction->background.backoff = &engine->compact_backoff;
        edit_init(&compaction->edit, engine->alloc);
    }
}

void engine_compactions_release(struct engine *engine)
{
    for (unsigned i = 0; i < ENGINE_COMPACTIONS_MAX; i++) {
        struct compaction *compaction = &engine->compactions[i];
        if (compaction->working) {
            output_discard(&engine->place, &compaction->edit);
            end(compaction);
        }
        engine_suspects_release(&compaction->suspects);
        edit_release(&compaction->edit);
    }
}
