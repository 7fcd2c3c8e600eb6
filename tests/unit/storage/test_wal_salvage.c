/* SPDX-License-Identifier: Apache-2.0
 *
 * What is saved of a damaged log: all before the damage, and from behind it what the node may have
 * promised; at each byte, and with a crash at each change of a file.
 */
#include "wal_fixture.h"

#include "storage/wal/format.h"
#include "storage/wal/salvage.h"

/* Each byte; under ASan, which takes ten times as long, one in seven. */
#ifdef __SANITIZE_ADDRESS__
enum { STRIDE = 7 };
#else
enum { STRIDE = 1 };
#endif

enum { GROUPS = 5, LAST = 3 * GROUPS };

/* Five groups of three entries, each after a vote, and a SYNCED record; ends[i] is the offset
 * behind group i, all in file 1. */
static void build(struct wal_fixture *fx, uint64_t ends[GROUPS])
{
    fixture_init(fx, 16 * KIB);
    fixture_open(fx);
    uint64_t offset = WAL_BLOCK_BYTES;
    for (uint64_t i = 0; i < GROUPS; i++) {
        uint64_t before = counter_get(&wal_metrics(fx->wal)->bytes);
        fixture_vote(fx, i + 1, i + 7);
        fixture_append(fx, i * 3 + 1, i * 3 + 4, i + 1);
        fixture_commit(fx);
        offset += counter_get(&wal_metrics(fx->wal)->bytes) - before;
        ends[i] = offset;
    }
    fixture_idle(fx);
    fixture_close(fx);
}

static void flip(struct wal_fixture *fx, uint64_t file, uint64_t at)
{
    fixture_poke(fx, file, at, fixture_peek(fx, file, at) ^ 0x10);
}

static struct wal_salvage expect_salvage(struct wal_fixture *fx, uint64_t last, uint64_t lost)
{
    struct wal_salvage salvage;
    assert_status(fixture_try_open(fx), STATUS_CORRUPT, &fx->err);
    assert_ok(wal_salvage_look(&fx->options, &salvage, &fx->err), &fx->err);
    assert_int_equal(salvage.last_index, last);
    assert_int_equal(salvage.lost_index, lost);
    assert_int_equal(salvage.term, fx->model.term);
    assert_int_equal(salvage.vote, fx->model.vote);
    return salvage;
}

/* The log ends before the damage, and knows the vote that was behind it; it goes on from there. */
static void expect_cut(struct wal_fixture *fx, const struct wal_salvage *salvage)
{
    uint64_t last = salvage->last_index;
    fixture_open(fx);
    fixture_expect(fx, last);
    fixture_append(fx, last + 1, last + 3, fx->model.term);
    fixture_commit(fx);
    fixture_reopen(fx);
    fixture_expect(fx, last + 2);
    fixture_close(fx);
}

/* A changed byte in any group: those before it stay, and the state after the last one is known. The
 * damaged bytes are kept. */
static void test_each_byte(void **state)
{
    (void)state;
    uint64_t ends[GROUPS];
    struct wal_fixture fx;
    build(&fx, ends);
    uint64_t end = ends[GROUPS - 1];
    fixture_release(&fx);
    for (uint64_t at = WAL_BLOCK_BYTES; at < end; at += STRIDE) {
        build(&fx, ends);
        unsigned group = 0;
        while (at >= ends[group]) {
            group++;
        }
        flip(&fx, 1, at);
        if (fixture_try_open(&fx) == STATUS_OK) { /* in the padding */
            fixture_expect(&fx, LAST);
            fixture_release(&fx);
            continue;
        }
        struct wal_salvage salvage = expect_salvage(&fx, group * 3UL, LAST);
        uint8_t bad = fixture_peek(&fx, 1, at);
        assert_ok(wal_salvage_cut(&fx.options, &salvage, &fx.err), &fx.err);
        assert_ok(wal_salvage_cut(&fx.options, &salvage, &fx.err), &fx.err); /* does nothing */
        struct file *kept = NULL;
        uint8_t byte = 0;
        size_t got = 0;
        assert_ok(fs_open(fx.fs, FIXTURE_DIR "/0000000000000001.damaged", FS_READ, &kept, &fx.err),
                  &fx.err);
        assert_ok(file_read(kept, at, &byte, 1, &got, &fx.err), &fx.err);
        file_close(kept);
        assert_int_equal(byte, bad);
        expect_cut(&fx, &salvage);
        fixture_release(&fx);
    }
}

/* A group that was never written (zeros where it should be), and several. */
static void test_lost_groups(void **state)
{
    (void)state;
    uint64_t ends[GROUPS];
    for (unsigned last = 2; last <= GROUPS; last++) {
        struct wal_fixture fx;
        build(&fx, ends);
        for (uint64_t at = ends[0]; at < ends[last - 1]; at++) {
            fixture_poke(&fx, 1, at, 0);
        }
        struct wal_salvage salvage = expect_salvage(&fx, 3, LAST);
        assert_ok(wal_salvage_cut(&fx.options, &salvage, &fx.err), &fx.err);
        expect_cut(&fx, &salvage);
        fixture_release(&fx);
    }
}

/* Nothing whole comes after the damage, but something that says that there was something: the last
 * vote may be in what is gone, and nothing is made of that. */
static void test_unknown_vote(void **state)
{
    (void)state;
    uint64_t ends[GROUPS];
    struct wal_salvage salvage;
    struct wal_fixture fx;
    build(&fx, ends);
    flip(&fx, 1, ends[3] + 100);
    flip(&fx, 1,
         ends[4] + 40); /* the SYNCED group's repetition of the vote; its GROUP record stands */
    assert_status(fixture_try_open(&fx), STATUS_CORRUPT, &fx.err);
    assert_status(wal_salvage_look(&fx.options, &salvage, &fx.err), STATUS_CORRUPT, &fx.err);
    assert_non_null(strstr(fx.err.text, "last vote is not known"));
    fixture_release(&fx);
    /* Nor of a log that is not damaged. */
    build(&fx, ends);
    assert_status(wal_salvage_look(&fx.options, &salvage, &fx.err), STATUS_CORRUPT, &fx.err);
    fixture_release(&fx);
}

/* A torn group at the end, after damage: it was never durable, and what it begins with is true. */
static void test_damage_and_torn_tail(void **state)
{
    (void)state;
    uint64_t ends[GROUPS];
    struct wal_fixture fx;
    build(&fx, ends);
    fixture_open(&fx);
    struct wal_model before = fx.model;
    fixture_append(&fx, LAST + 1, LAST + 4, GROUPS);
    fixture_commit(&fx);
    fixture_close(&fx);
    fx.model = before;
    uint64_t torn = ends[4] + WAL_BLOCK_BYTES;
    assert_int_not_equal(fixture_peek(&fx, 1, torn), 0);
    flip(&fx, 1, torn + 200); /* an entry */
    flip(&fx, 1, ends[1] + 100);
    (void)expect_salvage(&fx, 6, LAST);
    fixture_release(&fx);
}

/* Entries were removed before the damage and others took their place: the log's end is the last
 * one, not the highest. */
static void test_truncated_end(void **state)
{
    (void)state;
    uint64_t ends[GROUPS];
    struct wal_fixture fx;
    build(&fx, ends);
    fixture_open(&fx);
    fixture_vote(&fx, 9, 2);
    fixture_append(&fx, 8, 10, 9);
    fixture_commit(&fx);
    fixture_idle(&fx);
    fixture_close(&fx);
    flip(&fx, 1, ends[1] + 100);
    (void)expect_salvage(&fx, 6, 9);
    fixture_release(&fx);
}

static uint64_t fill_segments(struct wal_fixture *fx)
{
    uint64_t next = 1;
    fixture_init(fx, 4 * KIB);
    fixture_open(fx);
    fixture_vote(fx, 1, 1);
    for (; counter_get(&wal_metrics(fx->wal)->segments_made) < 5; next += 3) {
        fixture_append(fx, next, next + 3, 1);
        fixture_commit(fx);
    }
    fixture_idle(fx);
    fixture_close(fx);
    return next - 1;
}

/* Heads and first groups of segments; the first segment's head, too, leaves nothing but what is to
 * be known. */
static void test_segments(void **state)
{
    (void)state;
    for (uint64_t file = 1; file <= 4; file++) {
        unsigned whole = 0;
        for (uint64_t at = 0; at < 1200; at += STRIDE) {
            struct wal_fixture fx;
            uint64_t last = fill_segments(&fx);
            flip(&fx, file, at);
            if (fixture_try_open(&fx) == STATUS_OK) { /* in the padding */
                fixture_expect(&fx, last);
                fixture_release(&fx);
                whole++;
                continue;
            }
            assert_int_equal(fx.err.status, STATUS_CORRUPT);
            struct wal_salvage salvage;
            assert_ok(wal_salvage_look(&fx.options, &salvage, &fx.err), &fx.err);
            assert_int_equal(salvage.lost_index, last);
            assert_int_equal(salvage.term, 1);
            assert_int_equal(salvage.vote, 1);
            assert_true(file > 1 || at > WAL_BLOCK_BYTES || salvage.last_index == 0);
            assert_ok(wal_salvage_cut(&fx.options, &salvage, &fx.err), &fx.err);
            expect_cut(&fx, &salvage);
            fixture_release(&fx);
        }
        assert_true(whole < 600 / STRIDE);
    }
}

/* The power fails at the n-th change of a file, whatever is lost by it: what was begun is ended
 * after. */
static void test_crash_at_each_change(void **state)
{
    (void)state;
    bool crashed = true;
    uint64_t n = 0;
    for (; crashed; n++) {
        for (uint64_t seed = 0; seed < 8; seed++) {
            struct wal_fixture fx;
            uint64_t last = fill_segments(&fx);
            flip(&fx, 2, 700);
            assert_status(fixture_try_open(&fx), STATUS_CORRUPT, &fx.err);
            struct wal_salvage salvage;
            assert_ok(wal_salvage_look(&fx.options, &salvage, &fx.err), &fx.err);
            fs_crash_stop_at(fx.crash, n);
            enum status status = wal_salvage_cut(&fx.options, &salvage, &fx.err);
            crashed = fs_crash_stopped(fx.crash);
            assert_true(crashed || status == STATUS_OK);
            fs_crash_now(fx.crash, seed);
            fs_crash_stop_at(fx.crash, UINT64_MAX);
            assert_ok(wal_salvage_cut(&fx.options, &salvage, &fx.err), &fx.err);
            assert_int_equal(salvage.lost_index, last);
            expect_cut(&fx, &salvage);
            fixture_release(&fx);
        }
    }
    assert_true(n > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_byte),
        cmocka_unit_test(test_lost_groups),
        cmocka_unit_test(test_unknown_vote),
        cmocka_unit_test(test_damage_and_torn_tail),
        cmocka_unit_test(test_truncated_end),
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_crash_at_each_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
