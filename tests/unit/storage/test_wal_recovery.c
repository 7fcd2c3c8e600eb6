/* SPDX-License-Identifier: Apache-2.0
 *
 * What opening makes of bad bytes: an unfinished write is cut, damage is refused.
 */
#include "wal_fixture.h"

#include "base/crc32c.h"
#include "storage/wal/format.h"

enum { GROUPS = 4 };

/* Four groups of three entries; ends[i] is the offset behind group i. All in file 1. */
static void build(struct wal_fixture *fx, uint64_t ends[GROUPS])
{
    fixture_init(fx, 16 * KIB);
    fixture_open(fx);
    fixture_vote(fx, 1, 1);
    uint64_t offset = WAL_BLOCK_BYTES;
    for (uint64_t i = 0; i < GROUPS; i++) {
        uint64_t before = counter_get(&wal_metrics(fx->wal)->bytes);
        fixture_append(fx, i * 3 + 1, i * 3 + 4, i + 1);
        fixture_commit(fx);
        offset += counter_get(&wal_metrics(fx->wal)->bytes) - before;
        ends[i] = offset;
    }
    fixture_close(fx);
}

/* A torn write at every byte of the last group: the log ends exactly before the group, and goes
 * on from there. */
static void test_torn_at_every_byte(void **state)
{
    (void)state;
    struct wal_fixture fx;
    uint64_t ends[GROUPS];
    build(&fx, ends);
    /* The padding is not looked at; the group's own bytes end somewhere in the last block. */
    uint64_t end = ends[3];
    while (fixture_peek(&fx, 1, end - 1) == 0) {
        end--;
    }
    for (uint64_t from = ends[2]; from < end; from++) {
        static uint8_t kept[4096];
        for (uint64_t at = from; at < end; at++) {
            kept[at - from] = fixture_peek(&fx, 1, at);
            fixture_poke(&fx, 1, at, 0);
        }
        fixture_open(&fx);
        fixture_expect(&fx, 9);
        assert_true(from < ends[2] + WAL_GROUP_HEADER_BYTES || fx.recovered.cut_bytes > 0);
        fixture_close(&fx);
        for (uint64_t at = from; at < end; at++) {
            fixture_poke(&fx, 1, at, kept[at - from]);
        }
    }
    fixture_open(&fx);
    fixture_expect(&fx, 12);
    fixture_close(&fx);
    fixture_poke(&fx, 1, ends[2] + 100, (uint8_t)~fixture_peek(&fx, 1, ends[2] + 100));
    fixture_open(&fx);
    fixture_append(&fx, 10, 12, 7);
    fixture_commit(&fx);
    fixture_reopen(&fx);
    fixture_expect(&fx, 11);
    fixture_release(&fx);
}

static void expect_damage(struct wal_fixture *fx, uint64_t file, uint64_t from, uint64_t to)
{
    assert_status(fixture_try_open(fx), STATUS_CORRUPT, &fx->err);
    const char *name = strstr(fx->err.text, fixture_path(file));
    assert_non_null(name);
    const char *offset = strstr(name, "offset ");
    assert_non_null(offset);
    unsigned long long number = strtoull(offset + strlen("offset "), NULL, 10);
    assert_in_range(number, from, to);
}

/* Any changed byte below what a later group attests is refused, by file and offset of its group,
 * and nothing is cut: with the byte repaired the log is whole again. */
static void test_damage_is_refused(void **state)
{
    (void)state;
    struct wal_fixture fx;
    uint64_t ends[GROUPS];
    build(&fx, ends);
    uint64_t begin = WAL_BLOCK_BYTES;
    for (unsigned group = 0; group < GROUPS - 1; group++) {
        uint64_t end = ends[group];
        while (fixture_peek(&fx, 1, end - 1) == 0) {
            end--;
        }
        for (uint64_t at = begin; at < end; at++) {
            uint8_t was = fixture_peek(&fx, 1, at);
            fixture_poke(&fx, 1, at, was ^ 0x10);
            expect_damage(&fx, 1, begin, at);
            fixture_poke(&fx, 1, at, was);
        }
        begin = ends[group];
    }
    fixture_open(&fx);
    fixture_expect(&fx, 12);
    fixture_release(&fx);
}

/* The same byte of the last group: before the SYNCED record it is a torn tail, after it damage. */
static void test_each_side_of_the_rule(void **state)
{
    (void)state;
    struct wal_fixture fx;
    uint64_t ends[GROUPS];
    build(&fx, ends);
    uint64_t at = ends[2] + 80;
    uint8_t was = fixture_peek(&fx, 1, at);
    fixture_poke(&fx, 1, at, was ^ 1);
    fixture_open(&fx);
    fixture_expect(&fx, 9);
    fixture_close(&fx);
    fixture_poke(&fx, 1, at, was);
    fixture_open(&fx);
    fixture_expect(&fx, 12);
    fixture_idle(&fx);
    fixture_close(&fx);
    fixture_poke(&fx, 1, at, was ^ 1);
    expect_damage(&fx, 1, ends[2], at);
    fixture_poke(&fx, 1, at, was);
    /* A bad SYNCED record itself is a torn tail that loses nothing. */
    was = fixture_peek(&fx, 1, ends[3] + 20);
    fixture_poke(&fx, 1, ends[3] + 20, was ^ 1);
    fixture_open(&fx);
    fixture_expect(&fx, 12);
    fixture_release(&fx);
}

/* One SYNCED record is enough: the idle log writes no more, also after reopening. */
static void test_idle_is_quiet(void **state)
{
    (void)state;
    struct wal_fixture fx;
    uint64_t ends[GROUPS];
    build(&fx, ends);
    fixture_open(&fx);
    fixture_idle(&fx);
    unsigned writes = fx.completions;
    assert_int_equal(writes, 5);
    fixture_idle(&fx);
    fixture_reopen(&fx);
    fixture_idle(&fx);
    assert_int_equal(fx.completions, writes);
    fixture_append(&fx, 13, 14, 9);
    fixture_commit(&fx);
    fixture_idle(&fx);
    assert_int_equal(fx.completions, writes + 2);
    fixture_release(&fx);
}

/* After a cut the rest of the torn write lies beyond the new end; it is never taken for a part of
 * the log, whatever the new groups' lengths. */
static void test_stale_rest(void **state)
{
    (void)state;
    for (uint64_t length = 1; length < 40; length += 3) {
        struct wal_fixture fx;
        fixture_init(&fx, 64 * KIB);
        fixture_open(&fx);
        fixture_append(&fx, 1, 4, 1);
        fixture_commit(&fx);
        uint64_t offset = WAL_BLOCK_BYTES + counter_get(&wal_metrics(fx.wal)->bytes);
        fixture_append(&fx, 4, 40, 1);
        fixture_commit(&fx);
        fixture_close(&fx);
        fixture_poke(&fx, 1, offset + 100, (uint8_t)~fixture_peek(&fx, 1, offset + 100));
        fixture_open(&fx);
        fixture_expect(&fx, 3);
        fixture_append(&fx, 4, 4 + length, 2);
        fixture_commit(&fx);
        fixture_reopen(&fx);
        fixture_expect(&fx, 3 + length);
        fixture_release(&fx);
    }
}

/* Three segments; damage at a segment's seam is found from the next one. */
static void test_seams(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 4 * KIB);
    fixture_open(&fx);
    uint64_t next = 1;
    for (; counter_get(&wal_metrics(fx.wal)->segments_made) < 5; next += 3) {
        fixture_append(&fx, next, next + 3, 1);
        fixture_commit(&fx);
    }
    fixture_close(&fx);
    /* The last group of file 2, found backwards. */
    uint64_t last = 4 * KIB - 1;
    while (fixture_peek(&fx, 2, last) == 0) {
        last--;
    }
    uint8_t was = fixture_peek(&fx, 2, last);
    fixture_poke(&fx, 2, last, was ^ 1);
    expect_damage(&fx, 2, last - 512, last);
    fixture_poke(&fx, 2, last, was);
    /* The first group of file 3, by its GROUP record and by an entry. */
    for (uint64_t at = WAL_BLOCK_BYTES + 5; at < WAL_BLOCK_BYTES + 200; at++) {
        was = fixture_peek(&fx, 3, at);
        fixture_poke(&fx, 3, at, was ^ 1);
        expect_damage(&fx, 3, WAL_BLOCK_BYTES, at);
        fixture_poke(&fx, 3, at, was);
    }
    fixture_open(&fx);
    fixture_expect(&fx, next - 1);
    fixture_release(&fx);
}

/* Every byte of a head is covered, since a file has its name only with a whole head. */
static void test_bad_head(void **state)
{
    (void)state;
    struct wal_fixture fx;
    uint64_t ends[GROUPS];
    build(&fx, ends);
    for (uint64_t file = 1; file <= 2; file++) { /* the second is made ahead, and empty */
        for (uint64_t at = 0; at < WAL_BLOCK_BYTES; at++) {
            uint8_t was = fixture_peek(&fx, file, at);
            fixture_poke(&fx, file, at, was ^ 0x40);
            assert_status(fixture_try_open(&fx), STATUS_CORRUPT, &fx.err);
            assert_non_null(strstr(fx.err.text, fixture_path(file)));
            assert_non_null(strstr(fx.err.text, "offset 0"));
            fixture_poke(&fx, file, at, was);
        }
    }
    fixture_open(&fx);
    fixture_expect(&fx, 12);
    fixture_release(&fx);
}

/* A newer format is refused as such, not as damage. */
static void test_newer_version(void **state)
{
    (void)state;
    struct wal_fixture fx;
    uint64_t ends[GROUPS];
    uint8_t block[WAL_BLOCK_BYTES];
    build(&fx, ends);
    for (uint64_t at = 0; at < WAL_BLOCK_BYTES; at++) {
        block[at] = fixture_peek(&fx, 1, at);
    }
    struct wal_head head;
    assert_ok(wal_head_decode(block, "x", &head, &fx.err), &fx.err);
    assert_int_equal(head.file, 1);
    block[8] = 3;
    put_le32(block + 508, crc32c_extend(0, block, 508));
    assert_status(wal_head_decode(block, "x", &head, &fx.err), STATUS_FAILED_PRECONDITION, &fx.err);
    fixture_release(&fx);
}

/* A log whose used segments are gone is not taken for a new one: its votes would be, too. */
static void test_missing_segments(void **state)
{
    (void)state;
    struct wal_fixture fx;
    uint64_t ends[GROUPS];
    build(&fx, ends);
    assert_ok(fs_unlink(fx.fs, fixture_path(1), &fx.err), &fx.err);
    assert_status(fixture_try_open(&fx), STATUS_CORRUPT, &fx.err);
    fixture_release(&fx);
}

/* The bytes are those that FORMAT.md gives as its example. */
static void test_format_example(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 4 * KIB);
    fixture_open(&fx);
    fixture_vote(&fx, 1, 0);
    fixture_commit(&fx);
    fixture_vote(&fx, 3, 2);
    struct wal_entry entry = {.index = 1, .term = 3, .type = 9, .data = slice_of_string("hello")};
    assert_ok(wal_append(fx.wal, &entry, 1, &fx.err), &fx.err);
    fixture_commit(&fx);
    fixture_close(&fx);
    static const uint8_t expected[] = {
        24, 0, 0,   0,   1,   0,   0,   0, 0, 0, 0, 0, /* GROUP */
        1,  0, 0,   0,   0,   0,   0,   0, 0, 4, 0, 0, 0, 0, 0, 0, 121, 0,
        0,  0, 4,   0,   0,   0,   16,  0, 0, 0, 3, 0, 0, 0, 0, 0, 0,   0, /* HARD_STATE */
        1,  0, 0,   0,   0,   0,   0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 16,  0,
        0,  0, 4,   0,   0,   0,   0,   0, 0, 0, /* TRUNCATE */
        0,  0, 0,   0,   0,   0,   0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 16,  0,
        0,  0, 3,   0,   0,   0,   0,   0, 0, 0, /* HARD_STATE */
        3,  0, 0,   0,   0,   0,   0,   0, 2, 0, 0, 0, 0, 0, 0, 0, 25,  0,
        0,  0, 2,   0,   0,   0,   0,   0, 0, 0, /* ENTRY */
        1,  0, 0,   0,   0,   0,   0,   0, 3, 0, 0, 0, 0, 0, 0, 0, 9,   0,
        0,  0, 'h', 'e', 'l', 'l', 'o', 0, 0, 0};
    static const size_t checksums[] = {8, 36 + 8, 64 + 8, 92 + 8, 120 + 8};
    for (size_t i = 0; i < sizeof expected; i++) {
        bool in_checksum = false;
        for (size_t j = 0; j < sizeof checksums / sizeof checksums[0]; j++) {
            in_checksum = in_checksum || (i >= checksums[j] && i < checksums[j] + 4);
        }
        assert_true(in_checksum || fixture_peek(&fx, 1, 1024 + i) == expected[i]);
    }
    fixture_release(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_torn_at_every_byte),
        cmocka_unit_test(test_damage_is_refused),
        cmocka_unit_test(test_each_side_of_the_rule),
        cmocka_unit_test(test_idle_is_quiet),
        cmocka_unit_test(test_stale_rest),
        cmocka_unit_test(test_seams),
        cmocka_unit_test(test_bad_head),
        cmocka_unit_test(test_newer_version),
        cmocka_unit_test(test_missing_segments),
        cmocka_unit_test(test_format_example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
