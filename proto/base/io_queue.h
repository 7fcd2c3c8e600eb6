/* SPDX-License-Identifier: Apache-2.0
 *
 * Io_queue: the asynchronous half of the file system seam, for the log's group
 * commits. An operation is submitted and completes later: first in, first out,
 * one at a time, so "write then sync" is one operation and later ones wait.
 *
 * The posix form runs operations on one thread of its own (pwrite, fdatasync);
 * the io_uring form, too, has one, which gives the kernel both at once, linked,
 * and waits; a simulator runs them when its clock says so. `done` is called on
 * that thread and must only hand the operation on (it may not submit or block).
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
    uint64_t sync_ns;      /* how long the sync took; io_uring: with the write before it */
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

/* Returns owned. Starts one thread. An error says why the kernel refuses (or that memory is short):
 * the posix form serves then. Files that are not of fs_posix() are written by their own calls; so
 * is everything after the kernel has refused to take an operation, which the log says once. */
enum status io_queue_open_uring(struct alloc *alloc, struct clock *clock, struct io_queue **out,
                                struct error *err) MUST_USE;

enum io_form { IO_POSIX, IO_URING };

/* Returns owned: the form that is asked for, or posix where the kernel refuses io_uring. The log
 * says which, and why not the other. */
enum status io_queue_open(struct alloc *alloc, struct clock *clock, enum io_form form,
                          struct io_queue **out, struct error *err) MUST_USE;

/* Does all of an operation but `done`, by the file's own calls, write and then sync: for queues,
 * and for a submitter that runs what it submits. */
void io_write_by_calls(struct io_write *write, struct clock *clock);

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
