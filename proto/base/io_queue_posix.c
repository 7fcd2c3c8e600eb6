/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "base/check.h"
#include "base/io_queue.h"
#include "base/sync.h"

struct io_queue_posix {
    struct io_queue queue;
    struct alloc *alloc;
    struct clock *clock;
    pthread_t thread;
    struct mutex mutex;
    struct condition changed;
    /* under the mutex */
    struct io_write *first;
    struct io_write **last; /* where the next one is linked */
    bool closing;
};

static struct io_queue_posix *posix_of(struct io_queue *queue)
{
    return (struct io_queue_posix *)((char *)queue - offsetof(struct io_queue_posix, queue));
}

static void run_one(struct io_queue_posix *posix, struct io_write *write)
{
    write->status = STATUS_OK;
    write->sync_ns = 0;
    if (write->data.length > 0) {
        write->status = file_write(write->file, write->offset, write->data, &write->error);
    }
    if (write->status == STATUS_OK && write->sync) {
        uint64_t begin = clock_monotonic_ns(posix->clock);
        write->status = file_sync(write->file, &write->error);
        write->sync_ns = clock_monotonic_ns(posix->clock) - begin;
    }
    write->done(write); /* the submitter may have freed it by the time this returns */
}

static void *run(void *context)
{
    struct io_queue_posix *posix = context;
    mutex_lock(&posix->mutex);
    for (;;) {
        while (posix->first == NULL && !posix->closing) {
            condition_wait(&posix->changed, &posix->mutex);
        }
        struct io_write *write = posix->first;
        if (write == NULL) {
            break;
        }
        posix->first = write->next;
        if (posix->first == NULL) {
            posix->last = &posix->first;
        }
        mutex_unlock(&posix->mutex);
        write->next = NULL;
        run_one(posix, write);
        mutex_lock(&posix->mutex);
    }
    mutex_unlock(&posix->mutex);
    return NULL;
}

static void posix_submit(struct io_queue *queue, struct io_write *write)
{
    struct io_queue_posix *posix = posix_of(queue);
    CHECK(write->file != NULL);
    CHECK(write->done != NULL);
    write->next = NULL;
    mutex_lock(&posix->mutex);
    CHECK(!posix->closing);
    bool was_empty = posix->first == NULL;
    *posix->last = write;
    posix->last = &write->next;
    mutex_unlock(&posix->mutex);
    if (was_empty) {
        condition_signal(&posix->changed);
    }
}

static void free_queue(struct io_queue_posix *posix)
{
    condition_release(&posix->changed);
    mutex_release(&posix->mutex);
    alloc_free(posix->alloc, posix);
}

static void posix_close(struct io_queue *queue)
{
    struct io_queue_posix *posix = posix_of(queue);
    mutex_lock(&posix->mutex);
    posix->closing = true;
    mutex_unlock(&posix->mutex);
    condition_signal(&posix->changed);
    thread_join(posix->thread);
    free_queue(posix);
}

static const struct io_queue_ops io_queue_ops_posix = {
    .submit = posix_submit,
    .close = posix_close,
};

enum status io_queue_open_posix(struct alloc *alloc, struct clock *clock, struct io_queue **out,
                                struct error *err)
{
    struct io_queue_posix *posix = alloc_zeroed(alloc, 1, sizeof *posix);
    if (posix == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "open I/O queue: no memory");
    }
    posix->queue.ops = &io_queue_ops_posix;
    posix->alloc = alloc;
    posix->clock = clock;
    posix->last = &posix->first;
    mutex_init(&posix->mutex);
    condition_init(&posix->changed);
    if (!thread_start(&posix->thread, "io", run, posix)) {
        free_queue(posix);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "open I/O queue: cannot start a thread");
    }
    *out = &posix->queue;
    return STATUS_OK;
}
