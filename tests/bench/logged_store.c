/* SPDX-License-Identifier: Apache-2.0 */
#include "logged_store.h"

#include <stddef.h>

#include "base/check.h"
#include "base/coding.h"

enum { TERM = 1, JOB_THREADS = 2, REPLAY_BYTES = 1 << 20, STATE_BYTES = 8 };

struct store_write {
    const struct batch *batch;
    bool sync;
    bool done;
    enum status status;
    struct error err;
    struct condition changed;
    struct store_write *next;
};

/* --- the log's I/O ------------------------------------------------------------------------- */

/* With the WAL's lock held, which the write's `done` takes: it is run later. */
static void post(struct io_queue *queue, struct io_write *write)
{
    struct logged_store *store =
        (struct logged_store *)(void *)((char *)queue - offsetof(struct logged_store, queue));
    mutex_lock(&store->mutex);
    CHECK(store->posted == NULL);
    store->posted = write;
    mutex_unlock(&store->mutex);
    condition_signal(&store->changed);
}

static void close_queue(struct io_queue *queue)
{
    (void)queue;
}

static const struct io_queue_ops queue_ops = {.submit = post, .close = close_queue};

static void note_completed(void *context)
{
    struct logged_store *store = context;
    mutex_lock(&store->mutex);
    store->completed = true;
    mutex_unlock(&store->mutex);
    condition_signal(&store->changed);
}

static void run(struct io_write *write, bool sync)
{
    write->sync_ns = 0;
    write->status = file_write(write->file, write->offset, write->data, &write->error);
    if (write->status == STATUS_OK && sync) {
        uint64_t began = clock_monotonic_ns(clock_system());
        write->status = file_sync(write->file, &write->error);
        write->sync_ns = clock_monotonic_ns(clock_system()) - began;
    }
    write->done(write);
}

/* Writes what is pending; waits if the log's next file is not made yet. */
static enum status write_group(struct logged_store *store, bool sync, struct error *err)
{
    store->completed = false;
    enum status status = wal_submit(store->wal, err);
    if (status != STATUS_OK) {
        return status;
    }
    mutex_lock(&store->mutex);
    while (!store->completed) {
        struct io_write *write = store->posted;
        store->posted = NULL;
        if (write == NULL) {
            condition_wait(&store->changed, &store->mutex);
            continue;
        }
        mutex_unlock(&store->mutex);
        run(write, sync);
        mutex_lock(&store->mutex);
    }
    mutex_unlock(&store->mutex);
    struct wal_durable durable;
    return wal_finish(store->wal, &durable, err);
}

/* --- seals --------------------------------------------------------------------------------- */

static void note_flushed(void *context, struct slice owner_state)
{
    struct logged_store *store = context;
    CHECK(owner_state.length == STATE_BYTES);
    atomic_store(&store->flushed_index, get_le64(owner_state.data));
}

static enum status seal(struct logged_store *store, uint64_t index, struct error *err)
{
    uint8_t state[STATE_BYTES];
    put_le64(state, index);
    return engine_seal(store->engine, slice_of(state, sizeof state), err);
}

static enum status purge(struct logged_store *store, struct error *err)
{
    uint64_t flushed = atomic_load(&store->flushed_index);
    if (flushed == store->purged_index) {
        return STATUS_OK;
    }
    store->purged_index = flushed;
    return wal_purge(store->wal, flushed, err);
}

enum status store_flush(struct logged_store *store, struct error *err)
{
    enum status status = seal(store, wal_last_index(store->wal), err);
    if (status == STATUS_OK) {
        status = engine_flush(store->engine, err);
    }
    return status == STATUS_OK ? purge(store, err) : status;
}

/* --- writing ------------------------------------------------------------------------------- */

static enum status log_group(struct logged_store *store, const struct store_write *first,
                             const struct store_write *last, struct error *err)
{
    bool sync = false;
    for (const struct store_write *write = first;; write = write->next) {
        struct wal_entry entry = {.index = wal_last_index(store->wal) + 1,
                                  .term = TERM,
                                  .data = buf_slice(&write->batch->bytes)};
        enum status status = wal_append(store->wal, &entry, 1, err);
        if (status != STATUS_OK) {
            return status;
        }
        sync = sync || write->sync;
        if (write == last) {
            return write_group(store, sync, err);
        }
    }
}

static enum status apply_group(struct logged_store *store, const struct store_write *first,
                               const struct store_write *last, struct error *err)
{
    enum status status = engine_write(store->engine, first->batch, err);
    while (status == STATUS_OK && first != last) {
        first = first->next;
        status = engine_write(store->engine, first->batch, err);
    }
    if (status == STATUS_OK && engine_should_seal(store->engine)) {
        status = seal(store, wal_last_index(store->wal), err);
    }
    return status == STATUS_OK ? purge(store, err) : status;
}

/* Takes the group off the queue, and has the first one of the next group lead it. */
static void end_group_locked(struct logged_store *store, struct store_write *last,
                             enum status status, const struct error *err)
{
    struct store_write *write = store->first;
    store->first = last->next;
    if (store->first == NULL) {
        store->last = NULL;
    } else {
        condition_signal(&store->first->changed);
    }
    struct store_write *end = last->next;
    while (write != end) {
        struct store_write *next = write->next; /* the write is its thread's once it is done */
        write->status = status;
        write->err = *err;
        write->done = true;
        condition_signal(&write->changed);
        write = next;
    }
}

enum status store_write(struct logged_store *store, const struct batch *batch, bool sync,
                        struct error *err)
{
    struct store_write own = {.batch = batch, .sync = sync, .err = ERROR_INIT};
    condition_init(&own.changed);
    mutex_lock(&store->writers_mutex);
    if (store->last == NULL) {
        store->first = &own;
    } else {
        store->last->next = &own;
    }
    store->last = &own;
    while (!own.done && store->first != &own) {
        condition_wait(&own.changed, &store->writers_mutex);
    }
    if (!own.done) {
        struct store_write *last = store->last;
        struct error why = ERROR_INIT;
        mutex_unlock(&store->writers_mutex);
        enum status status = log_group(store, &own, last, &why);
        if (status == STATUS_OK) {
            status = apply_group(store, &own, last, &why);
        }
        mutex_lock(&store->writers_mutex);
        end_group_locked(store, last, status, &why);
    }
    mutex_unlock(&store->writers_mutex);
    condition_release(&own.changed);
    if (own.status != STATUS_OK) {
        *err = own.err;
    }
    return own.status;
}

/* --- opening ------------------------------------------------------------------------------- */

static enum status replay_entry(void *context, const struct wal_entry *entry, struct error *err)
{
    struct logged_store *store = context;
    struct batch batch;
    batch_init(&batch, alloc_default());
    buf_append_slice(&batch.bytes, entry->data);
    struct batch_op op;
    size_t offset = 0;
    while (batch_next(&batch, &offset, &op)) {
        batch.count++;
    }
    enum status status = engine_write(store->engine, &batch, err);
    batch_release(&batch);
    if (status == STATUS_OK && engine_should_seal(store->engine)) {
        status = seal(store, entry->index, err);
    }
    store->purged_index = entry->index; /* while it is replayed: how far */
    return status;
}

static enum status replay(struct logged_store *store, uint64_t from, struct error *err)
{
    struct wal_reader *reader = NULL;
    enum status status = wal_reader_open(store->wal, &reader, err);
    uint64_t end = wal_last_index(store->wal) + 1;
    store->purged_index = from - 1;
    while (status == STATUS_OK && store->purged_index + 1 < end) {
        status =
            wal_read(reader, store->purged_index + 1, end, REPLAY_BYTES, replay_entry, store, err);
    }
    wal_reader_close(reader);
    store->purged_index = from - 1;
    return status;
}

static enum status open_wal(struct logged_store *store, const char *dir, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct wal_options options = {.fs = fs_posix(),
                                  .io = &store->queue,
                                  .executor = store->executor,
                                  .dir = path,
                                  .on_complete = note_completed,
                                  .context = store};
    uint64_t index = 0;
    struct buf state;
    buf_init(&state, alloc_default(), STATE_BYTES);
    enum status status = engine_sealed_state(store->engine, &state, err);
    if (status == STATUS_OK && state.length == STATE_BYTES) {
        index = get_le64(state.data);
    }
    buf_release(&state);
    atomic_store(&store->flushed_index, index);
    if (status == STATUS_OK) {
        status = path_join(path, dir, "log", err);
    }
    struct wal_recovered recovered;
    if (status == STATUS_OK) {
        status = wal_open(&options, index, index == 0 ? 0 : TERM, &recovered, &store->wal, err);
    }
    return status == STATUS_OK ? replay(store, index + 1, err) : status;
}

enum status store_open(struct logged_store *store, const char *dir,
                       const struct engine_options *options, struct error *err)
{
    *store = (struct logged_store){.queue.ops = &queue_ops};
    mutex_init(&store->mutex);
    condition_init(&store->changed);
    mutex_init(&store->writers_mutex);
    char path[PATH_BYTES_MAX];
    struct engine_options own = *options;
    enum status status = fs_make_dir(fs_posix(), dir, err);
    if (status == STATUS_OK) {
        status = path_join(path, dir, "tables", err);
    }
    if (status == STATUS_OK) {
        status = executor_open_threads(alloc_default(), "jobs", JOB_THREADS, &store->executor, err);
    }
    if (status == STATUS_OK) {
        own.fs = fs_posix();
        own.executor = store->executor;
        own.dir = path;
        own.on_flushed = note_flushed;
        own.context = store;
        status = engine_open(&own, &store->engine, err);
    }
    if (status == STATUS_OK) {
        status = open_wal(store, dir, err);
    }
    if (status != STATUS_OK) {
        store_close(store);
    }
    return status;
}

void store_close(struct logged_store *store)
{
    wal_close(store->wal);
    executor_close(store->executor);
    engine_close(store->engine);
    mutex_release(&store->mutex);
    condition_release(&store->changed);
    mutex_release(&store->writers_mutex);
    *store = (struct logged_store){.engine = NULL};
}
