/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "storage/store_entry.h"
#include "storage/store_internal.h"

#define PART_BYTES (1 * MIB)

_Static_assert(PART_BYTES <= ENTRY_BYTES_MAX, "a part is an entry");

/* --- the I/O queue ------------------------------------------------------------------------- */

static void post(struct io_queue *queue, struct io_write *write)
{
    struct store *store = (struct store *)(void *)((char *)queue - offsetof(struct store, queue));
    mutex_lock(&store->io_mutex);
    CHECK(store->posted == NULL);
    store->posted = write;
    mutex_unlock(&store->io_mutex);
    condition_signal(&store->io_changed);
}

static void close_queue(struct io_queue *queue)
{
    (void)queue;
}

static const struct io_queue_ops queue_ops = {.submit = post, .close = close_queue};

static void note_completed(void *context)
{
    struct store *store = context;
    mutex_lock(&store->io_mutex);
    store->completed = true;
    mutex_unlock(&store->io_mutex);
    condition_signal(&store->io_changed);
}

void store_log_init(struct store *store)
{
    store->queue.ops = &queue_ops;
    mutex_init(&store->io_mutex);
    condition_init(&store->io_changed);
}

void store_log_release(struct store *store)
{
    condition_release(&store->io_changed);
    mutex_release(&store->io_mutex);
}

static void wait_for_jobs(void *context)
{
    struct store *store = context;
    store->options.on_wait(store->options.context);
}

struct wal_options store_log_options(struct store *store, const char *dir)
{
    return (struct wal_options){.fs = store->options.fs,
                                .io = &store->queue,
                                .alloc = store->options.alloc,
                                .rng = store->options.rng,
                                .executor = store->options.executor,
                                .dir = dir,
                                .segment_bytes = store->options.segment_bytes,
                                .unsynced = true,
                                .identity = slice_of_string("store"),
                                .on_complete = note_completed,
                                .on_wait = store->options.on_wait == NULL ? NULL : wait_for_jobs,
                                .context = store};
}

/* Runs the group that is under way; waits where the log waits for its files. */
static enum status complete(struct store *store, struct error *err)
{
    mutex_lock(&store->io_mutex);
    while (!store->completed) {
        struct io_write *write = store->posted;
        store->posted = NULL;
        if (write == NULL && store->options.on_wait == NULL) {
            condition_wait(&store->io_changed, &store->io_mutex);
            continue;
        }
        mutex_unlock(&store->io_mutex);
        if (write != NULL) {
            io_write_by_calls(write, store->options.clock);
            write->done(write);
        } else {
            store->options.on_wait(store->options.context);
        }
        mutex_lock(&store->io_mutex);
    }
    store->completed = false;
    mutex_unlock(&store->io_mutex);
    struct wal_durable durable;
    return wal_finish(store->wal, &durable, err);
}

/* --- entries ------------------------------------------------------------------------------- */

enum status store_log_append(struct store *store, const struct batch *batch, struct error *err)
{
    buf_clear(&store->encoded);
    store_entry_encode(batch, &store->encoded);
    if (buf_failed(&store->encoded)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to log a batch of %zu bytes",
                         batch_bytes(batch));
    }
    struct slice rest = buf_slice(&store->encoded);
    uint32_t type = STORE_ENTRY_FIRST;
    while (rest.length > 0) {
        size_t length = rest.length < PART_BYTES ? rest.length : PART_BYTES;
        type |= length == rest.length ? STORE_ENTRY_LAST : 0;
        const struct wal_entry entry = {.index = wal_last_index(store->wal) + 1,
                                        .term = STORE_TERM,
                                        .type = type,
                                        .data = slice_of(rest.data, length)};
        enum status status = wal_append(store->wal, &entry, 1, err);
        if (status != STATUS_OK) {
            return status;
        }
        rest = slice_from(rest, length);
        type = 0;
    }
    return STATUS_OK;
}

enum status store_log_write(struct store *store, bool sync, struct error *err)
{
    enum status status = sync ? wal_submit(store->wal, err) : wal_submit_unsynced(store->wal, err);
    if (status == STATUS_OK && wal_busy(store->wal)) {
        status = complete(store, err);
    }
    if (status == STATUS_RESOURCE_EXHAUSTED) {
        wal_forget(store->wal);
    }
    return status;
}

/* A chain is ended by one idle group, and attested by the next. */
enum status store_log_sync(struct store *store, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < 2 && status == STATUS_OK; i++) {
        status = wal_idle(store->wal, err);
        if (status == STATUS_OK && wal_busy(store->wal)) {
            status = complete(store, err);
        }
    }
    if (status == STATUS_RESOURCE_EXHAUSTED) {
        wal_forget(store->wal);
    }
    return status;
}
