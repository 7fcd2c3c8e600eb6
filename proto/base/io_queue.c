/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io_queue.h"

#include "base/log.h"

void io_write_by_calls(struct io_write *write, struct clock *clock)
{
    write->status = STATUS_OK;
    write->sync_ns = 0;
    if (write->data.length > 0) {
        write->status = file_write(write->file, write->offset, write->data, &write->error);
    }
    if (write->status == STATUS_OK && write->sync) {
        uint64_t begin = clock_monotonic_ns(clock);
        write->status = file_sync(write->file, &write->error);
        write->sync_ns = clock_monotonic_ns(clock) - begin;
    }
}

enum status io_queue_open(struct alloc *alloc, struct clock *clock, enum io_form form,
                          struct io_queue **out, struct error *err)
{
    char quoted[2 * ERROR_TEXT_BYTES];
    struct error why = {.text = "as set"};
    if (form == IO_URING && io_queue_open_uring(alloc, clock, out, &why) == STATUS_OK) {
        log_write("io", LOG_INFO, "log writes", "by=io_uring");
        return STATUS_OK;
    }
    enum status status = io_queue_open_posix(alloc, clock, out, err);
    if (status == STATUS_OK) {
        log_write("io", form == IO_URING ? LOG_WARN : LOG_INFO, "log writes", "by=posix why=%s",
                  log_quote(quoted, sizeof quoted, why.text));
    }
    return status;
}
