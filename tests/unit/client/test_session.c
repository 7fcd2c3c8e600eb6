/* SPDX-License-Identifier: Apache-2.0 */
#include "client/session.h"

#include "testlib/test.h"

static void init(struct session *session, uint64_t seed)
{
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, seed);
    session_init(session, &seeded.rng);
}

/* Numbers rise from 1, and two clients have different ids. */
static void test_numbers_and_ids(void **state)
{
    struct session a;
    struct session b;
    (void)state;
    init(&a, 1);
    init(&b, 2);
    assert_memory_not_equal(a.client_id, b.client_id, sizeof a.client_id);
    assert_int_equal(session_begin(&a), 1);
    assert_int_equal(session_begin(&a), 2);
    assert_int_equal(a.low, 1);
}

/* The low-water mark stands at the oldest number that has not ended, whatever ended after it. */
static void test_low_water(void **state)
{
    struct session session;
    (void)state;
    init(&session, 1);
    for (int i = 0; i < 5; i++) {
        (void)session_begin(&session);
    }
    session_end(&session, 3);
    session_end(&session, 2);
    assert_int_equal(session.low, 1);
    session_end(&session, 1);
    assert_int_equal(session.low, 4);
    session_end(&session, 5);
    assert_int_equal(session.low, 4);
    session_end(&session, 4);
    assert_int_equal(session.low, 6);
    assert_int_equal(session.low, session.next);
}

/* One straggler stops the window at its width, and opens it again when it ends. */
static void test_window_is_bounded(void **state)
{
    struct session session;
    (void)state;
    init(&session, 1);
    for (uint64_t i = 1; i <= SESSION_WINDOW_MAX; i++) {
        assert_true(session_has_room(&session));
        assert_int_equal(session_begin(&session), i);
    }
    assert_false(session_has_room(&session));
    for (uint64_t i = 2; i <= SESSION_WINDOW_MAX; i++) {
        session_end(&session, i);
    }
    assert_false(session_has_room(&session));
    session_end(&session, 1);
    assert_true(session_has_room(&session));
    assert_int_equal(session.low, SESSION_WINDOW_MAX + 1);
}

/* Against a plain model: numbers that end in any order give the same mark. */
static void test_against_model(void **state)
{
    enum { NUMBERS = 20000 };
    static bool ended[NUMBERS + 2];
    struct rng_seeded seeded;
    struct session session;
    uint64_t open[SESSION_WINDOW_MAX];
    size_t open_count = 0;
    uint64_t low = 1;
    (void)state;
    rng_seeded_init(&seeded, test_seed());
    init(&session, 1);
    memset(ended, 0, sizeof ended);
    while (session.next <= NUMBERS) {
        if (session_has_room(&session) && rng_below(&seeded.rng, 2) == 0) {
            open[open_count++] = session_begin(&session);
        } else if (open_count > 0) {
            size_t i = (size_t)rng_below(&seeded.rng, open_count);
            ended[open[i]] = true;
            session_end(&session, open[i]);
            open[i] = open[--open_count];
        }
        while (ended[low]) {
            low++;
        }
        assert_int_equal(session.low, low);
    }
}

/* Log time only goes forward. */
static void test_log_time(void **state)
{
    struct session session;
    (void)state;
    init(&session, 1);
    assert_int_equal(session.log_time_ns, 0);
    session_saw_time(&session, 50);
    session_saw_time(&session, 40);
    assert_int_equal(session.log_time_ns, 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_and_ids),   cmocka_unit_test(test_low_water),
        cmocka_unit_test(test_window_is_bounded), cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_log_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
