/* SPDX-License-Identifier: Apache-2.0
 *
 * What a damaged log owes is durable before the log is changed, and stays until it is paid.
 */
#include "../storage/wal_fixture.h"

#include "base/buf.h"
#include "node/refill.h"
#include "testlib/executor_manual.h"
#include "testlib/flip.h"

enum { LAST = 15 };

/* Five groups of three entries in term 4 with a vote, then a SYNCED record. */
static void build(struct wal_fixture *fx)
{
    fixture_init(fx, 16 * KIB);
    assert_ok(fs_make_dir(fx->fs, "data", &fx->err), &fx->err);
    fx->options.dir = "data/wal";
    fixture_open(fx);
    for (uint64_t i = 0; i < LAST; i += 3) {
        fixture_vote(fx, 4, 7 + i % 2);
        fixture_append(fx, i + 1, i + 4, 4);
        fixture_commit(fx);
    }
    fixture_idle(fx);
    fixture_close(fx);
    assert_ok(fs_sync_dir(fx->fs, ".", &fx->err), &fx->err);
}

static void flip(struct wal_fixture *fx, uint64_t at)
{
    flip_bit(fx->fs, "data/wal/0000000000000001.wal", at);
}

/* A start: what DATA/refill says, and the log. */
static enum status start(struct wal_fixture *fx, struct refill *refill, bool others)
{
    enum status status = refill_load(refill, fx->fs, "data", &fx->err);
    return status == STATUS_OK ? refill_open_wal(refill, &fx->options, others, 0, 0, &fx->recovered,
                                                 &fx->wal, &fx->err)
                               : status;
}

static bool is_kept(struct wal_fixture *fx)
{
    bool exists = false;
    assert_ok(fs_exists(fx->fs, "data/refill", &exists, &fx->err), &fx->err);
    return exists;
}

static void expect_owes(struct wal_fixture *fx, const struct refill *refill, uint64_t last)
{
    assert_int_equal(refill->index, LAST);
    assert_int_equal(refill->term, 4);
    fixture_expect(fx, last);
    assert_true(is_kept(fx));
}

/* A sound log owes nothing; one alone that is damaged does not start. */
static void test_none(void **state)
{
    (void)state;
    struct wal_fixture fx;
    struct refill refill;
    build(&fx);
    assert_ok(start(&fx, &refill, true), &fx.err);
    assert_int_equal(refill.index, 0);
    assert_false(is_kept(&fx));
    fixture_close(&fx);
    flip(&fx, 700);
    assert_status(start(&fx, &refill, false), STATUS_CORRUPT, &fx.err);
    assert_false(is_kept(&fx));
    fixture_release(&fx);
}

/* The power fails at each change of a file, over and over; in the end the log is cut, with its
 * vote, and owes what it had. */
static void test_crash_at_each_change(void **state)
{
    (void)state;
    bool crashed = true;
    uint64_t n = 0;
    for (; crashed; n++) {
        for (uint64_t seed = 0; seed < 8; seed++) {
            struct wal_fixture fx;
            struct refill refill;
            build(&fx);
            flip(&fx, 1600);
            fs_crash_stop_at(fx.crash, n);
            enum status status = start(&fx, &refill, true);
            crashed = fs_crash_stopped(fx.crash);
            assert_true(crashed || status == STATUS_OK);
            fixture_close(&fx);
            fs_crash_now(fx.crash, seed);
            fs_crash_stop_at(fx.crash, UINT64_MAX);
            assert_ok(start(&fx, &refill, true), &fx.err);
            uint64_t last = fx.recovered.last_index;
            assert_true(last < LAST);
            expect_owes(&fx, &refill, last);
            /* It goes on, and owes it still after a restart. */
            fixture_append(&fx, last + 1, last + 2, 4);
            fixture_commit(&fx);
            fixture_close(&fx);
            assert_ok(start(&fx, &refill, true), &fx.err);
            expect_owes(&fx, &refill, last + 1);
            fixture_release(&fx);
        }
    }
    assert_true(n > 12);
}

/* The log is damaged again before it was refilled: it owes what it owed. */
static void test_twice(void **state)
{
    (void)state;
    struct wal_fixture fx;
    struct refill refill;
    build(&fx);
    flip(&fx, 2800);
    assert_ok(start(&fx, &refill, true), &fx.err);
    assert_true(refill.salvaged);
    uint64_t last = fx.recovered.last_index;
    assert_true(last > 0);
    fixture_idle(&fx);
    fixture_close(&fx);
    flip(&fx, 700);
    assert_ok(start(&fx, &refill, true), &fx.err);
    assert_true(fx.recovered.last_index < last);
    expect_owes(&fx, &refill, fx.recovered.last_index);
    fixture_release(&fx);
}

/* It goes when all is there; or when the tables have it at a start. */
static void test_end(void **state)
{
    (void)state;
    struct wal_fixture fx;
    struct refill refill;
    struct executor_manual executor;
    executor_manual_init(&executor, 1);
    build(&fx);
    flip(&fx, 700);
    assert_ok(start(&fx, &refill, true), &fx.err);
    refill_end(&refill, &executor.executor);
    while (executor_manual_step(&executor)) {
    }
    fixture_close(&fx);
    assert_ok(start(&fx, &refill, true), &fx.err);
    assert_int_equal(refill.index, 0);
    fixture_release(&fx);

    const struct {
        uint64_t index;
        uint64_t term;
        bool owes;
    } tables[] = {{LAST - 1, 4, true}, {LAST, 4, false}, {LAST - 1, 5, false}};
    for (size_t i = 0; i < 3; i++) {
        build(&fx);
        flip(&fx, 700);
        assert_ok(refill_load(&refill, fx.fs, "data", &fx.err), &fx.err);
        assert_ok(refill_open_wal(&refill, &fx.options, true, tables[i].index, tables[i].term,
                                  &fx.recovered, &fx.wal, &fx.err),
                  &fx.err);
        assert_int_equal(refill.index > 0, tables[i].owes);
        assert_int_equal(is_kept(&fx), tables[i].owes);
        fixture_release(&fx);
    }
}

/* A changed byte of the note is damage, not another note. */
static void test_damaged_note(void **state)
{
    (void)state;
    struct wal_fixture fx;
    struct refill refill;
    struct buf text;
    build(&fx);
    flip(&fx, 700);
    assert_ok(start(&fx, &refill, true), &fx.err);
    fixture_close(&fx);
    buf_init(&text, alloc_default(), 4096);
    assert_ok(fs_read_file(fx.fs, "data/refill", &text, &fx.err), &fx.err);
    for (size_t i = 0; i < text.length; i++) {
        text.data[i] ^= 1;
        assert_ok(fs_replace_file(fx.fs, "data", "data/refill", buf_slice(&text), &fx.err),
                  &fx.err);
        assert_status(refill_load(&refill, fx.fs, "data", &fx.err), STATUS_CORRUPT, &fx.err);
        text.data[i] ^= 1;
    }
    buf_release(&text);
    fixture_release(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),         cmocka_unit_test(test_crash_at_each_change),
        cmocka_unit_test(test_twice),        cmocka_unit_test(test_end),
        cmocka_unit_test(test_damaged_note),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
