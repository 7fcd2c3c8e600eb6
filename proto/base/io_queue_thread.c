/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io_queue_thread.h"

#include <stddef.h>

#include "base/check.h"

static struct io_queue_thread *self_of(struct io_queue *queue)
{
    return (struct io_queue_thread *)((char *)queue - offsetof(struct io_queue_thread, queue));
}

static void *run(void *context)
{
    struct io_queue_thread *self = context;
    mutex_lock(&self->mutex);
    for (;;) {
        while (self->first == NULL && !self->closing) {
            condition_wait(&self->changed, &self->mutex);
        }
        struct io_write *write = self->first;
        if (write == NULL) {
            break;
        }
        self->first = write->next;
        if (self->first == NULL) {
            self->last = &self->first;
        }
        mutex_unlock(&self->mutex);
        write->next = NULL;
        self->run_one(self, write);
        write->done(write); /* the submitter may have freed it by the time this returns */
        mutex_lock(&self->mutex);
    }
    mutex_unlock(&self->mutex);
    return NULL;
}

static void thread_submit(struct io_queue *queue, struct io_write *write)
{
    struct io_queue_thread *self = self_of(queue);
    CHECK(write->file != NULL);
    CHECK(write->done != NULL);
    write->next = NULL;
    mutex_lock(&self->mutex);
    CHECK(!self->closing);
    bool was_empty = self->first == NULL;
    *self->last = write;
    self->last = &write->next;
    mutex_unlock(&self->mutex);
    if (was_empty) {
        condition_signal(&self->changed);
    }
}

static void release(struct io_queue_thread *self)
{
    condition_release(&self->changed);
    mutex_release(&self->mutex);
}

static void thread_close(struct io_queue *queue)
{
    struct io_queue_thread *self = self_of(queue);
    mutex_lock(&self->mutex);
    self->closing = true;
    mutex_unlock(&self->mutex);
    condition_signal(&self->changed);
    thread_join(self->thread);
    release(self);
    self->free_self(self);
}

static const struct io_queue_ops io_queue_ops_thread = {
    .submit = thread_submit,
    .close = thread_close,
};

enum status io_queue_thread_start(struct io_queue_thread *self, struct error *err)
{
    self->queue.ops = &io_queue_ops_thread;
    self->last = &self->first;
    mutex_init(&self->mutex);
    condition_init(&self->changed);
    if (!thread_start(&self->thread, "io", run, self)) {
        release(self);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "open I/O queue: cannot start a thread");
    }
    return STATUS_OK;
}
