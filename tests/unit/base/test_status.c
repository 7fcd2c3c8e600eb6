/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/test.h"

#include <errno.h>

/* Names and numbers are gRPC's: other languages' clients depend on them. */
static void test_names_and_numbers(void **state)
{
    (void)state;
    assert_int_equal(STATUS_OK, 0);
    assert_int_equal(STATUS_UNAVAILABLE, 14);
    assert_int_equal(STATUS_UNAUTHENTICATED, 16);
    assert_string_equal(status_name(STATUS_DEADLINE_EXCEEDED), "DEADLINE_EXCEEDED");
    assert_string_equal(status_name(STATUS_CORRUPT), "DATA_LOSS");
    for (unsigned i = 0; i < 17; i++) {
        assert_true(status_is_known(i));
    }
}

/* A number that a newer peer sent is not taken for one of ours. */
static void test_unknown_number(void **state)
{
    (void)state;
    assert_false(status_is_known(17));
    assert_false(status_is_known(UINT32_MAX));
    assert_string_equal(status_name((enum status)17), "UNKNOWN");
}

/* Each layer puts before the text what it was doing; the status stays the lowest layer's. */
static void test_wrap(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    assert_int_equal(error_set(&err, STATUS_CORRUPT, "block at %d: bad checksum", 4096),
                     STATUS_CORRUPT);
    assert_int_equal(error_wrap(&err, "open %s", "7.sst"), STATUS_CORRUPT);
    assert_string_equal(err.text, "open 7.sst: block at 4096: bad checksum");
    assert_int_equal(err.status, STATUS_CORRUPT);
}

/* The errno decides the status, and its text ends the line. */
static void test_errno(void **state)
{
    (void)state;
    static const struct {
        int errnum;
        enum status status;
    } cases[] = {
        {ENOSPC, STATUS_RESOURCE_EXHAUSTED},
        {EDQUOT, STATUS_RESOURCE_EXHAUSTED},
        {ENOMEM, STATUS_RESOURCE_EXHAUSTED},
        {EMFILE, STATUS_RESOURCE_EXHAUSTED},
        {ENOENT, STATUS_NOT_FOUND},
        {EACCES, STATUS_PERMISSION_DENIED},
        {EPERM, STATUS_PERMISSION_DENIED},
        {EEXIST, STATUS_ALREADY_EXISTS},
        {EIO, STATUS_INTERNAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = ERROR_INIT;
        assert_int_equal(error_set_errno(&err, cases[i].errnum, "write %s", "x"), cases[i].status);
        assert_int_equal(err.status, cases[i].status);
        assert_true(strncmp(err.text, "write x: ", 9) == 0);
        assert_non_null(strstr(err.text, strerror(cases[i].errnum)));
    }
}

/* However long the path, the line still tells the cause. */
static void test_errno_after_long_text(void **state)
{
    (void)state;
    char path[2 * ERROR_TEXT_BYTES];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    struct error err = ERROR_INIT;
    (void)error_set_errno(&err, ENOSPC, "write %s", path);
    assert_int_equal(strlen(err.text), ERROR_TEXT_BYTES - 1);
    const char *reason = strerror(ENOSPC);
    assert_string_equal(err.text + strlen(err.text) - strlen(reason), reason);
}

/* Text too long is cut and still ends; wrapping what is full does not overflow. */
static void test_text_is_cut(void **state)
{
    (void)state;
    char text[2 * ERROR_TEXT_BYTES];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct error err = ERROR_INIT;
    (void)error_set(&err, STATUS_INTERNAL, "%s", text);
    assert_int_equal(strlen(err.text), ERROR_TEXT_BYTES - 1);
    (void)error_wrap(&err, "outer");
    assert_int_equal(strlen(err.text), ERROR_TEXT_BYTES - 1);
    assert_true(strncmp(err.text, "outer: xxx", 10) == 0);
    (void)error_wrap(&err, "%s", text);
    assert_int_equal(strlen(err.text), ERROR_TEXT_BYTES - 1);
}

/* Errors are printed as one line, whatever a peer or a file name put into them. */
static void test_one_line(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    (void)error_set(&err, STATUS_INTERNAL, "a\nb\rc\x1b[2Jd\x7f");
    assert_string_equal(err.text, "a b c [2Jd ");
}

/* A caller that is not interested passes NULL. */
static void test_null_error(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, STATUS_ABORTED, "x"), STATUS_ABORTED);
    assert_int_equal(error_set_errno(NULL, ENOENT, "x"), STATUS_NOT_FOUND);
    (void)error_wrap(NULL, "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_numbers),
        cmocka_unit_test(test_unknown_number),
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_errno),
        cmocka_unit_test(test_errno_after_long_text),
        cmocka_unit_test(test_text_is_cut),
        cmocka_unit_test(test_one_line),
        cmocka_unit_test(test_null_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
