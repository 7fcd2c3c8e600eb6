/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread that owns the ring submits an operation and sleeps until all of it
 * is complete. The submitters' threads do not submit to the kernel themselves: the
 * end of a thread cancels what it has in flight. One operation at a time: the
 * log's groups follow one another in any case, and a second one would only wait
 * for the first one's lock on the file.
 */
#include <errno.h>
#include <liburing.h>
#include <stddef.h>

#include "base/check.h"
#include "base/fs_posix.h"
#include "base/io_queue_thread.h"
#include "base/log.h"

enum {
    RING_ENTRIES = 4, /* two are used */
    ENDS_MAX = 2,
    END_WRITE = 0, /* what an entry is told by, and the place of its result */
    END_SYNC = 1,
};

#define WRITE_BYTES_MAX (1U << 30) /* of one entry: its length has 32 bits */

struct io_queue_uring {
    struct io_queue_thread base;
    struct alloc *alloc;
    struct clock *clock;
    /* the thread's, once it runs */
    struct io_uring ring;
    bool refused; /* the kernel takes no more; its entries lie in the ring, nobody submits them */
};

static struct io_queue_uring *uring_of(struct io_queue_thread *base)
{
    return (struct io_queue_uring *)((char *)base - offsetof(struct io_queue_uring, base));
}

/* --- the ring ----------------------------------------------------------------------------- */

/* Room is always there: what was prepared before has been submitted. */
static struct io_uring_sqe *entry(struct io_queue_uring *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    CHECK(sqe != NULL);
    return sqe;
}

/* Waits for `count` completions and takes them. */
static void reap(struct io_queue_uring *uring, unsigned count, int results[ENDS_MAX])
{
    for (unsigned i = 0; i < count; i++) {
        struct io_uring_cqe *cqe = NULL;
        int result;
        do {
            result = io_uring_wait_cqe(&uring->ring, &cqe);
        } while (result == -EINTR || result == -EAGAIN || result == -EBUSY);
        /* The kernel may still be reading the caller's bytes: there is no way on. */
        CHECK(result == 0);
        uint64_t end = io_uring_cqe_get_data64(cqe);
        CHECK(end < ENDS_MAX);
        results[end] = cqe->res;
        io_uring_cqe_seen(&uring->ring, cqe);
    }
}

/* Submits the `count` entries that were prepared and waits for them. The kernel may take fewer at
 * a time (it needs memory for each): a sync then follows the end of its write. False if it takes
 * no more at all; what it took has ended. */
static bool submit_and_reap(struct io_queue_uring *uring, unsigned count, int results[ENDS_MAX],
                            int *errnum)
{
    while (count > 0) {
        int taken = io_uring_submit_and_wait(&uring->ring, count);
        if (taken == -EINTR) {
            continue;
        }
        if (taken <= 0) {
            *errnum = taken == 0 ? EIO : -taken;
            return false;
        }
        CHECK((unsigned)taken <= count);
        reap(uring, (unsigned)taken, results);
        count -= (unsigned)taken;
    }
    return true;
}

/* --- one operation ------------------------------------------------------------------------ */

/* One write of what is left, and the sync if that is all of it. */
static unsigned prepare(struct io_queue_uring *uring, int fd, const struct io_write *write,
                        size_t done)
{
    size_t left = write->data.length - done;
    unsigned length = left < WRITE_BYTES_MAX ? (unsigned)left : WRITE_BYTES_MAX;
    bool sync = write->sync && length == left;
    if (length > 0) {
        struct io_uring_sqe *sqe = entry(uring);
        io_uring_prep_write(sqe, fd, write->data.data + done, length, write->offset + done);
        io_uring_sqe_set_data64(sqe, END_WRITE);
        if (sync) {
            sqe->flags |= IOSQE_IO_LINK; /* a failed or short write cancels the sync */
        }
    }
    if (sync) {
        struct io_uring_sqe *sqe = entry(uring);
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
        io_uring_sqe_set_data64(sqe, END_SYNC);
    }
    return (length > 0 ? 1U : 0U) + (sync ? 1U : 0U);
}

static enum status take_write(const struct io_write *write, int result, size_t *done,
                              struct error *err)
{
    if (result == -EINTR) {
        return STATUS_OK;
    }
    if (result <= 0) { /* no regular file writes nothing; never spin on one that does */
        return fs_posix_write_failed(write->file, write->offset + *done,
                                     result == 0 ? EIO : -result, err);
    }
    CHECK((size_t)result <= write->data.length - *done);
    *done += (size_t)result;
    return STATUS_OK;
}

/* False if the kernel refused: then `write` is to be done by calls, from its beginning. */
static bool run_in_ring(struct io_queue_uring *uring, int fd, struct io_write *write)
{
    size_t done = 0;
    bool synced = !write->sync;
    uint64_t begin = clock_monotonic_ns(uring->clock);
    write->status = STATUS_OK;
    write->sync_ns = 0;
    while (write->status == STATUS_OK && (done < write->data.length || !synced)) {
        /* No sync asked for, or cancelled, or not tried: as if cancelled. */
        int results[ENDS_MAX] = {[END_WRITE] = -ECANCELED, [END_SYNC] = -ECANCELED};
        bool writes = done < write->data.length;
        int errnum = 0;
        if (!submit_and_reap(uring, prepare(uring, fd, write, done), results, &errnum)) {
            char cause[128];
            struct error err = ERROR_INIT;
            (void)error_set_errno(&err, errnum, "submit");
            log_write("io", LOG_WARN, "io_uring refuses, going on with posix", "cause=%s",
                      log_quote(cause, sizeof cause, err.text));
            uring->refused = true;
            return false; /* the sync is the last entry: it was not taken, so nothing is lost */
        }
        if (writes) {
            write->status = take_write(write, results[END_WRITE], &done, &write->error);
        }
        int sync = results[END_SYNC];
        if (write->status != STATUS_OK || sync == -ECANCELED || sync == -EINTR) {
            continue;
        }
        /* No second try, see fs_posix.c. */
        if (sync < 0) {
            write->status = fs_posix_sync_failed(write->file, -sync, &write->error);
        }
        synced = done == write->data.length;
    }
    write->sync_ns = write->sync ? clock_monotonic_ns(uring->clock) - begin : 0;
    return true;
}

static void run_one(struct io_queue_thread *base, struct io_write *write)
{
    struct io_queue_uring *uring = uring_of(base);
    int fd = fs_posix_descriptor(write->file);
    /* Offsets past the kernel's: file_write() says what is to be said. */
    bool in_range = write->offset <= INT64_MAX && write->data.length <= INT64_MAX - write->offset;
    if (fd < 0 || !in_range || uring->refused || !run_in_ring(uring, fd, write)) {
        io_write_by_calls(write, uring->clock);
    }
}

/* --- life --------------------------------------------------------------------------------- */

static void free_self(struct io_queue_thread *base)
{
    struct io_queue_uring *uring = uring_of(base);
    io_uring_queue_exit(&uring->ring);
    alloc_free(uring->alloc, uring);
}

/* A ring may be made and yet take nothing (seccomp), or not know what we need (before 5.6). */
static int try_ring(struct io_queue_uring *uring)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(&uring->ring);
    if (probe == NULL) {
        return EOPNOTSUPP;
    }
    bool known = io_uring_opcode_supported(probe, IORING_OP_WRITE) != 0 &&
                 io_uring_opcode_supported(probe, IORING_OP_FSYNC) != 0;
    io_uring_free_probe(probe);
    if (!known) {
        return EOPNOTSUPP;
    }
    int results[ENDS_MAX] = {0};
    int errnum = 0;
    struct io_uring_sqe *sqe = entry(uring);
    io_uring_prep_nop(sqe);
    io_uring_sqe_set_data64(sqe, END_WRITE);
    if (!submit_and_reap(uring, 1, results, &errnum)) {
        return errnum;
    }
    return -results[END_WRITE];
}

enum status io_queue_open_uring(struct alloc *alloc, struct clock *clock, struct io_queue **out,
                                struct error *err)
{
    struct io_queue_uring *uring = alloc_zeroed(alloc, 1, sizeof *uring);
    if (uring == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "open I/O queue: no memory");
    }
    uring->base.run_one = run_one;
    uring->base.free_self = free_self;
    uring->alloc = alloc;
    uring->clock = clock;
    int errnum = -io_uring_queue_init(RING_ENTRIES, &uring->ring, 0);
    if (errnum != 0) {
        alloc_free(alloc, uring);
        return error_set_errno(err, errnum, "io_uring");
    }
    errnum = try_ring(uring);
    enum status status = errnum == 0 ? io_queue_thread_start(&uring->base, err)
                                     : error_set_errno(err, errnum, "io_uring");
    if (status != STATUS_OK) {
        io_uring_queue_exit(&uring->ring);
        alloc_free(alloc, uring);
        return status;
    }
    *out = &uring->base.queue;
    return STATUS_OK;
}
