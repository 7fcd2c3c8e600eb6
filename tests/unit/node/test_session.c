/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/session.h"

static const uint8_t alice_id[CLIENT_ID_BYTES] = "alice...........";
static const uint8_t bob_id[CLIENT_ID_BYTES] = "bob.............";

static struct slice alice(void)
{
    return slice_of(alice_id, CLIENT_ID_BYTES);
}

static struct slice bob(void)
{
    return slice_of(bob_id, CLIENT_ID_BYTES);
}

static struct session_table *table_new(void)
{
    struct session_table *table = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(session_table_new(alloc_default(), &table, &err), STATUS_OK);
    return table;
}

static enum session_answer ask(struct session_table *table, struct slice id, uint64_t sequence,
                               uint64_t below, uint64_t first_attempt, struct session_result *out)
{
    struct error err = ERROR_INIT;
    return session_check(table, id, sequence, below, first_attempt, out, &err);
}

static void record(struct session_table *table, struct slice id, uint64_t sequence, uint64_t below,
                   uint64_t position, uint64_t time_ns)
{
    struct error err = ERROR_INIT;
    const struct session_result result = {
        .sequence = sequence, .position = position, .time_ns = time_ns, .count = 1};
    assert_int_equal(session_record(table, id, below, &result, &err), STATUS_OK);
}

/* A request that was applied is answered with what was recorded, and no other one is. */
static void repeated_requests_are_recognised(void **state)
{
    struct session_table *table = table_new();
    struct session_result result;
    (void)state;
    assert_int_equal(ask(table, alice(), 1, 1, 0, &result), SESSION_NEW);
    record(table, alice(), 1, 1, 77, 1000);
    assert_int_equal(ask(table, alice(), 1, 1, 0, &result), SESSION_REPEAT);
    assert_int_equal(result.position, 77);
    assert_int_equal(ask(table, alice(), 2, 1, 0, &result), SESSION_NEW);
    assert_int_equal(ask(table, bob(), 1, 1, 0, &result), SESSION_NEW);
    session_table_free(table);
}

/* Requests in flight may be applied in any order; each is recognised on its own. */
static void requests_may_come_in_any_order(void **state)
{
    struct session_table *table = table_new();
    struct session_result result;
    (void)state;
    for (uint64_t i = 0; i < SESSION_WINDOW_MAX; i++) {
        uint64_t sequence = 1 + (i * 389) % SESSION_WINDOW_MAX; /* 389 is odd: a permutation */
        assert_int_equal(ask(table, alice(), sequence, 1, 0, &result), SESSION_NEW);
        record(table, alice(), sequence, 1, sequence * 10, 1000 + i);
    }
    for (uint64_t sequence = 1; sequence <= SESSION_WINDOW_MAX; sequence++) {
        assert_int_equal(ask(table, alice(), sequence, 1, 0, &result), SESSION_REPEAT);
        assert_int_equal(result.position, sequence * 10);
    }
    assert_int_equal(ask(table, alice(), SESSION_WINDOW_MAX + 1, 1, 0, &result), SESSION_REFUSED);
    assert_int_equal(ask(table, alice(), SESSION_WINDOW_MAX + 1, 2, 0, &result), SESSION_NEW);
    session_table_free(table);
}

/* Below what the client acknowledged nothing is kept, and nothing is applied a second time. */
static void acknowledged_results_are_forgotten_not_repeated(void **state)
{
    struct session_table *table = table_new();
    struct session_result result;
    (void)state;
    record(table, alice(), 1, 1, 10, 1000);
    record(table, alice(), 2, 2, 11, 1001);
    assert_int_equal(ask(table, alice(), 1, 1, 0, &result), SESSION_REFUSED);
    assert_int_equal(ask(table, alice(), 2, 2, 0, &result), SESSION_REPEAT);
    session_table_free(table);
}

/* Once a session has expired, a late repeat is refused and never taken for a new request. */
static void repeats_after_expiry_have_an_unknown_outcome(void **state)
{
    struct session_table *table = table_new();
    struct session_result result;
    struct error err = ERROR_INIT;
    (void)state;
    record(table, alice(), 1, 1, 10, 1000);
    record(table, bob(), 1, 1, 11, 3000);
    session_expire(table, 2000);
    assert_int_equal(session_count(table), 1);
    assert_int_equal(session_check(table, alice(), 1, 1, 1000, &result, &err), SESSION_REFUSED);
    assert_int_equal(err.status, STATUS_UNKNOWN);
    assert_int_equal(ask(table, alice(), 1, 1, 2500, &result), SESSION_NEW);
    assert_int_equal(ask(table, alice(), 1, 1, 0, &result), SESSION_NEW);
    assert_int_equal(ask(table, bob(), 1, 1, 0, &result), SESSION_REPEAT);
    session_table_free(table);
}

/* Of two requests under way one was applied, the session expired, and the other made it anew: the
 * repeat of the first is still no new request. */
static void repeats_after_expiry_are_not_new_to_the_next_session(void **state)
{
    struct session_table *table = table_new();
    struct session_result result;
    struct error err = ERROR_INIT;
    (void)state;
    record(table, alice(), 5, 5, 10, 1000);
    session_expire(table, 2000);
    assert_int_equal(ask(table, alice(), 6, 5, 0, &result), SESSION_NEW);
    record(table, alice(), 6, 5, 11, 2500);
    assert_int_equal(session_check(table, alice(), 5, 5, 900, &result, &err), SESSION_REFUSED);
    assert_int_equal(err.status, STATUS_UNKNOWN);
    assert_int_equal(ask(table, alice(), 6, 5, 900, &result), SESSION_REPEAT);
    assert_int_equal(ask(table, alice(), 7, 5, 2400, &result), SESSION_NEW);
    session_table_free(table);
}

struct rows {
    struct session_table *into;
    unsigned written;
    unsigned removed;
};

static enum status take_row(void *context, struct slice client_id, struct slice row,
                            struct error *err)
{
    struct rows *rows = context;
    if (row.length == 0) {
        rows->removed++;
        return STATUS_OK;
    }
    rows->written++;
    return session_load(rows->into, client_id, row, err);
}

/* A table loaded from the rows of another answers as that one does; rows are given out once. */
static void rows_carry_the_whole_table(void **state)
{
    struct session_table *table = table_new();
    struct rows rows = {.into = table_new()};
    struct session_result result;
    struct error err = ERROR_INIT;
    (void)state;
    for (uint64_t sequence = 5; sequence < 40; sequence += 3) {
        record(table, alice(), sequence, 5, sequence * 7, 1000 + sequence);
    }
    record(table, bob(), 1, 1, 9, 5000);
    assert_int_equal(session_flush(table, take_row, &rows, &err), STATUS_OK);
    assert_int_equal(rows.written, 2);
    for (uint64_t sequence = 5; sequence < 40; sequence++) {
        enum session_answer expected = (sequence - 5) % 3 == 0 ? SESSION_REPEAT : SESSION_NEW;
        assert_int_equal(ask(rows.into, alice(), sequence, 5, 0, &result), expected);
        if (expected == SESSION_REPEAT) {
            assert_int_equal(result.position, sequence * 7);
        }
    }
    rows.written = 0;
    assert_int_equal(session_flush(table, take_row, &rows, &err), STATUS_OK);
    assert_int_equal(rows.written, 0);
    struct rows all = {.into = table_new()};
    assert_int_equal(session_each(table, take_row, &all, &err), STATUS_OK);
    assert_int_equal(all.written, 2);
    session_table_free(all.into);
    session_expire(table, 4000);
    assert_int_equal(session_flush(table, take_row, &rows, &err), STATUS_OK);
    assert_int_equal(rows.removed, 1);
    session_table_free(rows.into);
    session_table_free(table);
}

/* Damaged rows are refused at every cut. */
static enum status keep_row(void *context, struct slice client_id, struct slice row,
                            struct error *err)
{
    (void)client_id;
    (void)err;
    buf_append_slice(context, row);
    return STATUS_OK;
}

static void damaged_rows_are_refused(void **state)
{
    struct session_table *table = table_new();
    struct error err = ERROR_INIT;
    struct buf row;
    (void)state;
    buf_init(&row, alloc_default(), 4096);
    record(table, alice(), 3, 2, 10, 1000);
    assert_int_equal(session_flush(table, keep_row, &row, &err), STATUS_OK);
    for (size_t length = 0; length < row.length; length++) {
        struct session_table *other = table_new();
        enum status status = session_load(other, alice(), slice_of(row.data, length), &err);
        /* Between two results the cut row is a shorter, valid one. */
        assert_true(status == STATUS_CORRUPT || length == 10);
        session_table_free(other);
    }
    buf_release(&row);
    session_table_free(table);
}

/* A table that was loaded has grown otherwise than the one that it came from. Both go on alike, and
 * give out the same bytes: nodes compare what they have. */
static void rows_do_not_tell_how_a_table_grew(void **state)
{
    struct session_table *old = table_new();
    struct rows rows = {.into = table_new()};
    struct error err = ERROR_INIT;
    struct buf kept[2];
    (void)state;
    for (uint64_t sequence = 1; sequence < 60; sequence++) {
        record(old, alice(), sequence, sequence < 30 ? 1 : sequence - 5, sequence, sequence);
    }
    assert_int_equal(session_flush(old, take_row, &rows, &err), STATUS_OK);
    struct session_table *tables[] = {old, rows.into};
    for (unsigned i = 0; i < 2; i++) {
        buf_init(&kept[i], alloc_default(), 4096);
        record(tables[i], alice(), 60, 55, 60, 60);
        record(tables[i], alice(), 61, 55, 61, 61);
        assert_int_equal(session_flush(tables[i], keep_row, &kept[i], &err), STATUS_OK);
    }
    assert_true(slice_equal(buf_slice(&kept[0]), buf_slice(&kept[1])));
    for (unsigned i = 0; i < 2; i++) {
        buf_release(&kept[i]);
        session_table_free(tables[i]);
    }
}

/* The table never outgrows its bound, and the forgotten client raises the floor. */
static void the_oldest_client_makes_room(void **state)
{
    struct session_table *table = table_new();
    struct session_result result;
    (void)state;
    for (uint64_t i = 0; i <= SESSIONS_MAX; i++) {
        uint8_t id[CLIENT_ID_BYTES] = {0};
        memcpy(id, &i, sizeof i);
        record(table, slice_of(id, sizeof id), 1, 1, i, 1000 + i);
    }
    assert_int_equal(session_count(table), SESSIONS_MAX);
    assert_int_equal(session_floor_ns(table), 1001);
    uint8_t first[CLIENT_ID_BYTES] = {0};
    assert_int_equal(ask(table, slice_of(first, sizeof first), 1, 1, 1000, &result),
                     SESSION_REFUSED);
    session_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repeated_requests_are_recognised),
        cmocka_unit_test(requests_may_come_in_any_order),
        cmocka_unit_test(acknowledged_results_are_forgotten_not_repeated),
        cmocka_unit_test(repeats_after_expiry_have_an_unknown_outcome),
        cmocka_unit_test(repeats_after_expiry_are_not_new_to_the_next_session),
        cmocka_unit_test(rows_carry_the_whole_table),
        cmocka_unit_test(damaged_rows_are_refused),
        cmocka_unit_test(rows_do_not_tell_how_a_table_grew),
        cmocka_unit_test(the_oldest_client_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
