/* SPDX-License-Identifier: Apache-2.0
 *
 * Io_queue: the asynchronous half of the file system seam, for the log's group
 * commits. An operation is submitted and completes later: first in, first out,
 * one at a time, so "write then sync" is one operation and later ones wait.
 *
 * The posix form runs operations on one thread of its own (pwrite, fdatasync);
 * a simulator runs them when its clock says so. `done` is called on that
 * thread and must only hand the operation on (it may not submit or block).
 */
#ifndef ESTREAT_BASE_IO_QUEUE_H
#define ESTREAT_BASE_IO_QUEUE_H

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"

struct io_queue;

/* The caller owns it and keeps it, the file and the data unchanged until done. */
struct io_write {
    struct file *file;
    uint64_t offset;
    struct slice data; /* may be empty: only a sync */
    bool sync;         /* fdatasync after the write */
    void (*done)(struct io_write *write);
    void *context; /* the submitter's */
    /* results, valid in and after done */
    enum status status;
    struct error error;
    uint64_t sync_ns;      /* how long the sync took */
    struct io_write *next; /* the queue's */
};

struct io_queue_ops {
    void (*submit)(struct io_queue *queue, struct io_write *write);
    /* Waits for all that was submitted, stops the thread, frees the queue. */
    void (*close)(struct io_queue *queue);
};

struct io_queue {
    const struct io_queue_ops *ops;
};

/* Returns owned. Starts one thread. `clock` times the syncs. */
enum status io_queue_open_posix(struct alloc *alloc, struct clock *clock, struct io_queue **out,
                                struct error *err) MUST_USE;

static inline void io_submit(struct io_queue *queue, struct io_write *write)
{
    queue->ops->submit(queue, write);
}

/* NULL is allowed. */
static inline void io_queue_close(struct io_queue *queue)
{
    if (queue != NULL) {
        queue->ops->close(queue);
    }
}

#endif
