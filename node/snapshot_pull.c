/* SPDX-License-Identifier: Apache-2.0 */
#include "node/snapshot_pull.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "base/sync.h"
#include "node/snapshot_fetch.h"
#include "node/snapshot_install.h"
#include "node/snapshot_verify.h"

#define BACKOFF_MIN_NS (100 * NS_PER_MS)
#define BACKOFF_MAX_NS (5 * NS_PER_S)
/* A leader repeats it with each heartbeat; one that has said nothing for so long has gone, or has
 * what this node needs. */
#define WANT_AGE_MAX_NS (5 * NS_PER_S)
/* While it verifies it asks its source for a byte as often, so that the log stays that is to
 * follow. */
#define KEEP_ASKING_NS (SNAPSHOT_LOG_HELD_NS / 5)
/* What is staged and not wanted may be wanted again after a change of leaders. */
#define LEFTOVER_AGE_NS (60 * NS_PER_S)

enum phase {
    PHASE_IDLE,
    PHASE_LISTING,   /* the source describes its checkpoint */
    PHASE_FILES,     /* the files are checked and fetched */
    PHASE_VERIFYING, /* they are here; do they hold? */
    PHASE_ENDING,    /* answers are still awaited, that nobody needs */
    PHASE_STAGED,
};

struct snapshot_pull {
    struct snapshot_pull_options options;
    struct job job;
    char dir[PATH_BYTES_MAX];

    struct mutex mutex; /* guards what follows */
    struct members members;
    uint64_t wanted_index;
    uint64_t wanted_ns;
    uint64_t leader;
    uint64_t staged_index; /* 0: nothing is staged */

    /* The job's. */
    enum phase phase;
    uint64_t retry_ns;
    uint64_t backoff_ns;
    unsigned attempt; /* which source is next */
    uint64_t source;  /* 0: nobody */
    char source_name[NODE_ID_BYTES_MAX + 1];
    struct snapshot_plan plan;
    struct snapshot_plan last; /* of the attempt before, for what is known of its files */
    bool distrusted;           /* that is not to be believed */
    struct snapshot_questions questions;
    struct snapshot_fetch fetch;
    struct snapshot_verify *verify;
    uint64_t asked_ns; /* while it verifies */

    uint64_t opened_ns;
    atomic_bool cleared; /* there is nothing in DATA/incoming */
    atomic_bool pulling;
    atomic_bool verifying; /* what follows counts events, not bytes */
    _Atomic uint64_t done;
    _Atomic uint64_t total;
};

struct want {
    uint64_t index;
    uint64_t leader;
    uint64_t age_ns; /* since it was said, or the node was started */
    bool fresh;
};

static uint64_t now(const struct snapshot_pull *pull)
{
    return clock_monotonic_ns(pull->options.clock);
}

static struct want wanted(struct snapshot_pull *pull)
{
    mutex_lock(&pull->mutex);
    uint64_t since_ns = pull->wanted_ns > 0 ? pull->wanted_ns : pull->opened_ns;
    struct want want = {
        .index = pull->wanted_index, .leader = pull->leader, .age_ns = now(pull) - since_ns};
    want.fresh = pull->wanted_ns > 0 && want.age_ns < WANT_AGE_MAX_NS;
    mutex_unlock(&pull->mutex);
    return want;
}

/* The executor's: who the source is. */
static const char *source_name(const struct snapshot_pull *pull)
{
    if (pull->source == 0) {
        return "nobody";
    }
    return pull->source_name[0] == '\0' ? "the leader" : pull->source_name;
}

/* --- ends of an attempt ------------------------------------------------------------------- */

static void end_attempt(struct snapshot_pull *pull, uint64_t retry_ns)
{
    snapshot_fetch_end(&pull->fetch);
    snapshot_verify_close(pull->verify);
    pull->verify = NULL;
    pull->retry_ns = retry_ns;
    pull->phase = PHASE_ENDING;
}

/* Files that are the same in the next plan are not looked at again, unless something was wrong. */
static void keep_plan(struct snapshot_pull *pull)
{
    if (pull->distrusted) {
        snapshot_plan_clear(&pull->last);
        snapshot_plan_clear(&pull->plan);
    } else if (snapshot_plan_is_complete(&pull->plan)) {
        snapshot_plan_release(&pull->last);
        pull->last = pull->plan;
        snapshot_plan_init(&pull->plan, pull->options.alloc);
    } else {
        snapshot_plan_clear(&pull->plan);
    }
    pull->distrusted = false;
}

/* Begins anew with what is there by then, at once if it is still wanted. */
static enum job_result describe_anew(struct snapshot_pull *pull)
{
    end_attempt(pull, now(pull));
    return JOB_AGAIN;
}

/* The source is gone, or gives what does not hold: the next one is asked. */
static enum job_result try_next(struct snapshot_pull *pull, const char *text)
{
    char quoted[ERROR_TEXT_BYTES];
    pull->backoff_ns = 2 * pull->backoff_ns;
    pull->backoff_ns = pull->backoff_ns < BACKOFF_MIN_NS ? BACKOFF_MIN_NS : pull->backoff_ns;
    pull->backoff_ns = pull->backoff_ns > BACKOFF_MAX_NS ? BACKOFF_MAX_NS : pull->backoff_ns;
    log_write("snapshot", LOG_WARN, "pull interrupted", "from=%s error=%s", source_name(pull),
              log_quote(quoted, sizeof quoted, text));
    pull->attempt++;
    end_attempt(pull, now(pull) + pull->backoff_ns);
    return JOB_AGAIN;
}

/* This node's disk does not do: full, or worse. Trying again shows which. */
static enum job_result try_later(struct snapshot_pull *pull, const struct error *err)
{
    char quoted[ERROR_TEXT_BYTES];
    pull->distrusted = true;
    log_write("snapshot", LOG_WARN, "staging failed", "error=%s",
              log_quote(quoted, sizeof quoted, err->text));
    end_attempt(pull, now(pull) + BACKOFF_MAX_NS);
    return JOB_AGAIN;
}

static enum job_result clear_staging(struct snapshot_pull *pull)
{
    struct error err = ERROR_INIT;
    pull->distrusted = true;
    snapshot_plan_clear(&pull->last);
    if (snapshot_staging_remove(pull->options.fs, pull->options.config->data, &err) != STATUS_OK) {
        return try_later(pull, &err);
    }
    atomic_store(&pull->cleared, true);
    return JOB_AGAIN;
}

static enum job_result run_ending(struct snapshot_pull *pull)
{
    if (snapshot_questions_open(&pull->questions) > 0) {
        return JOB_WAIT;
    }
    snapshot_questions_clear(&pull->questions);
    keep_plan(pull);
    pull->phase = PHASE_IDLE;
    return JOB_AGAIN;
}

/* --- listing ------------------------------------------------------------------------------ */

/* The leader first, whom a node that joins knows by its number alone, then the others in the order
 * of their ids, over and over. It may have gone since it said that a snapshot is needed. False:
 * nobody else is known. */
static bool choose_source(struct snapshot_pull *pull, uint64_t leader)
{
    uint64_t self = raft_id_of(pull->options.config->node_id);
    uint64_t sources[RAFT_PEERS_MAX + 1];
    unsigned count = 0;
    if (leader != 0 && leader != self) {
        sources[count++] = leader;
    }
    mutex_lock(&pull->mutex);
    for (size_t i = 0; i < pull->members.count; i++) {
        uint64_t id = pull->members.of[i].raft_id;
        if (id != leader && id != self && !pull->members.of[i].leaving) {
            sources[count++] = id;
        }
    }
    pull->source = count == 0 ? 0 : sources[pull->attempt % count];
    const struct member *member = members_find(&pull->members, pull->source);
    (void)snprintf(pull->source_name, sizeof pull->source_name, "%s",
                   member == NULL ? "" : member->at.id);
    mutex_unlock(&pull->mutex);
    return count > 0;
}

static bool ask_for_list(struct snapshot_pull *pull, uint64_t least_index)
{
    Estreat__V1__SnapshotRequest request = ESTREAT__V1__SNAPSHOT_REQUEST__INIT;
    request.least_index = least_index;
    request.checkpoint = pull->plan.checkpoint;
    request.first_file = pull->plan.count;
    return snapshot_questions_ask(&pull->questions, pull->source, SNAPSHOT_DESCRIBE, &request.base);
}

static enum job_result run_idle(struct snapshot_pull *pull)
{
    struct want want = wanted(pull);
    bool needed = want.fresh && want.index > applied_get(pull->options.applied).index;
    atomic_store(&pull->pulling, needed);
    if (!needed && want.age_ns > LEFTOVER_AGE_NS && !atomic_load(&pull->cleared)) {
        return clear_staging(pull);
    }
    if (!needed || now(pull) < pull->retry_ns) {
        return JOB_WAIT;
    }
    if (!choose_source(pull, want.leader)) {
        return try_next(pull, "neither a leader nor another member is known");
    }
    pull->phase = PHASE_LISTING;
    return ask_for_list(pull, want.index) ? JOB_WAIT : try_next(pull, "not connected");
}

static void tell_progress(struct snapshot_pull *pull, bool verifying, uint64_t done, uint64_t total)
{
    atomic_store(&pull->verifying, verifying);
    atomic_store(&pull->done, done);
    atomic_store(&pull->total, total);
}

static enum job_result begin_files(struct snapshot_pull *pull)
{
    struct error err = ERROR_INIT;
    if (pull->plan.index <= applied_get(pull->options.applied).index) {
        return describe_anew(pull);
    }
    log_write("snapshot", LOG_INFO, "pulling", "from=%s index=%lu size=%lu files=%lu bytes=%lu",
              source_name(pull), (unsigned long)pull->plan.index, (unsigned long)pull->plan.size,
              (unsigned long)pull->plan.count, (unsigned long)pull->plan.total_bytes);
    if (snapshot_plan_is_complete(&pull->last)) {
        snapshot_plan_carry(&pull->plan, &pull->last);
    }
    atomic_store(&pull->cleared, false);
    enum status status = snapshot_staging_make(pull->options.fs, pull->options.config->data, &err);
    if (status == STATUS_OK) {
        status = snapshot_fetch_begin(&pull->fetch, &pull->plan, pull->source, &err);
    }
    if (status != STATUS_OK) {
        return try_later(pull, &err);
    }
    tell_progress(pull, false, 0, pull->plan.total_bytes);
    pull->phase = PHASE_FILES;
    return JOB_AGAIN;
}

static enum job_result run_listing(struct snapshot_pull *pull)
{
    struct error err = ERROR_INIT;
    struct snapshot_reply reply;
    if (!snapshot_questions_take(&pull->questions, &reply)) {
        /* Preparing takes its time: it is asked again with the next heartbeat. */
        if (snapshot_questions_open(&pull->questions) > 0) {
            return JOB_WAIT;
        }
        struct want want = wanted(pull);
        if (!want.fresh) {
            return describe_anew(pull);
        }
        return ask_for_list(pull, want.index) ? JOB_WAIT : try_next(pull, "not connected");
    }
    if (reply.status != STATUS_OK) {
        return reply.status == STATUS_NOT_FOUND ? describe_anew(pull) : try_next(pull, reply.text);
    }
    Estreat__V1__SnapshotDescription *page =
        estreat__v1__snapshot_description__unpack(NULL, reply.bytes.length, reply.bytes.data);
    if (page == NULL) {
        return try_next(pull, "no memory for a description");
    }
    bool preparing = page->checkpoint == 0;
    enum status status = preparing ? STATUS_OK : snapshot_plan_add(&pull->plan, page, &err);
    estreat__v1__snapshot_description__free_unpacked(page, NULL);
    if (status != STATUS_OK) {
        return try_next(pull, err.text);
    }
    if (preparing) {
        return JOB_WAIT;
    }
    return snapshot_plan_is_complete(&pull->plan) ? begin_files(pull) : JOB_AGAIN;
}

/* --- files -------------------------------------------------------------------------------- */

/* What the leader has purged meanwhile is not in what was fetched; most files of a newer checkpoint
 * are the same ones. */
static bool is_outdated(struct snapshot_pull *pull)
{
    return wanted(pull).index > pull->plan.index;
}

static enum job_result begin_verifying(struct snapshot_pull *pull)
{
    struct error err = ERROR_INIT;
    const struct snapshot_verify_options options = {
        .alloc = pull->options.alloc,
        .clock = pull->options.clock,
        .fs = pull->options.fs,
        .dir = pull->dir,
        .origin = pull->options.config->origin,
        .plan = &pull->plan,
        .own = pull->options.tiles,
    };
    if (is_outdated(pull)) {
        return describe_anew(pull);
    }
    pull->phase = PHASE_VERIFYING;
    pull->asked_ns = now(pull);
    tell_progress(pull, true, 0, pull->plan.size);
    enum status status = snapshot_verify_open(&options, &pull->verify, &err);
    if (status == STATUS_RESOURCE_EXHAUSTED) {
        return try_later(pull, &err);
    }
    if (status != STATUS_OK) {
        (void)clear_staging(pull);
        return try_next(pull, err.text);
    }
    return JOB_AGAIN;
}

static enum job_result run_files(struct snapshot_pull *pull)
{
    struct error err = ERROR_INIT;
    enum snapshot_fetch_result result = snapshot_fetch_step(&pull->fetch, &err);
    atomic_store(&pull->done, snapshot_fetch_done_bytes(&pull->fetch));
    switch (result) {
    case SNAPSHOT_FETCH_AGAIN:
        return JOB_AGAIN;
    case SNAPSHOT_FETCH_WAIT:
        return JOB_WAIT;
    case SNAPSHOT_FETCH_SOURCE:
        return err.status == STATUS_NOT_FOUND ? describe_anew(pull) : try_next(pull, err.text);
    case SNAPSHOT_FETCH_DISK:
        return try_later(pull, &err);
    case SNAPSHOT_FETCH_DONE:
        break;
    }
    log_write("snapshot", LOG_INFO, "pulled", "from=%s index=%lu bytes=%lu kept=%lu",
              source_name(pull), (unsigned long)pull->plan.index,
              (unsigned long)pull->plan.total_bytes, (unsigned long)pull->fetch.kept_bytes);
    return begin_verifying(pull);
}

/* What it answers does not matter: whether the log is still there the leader says. */
static void keep_asking(struct snapshot_pull *pull)
{
    struct snapshot_reply reply;
    while (snapshot_questions_take(&pull->questions, &reply)) {
    }
    if (now(pull) >= pull->asked_ns + KEEP_ASKING_NS) {
        Estreat__V1__SnapshotReadRequest request = ESTREAT__V1__SNAPSHOT_READ_REQUEST__INIT;
        request.checkpoint = pull->plan.checkpoint;
        request.length = 1;
        (void)snapshot_questions_ask(&pull->questions, pull->source, SNAPSHOT_READ, &request.base);
        pull->asked_ns = now(pull);
    }
}

static enum job_result run_verifying(struct snapshot_pull *pull)
{
    struct error err = ERROR_INIT;
    bool done = false;
    enum status status = snapshot_verify_step(pull->verify, &done, &err);
    if (status == STATUS_OK && !done) {
        uint64_t events = snapshot_verify_events(pull->verify);
        atomic_store(&pull->done, events);
        keep_asking(pull);
        /* Which tables are whole is known for the next one, too; what the events are is not. */
        return events > 0 && is_outdated(pull) ? describe_anew(pull) : JOB_AGAIN;
    }
    snapshot_verify_close(pull->verify);
    pull->verify = NULL;
    if (status == STATUS_RESOURCE_EXHAUSTED) {
        return try_later(pull, &err);
    }
    if (status != STATUS_OK) {
        (void)clear_staging(pull);
        return try_next(pull, err.text);
    }
    if (is_outdated(pull) || pull->plan.index <= applied_get(pull->options.applied).index) {
        return describe_anew(pull);
    }
    log_write("snapshot", LOG_INFO, "staged", "index=%lu size=%lu bytes=%lu",
              (unsigned long)pull->plan.index, (unsigned long)pull->plan.size,
              (unsigned long)pull->plan.total_bytes);
    atomic_store(&pull->done, pull->plan.size);
    pull->phase = PHASE_STAGED;
    pull->backoff_ns = 0;
    mutex_lock(&pull->mutex);
    pull->staged_index = pull->plan.index;
    mutex_unlock(&pull->mutex);
    pull->options.on_staged(pull->options.context);
    return JOB_WAIT;
}

static enum job_result step(struct job *job)
{
    struct snapshot_pull *pull =
        (struct snapshot_pull *)(void *)((char *)job - offsetof(struct snapshot_pull, job));
    switch (pull->phase) {
    case PHASE_IDLE:
        return run_idle(pull);
    case PHASE_LISTING:
        return run_listing(pull);
    case PHASE_FILES:
        return run_files(pull);
    case PHASE_VERIFYING:
        return run_verifying(pull);
    case PHASE_ENDING:
        return run_ending(pull);
    case PHASE_STAGED:
        break;
    }
    return JOB_WAIT;
}

/* --- calls -------------------------------------------------------------------------------- */

static void on_answer(void *context)
{
    struct snapshot_pull *pull = context;
    job_submit(pull->options.executor, &pull->job);
}

void snapshot_pull_want(struct snapshot_pull *pull, const struct members *members, uint64_t leader,
                        uint64_t least_index)
{
    mutex_lock(&pull->mutex);
    pull->wanted_index = least_index;
    pull->wanted_ns = now(pull);
    pull->leader = leader;
    pull->members = *members;
    mutex_unlock(&pull->mutex);
    job_submit(pull->options.executor, &pull->job);
}

void snapshot_pull_poll(struct snapshot_pull *pull)
{
    struct want want = wanted(pull);
    if ((!want.fresh && atomic_load(&pull->pulling)) ||
        (want.age_ns > LEFTOVER_AGE_NS && !atomic_load(&pull->cleared))) {
        job_submit(pull->options.executor, &pull->job);
    }
}

bool snapshot_pull_progress(struct snapshot_pull *pull, struct snapshot_progress *out)
{
    uint64_t total = atomic_load(&pull->total);
    uint64_t done = atomic_load(&pull->done);
    out->verifying = atomic_load(&pull->verifying);
    out->percent = total == 0 || done > total ? 0 : (unsigned)((double)done * 100 / (double)total);
    return atomic_load(&pull->pulling);
}

enum status snapshot_pull_open(const struct snapshot_pull_options *options,
                               struct snapshot_pull **out, struct error *err)
{
    struct snapshot_pull *pull = alloc_zeroed(options->alloc, 1, sizeof *pull);
    if (pull == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for pulling snapshots");
    }
    pull->options = *options;
    pull->opened_ns = clock_monotonic_ns(options->clock);
    job_init(&pull->job, step);
    mutex_init(&pull->mutex);
    snapshot_plan_init(&pull->plan, options->alloc);
    snapshot_plan_init(&pull->last, options->alloc);
    snapshot_questions_init(&pull->questions, options->alloc, options->link, on_answer, pull);
    enum status status = snapshot_staging_path(options->config->data, pull->dir, err);
    if (status == STATUS_OK) {
        status = snapshot_fetch_init(&pull->fetch, options->alloc, options->fs, pull->dir,
                                     config_free_bytes_min(options->config), &pull->questions, err);
    }
    if (status != STATUS_OK) {
        snapshot_pull_close(pull);
        return status;
    }
    *out = pull;
    return STATUS_OK;
}

void snapshot_pull_stop(struct snapshot_pull *pull)
{
    if (pull != NULL) {
        snapshot_questions_stop(&pull->questions);
    }
}

bool snapshot_pull_staged(const struct snapshot_pull *pull, uint64_t *index)
{
    if (pull == NULL || pull->staged_index == 0) {
        return false;
    }
    *index = pull->staged_index;
    return true;
}

void snapshot_pull_close(struct snapshot_pull *pull)
{
    if (pull != NULL) {
        snapshot_fetch_release(&pull->fetch);
        snapshot_verify_close(pull->verify);
        snapshot_questions_release(&pull->questions);
        snapshot_plan_release(&pull->plan);
        snapshot_plan_release(&pull->last);
        mutex_release(&pull->mutex);
        alloc_free(pull->options.alloc, pull);
    }
}
