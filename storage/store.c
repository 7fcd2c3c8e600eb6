/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing: requests wait in a queue, and the first one's thread leads: it does what it and
 * those behind it ask for.
 */
#include "storage/store.h"

#include "base/check.h"
#include "storage/store_internal.h"

/* A group takes no more batches beyond this. */
#define GROUP_BYTES (1 * MIB)

/* A batch has eleven bytes and its entry's overhead is less than five times that. */
_Static_assert(GROUP_BYTES * 5 + STORE_BATCH_BYTES_MAX < WAL_GROUP_BYTES_MAX,
               "a group of batches is one of the log");

enum kind { WRITE, SYNC, FLUSH, COMPACT };

struct store_request {
    enum kind kind;
    const struct batch *batch; /* of a WRITE */
    bool sync;
    bool done;
    enum status status;
    struct error err;
    struct condition changed;
    struct store_request *next;
};

/* --- the leader ---------------------------------------------------------------------------- */

static enum status failed(const struct store *store, struct error *err)
{
    if (store->failed != STATUS_OK) {
        *err = store->failure;
    }
    return store->failed;
}

/* The log has what the memtables have not, or nobody knows what it has: only an opening can tell.
 */
static enum status fail(struct store *store, const struct error *why, enum status status)
{
    store->failure = *why;
    store->failed = status == STATUS_RESOURCE_EXHAUSTED ? STATUS_INTERNAL : status;
    store->failure.status = store->failed;
    return store->failed;
}

enum status store_seal(struct store *store, uint64_t index, struct error *err)
{
    uint8_t state[STORE_STATE_BYTES];
    put_le64(state, index);
    return engine_seal(store->engine, slice_of(state, sizeof state), err);
}

/* What a purge could not remove it tries again; the disk's being in doubt the log tells itself. */
static void purge(struct store *store)
{
    uint64_t flushed = atomic_load(&store->flushed_index);
    if (flushed > store->purged_index && wal_purge(store->wal, flushed, NULL) == STATUS_OK) {
        store->purged_index = flushed;
    }
}

/* Before anything is logged: what the memtables would refuse then is refused now. */
static enum status admit(struct store *store, const struct store_request *first, struct error *err)
{
    enum status status = STATUS_OK;
    if (engine_should_seal(store->engine)) {
        status = store_seal(store, wal_last_index(store->wal), err);
    }
    return status == STATUS_OK ? engine_check_write(store->engine, first->batch, err) : status;
}

static enum status log_group(struct store *store, const struct store_request *first,
                             const struct store_request *last, struct error *err)
{
    bool sync = false;
    for (const struct store_request *request = first;; request = request->next) {
        enum status status = store_log_append(store, request->batch, err);
        if (status != STATUS_OK) {
            wal_forget(store->wal);
            return status;
        }
        sync = sync || request->sync;
        if (request == last) {
            return store_log_write(store, sync, err);
        }
    }
}

static enum status apply_group(struct store *store, const struct store_request *first,
                               const struct store_request *last, struct error *err)
{
    enum status status = engine_write(store->engine, first->batch, err);
    while (status == STATUS_OK && first != last) {
        first = first->next;
        status = engine_write(store->engine, first->batch, err);
    }
    return status;
}

static enum status write_group(struct store *store, const struct store_request *first,
                               const struct store_request *last, struct error *err)
{
    enum status status = admit(store, first, err);
    if (status != STATUS_OK) {
        return status;
    }
    status = log_group(store, first, last, err);
    if (status != STATUS_OK) {
        return status == STATUS_RESOURCE_EXHAUSTED ? status : fail(store, err, status);
    }
    status = apply_group(store, first, last, err);
    if (status != STATUS_OK) {
        (void)error_wrap(err, "logged, and not in the memtables");
        return fail(store, err, status);
    }
    purge(store);
    return STATUS_OK;
}

static enum status flush(struct store *store, struct error *err)
{
    enum status status = store_seal(store, wal_last_index(store->wal), err);
    if (status == STATUS_OK) {
        status = engine_flush(store->engine, err);
    }
    if (status == STATUS_OK) {
        purge(store);
    }
    return status;
}

static enum status sync_log(struct store *store, struct error *err)
{
    enum status status = store_log_sync(store, err);
    return status == STATUS_OK || status == STATUS_RESOURCE_EXHAUSTED ? status
                                                                      : fail(store, err, status);
}

static enum status lead(struct store *store, const struct store_request *first,
                        const struct store_request *last, struct error *err)
{
    enum status status = failed(store, err);
    if (status != STATUS_OK) {
        return status;
    }
    switch (first->kind) {
    case WRITE:
        return write_group(store, first, last, err);
    case SYNC:
        return sync_log(store, err);
    case FLUSH:
        return flush(store, err);
    default:
        return engine_compact(store->engine, err);
    }
}

/* --- the queue ----------------------------------------------------------------------------- */

/* The last of the batches that wait which come into one group with the first. */
static struct store_request *group_locked(const struct store *store)
{
    struct store_request *last = store->first;
    size_t bytes = last->kind == WRITE ? batch_bytes(last->batch) : 0;
    bool more = last->kind == WRITE && store->groups;
    while (more && last->next != NULL && last->next->kind == WRITE) {
        bytes += batch_bytes(last->next->batch);
        more = bytes <= GROUP_BYTES;
        last = more ? last->next : last;
    }
    return last;
}

/* Takes the group off the queue, and has the first one behind it lead the next. */
static void end_group_locked(struct store *store, struct store_request *last, enum status status,
                             const struct error *err)
{
    struct store_request *request = store->first;
    struct store_request *end = last->next;
    store->first = end;
    if (end == NULL) {
        store->last = NULL;
    } else {
        condition_signal(&end->changed);
    }
    while (request != end) {
        struct store_request *next = request->next; /* it is its thread's once it is done */
        request->status = status;
        request->err = *err;
        request->done = true;
        condition_signal(&request->changed);
        request = next;
    }
}

static enum status await(struct store *store, struct store_request *own, struct error *err)
{
    condition_init(&own->changed);
    mutex_lock(&store->mutex);
    if (store->last == NULL) {
        store->first = own;
    } else {
        store->last->next = own;
    }
    store->last = own;
    while (!own->done && store->first != own) {
        condition_wait(&own->changed, &store->mutex);
    }
    if (!own->done) {
        struct store_request *last = group_locked(store);
        struct error why = ERROR_INIT;
        mutex_unlock(&store->mutex);
        enum status status = lead(store, own, last, &why);
        mutex_lock(&store->mutex);
        end_group_locked(store, last, status, &why);
    }
    mutex_unlock(&store->mutex);
    condition_release(&own->changed);
    if (own->status != STATUS_OK && err != NULL) {
        *err = own->err;
    }
    return own->status;
}

/* --- what is public ------------------------------------------------------------------------ */

enum status store_write(struct store *store, const struct batch *batch, bool sync,
                        struct error *err)
{
    struct store_request own = {.kind = WRITE, .batch = batch, .sync = sync, .err = ERROR_INIT};
    if (buf_failed(&batch->bytes)) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "the batch has failed");
    }
    if (batch_bytes(batch) > STORE_BATCH_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "a batch of %zu bytes, at most %lu",
                         batch_bytes(batch), STORE_BATCH_BYTES_MAX);
    }
    if (batch_is_empty(batch)) {
        return sync ? store_sync(store, err) : STATUS_OK;
    }
    return await(store, &own, err);
}

static enum status ask(struct store *store, enum kind kind, struct error *err)
{
    struct store_request own = {.kind = kind, .err = ERROR_INIT};
    return await(store, &own, err);
}

enum status store_sync(struct store *store, struct error *err)
{
    return ask(store, SYNC, err);
}

enum status store_flush(struct store *store, struct error *err)
{
    return ask(store, FLUSH, err);
}

enum status store_compact(struct store *store, struct error *err)
{
    return ask(store, COMPACT, err);
}

void store_poll(struct store *store)
{
    engine_poll(store->engine);
}

struct engine *store_engine(struct store *store)
{
    return store->engine;
}

struct wal_metrics *store_log_metrics(struct store *store)
{
    return wal_metrics(store->wal);
}

uint64_t store_log_bytes(struct store *store)
{
    return wal_bytes(store->wal);
}
