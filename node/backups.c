/* SPDX-License-Identifier: Apache-2.0 */
#include "node/backups.h"

#include <inttypes.h>

#include "base/check.h"
#include "base/log.h"
#include "base/rate_limit.h"
#include "node/seal.h"

enum { RETRY_AFTER_LOOKS = 6 };

struct backups {
    struct backups_options options;
    struct rate_limit rate;
    pthread_t thread;
    bool has_thread;
    uint64_t look_at_ns; /* the thread's: when the policy is asked next */
    struct mutex mutex;
    struct condition changed;
    /* With the mutex held: */
    struct backups_state state;
    bool asked; /* a run has begun that the thread has not taken up */
    bool full;  /* and is to be a full one */
    bool stopping;
    bool flushing;
    enum status flushed;
    struct flush_request flush;
};

/* --- what others see ----------------------------------------------------------------------- */

enum status backups_begin(struct backups *backups, bool full, struct error *err)
{
    char fault[FAULT_TEXT_BYTES];
    if (fault_get(backups->options.fault, fault)) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "makes no backups, since what it stores is damaged: %s", fault);
    }
    enum status status = STATUS_OK;
    mutex_lock(&backups->mutex);
    if (backups->stopping) {
        status = error_set(err, STATUS_UNAVAILABLE, "the node is stopping");
    } else if (backups->state.running) {
        status = error_set(err, STATUS_FAILED_PRECONDITION, "a backup is being made");
    } else {
        backups->state.runs++;
        backups->state.running = true;
        backups->state.bytes = 0;
        backups->state.bytes_all = 0;
        backups->asked = true;
        backups->full = full;
        condition_broadcast(&backups->changed);
    }
    mutex_unlock(&backups->mutex);
    return status;
}

void backups_look(struct backups *backups, struct backups_state *out)
{
    mutex_lock(&backups->mutex);
    *out = backups->state;
    mutex_unlock(&backups->mutex);
}

/* --- the thread ---------------------------------------------------------------------------- */

static bool is_stopping(struct backups *backups)
{
    mutex_lock(&backups->mutex);
    bool stopping = backups->stopping;
    mutex_unlock(&backups->mutex);
    return stopping;
}

/* Sleeps, unless the node stops. */
static void sleep_or_stop(struct backups *backups, uint64_t pause_ns)
{
    mutex_lock(&backups->mutex);
    if (!backups->stopping) {
        (void)condition_wait_for(&backups->changed, &backups->mutex, pause_ns);
    }
    mutex_unlock(&backups->mutex);
}

static void on_flushed(struct flush_request *flush, enum status status)
{
    struct backups *backups =
        (struct backups *)(void *)((char *)flush - offsetof(struct backups, flush));
    mutex_lock(&backups->mutex);
    backups->flushed = status;
    backups->flushing = false;
    condition_broadcast(&backups->changed);
    mutex_unlock(&backups->mutex);
}

/* What is applied now becomes durable in tables. */
static enum status flush(struct backups *backups, struct error *err)
{
    mutex_lock(&backups->mutex);
    backups->flushing = true;
    mutex_unlock(&backups->mutex);
    backups->flush = (struct flush_request){.done = on_flushed};
    backups->options.flush(backups->options.context, &backups->flush);
    mutex_lock(&backups->mutex);
    while (backups->flushing) {
        condition_wait(&backups->changed, &backups->mutex);
    }
    enum status status = backups->flushed;
    mutex_unlock(&backups->mutex);
    return status == STATUS_OK ? status
                               : error_set(err, status, "what is applied could not be flushed");
}

static void note_progress(struct backups *backups, const struct backup *backup, uint64_t *moved)
{
    struct backup_progress now;
    backup_progress(backup, &now);
    rate_limit_charge(&backups->rate, clock_monotonic_ns(backups->options.clock),
                      now.bytes_moved - *moved);
    *moved = now.bytes_moved;
    mutex_lock(&backups->mutex);
    backups->state.bytes = now.bytes;
    backups->state.bytes_all = now.bytes_all;
    mutex_unlock(&backups->mutex);
}

/* All steps, at the pace that is allowed. */
static enum status make(struct backups *backups, struct backup *backup, struct error *err)
{
    enum status status = STATUS_OK;
    uint64_t moved = 0;
    bool done = false;
    note_progress(backups, backup, &moved);
    while (status == STATUS_OK && !done) {
        uint64_t wait_ns =
            rate_limit_wait_ns(&backups->rate, clock_monotonic_ns(backups->options.clock));
        if (is_stopping(backups)) {
            status = error_set(err, STATUS_CANCELLED, "the node is stopping");
        } else if (wait_ns > 0) {
            sleep_or_stop(backups, wait_ns);
        } else {
            status = backup_step(backup, &done, err);
            note_progress(backups, backup, &moved);
        }
    }
    return status;
}

/* It is there: says what is in it. */
static enum status note_made(struct backups *backups, const struct backup *backup,
                             struct error *err)
{
    struct seal seal;
    enum status status = seal_decode(backup_owner_state(backup), &seal, err);
    const struct backup_made *made = backup_result(backup);
    if (status != STATUS_OK) {
        return status;
    }
    mutex_lock(&backups->mutex);
    backups->state.made_at_ns = clock_realtime_ns(backups->options.clock);
    backups->state.events = seal.size;
    backups->state.made = *made;
    mutex_unlock(&backups->mutex);
    log_write("backup", LOG_INFO, "made",
              "number=%" PRIu64 " events=%" PRIu64 " tables=%" PRIu64 " bytes=%" PRIu64
              " bytes_copied=%" PRIu64 " removed=%" PRIu64,
              made->number, seal.size, made->tables, made->bytes, made->bytes_copied,
              made->removed);
    if (made->damaged > 0) {
        char text[2 * ERROR_TEXT_BYTES];
        log_write("backup", LOG_WARN, "older backups are damaged", "count=%" PRIu64 " first=%s",
                  made->damaged, log_quote(text, sizeof text, made->damage.text));
    }
    return STATUS_OK;
}

static enum status run_once(struct backups *backups, bool full, struct error *err)
{
    const struct backups_options *options = &backups->options;
    const struct backup_options backup_options = {.dir = options->config->dir,
                                                  .clock = options->clock,
                                                  .full = full,
                                                  .policy = options->config->policy};
    struct backup *backup = NULL;
    enum status status = flush(backups, err);
    if (status == STATUS_OK) {
        status = backup_start(options->engine, &backup_options, &backup, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = make(backups, backup, err);
    if (backup_is_made(backup)) { /* even if older ones could not be removed */
        enum status noted = note_made(backups, backup, status == STATUS_OK ? err : NULL);
        status = status == STATUS_OK ? noted : status;
    } else if (backup_found_damage(backup)) {
        fault_note(options->fault, err->text);
    }
    backup_free(backup);
    return status;
}

static void look_again_in(struct backups *backups, uint64_t looks)
{
    backups->look_at_ns =
        clock_monotonic_ns(backups->options.clock) + looks * backups->options.look_ns;
}

static void end_run(struct backups *backups, enum status status, const struct error *err)
{
    mutex_lock(&backups->mutex);
    backups->state.running = false;
    backups->state.status = status;
    (void)snprintf(backups->state.text, sizeof backups->state.text, "%s",
                   status == STATUS_OK ? "" : err->text);
    mutex_unlock(&backups->mutex);
    look_again_in(backups, status == STATUS_OK ? 1 : RETRY_AFTER_LOOKS);
    if (status != STATUS_OK && status != STATUS_CANCELLED) {
        char text[2 * ERROR_TEXT_BYTES];
        log_write("backup", LOG_WARN, "failed", "error=%s",
                  log_quote(text, sizeof text, err->text));
    }
}

/* Begins one if the policy says so. What keeps that from being known keeps it from being made, and
 * is said. */
static void ask_policy(struct backups *backups)
{
    const struct backups_options *options = &backups->options;
    const struct backup_policy *policy = &options->config->policy;
    struct backup_figures figures;
    struct engine_stats stats;
    struct error err = ERROR_INIT;
    if ((policy->entries == 0 && policy->age_ns == 0) ||
        clock_monotonic_ns(options->clock) < backups->look_at_ns ||
        fault_get(options->fault, NULL)) {
        return;
    }
    look_again_in(backups, 1);
    if (backup_look(options->engine, options->config->dir, options->clock, &figures, &err) !=
        STATUS_OK) {
        char text[2 * ERROR_TEXT_BYTES];
        log_write("backup", LOG_WARN, "cannot look at the backups", "error=%s",
                  log_quote(text, sizeof text, err.text));
        look_again_in(backups, RETRY_AFTER_LOOKS);
        return;
    }
    /* What is in memory counts, too: it would be flushed first. */
    engine_stats(options->engine, &stats);
    figures.sequence = stats.last_sequence;
    enum backup_kind kind = backup_due(policy, &figures);
    if (kind != BACKUP_NONE) {
        /* Somebody may have asked meanwhile, and may have it. */
        (void)(backups_begin(backups, kind == BACKUP_FULL, &err) == STATUS_OK);
    }
}

/* True if a run was taken up; then *full. */
static bool take_up(struct backups *backups, bool *full)
{
    mutex_lock(&backups->mutex);
    bool asked = backups->asked && !backups->stopping;
    *full = backups->full;
    backups->asked = false;
    mutex_unlock(&backups->mutex);
    return asked;
}

static void rest(struct backups *backups)
{
    mutex_lock(&backups->mutex);
    if (!backups->asked && !backups->stopping) {
        (void)condition_wait_for(&backups->changed, &backups->mutex, backups->options.look_ns);
    }
    mutex_unlock(&backups->mutex);
}

static void *run(void *context)
{
    struct backups *backups = context;
    while (!is_stopping(backups)) {
        bool full = false;
        ask_policy(backups);
        if (take_up(backups, &full)) {
            struct error err = ERROR_INIT;
            enum status status = run_once(backups, full, &err);
            end_run(backups, status, &err);
        } else {
            rest(backups);
        }
    }
    return NULL;
}

/* --- life ---------------------------------------------------------------------------------- */

enum status backups_open(const struct backups_options *options, struct backups **out,
                         struct error *err)
{
    CHECK(options->config->dir[0] != '\0');
    struct backups *backups = alloc_zeroed(options->alloc, 1, sizeof *backups);
    if (backups == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for backups");
    }
    backups->options = *options;
    backups->options.look_ns = options->look_ns == 0 ? BACKUPS_LOOK_NS : options->look_ns;
    backups->state.since_ns = clock_realtime_ns(options->clock);
    rate_limit_init(&backups->rate, options->config->bytes_per_second);
    mutex_init(&backups->mutex);
    condition_init(&backups->changed);
    backups->has_thread = thread_start(&backups->thread, "backup", run, backups);
    if (!backups->has_thread) {
        backups_close(backups);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no thread for backups");
    }
    *out = backups;
    return STATUS_OK;
}

void backups_stop(struct backups *backups)
{
    if (backups != NULL) {
        mutex_lock(&backups->mutex);
        backups->stopping = true;
        condition_broadcast(&backups->changed);
        mutex_unlock(&backups->mutex);
    }
}

void backups_close(struct backups *backups)
{
    if (backups == NULL) {
        return;
    }
    backups_stop(backups);
    if (backups->has_thread) {
        thread_join(backups->thread);
    }
    condition_release(&backups->changed);
    mutex_release(&backups->mutex);
    rate_limit_release(&backups->rate);
    alloc_free(backups->options.alloc, backups);
}
