/* SPDX-License-Identifier: Apache-2.0
 *
 * Ingest against a log that refuses and loses answers: the file is there, once and
 * in its order. labels: threaded
 */
#include "cli/ingest.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/limits.h"
#include "fake_log.h"
#include "testlib/temp_dir.h"
#include "testlib/test.h"

struct fixture {
    struct temp_dir dir;
    struct fake_log log;
    struct fake_node node;
    struct estreat_client *client;
};

static int setup(void **state)
{
    static struct fixture fixture;
    temp_dir_init(&fixture.dir);
    fake_log_init(&fixture.log, test_seed());
    fake_node_open(&fixture.node, &fixture.log);
    *state = &fixture;
    return estreat_open(fixture.node.endpoint, NULL, &fixture.client, NULL) == ESTREAT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    estreat_close(fixture->client);
    fake_node_close(&fixture->node);
    fake_log_release(&fixture->log);
    temp_dir_release(&fixture->dir);
    return 0;
}

static int numbered_file(struct fixture *fixture, unsigned lines)
{
    const char *path = temp_dir_path(&fixture->dir, "numbers");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (unsigned i = 0; i < lines; i++) {
        (void)fprintf(file, "%u%s", i, i + 1 < lines ? "\n" : "");
    }
    assert_int_equal(fclose(file), 0);
    return open(path, O_RDONLY);
}

static struct ingest_options options_of(int fd)
{
    return (struct ingest_options){.name = "numbers",
                                   .fd = fd,
                                   .key = estreat_text("numbers"),
                                   .repeat = 1,
                                   .timeout_ms = 20000};
}

/* Order and number hold through retries, for all sizes of batches and repeats. */
static void test_order(void **state)
{
    enum { LINES = 2000 };
    static const size_t batches[] = {0, 1, 7, 1024};
    struct fixture *fixture = *state;
    fixture->log.lose_answers_percent = 20;
    fixture->log.refuse_percent = 20;
    uint64_t expected = 0;
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
        unsigned lines = batches[i] == 1 ? 60 : LINES;
        int fd = numbered_file(fixture, lines);
        struct ingest_options options = options_of(fd);
        struct ingest_result result;
        struct error err = ERROR_INIT;
        options.batch = batches[i];
        options.repeat = 2;
        assert_ok(ingest_run(fixture->client, &options, &result, &err), &err);
        assert_int_equal(result.events, 2 * lines);
        assert_int_equal(result.first, expected);
        assert_int_equal(result.last, expected + 2 * lines - 1);
        for (uint64_t j = 0; j < 2 * lines; j++) {
            char text[24];
            (void)snprintf(text, sizeof text, "%lu", (unsigned long)(j % lines));
            assert_string_equal(fixture->log.events[expected + j].payload, text);
        }
        expected += 2 * lines;
        assert_int_equal(fixture->log.size, expected);
        (void)close(fd);
    }
    assert_true(fixture->log.repeats > 0);
    assert_string_equal(fixture->log.complaint, "");
}

/* A line that is too long stops its file, is named, and costs none of the lines before it. */
static void test_too_long(void **state)
{
    static char line[PAYLOAD_BYTES_MAX + 2];
    struct fixture *fixture = *state;
    const char *path = temp_dir_path(&fixture->dir, "long");
    FILE *file = fopen(path, "w");
    memset(line, 'x', PAYLOAD_BYTES_MAX + 1);
    (void)fprintf(file, "one\ntwo\n%s\nfour\n", line);
    assert_int_equal(fclose(file), 0);
    int fd = open(path, O_RDONLY);
    struct ingest_options options = options_of(fd);
    struct ingest_result result;
    struct error err = ERROR_INIT;
    assert_status(ingest_run(fixture->client, &options, &result, &err), STATUS_INVALID_ARGUMENT,
                  &err);
    assert_non_null(strstr(err.text, "numbers:3:"));
    assert_int_equal(result.events, 2);
    assert_int_equal(fixture->log.size, 2);
    (void)close(fd);
}

/* When nobody answers any more, what was acknowledged is counted, and the lines that were not are
 * named. */
static void test_gives_up(void **state)
{
    struct fixture *fixture = *state;
    int fd = numbered_file(fixture, 300);
    struct ingest_options options = options_of(fd);
    struct ingest_result result;
    struct error err = ERROR_INIT;
    fixture->node.down = true;
    options.timeout_ms = 200;
    enum status status = ingest_run(fixture->client, &options, &result, &err);
    assert_true(status == STATUS_UNAVAILABLE || status == STATUS_DEADLINE_EXCEEDED);
    assert_non_null(strstr(err.text, "lines 1 to 256"));
    assert_int_equal(result.events, 0);
    (void)close(fd);
}

/* An empty file is no failure. */
static void test_empty(void **state)
{
    struct fixture *fixture = *state;
    int fd = numbered_file(fixture, 0);
    struct ingest_options options = options_of(fd);
    struct ingest_result result;
    struct error err = ERROR_INIT;
    options.repeat = 3;
    assert_ok(ingest_run(fixture->client, &options, &result, &err), &err);
    assert_int_equal(result.events, 0);
    (void)close(fd);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_order),
        CASE(test_too_long),
        CASE(test_gives_up),
        CASE(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
