/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "base/io_queue_thread.h"

struct io_queue_posix {
    struct io_queue_thread base;
    struct alloc *alloc;
    struct clock *clock;
};

static struct io_queue_posix *posix_of(struct io_queue_thread *base)
{
    return (struct io_queue_posix *)((char *)base - offsetof(struct io_queue_posix, base));
}

static void run_one(struct io_queue_thread *base, struct io_write *write)
{
    io_write_by_calls(write, posix_of(base)->clock);
}

static void free_self(struct io_queue_thread *base)
{
    struct io_queue_posix *posix = posix_of(base);
    alloc_free(posix->alloc, posix);
}

enum status io_queue_open_posix(struct alloc *alloc, struct clock *clock, struct io_queue **out,
                                struct error *err)
{
    struct io_queue_posix *posix = alloc_zeroed(alloc, 1, sizeof *posix);
    if (posix == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "open I/O queue: no memory");
    }
    posix->base.run_one = run_one;
    posix->base.free_self = free_self;
    posix->alloc = alloc;
    posix->clock = clock;
    enum status status = io_queue_thread_start(&posix->base, err);
    if (status != STATUS_OK) {
        alloc_free(alloc, posix);
        return status;
    }
    *out = &posix->base.queue;
    return STATUS_OK;
}
