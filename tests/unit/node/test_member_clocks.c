/* SPDX-License-Identifier: Apache-2.0
 *
 * The time of day as most voters' clocks have it.
 */
#include "testlib/test.h"

#include "node/member_clocks.h"
#include "testlib/clock_manual.h"

#define YEARS_NS(n) ((n)*365ULL * 86400 * NS_PER_S)
#define TODAY_NS YEARS_NS(54)

/* This node is member 1. */
struct fixture {
    struct clock_manual clock;
    struct members members;
    struct member_clocks clocks;
};

static struct fixture begin(size_t voters)
{
    struct fixture fx = {.members = {.count = voters}};
    for (size_t i = 0; i < voters; i++) {
        fx.members.of[i] = (struct member){.raft_id = i + 1, .voter = true};
    }
    clock_manual_init(&fx.clock, TODAY_NS);
    return fx;
}

/* Where the fixture stays from here on. */
static void init(struct fixture *fx)
{
    member_clocks_init(&fx->clocks, &fx->clock.clock, &fx->members, 1);
}

/* Alone, a node has nothing but its clock. */
static void test_alone(void **state)
{
    (void)state;
    struct fixture fx = begin(1);
    init(&fx);
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS);
}

/* A clock that is nearly right is believed exactly, so that times are as fine as it is. */
static void test_nearly_right(void **state)
{
    (void)state;
    struct fixture fx = begin(3);
    init(&fx);
    member_clocks_heard(&fx.clocks, 2, TODAY_NS - CLOCK_DIFFERENCE_NS_MAX);
    member_clocks_heard(&fx.clocks, 3, TODAY_NS - CLOCK_DIFFERENCE_NS_MAX);
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS);
    member_clocks_heard(&fx.clocks, 2, TODAY_NS - CLOCK_DIFFERENCE_NS_MAX - 1);
    member_clocks_heard(&fx.clocks, 3, TODAY_NS - CLOCK_DIFFERENCE_NS_MAX - 1);
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS - CLOCK_DIFFERENCE_NS_MAX - 1);
}

/* At the bound it does not go to and fro. */
static void test_half_way_back(void **state)
{
    (void)state;
    struct fixture fx = begin(3);
    init(&fx);
    member_clocks_heard(&fx.clocks, 2, TODAY_NS);
    member_clocks_heard(&fx.clocks, 3, TODAY_NS);
    clock_manual_set_realtime(&fx.clock, TODAY_NS + CLOCK_DIFFERENCE_NS_MAX + 1);
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS);
    clock_manual_set_realtime(&fx.clock, TODAY_NS + CLOCK_DIFFERENCE_NS_MAX / 2 + 1);
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS);
    clock_manual_set_realtime(&fx.clock, TODAY_NS + CLOCK_DIFFERENCE_NS_MAX / 2);
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS + CLOCK_DIFFERENCE_NS_MAX / 2);
    clock_manual_set_realtime(&fx.clock, TODAY_NS + CLOCK_DIFFERENCE_NS_MAX);
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS + CLOCK_DIFFERENCE_NS_MAX);
}

/* This node's clock is ten years ahead, or behind: that of the two others counts. */
static void test_own_is_wrong(void **state)
{
    (void)state;
    struct fixture fx = begin(3);
    init(&fx);
    member_clocks_heard(&fx.clocks, 2, TODAY_NS);
    member_clocks_heard(&fx.clocks, 3, TODAY_NS + 7);
    clock_manual_set_realtime(&fx.clock, TODAY_NS + YEARS_NS(10));
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS + 7);
    clock_manual_set_realtime(&fx.clock, TODAY_NS - YEARS_NS(10));
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS);
    clock_manual_set_realtime(&fx.clock, TODAY_NS + 1);
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS + 1);
}

/* Another's is: it changes nothing. */
static void test_another_is_wrong(void **state)
{
    (void)state;
    struct fixture fx = begin(3);
    init(&fx);
    member_clocks_heard(&fx.clocks, 2, TODAY_NS + YEARS_NS(10));
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS);
    member_clocks_heard(&fx.clocks, 3, TODAY_NS);
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS);
    member_clocks_heard(&fx.clocks, 2, UINT64_MAX);
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS);
    member_clocks_heard(&fx.clocks, 2, 1);
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS);
}

/* Of two that differ the earlier one: nothing runs ahead. */
static void test_two_differ(void **state)
{
    (void)state;
    struct fixture fx = begin(3);
    init(&fx);
    clock_manual_set_realtime(&fx.clock, TODAY_NS + YEARS_NS(10));
    member_clocks_heard(&fx.clocks, 3, TODAY_NS);
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS);
}

/* What a silent member's clock showed goes on. */
static void test_goes_on(void **state)
{
    (void)state;
    struct fixture fx = begin(3);
    init(&fx);
    member_clocks_heard(&fx.clocks, 2, TODAY_NS);
    member_clocks_heard(&fx.clocks, 3, TODAY_NS);
    clock_manual_advance(&fx.clock, 3600 * NS_PER_S);
    clock_manual_set_realtime(&fx.clock, TODAY_NS + YEARS_NS(10));
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS + 3600 * NS_PER_S);
}

/* Who is no voter, or no member any more, or does not say what his clock shows, does not count. */
static void test_who_counts(void **state)
{
    (void)state;
    struct fixture fx = begin(5);
    init(&fx);
    fx.members.of[1].voter = false;
    for (uint64_t id = 2; id <= 5; id++) {
        member_clocks_heard(&fx.clocks, id, TODAY_NS + YEARS_NS(1));
    }
    member_clocks_heard(&fx.clocks, 1, TODAY_NS + YEARS_NS(2));
    member_clocks_heard(&fx.clocks, 9, TODAY_NS + YEARS_NS(2));
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS + YEARS_NS(1));
    fx.members.count = 3; /* of which 2 learns */
    member_clocks_heard(&fx.clocks, 3, 0);
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS);
    fx.members.of[1].voter = true;
    assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS + YEARS_NS(1));
}

/* However many come and go, there is room for those who are there. */
static void test_room(void **state)
{
    (void)state;
    struct fixture fx = begin(RAFT_PEERS_MAX);
    init(&fx);
    for (uint64_t round = 0; round < 3; round++) {
        for (size_t i = 1; i < RAFT_PEERS_MAX; i++) {
            fx.members.of[i].raft_id = 100 * round + i + 1;
        }
        for (size_t i = 1; i < RAFT_PEERS_MAX; i++) {
            member_clocks_heard(&fx.clocks, fx.members.of[i].raft_id,
                                TODAY_NS + YEARS_NS(round + 1));
        }
        assert_int_equal(member_clocks_now_ns(&fx.clocks), TODAY_NS + YEARS_NS(round + 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_nearly_right),
        cmocka_unit_test(test_half_way_back),
        cmocka_unit_test(test_own_is_wrong),
        cmocka_unit_test(test_another_is_wrong),
        cmocka_unit_test(test_two_differ),
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_who_counts),
        cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
