/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <stdlib.h>

#include "cli/progress.h"
#include "testlib/test.h"

enum { WORDS_MAX = 16 };

struct run {
    enum exit_code code;
    char *out;
    char *err;
};

/* Runs "estreat" with the words up to a NULL. */
static struct run run_words(const char *const *words)
{
    struct run run = {.out = NULL, .err = NULL};
    size_t out_length;
    size_t err_length;
    char *argv[WORDS_MAX + 1];
    int argc = 0;
    argv[argc++] = (char *)(uintptr_t) "estreat";
    for (; *words != NULL; words++) {
        argv[argc++] = (char *)(uintptr_t)*words;
    }
    FILE *out = open_memstream(&run.out, &out_length);
    FILE *err = open_memstream(&run.err, &err_length);
    run.code = cli_run(argc, argv, out, err);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(fclose(err), 0);
    return run;
}

static void run_free(struct run *run)
{
    free(run->out);
    free(run->err);
}

#define RUN(...) run_words((const char *const[]){__VA_ARGS__, NULL})

/* One line that says what was wrong, exit 64, nothing on stdout. */
static void expect_usage(struct run run, const char *text)
{
    assert_int_equal(run.code, EXIT_USAGE);
    assert_string_equal(run.out, "");
    assert_ptr_equal(strchr(run.err, '\n'), run.err + strlen(run.err) - 1);
    if (strstr(run.err, text) == NULL) {
        fail_msg("'%s' lacks '%s'", run.err, text);
    }
    run_free(&run);
}

/* The codes of the design, each in its place. */
static void test_exit_codes(void **state)
{
    static const int expected[] = {
        [ESTREAT_OK] = 0,
        [ESTREAT_CANCELLED] = 2,
        [ESTREAT_UNKNOWN] = 2,
        [ESTREAT_INVALID_ARGUMENT] = 64,
        [ESTREAT_DEADLINE_EXCEEDED] = 2,
        [ESTREAT_NOT_FOUND] = 1,
        [ESTREAT_ALREADY_EXISTS] = 1,
        [ESTREAT_PERMISSION_DENIED] = 1,
        [ESTREAT_RESOURCE_EXHAUSTED] = 1,
        [ESTREAT_FAILED_PRECONDITION] = 1,
        [ESTREAT_ABORTED] = 1,
        [ESTREAT_OUT_OF_RANGE] = 1,
        [ESTREAT_UNIMPLEMENTED] = 1,
        [ESTREAT_INTERNAL] = 2,
        [ESTREAT_UNAVAILABLE] = 2,
        [ESTREAT_DATA_LOSS] = 1,
        [ESTREAT_UNAUTHENTICATED] = 1,
    };
    (void)state;
    for (int code = 0; code <= ESTREAT_UNAUTHENTICATED; code++) {
        assert_int_equal(exit_code_of((enum estreat_code)code), expected[code]);
    }
    assert_int_equal(exit_code_of((enum estreat_code)99), 2);
}

/* Mistakes on the command line are found before anybody is asked. */
static void test_usage(void **state)
{
    (void)state;
    expect_usage(run_words((const char *const[]){NULL}), "which verb");
    expect_usage(RUN("frobnicate"), "frobnicate");
    expect_usage(RUN("--no-such-flag", "status"), "--no-such-flag");
    expect_usage(RUN("status", "--no-such-flag"), "--no-such-flag");
    expect_usage(RUN("get"), "usage: estreat get KEY");
    expect_usage(RUN("get", "a", "b"), "usage: estreat get KEY");
    expect_usage(RUN("tail", "-x"), "-x");
    expect_usage(RUN("tail", "-n"), "-n needs a value");
    expect_usage(RUN("tail", "--follow=yes"), "--follow takes no value");
    expect_usage(RUN("read", "--from"), "--from needs a value");
    expect_usage(RUN("read", "--from", "yesterday"), "yesterday");
    expect_usage(RUN("read", "--limit", "0"), "--limit");
    expect_usage(RUN("-o", "xml", "count"), "xml");
    expect_usage(RUN("count", "--timeout", "never"), "never");
    expect_usage(RUN("count", "--severity", "loud"), "loud");
    expect_usage(RUN("append", "k", "v", "--kind", "system"), "system");
    expect_usage(RUN("append", "k", "v", "--expect", "some"), "some");
    expect_usage(RUN("prove", "x"), "'x' is no position");
    expect_usage(RUN("prove", "5", "4"), "old size comes first");
    expect_usage(RUN("bench", "--workload", "batch,idle"), "idle");
    expect_usage(RUN("ingest", "/nonexistent/file"), "/nonexistent/file");
    expect_usage(RUN("ingest", "-"), "--key");
    expect_usage(RUN("ingest", "/tmp", "--key", "k"), "folder");
    expect_usage(RUN("verify", "/nonexistent/file"), "/nonexistent/file");
    expect_usage(RUN("--trust", "/nonexistent/keys", "head"), "/nonexistent/keys");
    expect_usage(RUN("--endpoints", "nonsense", "count"), "nonsense");
    expect_usage(RUN("--endpoints", "a:1,,b:2", "count"), "a:1,,b:2");
    expect_usage(RUN("help", "frobnicate"), "frobnicate");
}

/* Help and version need nobody. */
static void test_help(void **state)
{
    (void)state;
    struct run run = RUN("help");
    assert_int_equal(run.code, EXIT_DONE);
    assert_non_null(strstr(run.out, "ingest"));
    assert_non_null(strstr(run.out, "--endpoints"));
    run_free(&run);
    run = RUN("help", "ingest");
    assert_int_equal(run.code, EXIT_DONE);
    assert_non_null(strstr(run.out, "--repeat"));
    run_free(&run);
    run = RUN("ingest", "--help");
    assert_int_equal(run.code, EXIT_DONE);
    assert_non_null(strstr(run.out, "--repeat"));
    run_free(&run);
    run = RUN("-o", "json", "version");
    assert_int_equal(run.code, EXIT_DONE);
    assert_non_null(strstr(run.out, "{\"version\":\""));
    run_free(&run);
}

/* Options may stand before and after the verb and its arguments, in all forms, and end at "--". */
static void test_options(void **state)
{
    static const struct option_spec globals[] = {
        {"output", 'o', "FORM", ""}, {"verbose", 'v', NULL, ""}, {NULL, 0, NULL, NULL}};
    static const struct option_spec own[] = {
        {"lines", 'n', "N", ""}, {"follow", 'f', NULL, ""}, {NULL, 0, NULL, NULL}};
    const char *positional[WORDS_MAX];
    struct args args = {.tables = {globals, own}, .positional = positional};
    struct error err = ERROR_INIT;
    int read;
    char *argv[] = {(char *)(uintptr_t) "one",      (char *)(uintptr_t) "-fvn5",
                    (char *)(uintptr_t) "--output", (char *)(uintptr_t) "json",
                    (char *)(uintptr_t) "-",        (char *)(uintptr_t) "--lines=7",
                    (char *)(uintptr_t) "--",       (char *)(uintptr_t) "--follow"};
    (void)state;
    assert_ok(args_parse(&args, 8, argv, false, &read, &err), &err);
    assert_int_equal(read, 8);
    assert_int_equal(args.count, 3);
    assert_string_equal(args.positional[0], "one");
    assert_string_equal(args.positional[1], "-");
    assert_string_equal(args.positional[2], "--follow");
    assert_string_equal(args_value(&args, "output"), "json");
    assert_string_equal(args_value(&args, "lines"), "7");
    assert_true(args_flag(&args, "follow"));
    assert_true(args_flag(&args, "verbose"));
}

/* Nobody there: one line that names the endpoint, exit 2, within the time that was given. */
static void test_unreachable(void **state)
{
    (void)state;
    struct run run = RUN("--endpoints", "127.0.0.1:1", "--timeout", "0.3", "get", "k");
    assert_int_equal(run.code, EXIT_UNKNOWN);
    assert_non_null(strstr(run.err, "127.0.0.1:1"));
    assert_ptr_equal(strchr(run.err, '\n'), run.err + strlen(run.err) - 1);
    run_free(&run);
    run = RUN("--endpoints", "127.0.0.1:1", "--timeout", "0.3", "append", "k", "v");
    assert_int_equal(run.code, EXIT_UNKNOWN);
    run_free(&run);
    run = RUN("--endpoints", "127.0.0.1:1", "status");
    assert_int_equal(run.code, EXIT_UNKNOWN);
    run_free(&run);
    run = RUN("--endpoints", "127.0.0.1:1", "-o", "json", "audit");
    assert_int_equal(run.code, EXIT_UNKNOWN);
    assert_non_null(strstr(run.out, "\"verdict\":\"INCONCLUSIVE\""));
    run_free(&run);
}

/* The bar, its percentage and the rate follow from the state alone. */
static void test_progress(void **state)
{
    char line[200];
    (void)state;
    const struct progress_state half = {.what = "ingest", .done = 50, .total = 100, .events = 200};
    progress_format(&half, 2.0, line, sizeof line);
    assert_string_equal(line,
                        "ingest [############............]  50 %  200 events, 100/s, 2 s left");
    const struct progress_state unknown = {.what = "ingest", .events = 30};
    progress_format(&unknown, 0.5, line, sizeof line);
    assert_string_equal(line, "ingest: 30 events, 60/s");
    const struct progress_state past = {.what = "x", .done = 120, .total = 100};
    progress_format(&past, 0, line, sizeof line);
    assert_non_null(strstr(line, "100 %"));
}

int main(void)
{
    (void)unsetenv("ESTREAT_ENDPOINTS");
    (void)unsetenv("ESTREAT_TRUST");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_codes),  cmocka_unit_test(test_usage),
        cmocka_unit_test(test_help),        cmocka_unit_test(test_options),
        cmocka_unit_test(test_unreachable), cmocka_unit_test(test_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
