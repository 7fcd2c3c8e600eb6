/* SPDX-License-Identifier: Apache-2.0
 *
 * The membership as bytes, and the three changes.
 */
#include "raft/membership.h"

#include "testlib/test.h"

static struct slice encoded(const struct raft_membership *membership, struct buf *out)
{
    buf_clear(out);
    raft_membership_encode(membership, out);
    assert_false(buf_failed(out));
    return buf_slice(out);
}

static struct raft_membership three(void)
{
    static const uint8_t gone[] = {3,    0,    0,    0,    0,    0,    0,    0,
                                   0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    return (struct raft_membership){
        .count = 3,
        .of = {{.id = 1, .role = RAFT_VOTER, .info = slice_of_string("n1")},
               {.id = 2, .role = RAFT_LEARNER, .info = slice_of_string("")},
               {.id = 1UL << 63, .role = RAFT_VOTER, .info = slice_of_string("far")}},
        .removed_count = 2,
        .removed = gone,
    };
}

/* What is encoded comes back; every prefix of it, and it with a byte more, is refused. */
static void test_bytes(void **state)
{
    (void)state;
    struct raft_membership members = three();
    struct raft_membership found;
    struct error err = ERROR_INIT;
    struct buf bytes;
    buf_init(&bytes, alloc_default(), 4096);
    struct slice all = encoded(&members, &bytes);
    assert_ok(raft_membership_decode(all, &found, &err), &err);
    assert_int_equal(found.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(found.of[i].id, members.of[i].id);
        assert_int_equal(found.of[i].role, members.of[i].role);
        assert_true(slice_equal(found.of[i].info, members.of[i].info));
    }
    assert_true(raft_membership_removed(&found, 3));
    assert_true(raft_membership_removed(&found, UINT64_MAX));
    assert_false(raft_membership_removed(&found, 1));
    assert_int_equal(raft_membership_voters(&found), 2);
    for (size_t length = 1; length < all.length; length++) {
        assert_status(raft_membership_decode(slice_of(all.data, length), &found, &err),
                      STATUS_CORRUPT, &err);
        assert_int_equal(found.count, 0);
    }
    buf_put_u8(&bytes, 0);
    assert_status(raft_membership_decode(buf_slice(&bytes), &found, &err), STATUS_CORRUPT, &err);
    /* No bytes: nobody. */
    assert_ok(raft_membership_decode(slice_of_string(""), &found, &err), &err);
    assert_int_equal(found.count, 0);
    buf_release(&bytes);
}

/* Out of order, twice, of no role, member and removed at once: refused. */
static void test_nonsense_is_refused(void **state)
{
    (void)state;
    struct raft_membership found;
    struct error err = ERROR_INIT;
    struct buf bytes;
    buf_init(&bytes, alloc_default(), 4096);
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        struct raft_membership bad = three();                                                      \
        change;                                                                                    \
        assert_status(raft_membership_decode(encoded(&bad, &bytes), &found, &err), STATUS_CORRUPT, \
                      &err);                                                                       \
    } while (0)
    REFUSED(bad.of[0].id = 0);
    REFUSED(bad.of[1].id = 1);
    REFUSED(bad.of[0].id = 9);
    REFUSED(bad.of[1].role = (enum raft_member_role)3);
    REFUSED(bad.of[2].id = UINT64_MAX);
#undef REFUSED
    buf_release(&bytes);
}

static void test_changes(void **state)
{
    (void)state;
    struct raft_membership members = three();
    struct raft_membership next;
    struct error err = ERROR_INIT;
    struct buf bytes;
    buf_init(&bytes, alloc_default(), 4096);
    assert_ok(raft_membership_add(&members, 7, slice_of_string("n7"), &bytes, &err), &err);
    assert_ok(raft_membership_decode(buf_slice(&bytes), &next, &err), &err);
    assert_int_equal(next.of[2].id, 7);
    assert_int_equal(next.of[2].role, RAFT_LEARNER);
    assert_ok(raft_membership_check_step(&members, &next, &err), &err);
    assert_status(raft_membership_check_step(&next, &members, &err), STATUS_FAILED_PRECONDITION,
                  &err); /* who goes is noted */
    buf_clear(&bytes);
    assert_ok(raft_membership_promote(&members, 2, &bytes, &err), &err);
    assert_ok(raft_membership_decode(buf_slice(&bytes), &next, &err), &err);
    assert_int_equal(raft_membership_voters(&next), 3);
    assert_ok(raft_membership_check_step(&members, &next, &err), &err);
    assert_status(raft_membership_check_step(&next, &members, &err), STATUS_FAILED_PRECONDITION,
                  &err); /* a voter stays one */
    buf_clear(&bytes);
    assert_ok(raft_membership_remove(&members, 1, &bytes, &err), &err);
    assert_ok(raft_membership_decode(buf_slice(&bytes), &next, &err), &err);
    assert_true(raft_membership_removed(&next, 1));
    assert_true(raft_membership_removed(&next, 3));
    assert_int_equal(next.count, 2);
    assert_ok(raft_membership_check_step(&members, &next, &err), &err);
    /* The last voter stays; who was removed does not come back. */
    buf_clear(&bytes);
    struct raft_membership last = {.count = 1, .of = {{.id = 5, .role = RAFT_VOTER}}};
    assert_status(raft_membership_remove(&last, 5, &bytes, &err), STATUS_FAILED_PRECONDITION, &err);
    assert_status(raft_membership_add(&members, 3, slice_of_string(""), &bytes, &err),
                  STATUS_FAILED_PRECONDITION, &err);
    assert_status(raft_membership_add(&members, 1, slice_of_string(""), &bytes, &err),
                  STATUS_ALREADY_EXISTS, &err);
    assert_status(raft_membership_promote(&members, 1, &bytes, &err), STATUS_ALREADY_EXISTS, &err);
    assert_status(raft_membership_promote(&members, 8, &bytes, &err), STATUS_NOT_FOUND, &err);
    assert_status(raft_membership_remove(&members, 8, &bytes, &err), STATUS_NOT_FOUND, &err);
    assert_int_equal(bytes.length, 0);
    buf_release(&bytes);
}

/* Two changes at once are no step, nor is a voter from nowhere, nor a removed one. */
static void test_one_step(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct raft_membership from = three();
    struct raft_membership to = from;
    assert_ok(raft_membership_check_step(&from, &to, &err), &err);
    to.of[1].role = RAFT_VOTER;
    to.of[3] = to.of[2];
    to.of[2] = (struct raft_member){.id = 9, .role = RAFT_LEARNER};
    to.count = 4;
    assert_status(raft_membership_check_step(&from, &to, &err), STATUS_FAILED_PRECONDITION, &err);
    to.of[1].role = RAFT_LEARNER;
    assert_ok(raft_membership_check_step(&from, &to, &err), &err);
    to.of[2].role = RAFT_VOTER;
    assert_status(raft_membership_check_step(&from, &to, &err), STATUS_FAILED_PRECONDITION, &err);
    to.of[2] = (struct raft_member){.id = 3, .role = RAFT_LEARNER};
    to.removed_count = 0;
    assert_status(raft_membership_check_step(&from, &to, &err), STATUS_FAILED_PRECONDITION, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_nonsense_is_refused),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_one_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
