/* SPDX-License-Identifier: Apache-2.0
 *
 * The posix and the io_uring form on real files: the same bytes, the same errors. Where the kernel
 * has no io_uring, posix and the fallback are tested all the same. The program is linked so that
 * what the ring submits passes through this file.
 */
#include "testlib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/io_queue.h"
#include "base/limits.h"
#include "base/mpsc.h"
#include "testlib/temp_dir.h"

enum { WRITES = 100, PIECE_BYTES = 5000, LARGE_BYTES = 3 << 20 };

struct op {
    struct io_write write;
    struct mpsc done;
    struct mpsc_node node;
};

static void hand_over(struct io_write *write)
{
    struct op *op = (struct op *)((char *)write - offsetof(struct op, write));
    mpsc_push(&op->done, &op->node);
}

static void op_init(struct op *op, struct file *file, uint64_t offset, struct slice data, bool sync)
{
    *op = (struct op){
        .write = {.file = file, .offset = offset, .data = data, .sync = sync, .done = hand_over}};
    mpsc_init(&op->done);
}

static void op_wait(struct op *op)
{
    while (mpsc_pop(&op->done) == NULL) {
        mpsc_wait(&op->done, UINT64_MAX);
    }
}

static void run(struct io_queue *queue, struct op *op)
{
    io_submit(queue, &op->write);
    op_wait(op);
}

/* False, and says why, where the kernel refuses. */
static bool have_uring(void)
{
    struct io_queue *queue = NULL;
    struct error err = ERROR_INIT;
    if (io_queue_open_uring(alloc_default(), clock_system(), &queue, &err) != STATUS_OK) {
        print_message("skipped: %s\n", err.text);
        return false;
    }
    io_queue_close(queue);
    return true;
}

static void need_uring(void)
{
    if (!have_uring()) {
        skip();
    }
}

static struct io_queue *open_form(enum io_form form)
{
    struct io_queue *queue = NULL;
    struct error err = ERROR_INIT;
    assert_ok(form == IO_URING ? io_queue_open_uring(alloc_default(), clock_system(), &queue, &err)
                               : io_queue_open_posix(alloc_default(), clock_system(), &queue, &err),
              &err);
    return queue;
}

static struct file *open_file(const char *path, int flags)
{
    struct file *file = NULL;
    struct error err = ERROR_INIT;
    assert_ok(fs_open(fs_posix(), path, flags, &file, &err), &err);
    return file;
}

/* --- what works --------------------------------------------------------------------------- */

static void write_and_compare(enum io_form form, struct temp_dir *dir)
{
    static uint8_t bytes[LARGE_BYTES];
    static uint8_t back[LARGE_BYTES];
    static struct op ops[WRITES + 3]; /* each used once: see mpsc.h, "Life" */
    struct error err = ERROR_INIT;
    size_t length = 0;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    }
    struct file *file = open_file(temp_dir_path(dir, "file"), FS_READ | FS_WRITE | FS_CREATE);
    struct io_queue *queue = open_form(form);
    /* Many at once, each over half of the one before: their order shows. */
    for (unsigned i = 0; i < WRITES; i++) {
        uint64_t offset = (uint64_t)i * (PIECE_BYTES / 2);
        op_init(&ops[i], file, offset, slice_of(bytes + i, PIECE_BYTES), i % 3 != 0);
        io_submit(queue, &ops[i].write);
    }
    for (unsigned i = 0; i < WRITES; i++) {
        op_wait(&ops[i]);
        assert_ok(ops[i].write.status, &ops[i].write.error);
        assert_int_equal(ops[i].write.sync_ns > 0, i % 3 != 0);
    }
    for (unsigned i = 0; i < WRITES; i++) {
        size_t rest = i == WRITES - 1 ? PIECE_BYTES : PIECE_BYTES / 2;
        assert_ok(file_read(file, (uint64_t)i * (PIECE_BYTES / 2), back, rest, &length, &err),
                  &err);
        assert_int_equal(length, rest);
        assert_memory_equal(back, bytes + i, rest);
    }
    op_init(&ops[WRITES], file, 12345, slice_of(bytes, sizeof bytes), true);
    op_init(&ops[WRITES + 1], file, 0, slice_of("", 0), true);
    op_init(&ops[WRITES + 2], file, 0, slice_of("", 0), false);
    for (unsigned i = WRITES; i < WRITES + 3; i++) {
        run(queue, &ops[i]);
        assert_ok(ops[i].write.status, &ops[i].write.error);
    }
    assert_ok(file_read(file, 12345, back, sizeof back, &length, &err), &err);
    assert_int_equal(length, sizeof back);
    assert_memory_equal(back, bytes, sizeof back);
    io_queue_close(queue);
    file_close(file);
}

/* What is written is there, in the order of submission, whole, at any size. */
static void test_bytes_by_posix(void **state)
{
    write_and_compare(IO_POSIX, *state);
}

static void test_bytes_by_uring(void **state)
{
    need_uring();
    write_and_compare(IO_URING, *state);
}

/* --- what fails --------------------------------------------------------------------------- */

static void assert_same_error(struct file *file, uint64_t offset, struct slice data,
                              const char *said)
{
    struct op ops[2];
    int last = have_uring() ? IO_URING : IO_POSIX;
    for (int form = IO_POSIX; form <= last; form++) {
        struct io_queue *queue = open_form((enum io_form)form);
        op_init(&ops[form], file, offset, data, true);
        run(queue, &ops[form]);
        io_queue_close(queue);
        if (strstr(ops[form].write.error.text, said) == NULL) {
            fail_msg("form %d: \"%s\" does not say \"%s\"", form, ops[form].write.error.text, said);
        }
        assert_int_not_equal(ops[form].write.status, STATUS_OK);
    }
    assert_int_equal(ops[last].write.status, ops[IO_POSIX].write.status);
    assert_string_equal(ops[last].write.error.text, ops[IO_POSIX].write.error.text);
}

/* File, offset and cause are said alike. */
static void test_errors_alike(void **state)
{
    struct temp_dir *dir = *state;
    struct slice text = slice_of_string("text");
    struct file *file = open_file("/dev/full", FS_WRITE);
    assert_same_error(file, 7, text, "write /dev/full at 7: No space left on device");
    file_close(file);
    file = open_file("/dev/null", FS_WRITE);
    assert_same_error(file, 0, text, "fdatasync /dev/null: Invalid argument");
    assert_same_error(file, 0, slice_of("", 0), "fdatasync /dev/null: Invalid argument");
    file_close(file);
    const char *path = temp_dir_path(dir, "file");
    file_close(open_file(path, FS_WRITE | FS_CREATE));
    file = open_file(path, FS_READ);
    assert_same_error(file, 3, text, "file at 3: Bad file descriptor");
    file_close(file);
    file = open_file(path, FS_WRITE);
    assert_same_error(file, UINT64_MAX, text, "past the largest file");
    assert_same_error(file, INT64_MAX - 1, text, "past the largest file");
    file_close(file);
}

/* What goes over is not written: a write that begins below is short. */
static void limit_files(rlim_t bytes)
{
    const struct rlimit limit = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A short write is continued: what still has room is written, then the error names its place. */
static void test_short_write(void **state)
{
    static uint8_t bytes[4 * PIECE_BYTES];
    struct error err = ERROR_INIT;
    uint64_t size = 0;
    struct file *file = open_file(temp_dir_path(*state, "file"), FS_READ | FS_WRITE | FS_CREATE);
    limit_files(PIECE_BYTES);
    assert_same_error(file, 1000, slice_of(bytes, sizeof bytes), "file at 5000: File too large");
    limit_files(RLIM_INFINITY);
    assert_ok(file_size(file, &size, &err), &err);
    assert_int_equal(size, PIECE_BYTES);
    file_close(file);
}

/* --- what the kernel is given ------------------------------------------------------------- */

enum { SUBMISSIONS_MAX = 8 };

/* A write and its sync that were submitted together, and what became of them. */
struct submission {
    bool linked;
    int write;
    int sync;
};

/* By the thread of the ring; read when the operation is done. */
static struct submission submissions[SUBMISSIONS_MAX];
static unsigned submission_count;

/* Names that the linker gives, see CMakeLists.txt. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
int __real_io_uring_submit_and_wait(struct io_uring *ring, unsigned wait_nr);
int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned wait_nr);

/* Looks at what is submitted and at what the kernel answers, and takes neither. */
int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned wait_nr)
{
    struct submission submission = {.write = INT_MAX, .sync = INT_MAX};
    unsigned first = ring->sq.sqe_head;
    unsigned count = ring->sq.sqe_tail - first;
    const struct io_uring_sqe *write = &ring->sq.sqes[first & ring->sq.ring_mask];
    const struct io_uring_sqe *sync = &ring->sq.sqes[(first + 1) & ring->sq.ring_mask];
    bool pair = count == 2 && write->opcode == IORING_OP_WRITE && sync->opcode == IORING_OP_FSYNC;
    submission.linked = pair && (write->flags & IOSQE_IO_LINK) != 0;
    uint64_t write_data = write->user_data;
    int result = __real_io_uring_submit_and_wait(ring, wait_nr);
    struct io_uring_cqe *cqe = NULL;
    unsigned head = 0;
    io_uring_for_each_cqe(ring, head, cqe)
    {
        if (cqe->user_data == write_data) {
            submission.write = cqe->res;
        } else {
            submission.sync = cqe->res;
        }
    }
    if (pair && submission_count < SUBMISSIONS_MAX) {
        submissions[submission_count++] = submission;
    }
    return result;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* Runs one operation with a sync in the ring, with `submissions` emptied before. */
static void submit_once(struct file *file, struct slice data)
{
    struct op op;
    struct io_queue *queue = open_form(IO_URING);
    submission_count = 0;
    op_init(&op, file, 0, data, true);
    run(queue, &op);
    io_queue_close(queue);
}

/* A sync waits for its write, and does not run when that failed or was short: else it could make
 * durable, and call so, what is not all there. */
static void test_sync_is_linked(void **state)
{
    need_uring();
    static uint8_t bytes[2 * PIECE_BYTES];
    struct file *file = open_file(temp_dir_path(*state, "file"), FS_READ | FS_WRITE | FS_CREATE);
    submit_once(file, slice_of(bytes, sizeof bytes));
    assert_int_equal(submission_count, 1);
    assert_true(submissions[0].linked);
    assert_int_equal(submissions[0].write, sizeof bytes);
    assert_int_equal(submissions[0].sync, 0);

    limit_files(PIECE_BYTES);
    submit_once(file, slice_of(bytes, sizeof bytes));
    limit_files(RLIM_INFINITY);
    file_close(file);
    assert_int_equal(submission_count, 2); /* what was there, and the rest */
    assert_int_equal(submissions[0].write, PIECE_BYTES);
    assert_int_equal(submissions[0].sync, -ECANCELED);
    assert_int_equal(submissions[1].write, -EFBIG);
    assert_int_equal(submissions[1].sync, -ECANCELED);

    file = open_file("/dev/full", FS_WRITE);
    submit_once(file, slice_of(bytes, sizeof bytes));
    file_close(file);
    assert_int_equal(submission_count, 1);
    assert_int_equal(submissions[0].write, -ENOSPC);
    assert_int_equal(submissions[0].sync, -ECANCELED);
}

/* --- what the kernel refuses -------------------------------------------------------------- */

/* From here on `call` (and `other`) gives `errnum` to every thread of this process. */
static void refuse(long call, long other, unsigned errnum)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)other, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | errnum),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0);
}

/* In a process of its own, since a filter stays. Its log must be `lines`, but for their times. */
static void in_child(void (*check)(const char *path), struct temp_dir *dir, const char *lines)
{
    static const size_t time_bytes = sizeof "2026-11-22T14:05:06.123456Z " - 1;
    const char *path = temp_dir_path(dir, "file");
    const char *log = temp_dir_path(dir, "log");
    struct buf said;
    struct error err = ERROR_INIT;
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
        CHECK(fd >= 0);
        CHECK(dup2(fd, STDERR_FILENO) >= 0);
        check(path);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    buf_init(&said, alloc_default(), 64 * KIB);
    assert_ok(fs_read_file(fs_posix(), log, &said, &err), &err);
    buf_put_u8(&said, 0);
    if (status != 0) {
        fail_msg("status %d: %s", status, (const char *)said.data);
    }
    for (const char *line = (const char *)said.data; *line != '\0';) {
        size_t length = strcspn(line, "\n") + 1;
        size_t wanted = strcspn(lines, "\n") + 1;
        if (*lines == '\0' || length != time_bytes + wanted ||
            memcmp(line + time_bytes, lines, wanted) != 0) {
            fail_msg("\"%.*s\" instead of \"%.*s\"", (int)length - 1, line, (int)wanted - 1, lines);
        }
        line += length;
        lines += wanted;
    }
    assert_string_equal(lines, ""); /* no line is missing */
    buf_release(&said);
}

static struct io_queue *child_opens(enum io_form form, struct op *op, const char *path)
{
    struct io_queue *queue = NULL;
    struct file *file = NULL;
    CHECK(fs_open(fs_posix(), path, FS_READ | FS_WRITE | FS_CREATE, &file, NULL) == STATUS_OK);
    CHECK(io_queue_open(alloc_default(), clock_system(), form, &queue, NULL) == STATUS_OK);
    op_init(op, file, 0, slice_of_string("text"), true);
    return queue;
}

static void child_ends(struct io_queue *queue, struct op *op, enum status expected)
{
    run(queue, op);
    CHECK(op->write.status == expected);
    io_queue_close(queue);
    file_close(op->write.file);
}

static void with_no_ring(const char *path)
{
    struct error err = ERROR_INIT;
    struct io_queue *queue = NULL;
    struct op op;
    refuse(SYS_io_uring_setup, SYS_io_uring_setup, EPERM);
    CHECK(io_queue_open_uring(alloc_default(), clock_system(), &queue, &err) ==
          STATUS_PERMISSION_DENIED);
    CHECK(strstr(err.text, "io_uring: Operation not permitted") != NULL);
    queue = child_opens(IO_URING, &op, path);
    child_ends(queue, &op, STATUS_OK);
}

static void with_a_ring_that_takes_nothing(const char *path)
{
    struct op op;
    refuse(SYS_io_uring_enter, SYS_io_uring_enter, ENOSYS);
    struct io_queue *queue = child_opens(IO_URING, &op, path);
    child_ends(queue, &op, STATUS_OK);
}

static void with_a_ring_that_is_refused_later(const char *path)
{
    struct op ops[3];
    struct io_queue *queue = child_opens(IO_URING, &ops[0], path);
    run(queue, &ops[0]);
    CHECK(ops[0].write.status == STATUS_OK);
    refuse(SYS_io_uring_enter, SYS_io_uring_enter, EPERM);
    op_init(&ops[1], ops[0].write.file, 0, slice_of_string("text"), true);
    run(queue, &ops[1]);
    CHECK(ops[1].write.status == STATUS_OK);
    op_init(&ops[2], ops[0].write.file, 0, slice_of_string("text"), true);
    child_ends(queue, &ops[2], STATUS_OK);
}

static void posix_makes_calls(const char *path)
{
    struct op op;
    struct io_queue *queue = child_opens(IO_POSIX, &op, path);
    refuse(SYS_pwrite64, SYS_fdatasync, EIO);
    child_ends(queue, &op, STATUS_INTERNAL);
}

/* Where pwrite and fdatasync fail, the ring's operations do not: so it is the ring that does them.
 */
static void ring_needs_no_calls(const char *path)
{
    struct op op;
    struct io_queue *queue = child_opens(IO_URING, &op, path);
    refuse(SYS_pwrite64, SYS_fdatasync, EIO);
    child_ends(queue, &op, STATUS_OK);
    queue = child_opens(IO_POSIX, &op, path);
    child_ends(queue, &op, STATUS_INTERNAL);
}

/* Refused at the start: posix serves, and the log says so and why. */
static void test_refused(void **state)
{
    in_child(with_no_ring, *state,
             "warn io \"log writes\" by=posix why=\"io_uring: Operation not permitted\"\n");
}

/* Refused at the first operation or in the middle: posix goes on, nothing is lost, and the log says
 * it once. */
static void test_refused_later(void **state)
{
    need_uring();
    in_child(with_a_ring_that_takes_nothing, *state,
             "warn io \"log writes\" by=posix why=\"io_uring: Function not implemented\"\n");
    in_child(with_a_ring_that_is_refused_later, *state,
             "info io \"log writes\" by=io_uring\n"
             "warn io \"io_uring refuses, going on with posix\" "
             "cause=\"submit: Operation not permitted\"\n");
}

/* Each form is the one that was asked for, and the log says which. */
static void test_ring_is_used(void **state)
{
    need_uring();
    in_child(ring_needs_no_calls, *state,
             "info io \"log writes\" by=io_uring\n"
             "info io \"log writes\" by=posix why=\"as set\"\n");
}

static void test_posix_as_set(void **state)
{
    in_child(posix_makes_calls, *state, "info io \"log writes\" by=posix why=\"as set\"\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bytes_by_posix, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_bytes_by_uring, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_errors_alike, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_short_write, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_sync_is_linked, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_refused, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_refused_later, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_posix_as_set, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_ring_is_used, temp_dir_setup, temp_dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
