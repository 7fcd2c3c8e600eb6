/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/lines.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/rng.h"
#include "testlib/temp_dir.h"
#include "testlib/test.h"

enum { EVENTS_MAX = 1024 };

static int file_with(struct temp_dir *dir, const void *data, size_t length)
{
    const char *path = temp_dir_path(dir, "lines");
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, length), length);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/* Takes all lines, each followed by a newline, into `out`. */
static size_t take_all(struct lines *lines, size_t max, struct buf *out)
{
    static struct estreat_new_event events[EVENTS_MAX];
    struct error err = ERROR_INIT;
    size_t total = 0;
    while (!lines_done(lines)) {
        size_t count;
        size_t bytes = 0;
        if (lines_want_more(lines)) {
            assert_ok(lines_fill(lines, &err), &err);
        }
        assert_ok(lines_take(lines, estreat_text("k"), events, max, &count, &err), &err);
        assert_true(count <= max);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(events[i].key.length, 1);
            buf_append(out, events[i].payload.data, events[i].payload.length);
            buf_put_u8(out, '\n');
            bytes += events[i].payload.length + 1;
        }
        assert_true(count <= 1 || bytes <= LINES_BATCH_BYTES_MAX);
        total += count;
    }
    assert_false(buf_failed(out));
    return total;
}

/* CR, NUL and empty lines stay; only the LF goes; the last line needs none. */
static void test_odd_lines(void **state)
{
    static const char text[] = "plain\r\n\n\0nul\0\n\nlast";
    struct temp_dir *dir = *state;
    struct lines lines;
    struct buf out;
    int fd = file_with(dir, text, sizeof text - 1);
    buf_init(&out, alloc_default(), 1 * MIB);
    lines_init(&lines, "lines", fd);
    assert_int_equal(take_all(&lines, EVENTS_MAX, &out), 5);
    assert_int_equal(lines.bytes_given, sizeof text - 1);
    assert_int_equal(out.length, sizeof text);
    assert_memory_equal(out.data, text, sizeof text - 1);
    lines_release(&lines);
    buf_release(&out);
    (void)close(fd);
}

/* A file without lines has none; one with an LF alone has one, which is empty. */
static void test_small_files(void **state)
{
    static const struct {
        const char *text;
        size_t lines;
    } cases[] = {{"", 0}, {"\n", 1}, {"\n\n", 2}, {"a", 1}, {"a\n", 1}, {"a\n\n", 2}};
    struct temp_dir *dir = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lines lines;
        struct buf out;
        int fd = file_with(dir, cases[i].text, strlen(cases[i].text));
        buf_init(&out, alloc_default(), 1 * MIB);
        lines_init(&lines, "lines", fd);
        assert_int_equal(take_all(&lines, EVENTS_MAX, &out), cases[i].lines);
        lines_release(&lines);
        buf_release(&out);
        (void)close(fd);
    }
}

/* Whatever the sizes of lines and batches: put together again, they are the file. */
static void test_random_files(void **state)
{
    enum { BYTES = 3 * 1024 * 1024 };
    static uint8_t data[BYTES + 1];
    struct temp_dir *dir = *state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    for (int round = 0; round < 6; round++) {
        struct lines lines;
        struct buf out;
        size_t at = 0;
        while (at < BYTES) {
            size_t length = (size_t)rng_below(&seeded.rng, round % 2 == 0 ? 300 : 200000);
            length = length < BYTES - at - 1 ? length : BYTES - at - 1;
            memset(data + at, 'a' + (int)(at % 26), length);
            at += length;
            data[at++] = '\n';
        }
        int fd = file_with(dir, data, BYTES);
        buf_init(&out, alloc_default(), 2 * BYTES);
        lines_init(&lines, "lines", fd);
        (void)take_all(&lines, 1 + (size_t)rng_below(&seeded.rng, EVENTS_MAX), &out);
        assert_int_equal(out.length, BYTES);
        assert_memory_equal(out.data, data, BYTES);
        /* And once more from the beginning. */
        struct error err = ERROR_INIT;
        assert_ok(lines_rewind(&lines, &err), &err);
        buf_clear(&out);
        (void)take_all(&lines, EVENTS_MAX, &out);
        assert_memory_equal(out.data, data, BYTES);
        lines_release(&lines);
        buf_release(&out);
        (void)close(fd);
    }
}

/* A line of the most bytes is an event. One more byte is refused by its number, after the lines
 * before it were given out, and the same without an LF behind it. */
static void test_too_long(void **state)
{
    static char data[PAYLOAD_BYTES_MAX * 2 + 100];
    static struct estreat_new_event events[EVENTS_MAX];
    struct temp_dir *dir = *state;
    for (int with_newline = 0; with_newline < 2; with_newline++) {
        struct lines lines;
        struct error err = ERROR_INIT;
        size_t count;
        memset(data, 'x', sizeof data);
        data[PAYLOAD_BYTES_MAX] = '\n';
        data[PAYLOAD_BYTES_MAX + 2] = '\n';
        size_t length = PAYLOAD_BYTES_MAX + 3 + PAYLOAD_BYTES_MAX + 1;
        if (with_newline == 1) {
            data[length++] = '\n';
        }
        int fd = file_with(dir, data, length);
        lines_init(&lines, "some.log", fd);
        size_t taken = 0;
        enum status status = STATUS_OK;
        while (status == STATUS_OK) {
            if (lines_want_more(&lines)) {
                assert_ok(lines_fill(&lines, &err), &err);
            }
            status = lines_take(&lines, estreat_text("k"), events, EVENTS_MAX, &count, &err);
            taken += status == STATUS_OK ? count : 0;
        }
        assert_int_equal(status, STATUS_INVALID_ARGUMENT);
        assert_int_equal(taken, 2);
        assert_non_null(strstr(err.text, "some.log:3:"));
        lines_release(&lines);
        (void)close(fd);
    }
}

/* A pipe gives what is there; a line that is not whole waits for its rest. */
static void test_pipe(void **state)
{
    static struct estreat_new_event events[EVENTS_MAX];
    struct error err = ERROR_INIT;
    struct lines lines;
    size_t count;
    int fds[2];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    lines_init(&lines, "stdin", fds[0]);
    assert_false(lines_readable(&lines));
    assert_int_equal(write(fds[1], "one\ntw", 6), 6);
    assert_true(lines_readable(&lines));
    assert_ok(lines_fill(&lines, &err), &err);
    assert_ok(lines_take(&lines, estreat_text("k"), events, EVENTS_MAX, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_ok(lines_take(&lines, estreat_text("k"), events, EVENTS_MAX, &count, &err), &err);
    assert_int_equal(count, 0);
    assert_int_equal(write(fds[1], "o", 1), 1);
    assert_int_equal(close(fds[1]), 0);
    assert_ok(lines_fill(&lines, &err), &err);
    assert_ok(lines_fill(&lines, &err), &err);
    assert_ok(lines_take(&lines, estreat_text("k"), events, EVENTS_MAX, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_memory_equal(events[0].payload.data, "two", 3);
    assert_true(lines_done(&lines));
    assert_status(lines_rewind(&lines, &err), STATUS_INVALID_ARGUMENT, &err);
    lines_release(&lines);
    (void)close(fds[0]);
}

#define IN_TEMP_DIR(test) cmocka_unit_test_setup_teardown(test, temp_dir_setup, temp_dir_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_TEMP_DIR(test_odd_lines), IN_TEMP_DIR(test_small_files), IN_TEMP_DIR(test_random_files),
        IN_TEMP_DIR(test_too_long),  cmocka_unit_test(test_pipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
