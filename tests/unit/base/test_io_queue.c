/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/test.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/io_queue.h"
#include "base/mpsc.h"
#include "testlib/clock_manual.h"
#include "testlib/fail_alloc.h"
#include "testlib/fs_crash.h"
#include "testlib/fs_faulty.h"
#include "testlib/io_queue_manual.h"

enum { WRITES = 200 };

struct op {
    struct io_write write;
    struct mpsc_node node;
};

static void hand_over(struct io_write *write)
{
    struct op *op = (struct op *)((char *)write - offsetof(struct op, write));
    mpsc_push(write->context, &op->node);
}

static struct op *take(struct mpsc *queue)
{
    for (;;) {
        struct mpsc_node *node = mpsc_pop(queue);
        if (node != NULL) {
            return (struct op *)((char *)node - offsetof(struct op, node));
        }
        mpsc_wait(queue, UINT64_MAX);
    }
}

typedef enum status open_fn(struct alloc *alloc, struct clock *clock, struct io_queue **out,
                            struct error *err);

/* The io_uring form writes files that are not the kernel's by their own calls. */
static open_fn *opener(const enum io_form *form)
{
    struct io_queue *queue = NULL;
    struct error err = ERROR_INIT;
    if (*form == IO_POSIX) {
        return io_queue_open_posix;
    }
    if (io_queue_open_uring(alloc_default(), clock_system(), &queue, &err) != STATUS_OK) {
        print_message("skipped: %s\n", err.text);
        skip();
    }
    io_queue_close(queue);
    return io_queue_open_uring;
}

struct fixture {
    struct fs_crash *crash;
    struct fs_faulty faulty;
    struct file *file;
    struct mpsc done;
    struct error err;
};

static void fixture_init(struct fixture *fixture)
{
    fixture->crash = fs_crash_new();
    fs_faulty_init(&fixture->faulty, fs_crash_fs(fixture->crash));
    assert_ok(fs_open(&fixture->faulty.fs, "wal", FS_READ | FS_WRITE | FS_CREATE, &fixture->file,
                      &fixture->err),
              &fixture->err);
    mpsc_init(&fixture->done);
}

static void fixture_release(struct fixture *fixture)
{
    file_close(fixture->file);
    fs_faulty_release(&fixture->faulty);
    fs_crash_free(fixture->crash);
}

static void op_init(struct op *op, struct fixture *fixture, uint64_t offset, const char *text)
{
    *op = (struct op){.write = {.file = fixture->file,
                                .offset = offset,
                                .data = slice_of_string(text),
                                .sync = true,
                                .done = hand_over,
                                .context = &fixture->done}};
}

static void assert_text(struct fixture *fixture, const char *text)
{
    char bytes[64];
    size_t length = 0;
    assert_ok(file_read(fixture->file, 0, bytes, sizeof bytes, &length, &fixture->err),
              &fixture->err);
    assert_int_equal(length, strlen(text));
    assert_memory_equal(bytes, text, length);
}

/* All complete, in the order in which they were submitted: the last write to a place wins. */
static void test_first_in_first_out(void **state)
{
    open_fn *open = opener(*state);
    struct fixture fixture;
    struct io_queue *queue = NULL;
    static struct op ops[WRITES];
    fixture_init(&fixture);
    assert_ok(open(alloc_default(), clock_system(), &queue, &fixture.err), &fixture.err);
    for (int i = 0; i < WRITES; i++) {
        op_init(&ops[i], &fixture, 0, i == WRITES - 1 ? "last" : "than");
        io_submit(queue, &ops[i].write);
    }
    for (int i = 0; i < WRITES; i++) {
        assert_ptr_equal(take(&fixture.done), &ops[i]);
        assert_int_equal(ops[i].write.status, STATUS_OK);
    }
    io_queue_close(queue);
    assert_text(&fixture, "last");
    assert_int_equal(fs_faulty_calls(&fixture.faulty, FS_CALL_SYNC), WRITES);
    fixture_release(&fixture);
}

/* Closing waits for everything that was submitted. */
static void test_close_completes_all(void **state)
{
    open_fn *open = opener(*state);
    struct fixture fixture;
    struct io_queue *queue = NULL;
    struct fail_alloc fail;
    static struct op ops[WRITES];
    fail_alloc_init(&fail);
    fixture_init(&fixture);
    assert_ok(open(&fail.alloc, clock_system(), &queue, &fixture.err), &fixture.err);
    for (int i = 0; i < WRITES; i++) {
        op_init(&ops[i], &fixture, 0, "x");
        io_submit(queue, &ops[i].write);
    }
    io_queue_close(queue);
    for (int i = 0; i < WRITES; i++) {
        assert_non_null(mpsc_pop(&fixture.done));
    }
    io_queue_close(NULL);
    fail_alloc_release(&fail);
    fail_alloc_init(&fail);
    fail_alloc_arm(&fail, 0);
    assert_status(open(&fail.alloc, clock_system(), &queue, &fixture.err),
                  STATUS_RESOURCE_EXHAUSTED, &fixture.err);
    fail_alloc_release(&fail);
    fixture_release(&fixture);
}

/* A failed write is not synced, a failed sync is told, and later operations still run. */
static void test_errors(void **state)
{
    open_fn *open = opener(*state);
    struct fixture fixture;
    struct io_queue *queue = NULL;
    struct op op;
    fixture_init(&fixture);
    assert_ok(open(alloc_default(), clock_system(), &queue, &fixture.err), &fixture.err);
    fs_faulty_arm(&fixture.faulty, (struct fs_fault){.call = FS_CALL_WRITE, .errnum = ENOSPC});
    op_init(&op, &fixture, 0, "lost");
    io_submit(queue, &op.write);
    (void)take(&fixture.done);
    assert_int_equal(op.write.status, STATUS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(op.write.error.text, "wal"));
    assert_int_equal(fs_faulty_calls(&fixture.faulty, FS_CALL_SYNC), 0);

    fs_faulty_arm(&fixture.faulty, (struct fs_fault){.call = FS_CALL_SYNC});
    op_init(&op, &fixture, 0, "unsynced");
    io_submit(queue, &op.write);
    (void)take(&fixture.done);
    assert_int_equal(op.write.status, STATUS_INTERNAL);

    op_init(&op, &fixture, 0, "fine-now");
    op.write.sync = false;
    io_submit(queue, &op.write);
    (void)take(&fixture.done);
    assert_int_equal(op.write.status, STATUS_OK);
    assert_text(&fixture, "fine-now");
    io_queue_close(queue);
    fixture_release(&fixture);
}

/* No bytes, only a sync: it is how a segment's own creation is made durable. */
static void test_only_a_sync(void **state)
{
    open_fn *open = opener(*state);
    struct fixture fixture;
    struct io_queue *queue = NULL;
    struct op op;
    fixture_init(&fixture);
    assert_ok(open(alloc_default(), clock_system(), &queue, &fixture.err), &fixture.err);
    op_init(&op, &fixture, 0, "");
    io_submit(queue, &op.write);
    (void)take(&fixture.done);
    assert_int_equal(op.write.status, STATUS_OK);
    assert_int_equal(fs_faulty_calls(&fixture.faulty, FS_CALL_WRITE), 0);
    assert_int_equal(fs_faulty_calls(&fixture.faulty, FS_CALL_SYNC), 1);
    io_queue_close(queue);
    fixture_release(&fixture);
}

/* The manual queue does nothing until told, then one operation at a time, oldest first. */
static void test_manual(void **state)
{
    (void)state;
    struct fixture fixture;
    struct io_queue_manual io;
    struct clock_manual clock;
    struct op ops[4];
    static const char *const texts[] = {"one", "two", "six", "ten"};
    fixture_init(&fixture);
    clock_manual_init(&clock, 0);
    io_queue_manual_init(&io, &clock.clock);
    for (int i = 0; i < 4; i++) {
        op_init(&ops[i], &fixture, 0, texts[i]);
        io_submit(&io.queue, &ops[i].write);
    }
    assert_int_equal(io_queue_manual_pending(&io), 4);
    assert_null(mpsc_pop(&fixture.done));
    assert_text(&fixture, "");
    assert_true(io_queue_manual_complete(&io));
    assert_ptr_equal(take(&fixture.done), &ops[0]);
    assert_text(&fixture, "one");
    assert_true(io_queue_manual_fail(&io, EIO, false));
    assert_ptr_equal(take(&fixture.done), &ops[1]);
    assert_int_equal(ops[1].write.status, STATUS_INTERNAL);
    assert_text(&fixture, "one");
    assert_true(io_queue_manual_fail(&io, EIO, true));
    assert_int_equal(take(&fixture.done)->write.status, STATUS_INTERNAL);
    assert_text(&fixture, "six");
    io_queue_manual_forget(&io);
    assert_int_equal(io_queue_manual_pending(&io), 0);
    assert_false(io_queue_manual_complete(&io));
    assert_null(mpsc_pop(&fixture.done));
    io_submit(&io.queue, &ops[3].write);
    io_queue_close(&io.queue);
    assert_text(&fixture, "ten");
    fixture_release(&fixture);
}

int main(void)
{
    static enum io_form posix = IO_POSIX;
    static enum io_form uring = IO_URING;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_first_in_first_out, &posix),
        cmocka_unit_test_prestate(test_first_in_first_out, &uring),
        cmocka_unit_test_prestate(test_close_completes_all, &posix),
        cmocka_unit_test_prestate(test_close_completes_all, &uring),
        cmocka_unit_test_prestate(test_errors, &posix),
        cmocka_unit_test_prestate(test_errors, &uring),
        cmocka_unit_test_prestate(test_only_a_sync, &posix),
        cmocka_unit_test_prestate(test_only_a_sync, &uring),
        cmocka_unit_test(test_manual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
