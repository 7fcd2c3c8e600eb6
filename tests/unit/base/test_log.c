/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/test.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sync.h"
#include "testlib/temp_dir.h"

/* Standard error goes to a file while a case runs. */
struct capture {
    struct temp_dir dir;
    int saved;
    char text[1 << 18];
};

static struct capture capture;

static void capture_begin(void)
{
    temp_dir_init(&capture.dir);
    (void)fflush(stderr);
    capture.saved = dup(STDERR_FILENO);
    int fd = open(temp_dir_path(&capture.dir, "log"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0);
    assert_true(dup2(fd, STDERR_FILENO) >= 0);
    (void)close(fd);
}

static const char *capture_end(void)
{
    assert_true(dup2(capture.saved, STDERR_FILENO) >= 0);
    (void)close(capture.saved);
    int fd = open(temp_dir_path(&capture.dir, "log"), O_RDONLY);
    ssize_t length = read(fd, capture.text, sizeof capture.text - 1);
    (void)close(fd);
    temp_dir_release(&capture.dir);
    assert_true(length >= 0);
    capture.text[length] = '\0';
    return capture.text;
}

/* Checks "2026-11-22T14:05:06.123456Z " and returns what comes after. */
static const char *after_time(const char *line)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.ddddddZ ";
    for (size_t i = 0; i < sizeof form - 1; i++) {
        if (form[i] == 'd') {
            assert_in_range(line[i], '0', '9');
        } else {
            assert_int_equal(line[i], form[i]);
        }
    }
    return line + sizeof form - 1;
}

/* Time, level, module, quoted message, fields: what the header shows. */
static void test_form_of_a_line(void **state)
{
    (void)state;
    capture_begin();
    log_write("node", LOG_INFO, "became leader", "term=%d index=%d", 4, 120);
    log_write("wal", LOG_ERROR, "says \"no\"", NULL);
    const char *text = capture_end();
    const char *second = strchr(text, '\n') + 1;
    assert_true(strncmp(after_time(text), "info node \"became leader\" term=4 index=120\n", 43) ==
                0);
    assert_string_equal(after_time(second), "error wal \"says \\\"no\\\"\"\n");
}

/* Lines below the level are not written; OFF writes none. */
static void test_levels(void **state)
{
    (void)state;
    capture_begin();
    log_write("t", LOG_DEBUG, "a", NULL);
    log_set_level(LOG_ERROR);
    log_write("t", LOG_WARN, "b", NULL);
    log_write("t", LOG_ERROR, "c", NULL);
    log_set_level(LOG_OFF);
    log_write("t", LOG_ERROR, "d", NULL);
    log_set_level(LOG_DEBUG);
    log_write("t", LOG_DEBUG, "e", NULL);
    log_set_level(LOG_INFO);
    const char *text = capture_end();
    assert_null(strstr(text, "\"a\""));
    assert_null(strstr(text, "\"b\""));
    assert_non_null(strstr(text, "error t \"c\""));
    assert_null(strstr(text, "\"d\""));
    assert_non_null(strstr(text, "debug t \"e\""));
}

/* One happening is one line, however long its text is and whatever it holds. */
static void test_always_one_line(void **state)
{
    (void)state;
    char text[10000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    capture_begin();
    log_write("t", LOG_INFO, text, "a=%s", text);
    log_write("t", LOG_INFO, "two\nlines", "a=%s", "1\n2");
    const char *out = capture_end();
    int lines = 0;
    for (const char *at = out; *at != '\0'; at++) {
        lines += *at == '\n';
    }
    assert_int_equal(lines, 2);
    assert_true(strlen(out) < 5000);
    assert_non_null(strstr(out, "\"two\\nlines\" a=1 2\n"));
}

static void *write_lines(void *context)
{
    for (int i = 0; i < 200; i++) {
        log_write(context, LOG_INFO, "from a thread", "number=%d", i);
    }
    return NULL;
}

/* Lines of several threads are not mixed. */
static void test_threads(void **state)
{
    (void)state;
    static char name[] = "thread";
    pthread_t threads[3];
    capture_begin();
    for (int i = 0; i < 3; i++) {
        assert_true(thread_start(&threads[i], "logs", write_lines, name));
    }
    for (int i = 0; i < 3; i++) {
        thread_join(threads[i]);
    }
    const char *text = capture_end();
    static const char start[] = "info thread \"from a thread\" number=";
    int lines = 0;
    while (*text != '\0') {
        const char *rest = after_time(text);
        assert_true(strncmp(rest, start, sizeof start - 1) == 0);
        text = strchr(rest, '\n') + 1;
        lines++;
    }
    assert_int_equal(lines, 600);
}

/* What is quoted is one value that a logfmt reader gives back; if cut, still closed. */
static void test_quote(void **state)
{
    (void)state;
    char out[32];
    assert_string_equal(log_quote(out, sizeof out, ""), "\"\"");
    assert_string_equal(log_quote(out, sizeof out, "a b"), "\"a b\"");
    assert_string_equal(log_quote(out, sizeof out, "\"\\\n\t\r\x01\x7f"),
                        "\"\\\"\\\\\\n\\t\\r\\x01\\x7f\"");
    assert_string_equal(log_quote(out, sizeof out, "gr\xc3\xbc\xc3\x9f"), "\"gr\xc3\xbc\xc3\x9f\"");
    assert_string_equal(log_quote(out, 3, "abc"), "\"\"");
    assert_string_equal(log_quote(out, 6, "abcdef"), "\"abc\"");
    assert_string_equal(log_quote(out, 6, "ab\ncd"), "\"ab\"");
}

/* The names that configuration files use, and no others. */
static void test_level_names(void **state)
{
    (void)state;
    enum log_level level = LOG_OFF;
    assert_true(log_level_parse("debug", &level));
    assert_int_equal(level, LOG_DEBUG);
    assert_true(log_level_parse("off", &level));
    assert_int_equal(level, LOG_OFF);
    assert_true(log_level_parse("warn", &level));
    assert_false(log_level_parse("WARN", &level));
    assert_false(log_level_parse("", &level));
    assert_int_equal(level, LOG_WARN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form_of_a_line),  cmocka_unit_test(test_levels),
        cmocka_unit_test(test_always_one_line), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_quote),           cmocka_unit_test(test_level_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
