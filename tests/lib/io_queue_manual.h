/* SPDX-License-Identifier: Apache-2.0
 *
 * Io_queue_manual: an io_queue whose operations are done when the test says so,
 * oldest first. One thread: submit and complete are called on the test's.
 *
 *   struct io_queue_manual io;
 *   io_queue_manual_init(&io, clock);
 *   ... pass &io.queue ...
 *   io_queue_manual_complete(&io);          writes, syncs, calls done
 *   io_queue_manual_fail(&io, EIO, true);   as if its sync had failed
 */
#ifndef ESTREAT_TESTLIB_IO_QUEUE_MANUAL_H
#define ESTREAT_TESTLIB_IO_QUEUE_MANUAL_H

#include "base/io_queue.h"

struct io_queue_manual {
    struct io_queue queue; /* pass &io.queue */
    struct clock *clock;
    struct io_write *first;
    struct io_write **last;
    size_t pending;
    uint64_t submitted;
    bool completing;
};

/* Borrows `clock`, which times the syncs. io_queue_close() completes what is pending and frees
 * nothing. */
void io_queue_manual_init(struct io_queue_manual *io, struct clock *clock);

size_t io_queue_manual_pending(const struct io_queue_manual *io);

/* Runs the oldest operation and calls its done. False if there is none. */
bool io_queue_manual_complete(struct io_queue_manual *io);

/* Runs what is pending now and what that leads to. Returns how many. */
size_t io_queue_manual_complete_all(struct io_queue_manual *io);

/* Completes the oldest with an error; `written` says whether its bytes were written before.
 * False if there is none. */
bool io_queue_manual_fail(struct io_queue_manual *io, int errnum, bool written);

/* Forgets the pending operations without calling done, as a crash does. */
void io_queue_manual_forget(struct io_queue_manual *io);

#endif
