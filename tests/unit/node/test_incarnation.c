/* SPDX-License-Identifier: Apache-2.0
 *
 * Who comes back without what it acknowledged is refused, also by nodes that were started again;
 * who only was started again is not.
 */
#include "node/incarnation.h"

#include <stdio.h>

#include "base/buf.h"
#include "node/config.h"
#include "testlib/fs_crash.h"
#include "testlib/temp_dir.h"
#include "testlib/test.h"

static struct incarnations *opened_on(struct fs *fs, const char *dir)
{
    struct incarnations *incarnations = NULL;
    struct error err = ERROR_INIT;
    assert_ok(incarnations_open(alloc_default(), fs, rng_system(), dir, &incarnations, &err), &err);
    return incarnations;
}

static struct incarnations *opened(const char *dir)
{
    return opened_on(fs_posix(), dir);
}

/* What the next run of the directory says, which then ends. */
static void run_once(const char *dir, char text[INCARNATION_TEXT_BYTES])
{
    struct incarnations *run = opened(dir);
    (void)snprintf(text, INCARNATION_TEXT_BYTES, "%s", incarnations_own(run));
    incarnations_close(run);
}

/* `to` becomes as `from` is now. */
static void copy_directory(const char *from, const char *to)
{
    char path[PATH_BYTES_MAX];
    struct error err = ERROR_INIT;
    struct buf bytes;
    buf_init(&bytes, alloc_default(), 65536);
    assert_ok(path_join(path, from, "incarnation", &err), &err);
    assert_ok(fs_read_file(fs_posix(), path, &bytes, &err), &err);
    assert_ok(path_join(path, to, "incarnation", &err), &err);
    assert_ok(fs_replace_file(fs_posix(), to, path, buf_slice(&bytes), &err), &err);
    buf_release(&bytes);
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

static void refuses_arrival(struct incarnations *incarnations, const char *id, const char *text,
                            const char *why)
{
    struct error err = ERROR_INIT;
    assert_status(incarnations_arrive(incarnations, id, text, &err), STATUS_FAILED_PRECONDITION,
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
        A " 2 00000000000000aa ",
        A " 2 00000000000000aa 0000000",
        A " 2 00000000000000aa 0000000000000000", /* more runs before than the second has */
        A " 2 00000000000000aa 0000000G",
        A " 3 00000000000000aa 00000000 00000000",
        A " 18446744073709551616 00000000000000aa",
    };
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
        refuses(observer, "n3", nonsense[i], "for the cluster's nodes");
    }
    refuses(observer, "", A " 1 00000000000000aa", "for the cluster's nodes");
    refuses(observer, "n 3", A " 1 00000000000000aa", "for the cluster's nodes");
    incarnations_close(observer);
    temp_dir_release(&dir);
}

/* An older copy does not get past those who saw the original by being started often; the original
 * goes on. */
static void test_older_copy(void **state)
{
    (void)state;
    struct temp_dir original;
    struct temp_dir copy;
    struct temp_dir others;
    char text[INCARNATION_TEXT_BYTES];
    temp_dir_init(&original);
    temp_dir_init(&copy);
    temp_dir_init(&others);
    struct incarnations *observer = opened(others.path);
    for (int run = 1; run <= 9; run++) {
        run_once(original.path, text);
        accepts(observer, "n1", text);
        if (run == 5) {
            copy_directory(original.path, copy.path);
        }
    }
    for (int run = 6; run <= 9 + (int)INCARNATION_HISTORY; run++) {
        run_once(copy.path, text);
        refuses(observer, "n1", text,
                run < 9    ? "older copy"
                : run == 9 ? "two copies"
                           : "parted from the one last seen");
        if (run % 20 == 0) {
            incarnations_close(observer);
            observer = opened(others.path);
        }
    }
    run_once(original.path, text);
    accepts(observer, "n1", text);
    incarnations_close(observer);
    temp_dir_release(&original);
    temp_dir_release(&copy);
    temp_dir_release(&others);
}

/* A copy of the present run, both running: the run that is connected stays, the other is refused,
 * whoever connects to whom. When the first has ended it is a copy or a restart, nobody can tell;
 * but then the two do not take turns. */
static void test_copy_of_present_run(void **state)
{
    (void)state;
    struct temp_dir original;
    struct temp_dir copy;
    struct temp_dir others;
    char first[INCARNATION_TEXT_BYTES];
    char second[INCARNATION_TEXT_BYTES];
    char again[INCARNATION_TEXT_BYTES];
    struct error err = ERROR_INIT;
    temp_dir_init(&original);
    temp_dir_init(&copy);
    temp_dir_init(&others);
    struct incarnations *observer = opened(others.path);
    run_once(original.path, first);
    run_once(original.path, first);
    assert_ok(incarnations_arrive(observer, "n1", first, &err), &err);
    assert_ok(incarnations_arrive(observer, "n1", first, &err), &err); /* for a snapshot */
    copy_directory(original.path, copy.path);
    run_once(copy.path, second);
    refuses_arrival(observer, "n1", second, "still runs");
    refuses(observer, "n1", second, "still runs");
    incarnations_leave(observer, "n1");
    refuses_arrival(observer, "n1", second, "still runs");
    accepts(observer, "n1", first);

    incarnations_leave(observer, "n1");
    assert_ok(incarnations_arrive(observer, "n1", second, &err), &err);
    refuses_arrival(observer, "n1", first, "older copy");
    run_once(original.path, again);
    refuses_arrival(observer, "n1", again, "two copies");
    incarnations_leave(observer, "n1");
    run_once(original.path, again);
    refuses_arrival(observer, "n1", again, "parted from the one last seen");
    incarnations_close(observer);
    temp_dir_release(&original);
    temp_dir_release(&copy);
    temp_dir_release(&others);
}

/* A node that is started again, however often, is let in by those who saw each run, and by those
 * who saw one now and then, also one longer ago than it tells. */
static void test_restarts(void **state)
{
    (void)state;
    enum { OTHERS = 5 };
    static const unsigned sees_each[OTHERS] = {1, 2, INCARNATION_HISTORY, INCARNATION_HISTORY + 1,
                                               INCARNATION_HISTORY * 2};
    struct temp_dir dir;
    struct temp_dir others[OTHERS];
    struct incarnations *observers[OTHERS];
    char text[INCARNATION_TEXT_BYTES];
    struct error err = ERROR_INIT;
    temp_dir_init(&dir);
    for (size_t i = 0; i < OTHERS; i++) {
        temp_dir_init(&others[i]);
        observers[i] = opened(others[i].path);
    }
    for (unsigned run = 1; run <= INCARNATION_HISTORY * 4 + 10; run++) {
        run_once(dir.path, text);
        for (size_t i = 0; i < OTHERS; i++) {
            if (run % sees_each[i] == 0) {
                assert_ok(incarnations_arrive(observers[i], "n1", text, &err), &err);
                incarnations_leave(observers[i], "n1");
            }
        }
    }
    /* As much as there may be, and one changed: of the oldest run that is told, at those who saw
     * that. */
    size_t length = strlen(text);
    assert_int_equal(length, 32 + 1 + 3 + 1 + 16 + 1 + INCARNATION_HISTORY * 8);
    text[length - 1] = text[length - 1] == '0' ? '1' : '0';
    struct temp_dir late;
    temp_dir_init(&late);
    struct incarnations *observer = opened(late.path);
    char oldest[INCARNATION_TEXT_BYTES];
    (void)snprintf(oldest, sizeof oldest, "%.32s 310 %.8s00000000", text, text + length - 8);
    accepts(observer, "n1", oldest);
    accepts(observer, "n1", text);
    incarnations_close(observer);
    temp_dir_release(&late);
    temp_dir_init(&late);
    observer = opened(late.path);
    oldest[37] = oldest[37] == '0' ? '1' : '0';
    accepts(observer, "n1", oldest);
    refuses(observer, "n1", text, "parted from the one last seen");
    incarnations_close(observer);
    temp_dir_release(&late);
    for (size_t i = 0; i < OTHERS; i++) {
        incarnations_close(observers[i]);
        temp_dir_release(&others[i]);
    }
    temp_dir_release(&dir);
}

/* The power fails in each operation of a start: what was told before, and what is told after, is of
 * one history; and of a run whose draw was told nothing is lost. */
static void test_power_failure(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    bool stopped = true;
    unsigned failures = 0;
    for (uint64_t at = 0; stopped; at++) {
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct temp_dir others;
            temp_dir_init(&others);
            struct incarnations *observer = opened(others.path);
            struct fs_crash *crash = fs_crash_new();
            struct fs *fs = fs_crash_fs(crash);
            assert_ok(fs_make_dir(fs, "n1", &err), &err);
            assert_ok(fs_sync_dir(fs, ".", &err), &err);
            struct incarnations *run = opened_on(fs, "n1");
            accepts(observer, "n1", incarnations_own(run));
            incarnations_close(run);
            fs_crash_stop_at(crash, at);
            run = NULL;
            if (incarnations_open(alloc_default(), fs, rng_system(), "n1", &run, &err) ==
                STATUS_OK) {
                accepts(observer, "n1", incarnations_own(run));
            }
            incarnations_close(run);
            stopped = fs_crash_stopped(crash);
            failures += stopped;
            fs_crash_now(crash, seed);
            for (int again = 0; again < 3; again++) {
                run = opened_on(fs, "n1");
                accepts(observer, "n1", incarnations_own(run));
                incarnations_close(run);
            }
            fs_crash_free(crash);
            incarnations_close(observer);
            temp_dir_release(&others);
        }
    }
    assert_true(failures > 0);
}

/* Damaged records are an error, not a first contact. */
static void test_damage(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *text;
    } damages[] = {
        {"peers", "n1 nonsense\n"},
        {"peers", "n1\n"},
        {"incarnation", "n1 nonsense\n"},
        {"incarnation", "\n"},
        {"incarnation", A " 2 00000000000000aa 0000000\n"},
        {"incarnation", A " 2 00000000000000aa 0000000000000000\n"},
        {"incarnation", A " 2 00000000000000aa 0000000x\n"},
        {"incarnation", A " 2 00000000000000aa "},
    };
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        struct temp_dir dir;
        temp_dir_init(&dir);
        struct incarnations *observer = opened(dir.path);
        accepts(observer, "n1", A " 7 00000000000000aa");
        incarnations_close(observer);
        char path[PATH_BYTES_MAX];
        struct error err = ERROR_INIT;
        assert_ok(path_join(path, dir.path, damages[i].name, &err), &err);
        assert_ok(
            fs_replace_file(fs_posix(), dir.path, path, slice_of_string(damages[i].text), &err),
            &err);
        assert_status(
            incarnations_open(alloc_default(), fs_posix(), rng_system(), dir.path, &observer, &err),
            STATUS_CORRUPT, &err);
        temp_dir_release(&dir);
    }
}

/* A directory from before draws were kept tells those from then on. */
static void test_no_history(void **state)
{
    (void)state;
    struct temp_dir dir;
    struct temp_dir others;
    char path[PATH_BYTES_MAX];
    char text[INCARNATION_TEXT_BYTES];
    struct error err = ERROR_INIT;
    temp_dir_init(&dir);
    temp_dir_init(&others);
    assert_ok(path_join(path, dir.path, "incarnation", &err), &err);
    assert_ok(fs_replace_file(fs_posix(), dir.path, path,
                              slice_of_string(A " 7 12345678000000aa\n"), &err),
              &err);
    struct incarnations *observer = opened(others.path);
    accepts(observer, "n1", A " 3 00000000000000cc");
    run_once(dir.path, text);
    assert_string_equal(text + 32 + 2 + 1 + 16, " 12345678");
    accepts(observer, "n1", text);
    incarnations_close(observer);
    temp_dir_release(&dir);
    temp_dir_release(&others);
}

/* As many as a cluster may have had members are known, also after a restart, each with the longest
 * line. */
static void test_many(void **state)
{
    (void)state;
    struct fs_crash *crash = fs_crash_new();
    struct fs *fs = fs_crash_fs(crash);
    struct error err = ERROR_INIT;
    char id[NODE_ID_BYTES_MAX + 1];
    assert_ok(fs_make_dir(fs, "n", &err), &err);
    struct incarnations *observer = opened_on(fs, "n");
    for (unsigned i = 0; i < INCARNATION_KNOWN_MAX; i++) {
        (void)snprintf(id, sizeof id, "n%063u", i);
        accepts(observer, id, A " 18446744073709551614 00000000000000aa");
    }
    assert_status(incarnations_accept(observer, "n", A " 1 00000000000000aa", &err),
                  STATUS_RESOURCE_EXHAUSTED, &err);
    incarnations_close(observer);
    observer = opened_on(fs, "n");
    refuses(observer, id, B " 1 00000000000000bb", "another data directory");
    refuses(observer, "n000000000000000000000000000000000000000000000000000000000000000",
            B " 1 00000000000000bb", "another data directory");
    incarnations_close(observer);
    fs_crash_free(crash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own),        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_older_copy), cmocka_unit_test(test_copy_of_present_run),
        cmocka_unit_test(test_restarts),   cmocka_unit_test(test_power_failure),
        cmocka_unit_test(test_damage),     cmocka_unit_test(test_no_history),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
