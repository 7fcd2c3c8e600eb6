/* SPDX-License-Identifier: Apache-2.0 */
#include "node/applier.h"

#include "base/check.h"
#include "base/log.h"
#include "base/plant.h"
#include "node/apply.h"
#include "node/keyspaces.h"
#include "node/members.h"

/* One engine batch, and so one publication, covers about this much. */
#define GROUP_BYTES MIB
#define GROUP_ENTRIES 512U
#define SESSION_BYTES_MAX (4 * MIB) /* of rows that changed, before they are sealed */
#define LATEST_CACHE_BYTES (24 * MIB)
#define RETRY_NS (100 * NS_PER_MS)
/* The engine repeats what failed for want of space, and lets go of what is flushed, when asked. */
#define IDLE_NS (200 * NS_PER_MS)
/* Entries read back from the WAL at a time. */
#define READ_BYTES (4 * MIB)

struct reply {
    uint64_t index;
    uint64_t term;
    struct apply_result result;
};

struct applier {
    struct applier_options options;
    struct apply_state state;
    uint64_t index; /* applied into the batch */
    uint64_t term;
    uint64_t sealed_index; /* state of the newest seal */
    struct reply replies[GROUP_ENTRIES];
    unsigned reply_count;
    struct buf versions;            /* uint64_t each, of the group's replies */
    struct apply_batch *done_first; /* given back with the next publication */
    struct apply_batch **done_last;
    struct wal_reader *reader;
    struct mpsc intake;
    struct applier_item stop;
    bool stopping;
    atomic_bool stop_asked; /* ends the wait for disk space */
    struct condition stop_condition;
    bool failed;        /* fatal, stopped without disk space, or stands: nothing is applied */
    bool told;          /* on_fatal */
    atomic_bool stands; /* for damage */
    struct mutex mutex; /* guards what follows */
    uint64_t flushed_index;
    struct flush_request *flushes;
    bool closed; /* the thread takes no more flushes */
};

static void fatal(struct applier *applier, const struct error *err)
{
    applier->failed = true;
    if (!applier->told) {
        applier->told = true;
        applier->options.on_fatal(applier->options.context, err);
    }
}

static void stand(struct applier *applier, const struct error *err)
{
    char text[ERROR_TEXT_BYTES];
    CHECK(!applier->failed);
    applier->failed = true;
    atomic_store(&applier->stands, true);
    log_write("apply", LOG_ERROR, "nothing more is applied until the damage is mended",
              "applied_index=%lu error=%s",
              (unsigned long)applied_get(applier->options.applied).index,
              log_quote(text, sizeof text, err->text));
    applier->options.on_damage(applier->options.context, err);
}

bool applier_stands(const struct applier *applier)
{
    return atomic_load(&applier->stands);
}

/* --- replies ----------------------------------------------------------------------------- */

/* Answers the call that waits for the reply's entry, if one does: failures at once, results with
 * the rest of the group. */
static void send_reply(struct applier *applier, const struct reply *reply,
                       struct reply_batch **batch)
{
    const struct apply_result *result = &reply->result;
    struct replier *replier = applier->options.replier;
    struct pending_call waiting;
    if (!pending_take(applier->options.pending, reply->index, &waiting)) {
        return;
    }
    if (waiting.term != reply->term) {
        replier_refuse(replier, waiting.call, STATUS_UNAVAILABLE,
                       "leadership changed; the request was not appended");
        return;
    }
    if (result->status != STATUS_OK) {
        replier_refuse(replier, waiting.call, result->status, result->error.text);
        return;
    }
    if (*batch == NULL) {
        *batch = reply_batch_new(applier->options.alloc, applier->reply_count,
                                 buf_slice(&applier->versions));
    }
    if (*batch == NULL) {
        replier_refuse(replier, waiting.call, STATUS_UNAVAILABLE,
                       "no memory for the answer; the request was appended");
        return;
    }
    (*batch)->replies[(*batch)->count++] = (struct append_reply){
        .call = waiting.call,
        .position = PLANTED(ANSWER_FIRST) ? applier->replies[0].result.position : result->position,
        .time_ns = result->time_ns,
        .count = result->count,
        .repeated = result->repeated,
        .versions_begin = result->versions_begin,
    };
}

static void send_replies(struct applier *applier)
{
    struct reply_batch *batch = NULL;
    for (unsigned i = 0; i < applier->reply_count; i++) {
        send_reply(applier, &applier->replies[i], &batch);
    }
    if (batch != NULL) {
        applier->options.replier->answer(applier->options.replier, batch);
    }
    applier->reply_count = 0;
    buf_clear(&applier->versions);
}

/* --- groups ------------------------------------------------------------------------------ */

/* What is given back counts as applied, so who stands keeps it until the end. */
static void give_back(struct applier *applier)
{
    if (applier_stands(applier) && !applier->stopping) {
        return;
    }
    while (applier->done_first != NULL) {
        struct apply_batch *batch = applier->done_first;
        applier->done_first = batch->next;
        intake_push(applier->options.done, &batch->intake, INTAKE_APPLIED);
    }
    applier->done_last = &applier->done_first;
}

/* A full disk is waited out: reads go on, and the log keeps what is not applied. Called before each
 * new try; false if there shall be none. */
static bool wait_for_space(struct applier *applier, const struct error *err, bool *said)
{
    if (!*said) {
        char text[ERROR_TEXT_BYTES];
        log_write("apply", LOG_WARN, "applying waits", "error=%s",
                  log_quote(text, sizeof text, err->text));
        *said = true;
    }
    if (applier->options.on_wait != NULL) {
        applier->options.on_wait(applier->options.context);
    } else if (!atomic_load(&applier->stop_asked)) {
        mutex_lock(&applier->mutex);
        (void)condition_wait_for(&applier->stop_condition, &applier->mutex, RETRY_NS);
        mutex_unlock(&applier->mutex);
    }
    return !atomic_load(&applier->stop_asked);
}

static bool write_batch(struct applier *applier)
{
    struct error err = ERROR_INIT;
    bool said = false;
    for (;;) {
        enum status status = engine_write(applier->options.engine, &applier->state.batch, &err);
        if (status == STATUS_OK) {
            batch_clear(&applier->state.batch);
            return true;
        }
        if (status != STATUS_RESOURCE_EXHAUSTED || applier->state.batch.bytes.failed) {
            fatal(applier, &err);
            return false;
        }
        if (engine_is_stuck(applier->options.engine)) {
            stand(applier, &err);
            return false;
        }
        if (!wait_for_space(applier, &err, &said)) {
            applier->failed = true; /* what was not written must not be sealed as applied */
            return false;
        }
    }
}

/* A batch has an end, and all that changed since the last seal may be far more. */
static enum status row_written(struct applier *applier, struct error *err)
{
    if (batch_bytes(&applier->state.batch) >= GROUP_BYTES && !write_batch(applier)) {
        return error_set(err, STATUS_CANCELLED, "the applier has stopped");
    }
    return STATUS_OK;
}

static enum status session_row(void *context, struct slice client_id, struct slice row,
                               struct error *err)
{
    struct applier *applier = context;
    if (row.length == 0) {
        batch_delete(&applier->state.batch, KEYSPACE_SESSIONS, client_id);
    } else {
        batch_put(&applier->state.batch, KEYSPACE_SESSIONS, client_id, row);
    }
    return row_written(applier, err);
}

static enum status latest_row(void *context, struct slice key, const struct latest_row *row,
                              struct error *err)
{
    struct applier *applier = context;
    uint8_t bytes[LATEST_ROW_BYTES_MAX];
    batch_put(&applier->state.batch, KEYSPACE_LATEST, key,
              slice_of(bytes, latest_row_encode(row, bytes)));
    return row_written(applier, err);
}

/* State that lives in memory goes into the engine, so that its tables hold all as of now. */
static bool write_state(struct applier *applier)
{
    struct apply_state *state = &applier->state;
    struct error err = ERROR_INIT;
    enum status status = latest_cache_flush(state->latest, latest_row, applier, &err);
    if (status == STATUS_OK && !PLANTED(DROP_SESSIONS)) {
        status = session_flush(state->sessions, session_row, applier, &err);
    }
    if (status != STATUS_OK && !applier->failed && !atomic_load(&applier->stop_asked)) {
        fatal(applier, &err);
    }
    return status == STATUS_OK && write_batch(applier);
}

/* Freezes the state as of applier->index. The group must have been written. A full disk only
 * puts it off. */
static void seal_now(struct applier *applier, struct error *err)
{
    struct apply_state *state = &applier->state;
    CHECK(applier->reply_count == 0);
    if (!write_state(applier)) {
        return;
    }
    struct buf tree;
    struct buf blob;
    buf_init(&tree, state->alloc, ENGINE_STATE_BYTES_MAX);
    buf_init(&blob, state->alloc, ENGINE_STATE_BYTES_MAX);
    tile_store_encode(state->tiles, &tree);
    const struct seal seal = {
        .index = applier->index - (PLANTED(APPLY_TWICE) ? 1 : 0),
        .term = applier->term,
        .size = state->size,
        .time_ns = state->time_ns,
        .session_floor_ns = session_floor_ns(state->sessions),
        .log_bytes = state->log_bytes,
        .membership = buf_slice(&state->membership),
        .tree = buf_slice(&tree),
    };
    seal_encode(&seal, &blob);
    enum status status = buf_failed(&tree) || buf_failed(&blob)
                             ? error_set(err, STATUS_INTERNAL, "no memory to seal")
                             : engine_seal(applier->options.engine, buf_slice(&blob), err);
    if (status == STATUS_OK) {
        applier->sealed_index = applier->index;
    } else if (status != STATUS_RESOURCE_EXHAUSTED) {
        fatal(applier, err);
    }
    buf_release(&blob);
    buf_release(&tree);
}

/* Rows of sessions are written with the seal alone: also where nothing but refusals comes, which
 * fill no memtable, they must not become more than one takes. */
static bool is_seal_due(const struct applier *applier)
{
    return engine_should_seal(applier->options.engine) ||
           session_changed_bytes_max(applier->state.sessions) >= SESSION_BYTES_MAX;
}

/* A seal that is due must come before the next group: a group that finds the memtables full would
 * wait for a seal that nobody but us makes. */
static void seal_if_due(struct applier *applier)
{
    struct error err = ERROR_INIT;
    bool said = false;
    while (!applier->failed && is_seal_due(applier)) {
        seal_now(applier, &err);
        if (applier->failed || applier->sealed_index == applier->index ||
            !wait_for_space(applier, &err, &said)) {
            return;
        }
    }
}

/* Makes the group durable in memory, visible, and answered; then seals if it is time. */
static void finish_group(struct applier *applier)
{
    if (applier->failed) {
        give_back(applier);
        return;
    }
    struct apply_state *state = &applier->state;
    struct error err = ERROR_INIT;
    if (version_rows_put(&state->version_rows, &state->batch, &err) != STATUS_OK) {
        fatal(applier, &err);
    }
    if (applier->failed || (!batch_is_empty(&state->batch) && !write_batch(applier))) {
        give_back(applier);
        return;
    }
    tile_store_publish(state->tiles);
    applied_publish(applier->options.applied, (struct applied_point){.index = applier->index,
                                                                     .term = applier->term,
                                                                     .size = state->size,
                                                                     .log_bytes = state->log_bytes,
                                                                     .time_ns = state->time_ns});
    send_replies(applier);
    give_back(applier);
    seal_if_due(applier);
}

static bool apply_one(struct applier *applier, const struct apply_input *entry)
{
    struct error err = ERROR_INIT;
    CHECK(entry->index == applier->index + 1);
    struct reply *reply = &applier->replies[applier->reply_count];
    enum status status =
        apply_entry(&applier->state, entry, &reply->result, &applier->versions, &err);
    if (status != STATUS_OK || buf_failed(&applier->versions)) {
        (applier->state.damaged ? stand : fatal)(applier, &err);
        return false;
    }
    reply->index = entry->index;
    reply->term = entry->term;
    applier->reply_count++;
    applier->index = entry->index;
    applier->term = entry->term;
    if (applier->reply_count == GROUP_ENTRIES ||
        batch_bytes(&applier->state.batch) >= GROUP_BYTES) {
        finish_group(applier);
    }
    return !applier->failed;
}

/* --- batches ----------------------------------------------------------------------------- */

static enum status each_read(void *context, const struct wal_entry *entry, struct error *err)
{
    struct applier *applier = context;
    const struct apply_input input = {
        .index = entry->index, .term = entry->term, .type = entry->type, .data = entry->data};
    if (!apply_one(applier, &input)) {
        return error_set(err, STATUS_CANCELLED, "the applier has stopped");
    }
    return STATUS_OK;
}

static void apply_from_wal(struct applier *applier, const struct apply_batch *batch)
{
    struct error err = ERROR_INIT;
    while (applier->index + 1 < batch->end && !applier->failed) {
        uint64_t before = applier->index;
        enum status status = wal_read(applier->reader, applier->index + 1, batch->end, READ_BYTES,
                                      each_read, applier, &err);
        if (status == STATUS_ABORTED) {
            continue; /* the log's end was cut off: what is committed is as it was */
        }
        if (status == STATUS_OK && applier->index == before) {
            status = error_set(&err, STATUS_DATA_LOSS, "the log has no entry %lu",
                               (unsigned long)before + 1);
        }
        if (status != STATUS_OK && !applier->failed) {
            fatal(applier, &err);
        }
    }
}

static void apply_batch_now(struct applier *applier, struct apply_batch *batch)
{
    if (!applier->failed) {
        if (batch->entry_count == 0) {
            apply_from_wal(applier, batch);
        }
        for (size_t i = 0; i < batch->entry_count && !applier->failed; i++) {
            const struct raft_entry *entry = batch->entries[i];
            const struct apply_input input = {.index = entry->index,
                                              .term = entry->term,
                                              .type = entry->type,
                                              .data = raft_entry_slice(entry)};
            (void)apply_one(applier, &input);
        }
    }
    batch->next = NULL;
    *applier->done_last = batch;
    applier->done_last = &batch->next;
}

/* --- flushes ----------------------------------------------------------------------------- */

static void flush_begin(struct applier *applier, struct flush_request *request)
{
    struct error err = ERROR_INIT;
    finish_group(applier);
    if (applier->failed) {
        request->done(request, applier_stands(applier) ? STATUS_DATA_LOSS : STATUS_INTERNAL);
        return;
    }
    if (applier->sealed_index != applier->index) {
        seal_now(applier, &err);
    }
    if (applier->sealed_index != applier->index) {
        request->done(request, STATUS_RESOURCE_EXHAUSTED);
        return;
    }
    request->index = applier->index;
    mutex_lock(&applier->mutex);
    bool durable = applier->flushed_index >= request->index;
    if (!durable) {
        request->next = applier->flushes;
        applier->flushes = request;
    }
    mutex_unlock(&applier->mutex);
    if (durable) {
        request->done(request, STATUS_OK);
    }
}

/* Ends the requests up to `index`. */
static void flushes_end(struct applier *applier, uint64_t index, enum status status)
{
    struct flush_request *ended = NULL;
    mutex_lock(&applier->mutex);
    struct flush_request **link = &applier->flushes;
    while (*link != NULL) {
        struct flush_request *request = *link;
        if (request->index <= index) {
            *link = request->next;
            request->next = ended;
            ended = request;
        } else {
            link = &request->next;
        }
    }
    mutex_unlock(&applier->mutex);
    while (ended != NULL) {
        struct flush_request *next = ended->next;
        ended->done(ended, status);
        ended = next;
    }
}

void applier_flushed(struct applier *applier, uint64_t index)
{
    mutex_lock(&applier->mutex);
    if (index > applier->flushed_index) {
        applier->flushed_index = index;
    }
    mutex_unlock(&applier->mutex);
    flushes_end(applier, index, STATUS_OK);
}

uint64_t applier_flushed_index(struct applier *applier)
{
    mutex_lock(&applier->mutex);
    uint64_t index = applier->flushed_index;
    mutex_unlock(&applier->mutex);
    return index;
}

/* --- life -------------------------------------------------------------------------------- */

static void handle(struct applier *applier, struct applier_item *item)
{
    switch (item->kind) {
    case APPLIER_BATCH:
        apply_batch_now(
            applier,
            (struct apply_batch *)(void *)((char *)item - offsetof(struct apply_batch, item)));
        break;
    case APPLIER_FLUSH:
        flush_begin(applier, (struct flush_request *)item);
        break;
    case APPLIER_STOP:
        applier->stopping = true;
        break;
    }
}

/* What is applied becomes tables, so that the next start has nothing to replay. */
static void flush_at_the_end(struct applier *applier)
{
    struct error err = ERROR_INIT;
    if (applier->failed) {
        return;
    }
    if (applier->sealed_index != applier->index) {
        seal_now(applier, &err);
    }
    if (!applier->failed && engine_flush(applier->options.engine, &err) != STATUS_OK) {
        char text[ERROR_TEXT_BYTES];
        log_write("apply", LOG_WARN, "not flushed; the log will be replayed", "error=%s",
                  log_quote(text, sizeof text, err.text));
    }
}

/* Ends those that wait, those that came during the last flush, and all that still come. */
static void refuse_flushes(struct applier *applier)
{
    mutex_lock(&applier->mutex);
    applier->closed = true;
    mutex_unlock(&applier->mutex);
    struct mpsc_node *node;
    while ((node = mpsc_pop(&applier->intake)) != NULL) {
        struct flush_request *request = (struct flush_request *)node;
        CHECK(request->item.kind == APPLIER_FLUSH); /* the driver has ended */
        request->done(request, STATUS_CANCELLED);
    }
    flushes_end(applier, UINT64_MAX, STATUS_CANCELLED);
}

bool applier_is_idle(struct applier *applier)
{
    return mpsc_is_empty(&applier->intake);
}

void applier_wait(struct applier *applier)
{
    mpsc_wait(&applier->intake, IDLE_NS);
}

/* Looked at also when there is nothing to apply: a flush that somebody waits for will not come. */
static void look_after_engine(struct applier *applier)
{
    struct error err = ERROR_INIT;
    engine_poll(applier->options.engine);
    if (engine_background_error(applier->options.engine, &err) != STATUS_OK) {
        fatal(applier, &err);
    }
}

bool applier_turn(struct applier *applier)
{
    look_after_engine(applier);
    struct mpsc_node *node;
    while ((node = mpsc_pop(&applier->intake)) != NULL) {
        handle(applier, (struct applier_item *)node);
    }
    finish_group(applier);
    return !applier->stopping;
}

void applier_end(struct applier *applier)
{
    flush_at_the_end(applier);
    refuse_flushes(applier);
    wal_reader_close(applier->reader);
    applier->reader = NULL;
}

static enum status load_sessions(struct applier *applier, struct error *err)
{
    struct engine_iter *iter = NULL;
    enum status status =
        engine_iter_new(applier->options.engine, NULL, KEYSPACE_SESSIONS, NULL, &iter, err);
    if (status != STATUS_OK) {
        return status;
    }
    for (engine_iter_seek_first(iter); status == STATUS_OK && engine_iter_valid(iter);
         engine_iter_next(iter)) {
        status = session_load(applier->state.sessions, engine_iter_key(iter),
                              engine_iter_value(iter), err);
    }
    if (status == STATUS_OK) {
        status = engine_iter_status(iter, err);
    }
    engine_iter_close(iter);
    return status;
}

void applier_free(struct applier *applier)
{
    if (applier == NULL) {
        return;
    }
    struct alloc *alloc = applier->options.alloc;
    wal_reader_close(applier->reader);
    session_table_free(applier->state.sessions);
    latest_cache_free(applier->state.latest);
    batch_release(&applier->state.batch);
    version_rows_release(&applier->state.version_rows);
    buf_release(&applier->state.value);
    buf_release(&applier->state.membership);
    buf_release(&applier->versions);
    condition_release(&applier->stop_condition);
    mutex_release(&applier->mutex);
    alloc_free(alloc, applier);
}

static enum status state_init(struct applier *applier, struct error *err)
{
    struct apply_state *state = &applier->state;
    const struct seal *start = applier->options.start;
    state->size = start->size;
    state->time_ns = start->time_ns;
    state->log_bytes = start->log_bytes;
    buf_append_slice(&state->membership, start->membership);
    enum status status = session_table_new(state->alloc, &state->sessions, err);
    if (status != STATUS_OK) {
        return status;
    }
    session_set_floor_ns(state->sessions, start->session_floor_ns);
    state->latest = latest_cache_new(state->alloc, LATEST_CACHE_BYTES);
    if (state->latest == NULL || buf_failed(&state->membership)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the applier");
    }
    if (tile_store_appended(state->tiles) != start->size) {
        return error_set(err, STATUS_CORRUPT, "the last seal has %lu events, its tree %lu",
                         (unsigned long)start->size,
                         (unsigned long)tile_store_appended(state->tiles));
    }
    if (PLANTED(SNAPSHOT_NO_SESSIONS) && applier->options.from_snapshot) {
        return STATUS_OK;
    }
    struct error damage = ERROR_INIT;
    status = load_sessions(applier, &damage);
    if (status == STATUS_CORRUPT) {
        stand(applier, &damage); /* without them a repeat could be applied again */
        status = STATUS_OK;
    } else if (status != STATUS_OK && err != NULL) {
        *err = damage;
    }
    return status;
}

enum status applier_new(const struct applier_options *options, struct applier **out,
                        struct error *err)
{
    struct applier *applier = alloc_zeroed(options->alloc, 1, sizeof *applier);
    if (applier == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the applier");
    }
    applier->options = *options;
    applier->state.alloc = options->alloc;
    applier->state.engine = options->engine;
    applier->state.tiles = options->tiles;
    applier->index = options->start->index;
    applier->term = options->start->term;
    applier->sealed_index = options->start->index;
    applier->flushed_index = options->start->index;
    applier->done_last = &applier->done_first;
    applier->stop.kind = APPLIER_STOP;
    batch_init(&applier->state.batch, options->alloc);
    version_rows_init(&applier->state.version_rows, options->alloc);
    buf_init(&applier->state.value, options->alloc, KEYSPACE_VALUE_BYTES_MAX);
    buf_init(&applier->state.membership, options->alloc, MEMBERSHIP_BYTES_MAX);
    buf_init(&applier->versions, options->alloc,
             GROUP_ENTRIES * EVENTS_PER_REQUEST_MAX * sizeof(uint64_t));
    mutex_init(&applier->mutex);
    condition_init(&applier->stop_condition);
    mpsc_init(&applier->intake);
    enum status status = state_init(applier, err);
    applier->options.start = NULL;
    if (status == STATUS_OK) {
        status = wal_reader_open(options->wal, &applier->reader, err);
    }
    if (status != STATUS_OK) {
        applier_free(applier);
        return status;
    }
    *out = applier;
    return STATUS_OK;
}

void applier_submit(struct applier *applier, struct apply_batch *batch)
{
    batch->item.kind = APPLIER_BATCH;
    mpsc_push(&applier->intake, &batch->item.node);
}

void applier_flush(struct applier *applier, struct flush_request *request)
{
    request->item.kind = APPLIER_FLUSH;
    mutex_lock(&applier->mutex);
    bool closed = applier->closed;
    if (!closed) {
        mpsc_push(&applier->intake, &request->item.node);
    }
    mutex_unlock(&applier->mutex);
    if (closed) {
        request->done(request, STATUS_CANCELLED);
    }
}

const struct apply_state *applier_state(const struct applier *applier)
{
    return applier->failed ? NULL : &applier->state;
}

void applier_ask_to_stop(struct applier *applier)
{
    atomic_store(&applier->stop_asked, true);
    condition_broadcast(&applier->stop_condition);
    mpsc_push(&applier->intake, &applier->stop.node);
}
