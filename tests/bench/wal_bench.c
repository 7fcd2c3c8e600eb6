/* SPDX-License-Identifier: Apache-2.0
 *
 * wal_bench: what the ways to write and fdatasync a group of the log cost. As the
 * log does it: one group at a time, into a segment that is full of zeros. The
 * ways take turns. Prints for each way and size the groups a second (median of
 * the rounds), the median and the 99th percentile of a group's time, and the
 * context switches and the CPU time of the whole process for each group.
 *
 *   wal_bench [DIRECTORY [ROUNDS]]     where its file lies (else /tmp); 25 rounds
 *
 *   posix    io_queue_open_posix: a thread that calls pwrite and fdatasync
 *   uring    io_queue_open_uring: a thread that submits both, linked, and waits
 *   eventfd  the submitter's own thread submits both and polls an eventfd: what
 *            io_uring costs where a loop that is there anyhow takes completions
 *   calls    pwrite and fdatasync on the submitter's thread, which may not wait in
 *            estreatd: the floor
 */
#include <inttypes.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fs_posix.h"
#include "base/io_queue.h"
#include "base/mpsc.h"

enum { SEGMENT_BYTES = 16 << 20, GROUPS = 100, ROUNDS_MAX = 51, BYTES_MAX = 64 << 10 };
enum way { POSIX, URING, EVENTFD, CALLS, WAYS };

static const char *const way_names[WAYS] = {"posix", "uring", "eventfd", "calls"};
static const size_t sizes[] = {1, 4 << 10, 64 << 10};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

struct bench {
    struct file *file;
    int fd;
    uint64_t offset;
    struct io_queue *queues[2];
    struct mpsc done;
    struct mpsc_node node;
    struct io_uring ring;
    int event_fd;
    uint8_t bytes[BYTES_MAX];
};

struct result {
    double groups_per_s[ROUNDS_MAX];
    uint64_t ns[ROUNDS_MAX * GROUPS];
    long switches;
    double cpu_us;
};

static uint64_t now(void)
{
    return clock_monotonic_ns(clock_system());
}

static void ok(enum status status, const struct error *err)
{
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "%s\n", err->text);
        exit(1);
    }
}

/* --- ways --------------------------------------------------------------------------------- */

static void on_done(struct io_write *write)
{
    struct bench *bench = write->context;
    mpsc_push(&bench->done, &bench->node);
}

static void by_queue(struct bench *bench, struct io_queue *queue, struct slice data)
{
    struct io_write write = {.file = bench->file,
                             .offset = bench->offset,
                             .data = data,
                             .sync = true,
                             .done = on_done,
                             .context = bench};
    io_submit(queue, &write);
    while (mpsc_pop(&bench->done) == NULL) {
        mpsc_wait(&bench->done, UINT64_MAX);
    }
    ok(write.status, &write.error);
}

static void by_eventfd(struct bench *bench, struct slice data)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&bench->ring);
    io_uring_prep_write(sqe, bench->fd, data.data, (unsigned)data.length, bench->offset);
    sqe->flags |= IOSQE_IO_LINK;
    sqe = io_uring_get_sqe(&bench->ring);
    io_uring_prep_fsync(sqe, bench->fd, IORING_FSYNC_DATASYNC);
    CHECK(io_uring_submit(&bench->ring) == 2);
    for (unsigned ended = 0; ended < 2;) {
        struct pollfd wanted = {.fd = bench->event_fd, .events = POLLIN};
        uint64_t count;
        CHECK(poll(&wanted, 1, -1) == 1);
        CHECK(read(bench->event_fd, &count, sizeof count) == sizeof count);
        struct io_uring_cqe *cqe;
        while (io_uring_peek_cqe(&bench->ring, &cqe) == 0) {
            CHECK(cqe->res >= 0);
            io_uring_cqe_seen(&bench->ring, cqe);
            ended++;
        }
    }
}

static void by_calls(struct bench *bench, struct slice data)
{
    struct error err = ERROR_INIT;
    ok(file_write(bench->file, bench->offset, data, &err), &err);
    ok(file_sync(bench->file, &err), &err);
}

static void write_group(struct bench *bench, enum way way, struct slice data)
{
    if (bench->offset + data.length > SEGMENT_BYTES) {
        bench->offset = 0;
    }
    switch (way) {
    case EVENTFD:
        by_eventfd(bench, data);
        break;
    case CALLS:
        by_calls(bench, data);
        break;
    default:
        by_queue(bench, bench->queues[way], data);
    }
    bench->offset += data.length;
}

/* --- measuring ---------------------------------------------------------------------------- */

static double cpu_us(const struct rusage *usage)
{
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1e6 +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
}

static void measure(struct bench *bench, enum way way, size_t size, int round, struct result *out)
{
    struct rusage before;
    struct rusage after;
    struct slice data = slice_of(bench->bytes, size);
    CHECK(getrusage(RUSAGE_SELF, &before) == 0);
    uint64_t began = now();
    for (int i = 0; i < GROUPS; i++) {
        uint64_t group = now();
        write_group(bench, way, data);
        out->ns[round * GROUPS + i] = now() - group;
    }
    out->groups_per_s[round] = GROUPS * 1e9 / (double)(now() - began);
    CHECK(getrusage(RUSAGE_SELF, &after) == 0);
    out->switches += after.ru_nvcsw + after.ru_nivcsw - before.ru_nvcsw - before.ru_nivcsw;
    out->cpu_us += cpu_us(&after) - cpu_us(&before);
}

static int by_double(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static int by_ns(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Of the sorted times of all groups, in us. */
static double us_at(const struct result *result, size_t index)
{
    return (double)result->ns[index] / 1000;
}

static void report(enum way way, size_t size, int rounds, struct result *result)
{
    size_t groups = (size_t)rounds * GROUPS;
    qsort(result->groups_per_s, (size_t)rounds, sizeof result->groups_per_s[0], by_double);
    qsort(result->ns, groups, sizeof result->ns[0], by_ns);
    printf("%-8s %6zu bytes %8.0f groups/s (%.0f to %.0f)  p50 %6.0f us  p99 %6.0f us  "
           "%5.2f switches  %5.0f us CPU\n",
           way_names[way], size, result->groups_per_s[rounds / 2], result->groups_per_s[0],
           result->groups_per_s[rounds - 1], us_at(result, groups / 2),
           us_at(result, groups * 99 / 100), (double)result->switches / (double)groups,
           result->cpu_us / (double)groups);
}

static void open_all(struct bench *bench, const char *path)
{
    static const uint8_t zeros[1 << 20];
    struct error err = ERROR_INIT;
    ok(fs_open(fs_posix(), path, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNCATE, &bench->file, &err),
       &err);
    for (uint64_t at = 0; at < SEGMENT_BYTES; at += sizeof zeros) {
        ok(file_write(bench->file, at, slice_of(zeros, sizeof zeros), &err), &err);
    }
    ok(file_sync(bench->file, &err), &err);
    bench->fd = fs_posix_descriptor(bench->file);
    mpsc_init(&bench->done);
    ok(io_queue_open_posix(alloc_default(), clock_system(), &bench->queues[POSIX], &err), &err);
    ok(io_queue_open_uring(alloc_default(), clock_system(), &bench->queues[URING], &err), &err);
    CHECK(io_uring_queue_init(4, &bench->ring, 0) == 0);
    bench->event_fd = eventfd(0, EFD_CLOEXEC);
    CHECK(bench->event_fd >= 0);
    CHECK(io_uring_register_eventfd(&bench->ring, bench->event_fd) == 0);
    memset(bench->bytes, 'x', sizeof bench->bytes);
}

static void close_all(struct bench *bench, const char *path)
{
    struct error err = ERROR_INIT;
    io_queue_close(bench->queues[POSIX]);
    io_queue_close(bench->queues[URING]);
    io_uring_queue_exit(&bench->ring);
    (void)close(bench->event_fd);
    file_close(bench->file);
    ok(fs_unlink(fs_posix(), path, &err), &err);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    static struct result results[SIZES][WAYS];
    char path[PATH_BYTES_MAX];
    char name[64];
    struct error err = ERROR_INIT;
    int rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 25;
    CHECK(rounds > 0 && rounds <= ROUNDS_MAX);
    (void)snprintf(name, sizeof name, "wal_bench.%ld", (long)getpid());
    ok(path_join(path, argc > 1 ? argv[1] : "/tmp", name, &err), &err);
    open_all(&bench, path);
    for (int round = 0; round < rounds; round++) {
        for (int size = 0; size < SIZES; size++) {
            for (int i = 0; i < WAYS; i++) {
                int way = (i + round) % WAYS;
                measure(&bench, (enum way)way, sizes[size], round, &results[size][way]);
            }
        }
    }
    for (int size = 0; size < SIZES; size++) {
        for (int way = 0; way < WAYS; way++) {
            report((enum way)way, sizes[size], rounds, &results[size][way]);
        }
    }
    close_all(&bench, path);
    return 0;
}
