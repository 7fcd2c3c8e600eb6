/* SPDX-License-Identifier: Apache-2.0
 *
 * Io_queue_thread: what the posix and the io_uring form of an io_queue share: a
 * list of operations and one thread that takes them, oldest first, one at a time.
 */
#ifndef ESTREAT_BASE_IO_QUEUE_THREAD_H
#define ESTREAT_BASE_IO_QUEUE_THREAD_H

#include "base/io_queue.h"
#include "base/sync.h"

/* Embedded in a form's own state. */
struct io_queue_thread {
    struct io_queue queue;
    /* Does all of the operation but `done`: sets status, error and sync_ns. The thread's. */
    void (*run_one)(struct io_queue_thread *self, struct io_write *write);
    void (*free_self)(struct io_queue_thread *self); /* after the thread's end */
    /* ours */
    pthread_t thread;
    struct mutex mutex;
    struct condition changed;
    struct io_write *first; /* this and what follows: under the mutex */
    struct io_write **last; /* where the next one is linked */
    bool closing;
};

/* `self` is zeroed but for the two functions. When it fails, free_self was not called. */
enum status io_queue_thread_start(struct io_queue_thread *self, struct error *err) MUST_USE;

#endif
