/* SPDX-License-Identifier: Apache-2.0
 *
 * Purging: what is not needed goes, in whole files, and nothing else does.
 */
#include "wal_fixture.h"

/* Fills `segments` segments of 4 KiB; returns the next index. */
static uint64_t fill(struct wal_fixture *fx, uint64_t next, uint64_t files, uint64_t term)
{
    uint64_t until = wal_bytes(fx->wal) + files * 4 * KIB;
    while (wal_bytes(fx->wal) < until) {
        fixture_append(fx, next, next + 3, term);
        fixture_commit(fx);
        next += 3;
    }
    return next;
}

static void reopen_at(struct wal_fixture *fx, uint64_t index)
{
    fixture_close(fx);
    assert_ok(wal_open(&fx->options, index, index == 0 ? 0 : fx->model.entry_terms[index],
                       &fx->recovered, &fx->wal, &fx->err),
              &fx->err);
    assert_false(fx->recovered.dropped);
}

/* Only files whose entries are all below go; the first index tells what is left, and reading below
 * says that it was purged. */
static void test_purge(void **state)
{
    (void)state;
    struct wal_fixture fx;
    struct wal_reader *reader = NULL;
    fixture_init(&fx, 4 * KIB);
    fixture_open(&fx);
    uint64_t next = fill(&fx, 1, 12, 1);
    uint64_t bytes = wal_bytes(fx.wal);
    assert_ok(wal_purge(fx.wal, 2, &fx.err), &fx.err);
    assert_int_equal(wal_first_index(fx.wal), 1);
    uint64_t upto = next / 2;
    assert_ok(wal_purge(fx.wal, upto, &fx.err), &fx.err);
    uint64_t first = wal_first_index(fx.wal);
    assert_in_range(first, upto - 40, upto + 1);
    assert_true(wal_bytes(fx.wal) < bytes);
    assert_int_equal(fixture_read(&fx, first, next), next);
    struct fixture_check check = fixture_check_of(&fx, first - 1);
    assert_ok(wal_reader_open(fx.wal, &reader, &fx.err), &fx.err);
    assert_status(wal_read(reader, first - 1, next, SIZE_MAX, fixture_each, &check, &fx.err),
                  STATUS_NOT_FOUND, &fx.err);
    wal_reader_close(reader);
    uint64_t term = 0;
    assert_true(wal_term_at(fx.wal, first - 1, &term));
    assert_int_equal(term, 1);
    assert_false(wal_term_at(fx.wal, first - 2, &term));
    reopen_at(&fx, upto);
    fixture_expect(&fx, next - 1);
    assert_true(fx.recovered.first_index <= upto + 1);
    fixture_release(&fx);
}

/* The segment with the only vote record goes; the vote does not. */
static void test_vote_survives(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 4 * KIB);
    fixture_open(&fx);
    fixture_vote(&fx, 7, 3);
    uint64_t next = fill(&fx, 1, 5, 7);
    assert_ok(wal_purge(fx.wal, next - 1, &fx.err), &fx.err);
    assert_true(wal_first_index(fx.wal) > 20);
    bool exists = true;
    assert_ok(fs_exists(fx.fs, fixture_path(1), &exists, &fx.err), &fx.err);
    assert_false(exists);
    reopen_at(&fx, next - 1);
    fixture_expect(&fx, next - 1);
    assert_int_equal(fx.recovered.term, 7);
    assert_int_equal(fx.recovered.vote, 3);
    fixture_release(&fx);
}

/* All entries purged: the log still knows where it ends, and goes on. */
static void test_purge_all(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 4 * KIB);
    fixture_open(&fx);
    uint64_t next = fill(&fx, 1, 3, 2);
    uint64_t bytes = wal_bytes(fx.wal);
    for (uint64_t i = 0; wal_bytes(fx.wal) == bytes; i++) {
        fixture_vote(&fx, 9 + i, 1); /* until there is a newest file, without an entry */
        fixture_commit(&fx);
    }
    assert_ok(wal_purge(fx.wal, next + 100, &fx.err), &fx.err);
    assert_int_equal(wal_first_index(fx.wal), next);
    assert_int_equal(wal_bytes(fx.wal), 4 * KIB);
    reopen_at(&fx, next - 1);
    assert_int_equal(fx.recovered.last_index, next - 1);
    assert_int_equal(fx.recovered.last_term, 2);
    assert_int_equal(fx.recovered.vote, 1);
    fixture_append(&fx, next, next + 3, 3);
    fixture_commit(&fx);
    reopen_at(&fx, next - 1);
    fixture_expect(&fx, next + 2);
    fixture_release(&fx);
}

/* Purged files are used again, and nothing of their old content comes back. */
static void test_recycling(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 4 * KIB);
    fixture_open(&fx);
    uint64_t next = 1;
    uint64_t upto = 0;
    for (unsigned round = 0; round < 12; round++) {
        next = fill(&fx, next, 2, round + 1);
        upto = next - 10;
        assert_ok(wal_purge(fx.wal, upto, &fx.err), &fx.err);
    }
    assert_true(counter_get(&wal_metrics(fx.wal)->segments_recycled) > 10);
    assert_true(counter_get(&wal_metrics(fx.wal)->segments_made) < 12);
    for (unsigned i = 0; i < 20; i++) {
        fixture_append(&fx, next, next + 1, 20); /* ends anywhere in the old bytes */
        fixture_commit(&fx);
        next++;
        reopen_at(&fx, upto);
        fixture_expect(&fx, next - 1);
    }
    fixture_release(&fx);
}

/* A segment whose entries were all removed by a later one may go with what is before it, and the
 * log begins after the removal then. */
static void test_purge_after_truncate(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 4 * KIB);
    fixture_open(&fx);
    uint64_t next = fill(&fx, 1, 4, 1);
    uint64_t cut = next / 3;
    fixture_append(&fx, cut, cut + 2, 2);
    uint64_t first = wal_first_index(fx.wal);
    assert_ok(wal_purge(fx.wal, cut - 1, &fx.err), &fx.err);
    assert_int_equal(wal_first_index(fx.wal), first); /* the removal is not durable yet */
    fixture_commit(&fx);
    next = fill(&fx, cut + 2, 2, 2);
    assert_ok(wal_purge(fx.wal, cut - 1, &fx.err), &fx.err);
    assert_int_equal(wal_first_index(fx.wal), cut);
    assert_int_equal(fixture_read(&fx, cut, next), next);
    reopen_at(&fx, cut - 1);
    assert_int_equal(fx.recovered.first_index, cut);
    fixture_expect(&fx, next - 1);
    fixture_release(&fx);
}

/* A reader that has a file open when it is purged and used again says NOT_FOUND, or still has what
 * it read; never something else. */
static void test_reader_of_purged(void **state)
{
    (void)state;
    struct wal_fixture fx;
    struct wal_reader *reader = NULL;
    fixture_init(&fx, 4 * KIB);
    fixture_open(&fx);
    uint64_t next = fill(&fx, 1, 4, 1);
    struct fixture_check check = fixture_check_of(&fx, 1);
    assert_ok(wal_reader_open(fx.wal, &reader, &fx.err), &fx.err);
    assert_ok(wal_read(reader, 1, 5, SIZE_MAX, fixture_each, &check, &fx.err), &fx.err);
    assert_ok(wal_purge(fx.wal, next - 2, &fx.err), &fx.err);
    next = fill(&fx, next, 4, 1);
    assert_true(counter_get(&wal_metrics(fx.wal)->segments_recycled) > 0);
    assert_status(wal_read(reader, 5, next, SIZE_MAX, fixture_each, &check, &fx.err),
                  STATUS_NOT_FOUND, &fx.err);
    assert_int_equal(check.next, 5);
    check.next = wal_first_index(fx.wal);
    assert_ok(wal_read(reader, check.next, next, SIZE_MAX, fixture_each, &check, &fx.err), &fx.err);
    assert_int_equal(check.next, next);
    wal_reader_close(reader);
    fixture_release(&fx);
}

struct meddling {
    struct fixture_check check;
    struct wal_fixture *fx;
    void (*meddle)(struct meddling *meddling);
    uint64_t at;
};

static enum status each_meddling(void *context, const struct wal_entry *entry, struct error *err)
{
    struct meddling *meddling = context;
    enum status status = fixture_each(&meddling->check, entry, err);
    if (entry->index == meddling->at) {
        meddling->meddle(meddling);
    }
    return status;
}

static void purge_under_reader(struct meddling *meddling)
{
    struct wal_fixture *fx = meddling->fx;
    uint64_t next = wal_last_index(fx->wal) + 1;
    assert_ok(wal_purge(fx->wal, next - 1, &fx->err), &fx->err);
    (void)fill(fx, next, 4, 1);
}

static void truncate_under_reader(struct meddling *meddling)
{
    struct wal_fixture *fx = meddling->fx;
    static uint8_t data[FIXTURE_DATA_MAX];
    struct wal_entry entry = fixture_entry(fx, 10, 2, data);
    assert_ok(wal_append(fx->wal, &entry, 1, &fx->err), &fx->err);
    fixture_commit(fx);
}

/* While a call of wal_read is under way its entries are purged (and the files reused), or removed:
 * it ends with NOT_FOUND or ABORTED, after a consistent beginning. */
static void test_changes_under_reader(void **state)
{
    (void)state;
    const struct {
        void (*meddle)(struct meddling *meddling);
        enum status status;
    } cases[] = {{purge_under_reader, STATUS_NOT_FOUND}, {truncate_under_reader, STATUS_ABORTED}};
    for (size_t i = 0; i < 2; i++) {
        struct wal_fixture fx;
        struct wal_reader *reader = NULL;
        fixture_init(&fx, 4 * KIB);
        fixture_open(&fx);
        uint64_t next = fill(&fx, 1, 5, 1);
        struct meddling meddling = {
            .check = fixture_check_of(&fx, 1), .fx = &fx, .meddle = cases[i].meddle, .at = 20};
        assert_ok(wal_reader_open(fx.wal, &reader, &fx.err), &fx.err);
        assert_status(wal_read(reader, 1, next, SIZE_MAX, each_meddling, &meddling, &fx.err),
                      cases[i].status, &fx.err);
        assert_in_range(meddling.check.next, 21, next - 1);
        wal_reader_close(reader);
        fixture_release(&fx);
    }
}

/* A byte that rots while the log is open is found when it is read, by file and offset. */
static void test_rot_is_found_by_reader(void **state)
{
    (void)state;
    struct wal_fixture fx;
    struct wal_reader *reader = NULL;
    fixture_init(&fx, 4 * KIB);
    fixture_open(&fx);
    (void)fill(&fx, 1, 3, 1);
    fixture_poke(&fx, 1, 2000, (uint8_t)~fixture_peek(&fx, 1, 2000));
    struct fixture_check check = fixture_check_of(&fx, 1);
    assert_ok(wal_reader_open(fx.wal, &reader, &fx.err), &fx.err);
    assert_status(wal_read(reader, 1, 1000, SIZE_MAX, fixture_each, &check, &fx.err),
                  STATUS_CORRUPT, &fx.err);
    assert_non_null(strstr(fx.err.text, fixture_path(1)));
    assert_non_null(strstr(fx.err.text, "offset"));
    assert_in_range(check.next, 2, 20);
    wal_reader_close(reader);
    fixture_release(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_purge),
        cmocka_unit_test(test_vote_survives),
        cmocka_unit_test(test_purge_all),
        cmocka_unit_test(test_recycling),
        cmocka_unit_test(test_purge_after_truncate),
        cmocka_unit_test(test_reader_of_purged),
        cmocka_unit_test(test_changes_under_reader),
        cmocka_unit_test(test_rot_is_found_by_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
