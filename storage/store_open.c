/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening a store: lock, tables, log, and what the log has beyond the tables.
 */
#include "base/check.h"
#include "base/clock.h"
#include "storage/metrics.h"
#include "storage/store_entry.h"
#include "storage/store_internal.h"

enum { JOB_THREADS = 2 };
#define REPLAY_BYTES (4 * MIB)

/* --- what the engine tells ----------------------------------------------------------------- */

static void note_flushed(void *context, struct slice owner_state)
{
    struct store *store = context;
    CHECK(owner_state.length == STORE_STATE_BYTES);
    atomic_store(&store->flushed_index, get_le64(owner_state.data));
}

static void note_damage(void *context, const struct error *err)
{
    struct store *store = context;
    if (store->options.on_damage != NULL) {
        store->options.on_damage(store->options.context, err);
    }
}

static void wait_a_little(void *context)
{
    struct store *store = context;
    store->options.on_wait(store->options.context);
}

/* --- replay -------------------------------------------------------------------------------- */

struct replay {
    struct store *store;
    struct batch batch;
    struct buf bytes; /* its parts so far */
    bool open;        /* the last one has not come */
    uint64_t next;
};

/* The log's bytes have a checksum, so it is not damage that this finds, but another program's. */
static enum status apply(struct replay *replay, uint64_t index, struct error *err)
{
    struct store *store = replay->store;
    batch_clear(&replay->batch);
    if (!store_entry_decode(buf_slice(&replay->bytes), store->options.engine.keyspace_count,
                            &replay->batch)) {
        return error_set(err, STATUS_CORRUPT, "log entry %llu is no batch of this store",
                         (unsigned long long)index);
    }
    if (buf_failed(&replay->batch.bytes)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for log entry %llu",
                         (unsigned long long)index);
    }
    enum status status = engine_write(store->engine, &replay->batch, err);
    if (status == STATUS_OK && engine_should_seal(store->engine)) {
        status = store_seal(store, index, err);
    }
    return status;
}

static enum status replay_entry(void *context, const struct wal_entry *entry, struct error *err)
{
    struct replay *replay = context;
    bool first = (entry->type & STORE_ENTRY_FIRST) != 0;
    replay->next = entry->index + 1;
    if (first) {
        buf_clear(&replay->bytes); /* a batch that a crash cut has no last part */
    } else if (!replay->open) {
        return error_set(err, STATUS_CORRUPT, "log entry %llu goes on with no batch",
                         (unsigned long long)entry->index);
    }
    buf_append_slice(&replay->bytes, entry->data);
    if (buf_failed(&replay->bytes)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for log entry %llu",
                         (unsigned long long)entry->index);
    }
    replay->open = (entry->type & STORE_ENTRY_LAST) == 0;
    return replay->open ? STATUS_OK : apply(replay, entry->index, err);
}

static enum status replay_log(struct store *store, uint64_t from, struct error *err)
{
    struct wal_reader *reader = NULL;
    struct replay replay = {.store = store, .next = from};
    uint64_t end = wal_last_index(store->wal) + 1;
    enum status status = wal_reader_open(store->wal, &reader, err);
    batch_init(&replay.batch, store->options.alloc);
    buf_init(&replay.bytes, store->options.alloc, STORE_BATCH_BYTES_MAX);
    while (status == STATUS_OK && replay.next < end) {
        status = wal_read(reader, replay.next, end, REPLAY_BYTES, replay_entry, &replay, err);
    }
    buf_release(&replay.bytes);
    batch_release(&replay.batch);
    wal_reader_close(reader);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "%.300s: replay", store->dir);
}

/* --- opening ------------------------------------------------------------------------------- */

static enum status sealed_index(struct store *store, uint64_t *index, struct error *err)
{
    struct buf state;
    buf_init(&state, store->options.alloc, ENGINE_STATE_BYTES_MAX);
    *index = 0;
    enum status status = engine_sealed_state(store->engine, &state, err);
    if (status == STATUS_OK && state.length == STORE_STATE_BYTES) {
        *index = get_le64(state.data);
    } else if (status == STATUS_OK && state.length > 0) {
        status = error_set(err, STATUS_FAILED_PRECONDITION,
                           "%.300s: its tables are not those of a store with a log of its own",
                           store->dir);
    }
    buf_release(&state);
    return status;
}

static enum status open_log(struct store *store, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct wal_recovered recovered;
    uint64_t index = 0;
    enum status status = sealed_index(store, &index, err);
    if (status == STATUS_OK) {
        status = path_join(path, store->dir, "log", err);
    }
    if (status == STATUS_OK) {
        struct wal_options options = store_log_options(store, path);
        status =
            wal_open(&options, index, index == 0 ? 0 : STORE_TERM, &recovered, &store->wal, err);
    }
    if (status != STATUS_OK) {
        store->wal = NULL;
        return status;
    }
    atomic_store(&store->flushed_index, index);
    store->purged_index = wal_first_index(store->wal) - 1;
    /* A log that does not reach the tables was dropped: it says so before anything else. */
    status = store_log_write(store, false, err);
    return status == STATUS_OK ? replay_log(store, index + 1, err) : status;
}

static enum status open_engine(struct store *store, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct engine_options engine = store->options.engine;
    engine.fs = store->options.fs;
    engine.alloc = store->options.alloc;
    engine.clock = store->options.clock;
    engine.executor = store->options.executor;
    engine.dir = path;
    engine.memtable_slack_bytes = engine.memtable_slack_bytes < WAL_GROUP_BYTES_MAX
                                      ? WAL_GROUP_BYTES_MAX
                                      : engine.memtable_slack_bytes;
    engine.on_flushed = note_flushed;
    engine.on_damage = note_damage;
    engine.on_wait = store->options.on_wait == NULL ? NULL : wait_a_little;
    engine.context = store;
    enum status status = path_join(path, store->dir, "tables", err);
    return status == STATUS_OK ? engine_open(&engine, &store->engine, err) : status;
}

static enum status take_dir(struct store *store, struct error *err)
{
    char path[PATH_BYTES_MAX];
    bool exists = false;
    enum status status = fs_exists(store->options.fs, store->dir, &exists, err);
    if (status == STATUS_OK && !exists) {
        status = fs_make_dir(store->options.fs, store->dir, err);
    }
    if (status == STATUS_OK) {
        status = path_join(path, store->dir, "lock", err);
    }
    if (status == STATUS_OK) {
        status = fs_lock(store->options.fs, path, &store->lock, err);
    }
    return status;
}

static enum status init(struct store *store, const struct store_options *options, struct error *err)
{
    size_t length = strlen(options->dir);
    if (length == 0 || length >= sizeof store->dir) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "store: directory name of %zu bytes",
                         length);
    }
    memcpy(store->dir, options->dir, length + 1);
    store->options = *options;
    struct store_options *own = &store->options;
    own->dir = store->dir;
    own->fs = options->fs == NULL ? fs_posix() : options->fs;
    own->alloc = options->alloc == NULL ? alloc_default() : options->alloc;
    own->clock = options->clock == NULL ? clock_system() : options->clock;
    own->rng = options->rng == NULL ? rng_system() : options->rng;
    store->groups = true;
    for (size_t i = 0; i < options->engine.keyspace_count; i++) {
        bool append = options->engine.keyspaces[i].layout == KEYSPACE_APPEND;
        store->groups = store->groups && !append;
    }
    if (own->executor == NULL) {
        return executor_open_threads(own->alloc, "store", JOB_THREADS, &own->executor, err);
    }
    return STATUS_OK;
}

enum status store_open(const struct store_options *options, struct store **out, struct error *err)
{
    struct error own = ERROR_INIT;
    struct alloc *alloc = options->alloc == NULL ? alloc_default() : options->alloc;
    struct store *store = alloc_zeroed(alloc, 1, sizeof *store);
    if (store == NULL) {
        executor_close(options->executor);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "open store: no memory");
    }
    store->options.alloc = alloc;
    store->options.executor = options->executor;
    buf_init(&store->encoded, alloc, STORE_BATCH_BYTES_MAX);
    mutex_init(&store->mutex);
    store_log_init(store);
    enum status status = init(store, options, &own);
    if (status == STATUS_OK) {
        status = take_dir(store, &own);
    }
    if (status == STATUS_OK) {
        status = open_engine(store, &own);
    }
    if (status == STATUS_OK) {
        status = open_log(store, &own);
    }
    if (status != STATUS_OK) {
        store_close(store);
        (void)error_wrap(&own, "open store");
        if (err != NULL) {
            *err = own;
        }
        return status;
    }
    store->opened = true;
    *out = store;
    return STATUS_OK;
}

/* For `estreat-store stats`; nobody misses it where that cannot be. */
static void leave_metrics(struct store *store)
{
    struct error err = ERROR_INIT;
    struct buf text;
    char path[PATH_BYTES_MAX];
    buf_init(&text, store->options.alloc, STORAGE_METRICS_BYTES_MAX);
    storage_metrics_write(store->engine, store_log_metrics(store),
                          clock_realtime_ns(store->options.clock), &text);
    if (!buf_failed(&text) &&
        path_join(path, store->dir, STORAGE_METRICS_FILE, &err) == STATUS_OK) {
        (void)!fs_replace_file_unsynced(store->options.fs, path, buf_slice(&text), &err);
    }
    buf_release(&text);
}

void store_close(struct store *store)
{
    if (store == NULL) {
        return;
    }
    CHECK(store->first == NULL);
    if (store->opened) {
        leave_metrics(store);
    }
    wal_close(store->wal); /* it waits for its jobs, so the executor runs still */
    executor_close(store->options.executor);
    engine_close(store->engine);
    file_close(store->lock);
    buf_release(&store->encoded);
    store_log_release(store);
    mutex_release(&store->mutex);
    alloc_free(store->options.alloc, store);
}
