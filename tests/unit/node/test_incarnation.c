/* SPDX-License-Identifier: Apache-2.0
 *
 * Who comes back without what it acknowledged is refused, also by nodes that were started again.
 */
#include "node/incarnation.h"

#include <stdio.h>

#include "testlib/temp_dir.h"
#include "testlib/test.h"

static struct incarnations *opened(const char *dir)
{
    struct incarnations *incarnations = NULL;
    struct error err = ERROR_INIT;
    assert_ok(
        incarnations_open(alloc_default(), fs_posix(), rng_system(), dir, &incarnations, &err),
        &err);
    return incarnations;
}

static void accepts(struct incarnations *incarnations, const char *id, const char *text)
{
    struct error err = ERROR_INIT;
    assert_ok(incarnations_accept(incarnations, id, text, &err), &err);
}

static void refuses(struct incarnations *incarnations, const char *id, const char *text,
                    const char *why)
{
    struct error err = ERROR_INIT;
    assert_status(incarnations_accept(incarnations, id, text, &err), STATUS_FAILED_PRECONDITION,
                  &err);
    assert_non_null(strstr(err.text, why));
}

/* Each run of a directory says that it is a later one of the same. */
static void test_own(void **state)
{
    (void)state;
    struct temp_dir dir;
    temp_dir_init(&dir);
    char first[INCARNATION_TEXT_BYTES];
    struct incarnations *run = opened(dir.path);
    (void)snprintf(first, sizeof first, "%s", incarnations_own(run));
    incarnations_close(run);
    run = opened(dir.path);
    assert_memory_equal(incarnations_own(run), first, 33);
    assert_string_not_equal(incarnations_own(run), first);
    struct temp_dir other;
    temp_dir_init(&other);
    struct incarnations *observer = opened(other.path);
    accepts(observer, "n1", first);
    accepts(observer, "n1", incarnations_own(run));
    accepts(observer, "n1", incarnations_own(run)); /* a new connection of the same run */
    refuses(observer, "n1", first, "older copy");
    incarnations_close(run);
    incarnations_close(observer);
    temp_dir_release(&dir);
    temp_dir_release(&other);
}

#define A "0123456789abcdef0123456789abcdef"
#define B "ffffffffffffffffffffffffffffffff"

static void test_rules(void **state)
{
    (void)state;
    struct temp_dir dir;
    temp_dir_init(&dir);
    struct incarnations *observer = opened(dir.path);
    for (int again = 0; again < 2; again++) {
        accepts(observer, "n1", A " 7 00000000000000aa");
        refuses(observer, "n1", B " 8 00000000000000aa", "another data directory");
        refuses(observer, "n1", A " 6 00000000000000aa", "older copy");
        refuses(observer, "n1", A " 7 00000000000000bb", "two copies");
        accepts(observer, "n2", B " 1 00000000000000aa");
        /* It remembers after a restart of its own. */
        incarnations_close(observer);
        observer = opened(dir.path);
    }
    accepts(observer, "n1", A " 9 00000000000000cc");
    refuses(observer, "n1", A " 8 00000000000000dd", "older copy");
    static const char *const nonsense[] = {
        "",
        "x",
        A,
        A " 1",
        A " 1 00",
        A " 01 00000000000000aa",
        A " 1 00000000000000aa ",
        A " -1 00000000000000aa",
        "0123 1 00000000000000aa",
    };
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
        refuses(observer, "n3", nonsense[i], "for the cluster's nodes");
    }
    refuses(observer, "", A " 1 00000000000000aa", "for the cluster's nodes");
    refuses(observer, "n 3", A " 1 00000000000000aa", "for the cluster's nodes");
    incarnations_close(observer);
    temp_dir_release(&dir);
}

/* Damaged records are an error, not a first contact. */
static void test_damage(void **state)
{
    (void)state;
    static const char *const names[] = {"peers", "incarnation"};
    for (size_t i = 0; i < 2; i++) {
        struct temp_dir dir;
        temp_dir_init(&dir);
        struct incarnations *observer = opened(dir.path);
        accepts(observer, "n1", A " 7 00000000000000aa");
        incarnations_close(observer);
        char path[PATH_BYTES_MAX];
        struct error err = ERROR_INIT;
        assert_ok(path_join(path, dir.path, names[i], &err), &err);
        assert_ok(
            fs_replace_file(fs_posix(), dir.path, path, slice_of_string("n1 nonsense\n"), &err),
            &err);
        assert_status(
            incarnations_open(alloc_default(), fs_posix(), rng_system(), dir.path, &observer, &err),
            STATUS_CORRUPT, &err);
        temp_dir_release(&dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
