/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/io_queue_manual.h"

#include "base/check.h"

static struct io_queue_manual *manual_of(struct io_queue *queue)
{
    return (struct io_queue_manual *)((char *)queue - offsetof(struct io_queue_manual, queue));
}

static void manual_submit(struct io_queue *queue, struct io_write *write)
{
    struct io_queue_manual *io = manual_of(queue);
    CHECK(!io->completing); /* io_queue.h: done may not submit */
    CHECK(write->file != NULL);
    CHECK(write->done != NULL);
    write->next = NULL;
    *io->last = write;
    io->last = &write->next;
    io->pending++;
    io->submitted++;
}

static struct io_write *take(struct io_queue_manual *io)
{
    struct io_write *write = io->first;
    if (write != NULL) {
        io->first = write->next;
        if (io->first == NULL) {
            io->last = &io->first;
        }
        io->pending--;
        write->next = NULL;
        write->status = STATUS_OK;
        write->sync_ns = 0;
    }
    return write;
}

static void finish(struct io_queue_manual *io, struct io_write *write)
{
    io->completing = true;
    write->done(write);
    io->completing = false;
}

bool io_queue_manual_complete(struct io_queue_manual *io)
{
    struct io_write *write = take(io);
    if (write == NULL) {
        return false;
    }
    io_write_by_calls(write, io->clock);
    finish(io, write);
    return true;
}

size_t io_queue_manual_complete_all(struct io_queue_manual *io)
{
    size_t count = 0;
    while (io_queue_manual_complete(io)) {
        count++;
    }
    return count;
}

bool io_queue_manual_fail(struct io_queue_manual *io, int errnum, bool written)
{
    struct io_write *write = take(io);
    if (write == NULL) {
        return false;
    }
    if (written && write->data.length > 0) {
        enum status status = file_write(write->file, write->offset, write->data, &write->error);
        CHECK(status == STATUS_OK);
    }
    write->status = error_set_errno(&write->error, errnum, "injected: %s",
                                    written && write->sync ? "fdatasync" : "write");
    finish(io, write);
    return true;
}

void io_queue_manual_forget(struct io_queue_manual *io)
{
    while (take(io) != NULL) {
    }
}

size_t io_queue_manual_pending(const struct io_queue_manual *io)
{
    return io->pending;
}

static void manual_close(struct io_queue *queue)
{
    (void)io_queue_manual_complete_all(manual_of(queue));
}

static const struct io_queue_ops io_queue_ops_manual = {
    .submit = manual_submit,
    .close = manual_close,
};

void io_queue_manual_init(struct io_queue_manual *io, struct clock *clock)
{
    *io = (struct io_queue_manual){.queue = {.ops = &io_queue_ops_manual}, .clock = clock};
    io->last = &io->first;
}
