/* SPDX-License-Identifier: Apache-2.0
 *
 * The policy of backups: when one is due, of which kind, and which go. Figures in, a word out.
 */
#include "storage/backup/policy.h"

#include "testlib/test.h"

static enum backup_kind due(const struct backup_policy *policy, uint64_t entries, uint64_t age_ns,
                            uint64_t increments)
{
    const struct backup_figures figures = {.has_last = true,
                                           .last_ns = 1000,
                                           .last_sequence = 50,
                                           .increments = increments,
                                           .now_ns = 1000 + age_ns,
                                           .sequence = 50 + entries};
    return backup_due(policy, &figures);
}

/* Where there is none, one is due, whatever the policy. */
static void the_first_is_due_and_full(void **state)
{
    const struct backup_policy never = {.entries = 0};
    const struct backup_figures none = {.has_last = false};
    (void)state;
    assert_int_equal(backup_due(&never, &none), BACKUP_FULL);
    assert_int_equal(due(&never, UINT32_MAX, UINT32_MAX, 0), BACKUP_NONE);
}

static void entries_or_age_make_it_due(void **state)
{
    const struct backup_policy policy = {.entries = 10, .age_ns = 600};
    (void)state;
    assert_int_equal(due(&policy, 9, 599, 0), BACKUP_NONE);
    assert_int_equal(due(&policy, 10, 0, 0), BACKUP_INCREMENT);
    assert_int_equal(due(&policy, 1, 600, 0), BACKUP_INCREMENT);
    assert_int_equal(due(&policy, 0, 600, 0), BACKUP_NONE); /* it would be the same again */
}

/* A clock that went back tells no age; a store with fewer writes is another one. */
static void what_went_back(void **state)
{
    const struct backup_policy policy = {.entries = 10, .age_ns = 600};
    struct backup_figures figures = {
        .has_last = true, .last_ns = 5000, .last_sequence = 50, .now_ns = 1000, .sequence = 51};
    (void)state;
    assert_int_equal(backup_due(&policy, &figures), BACKUP_NONE);
    figures.sequence = 49;
    assert_int_equal(backup_due(&policy, &figures), BACKUP_INCREMENT);
}

static void every_so_many_is_full(void **state)
{
    const struct backup_policy policy = {.entries = 1, .full_every = 4};
    const struct backup_policy always = {.entries = 1, .full_every = 1};
    (void)state;
    assert_int_equal(due(&policy, 1, 0, 0), BACKUP_INCREMENT);
    assert_int_equal(due(&policy, 1, 0, 2), BACKUP_INCREMENT);
    assert_int_equal(due(&policy, 1, 0, 3), BACKUP_FULL);
    assert_int_equal(due(&always, 1, 0, 0), BACKUP_FULL);
}

static void the_oldest_go(void **state)
{
    static const uint64_t made[] = {100, 200, 300, 400, 500};
    const struct backup_policy none = {.entries = 1};
    const struct backup_policy count = {.keep = 2};
    const struct backup_policy young = {.keep_ns = 250};
    const struct backup_policy both = {.keep = 4, .keep_ns = 250};
    (void)state;
    assert_int_equal(backup_expired(&none, made, 5, 10000), 0);
    assert_int_equal(backup_expired(&count, made, 5, 10000), 3);
    assert_int_equal(backup_expired(&count, made, 2, 10000), 0);
    assert_int_equal(backup_expired(&count, made, 0, 10000), 0);
    assert_int_equal(backup_expired(&young, made, 5, 600), 3);   /* 350 old, 250 old: that is it */
    assert_int_equal(backup_expired(&young, made, 5, 10000), 4); /* the newest stays */
    assert_int_equal(backup_expired(&young, made, 5, 0), 0);     /* all in the future: young */
    assert_int_equal(backup_expired(&both, made, 5, 10000), 1);
    assert_int_equal(backup_expired(&both, made, 5, 300), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_is_due_and_full),
        cmocka_unit_test(entries_or_age_make_it_due),
        cmocka_unit_test(what_went_back),
        cmocka_unit_test(every_so_many_is_full),
        cmocka_unit_test(the_oldest_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
