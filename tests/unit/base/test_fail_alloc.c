/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "testlib/fail_alloc.h"

/* The n-th fails, the others do not, and blocks and bytes are counted. */
static void test_counts_and_fails(void **state)
{
    (void)state;
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    fail_alloc_arm(&fail, 1);
    uint8_t *a = alloc_new(&fail.alloc, 10);
    assert_non_null(a);
    assert_false(fail_alloc_hit(&fail));
    assert_null(alloc_new(&fail.alloc, 10));
    assert_true(fail_alloc_hit(&fail));
    uint8_t *b = alloc_zeroed(&fail.alloc, 2, 10);
    assert_non_null(b);
    assert_int_equal(b[19], 0);
    assert_int_equal(fail_alloc_blocks(&fail), 2);
    assert_int_equal(fail_alloc_bytes(&fail), 30);
    a[9] = 'x';
    uint8_t *grown = alloc_resize(&fail.alloc, a, 100);
    assert_int_equal(grown[9], 'x');
    assert_int_equal(fail_alloc_bytes(&fail), 120);
    alloc_free(&fail.alloc, grown);
    alloc_free(&fail.alloc, b);
    assert_int_equal(fail_alloc_blocks(&fail), 0);
    assert_int_equal(fail_alloc_bytes_most(&fail), 120);
    fail_alloc_release(&fail);
}

/* A growth that fails leaves the block; with fail_after all later ones fail. */
static void test_failed_growth(void **state)
{
    (void)state;
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    uint8_t *a = alloc_new(&fail.alloc, 4);
    memcpy(a, "abcd", 4);
    fail_alloc_arm(&fail, 0);
    fail.fail_after = true;
    assert_null(alloc_resize(&fail.alloc, a, 1000));
    assert_null(alloc_resize(&fail.alloc, a, 1000));
    assert_memory_equal(a, "abcd", 4);
    alloc_free(&fail.alloc, a);
    fail_alloc_release(&fail);
}

static void leak(struct fail_alloc *fail)
{
    (void)alloc_new(&fail->alloc, 1);
    fail_alloc_release(fail);
}

static void free_foreign(struct fail_alloc *fail)
{
    static _Alignas(16) uint8_t foreign[64];
    alloc_free(&fail->alloc, foreign + 32);
}

static void zero_bytes(struct fail_alloc *fail)
{
    (void)alloc_new(&fail->alloc, 0);
}

/* True if the process that does it aborts. */
static bool aborts(void (*act)(struct fail_alloc *))
{
    pid_t child = fork();
    if (child == 0) {
        (void)signal(SIGABRT, SIG_DFL); /* not cmocka's */
        (void)close(STDERR_FILENO);
        struct fail_alloc fail;
        fail_alloc_init(&fail);
        act(&fail);
        _exit(0);
    }
    int result = 0;
    assert_int_equal(waitpid(child, &result, 0), child);
    return WIFSIGNALED(result) && WTERMSIG(result) == SIGABRT;
}

/* Leaks, foreign memory and broken rules stop the process: CHECK does, in every build. */
static void test_programmer_errors_stop(void **state)
{
    (void)state;
    assert_true(aborts(leak));
    assert_true(aborts(free_foreign));
    assert_true(aborts(zero_bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_and_fails),
        cmocka_unit_test(test_failed_growth),
        cmocka_unit_test(test_programmer_errors_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
