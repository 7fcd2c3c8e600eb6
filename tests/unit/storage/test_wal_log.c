/* SPDX-License-Identifier: Apache-2.0
 *
 * The log as its owner sees it: what is appended comes back, also after reopening.
 */
#include "metrics_lines.h"
#include "storage/wal/metrics.h"
#include "wal_fixture.h"

/* A new directory gives an empty log that says so. */
static void test_new(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 0);
    fixture_open(&fx);
    assert_false(fx.recovered.existed);
    assert_int_equal(fx.recovered.first_index, 1);
    assert_int_equal(fx.recovered.last_index, 0);
    assert_false(wal_pending(fx.wal));
    assert_false(wal_busy(fx.wal));
    fixture_reopen(&fx);
    assert_true(fx.recovered.existed);
    fixture_expect(&fx, 0);
    fixture_release(&fx);
}

/* Entries and hard state come back the same after reopening, and the log goes on. */
static void test_round_trip(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 64 * KIB);
    fixture_open(&fx);
    uint64_t next = 1;
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 20; i++) {
            fixture_vote(&fx, round * 20 + i + 1, i % 3);
            fixture_append(&fx, next, next + i * 5, round * 20 + i + 1);
            next += i * 5;
            fixture_commit(&fx);
            assert_int_equal(fx.durable.index, next - 1);
            assert_int_equal(fx.durable.term, fx.model.term);
            assert_int_equal(fx.durable.vote, fx.model.vote);
        }
        fixture_reopen(&fx);
        fixture_expect(&fx, next - 1);
    }
    assert_true(wal_bytes(fx.wal) > 3 * 64 * KIB);
    fixture_release(&fx);
}

/* While one group is under way the next collects, and each finish tells only of its own. */
static void test_double_buffer(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 0);
    fixture_open(&fx);
    fixture_append(&fx, 1, 11, 1);
    assert_ok(wal_submit(fx.wal, &fx.err), &fx.err);
    assert_true(wal_busy(fx.wal));
    assert_false(wal_pending(fx.wal));
    fixture_append(&fx, 11, 21, 1);
    assert_true(wal_pending(fx.wal));
    assert_ok(wal_submit(fx.wal, &fx.err), &fx.err); /* nothing: one is under way */
    assert_int_equal(io_queue_manual_pending(&fx.io), 1);
    assert_int_equal(fixture_read(&fx, 1, 100), 1);
    (void)io_queue_manual_complete(&fx.io);
    assert_ok(wal_finish(fx.wal, &fx.durable, &fx.err), &fx.err);
    assert_int_equal(fx.durable.index, 10);
    assert_int_equal(fixture_read(&fx, 1, 100), 11);
    fixture_commit(&fx);
    assert_int_equal(fx.durable.index, 20);
    assert_int_equal(fixture_read(&fx, 1, 100), 21);
    fixture_release(&fx);
}

/* What was not submitted is gone after closing; what was is there. */
static void test_close_forgets_pending(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 0);
    fixture_open(&fx);
    fixture_append(&fx, 1, 6, 1);
    assert_ok(wal_submit(fx.wal, &fx.err), &fx.err);
    fixture_append(&fx, 6, 9, 1);
    fixture_reopen(&fx);
    fixture_expect(&fx, 5);
    fixture_release(&fx);
}

/* An append below the end removes the rest, for readers, terms and after reopening. */
static void test_truncate(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 16 * KIB);
    fx.entry_bytes = 400;
    fixture_open(&fx);
    fixture_append(&fx, 1, 101, 1);
    fixture_commit(&fx);
    fixture_append(&fx, 101, 201, 2);
    fixture_commit(&fx);
    fixture_append(&fx, 150, 160, 3);
    assert_int_equal(wal_last_index(fx.wal), 159);
    assert_int_equal(fixture_read(&fx, 1, 300), 150); /* the new ones are not durable */
    fixture_commit(&fx);
    assert_int_equal(fx.durable.index, 159);
    assert_int_equal(fx.durable.entry_term, 3);
    assert_int_equal(fixture_read(&fx, 1, 300), 160);
    fixture_append(&fx, 50, 52, 4); /* over several segments */
    fixture_append(&fx, 51, 53, 5); /* and within what is pending */
    fixture_commit(&fx);
    assert_int_equal(fixture_read(&fx, 1, 300), 53);
    fixture_reopen(&fx);
    fixture_expect(&fx, 52);
    fixture_append(&fx, 53, 60, 5);
    fixture_commit(&fx);
    fixture_reopen(&fx);
    fixture_expect(&fx, 59);
    fixture_release(&fx);
}

/* An entry that is removed while it is written is not reported as the new one of its index. */
static void test_truncate_in_flight(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 0);
    fixture_open(&fx);
    fixture_append(&fx, 1, 11, 1);
    assert_ok(wal_submit(fx.wal, &fx.err), &fx.err);
    fixture_append(&fx, 6, 11, 2);
    (void)io_queue_manual_complete(&fx.io);
    assert_ok(wal_finish(fx.wal, &fx.durable, &fx.err), &fx.err);
    assert_int_equal(fx.durable.index, 10);
    assert_int_equal(fx.durable.entry_term, 1);
    assert_int_equal(fixture_read(&fx, 1, 100), 6);
    fixture_commit(&fx);
    assert_int_equal(fx.durable.index, 10);
    assert_int_equal(fx.durable.entry_term, 2);
    assert_int_equal(fixture_read(&fx, 1, 100), 11);
    fixture_reopen(&fx);
    fixture_expect(&fx, 10);
    fixture_release(&fx);
}

/* A group larger than a segment gets a segment of its own size. */
static void test_group_over_segment(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 8 * KIB);
    fixture_open(&fx);
    fixture_append(&fx, 1, 3, 1);
    fixture_commit(&fx);
    fixture_append(&fx, 3, 500, 1);
    fixture_commit(&fx);
    fx.entry_bytes = 100;
    fixture_append(&fx, 500, 510, 1);
    fixture_commit(&fx);
    fixture_reopen(&fx);
    fixture_expect(&fx, 509);
    fixture_release(&fx);
}

/* The largest entry fits, one byte more is refused, and so is more than a group may hold. */
static void test_limits(void **state)
{
    (void)state;
    struct wal_fixture fx;
    static uint8_t data[ENTRY_BYTES_MAX + 1];
    fixture_init(&fx, 0);
    fixture_open(&fx);
    struct wal_entry entry = {.index = 1, .term = 1, .data = slice_of(data, sizeof data)};
    assert_status(wal_append(fx.wal, &entry, 1, &fx.err), STATUS_INVALID_ARGUMENT, &fx.err);
    entry.data.length = ENTRY_BYTES_MAX;
    enum status status = STATUS_OK;
    while ((status = wal_append(fx.wal, &entry, 1, &fx.err)) == STATUS_OK) {
        entry.index++;
    }
    assert_status(status, STATUS_RESOURCE_EXHAUSTED, &fx.err);
    assert_true(entry.index > 12);
    assert_int_equal(wal_last_index(fx.wal), entry.index - 1);
    fixture_commit(&fx);
    assert_ok(wal_append(fx.wal, &entry, 1, &fx.err), &fx.err); /* there is room again */
    fixture_commit(&fx);
    fixture_reopen(&fx);
    assert_int_equal(fx.recovered.last_index, entry.index);
    fixture_release(&fx);
}

/* Appending many entries in one call is the same as one by one. */
static void test_append_many(void **state)
{
    (void)state;
    struct wal_fixture fx;
    static uint8_t data[64][FIXTURE_DATA_MAX / 64];
    struct wal_entry entries[64];
    fixture_init(&fx, 0);
    fx.entry_bytes = 3000;
    fixture_open(&fx);
    for (uint64_t i = 0; i < 64; i++) {
        entries[i] = fixture_entry(&fx, i + 1, 1 + i / 10, data[i]);
        fx.model.entry_terms[i + 1] = 1 + i / 10;
    }
    assert_ok(wal_append(fx.wal, entries, 64, &fx.err), &fx.err);
    fixture_commit(&fx);
    fixture_reopen(&fx);
    fixture_expect(&fx, 64);
    assert_int_equal(fx.recovered.run_count, 7);
    assert_int_equal(fx.recovered.runs[6].first_index, 61);
    assert_int_equal(fx.recovered.runs[6].term, 7);
    fixture_release(&fx);
}

/* A reader stops after bytes_max, but gives at least one entry, and goes on from there. */
static void test_read_in_pieces(void **state)
{
    (void)state;
    struct wal_fixture fx;
    struct wal_reader *reader = NULL;
    fixture_init(&fx, 32 * KIB);
    fixture_open(&fx);
    for (uint64_t next = 1; next < 1001; next += 50) {
        fixture_append(&fx, next, next + 50, 1);
        fixture_commit(&fx);
    }
    assert_ok(wal_reader_open(fx.wal, &reader, &fx.err), &fx.err);
    struct fixture_check check = fixture_check_of(&fx, 1);
    unsigned calls = 0;
    while (check.next < 1001) {
        uint64_t before = check.next;
        check.bytes = 0;
        assert_ok(wal_read(reader, check.next, 1001, 1000, fixture_each, &check, &fx.err), &fx.err);
        assert_true(check.bytes <= 1000);
        assert_true(check.next > before);
        calls++;
    }
    assert_true(calls > 100);
    check.next = 700;
    assert_ok(wal_read(reader, 700, 1001, 1, fixture_each, &check, &fx.err), &fx.err);
    assert_int_equal(check.next, 701);
    check.next = 5;
    assert_ok(wal_read(reader, 5, 5, 1000, fixture_each, &check, &fx.err), &fx.err);
    assert_ok(wal_read(reader, 1001, 2000, 1000, fixture_each, &check, &fx.err), &fx.err);
    assert_int_equal(check.next, 5);
    wal_reader_close(reader);
    fixture_release(&fx);
}

/* The snapshot in storage wins: a log that does not hold its entry is dropped, with the hard state
 * kept; one that begins after it is damaged. */
static void test_connect(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 0);
    fixture_open(&fx);
    fixture_vote(&fx, 3, 2);
    fixture_append(&fx, 1, 11, 1);
    fixture_append(&fx, 11, 21, 3);
    fixture_commit(&fx);
    fixture_close(&fx);
    const struct {
        uint64_t index;
        uint64_t term;
        bool dropped;
    } cases[] = {{0, 0, false}, {10, 1, false}, {20, 3, false},
                 {10, 2, true}, {20, 2, true},  {25, 3, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_ok(
            wal_open(&fx.options, cases[i].index, cases[i].term, &fx.recovered, &fx.wal, &fx.err),
            &fx.err);
        assert_int_equal(fx.recovered.dropped, cases[i].dropped);
        assert_int_equal(fx.recovered.last_index, cases[i].dropped ? cases[i].index : 20);
        assert_int_equal(fx.recovered.first_index, cases[i].dropped ? cases[i].index + 1 : 1);
        assert_int_equal(fx.recovered.term, 3);
        assert_int_equal(fx.recovered.vote, 2);
        fixture_close(&fx); /* what was dropped is not on disk: nothing was submitted */
    }
    assert_ok(wal_open(&fx.options, 25, 3, &fx.recovered, &fx.wal, &fx.err), &fx.err);
    fixture_append(&fx, 26, 30, 4);
    fixture_commit(&fx);
    fixture_close(&fx);
    assert_ok(wal_open(&fx.options, 25, 3, &fx.recovered, &fx.wal, &fx.err), &fx.err);
    assert_false(fx.recovered.dropped);
    assert_int_equal(fx.recovered.first_index, 26);
    fixture_expect(&fx, 29);
    fixture_close(&fx);
    assert_status(wal_open(&fx.options, 24, 3, &fx.recovered, &fx.wal, &fx.err), STATUS_CORRUPT,
                  &fx.err);
    fixture_release(&fx);
}

/* A snapshot that is installed while the log is open leaves it empty after it. */
static void test_reset(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 16 * KIB);
    fixture_open(&fx);
    fixture_append(&fx, 1, 301, 1);
    assert_ok(wal_submit(fx.wal, &fx.err), &fx.err); /* and while a group is under way */
    assert_ok(wal_reset(fx.wal, 1000, 5, &fx.err), &fx.err);
    (void)io_queue_manual_complete(&fx.io);
    assert_ok(wal_finish(fx.wal, &fx.durable, &fx.err), &fx.err);
    assert_int_equal(wal_first_index(fx.wal), 1001);
    assert_int_equal(wal_last_index(fx.wal), 1000);
    fixture_append(&fx, 1001, 1011, 6);
    fixture_commit(&fx);
    assert_int_equal(fx.durable.index, 1010);
    assert_int_equal(fixture_read(&fx, 1001, 2000), 1011);
    fixture_close(&fx);
    assert_ok(wal_open(&fx.options, 1000, 5, &fx.recovered, &fx.wal, &fx.err), &fx.err);
    assert_int_equal(fx.recovered.first_index, 1001);
    fixture_expect(&fx, 1010);
    fixture_release(&fx);
}

/* A directory of another node or cluster is refused, and opens still for its own. */
static void test_identity(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 0);
    fixture_open(&fx);
    fixture_append(&fx, 1, 4, 1);
    fixture_commit(&fx);
    fixture_close(&fx);
    struct slice own = fx.options.identity;
    fx.options.identity = slice_of_string("cluster-1/node-2");
    assert_status(fixture_try_open(&fx), STATUS_FAILED_PRECONDITION, &fx.err);
    assert_non_null(strstr(fx.err.text, fixture_path(1)));
    fx.options.identity = own;
    fixture_open(&fx);
    fixture_expect(&fx, 3);
    fixture_release(&fx);
}

/* The counters and the median of the syncs tell what was written. */
static void test_metrics(void **state)
{
    (void)state;
    struct wal_fixture fx;
    fixture_init(&fx, 0);
    fixture_open(&fx);
    fixture_append(&fx, 1, 11, 1);
    fixture_commit(&fx);
    struct wal_metrics *metrics = wal_metrics(fx.wal);
    assert_int_equal(counter_get(&metrics->entries), 10);
    assert_true(counter_get(&metrics->bytes) >= 1024);
    assert_int_equal(atomic_load(&metrics->fdatasync_ns.total), 1);
    assert_true(counter_get(&metrics->segments_made) >= 1);
    fixture_release(&fx);
}

/* Each of them is a line, and sizes of groups are no times. */
static void test_metrics_as_text(void **state)
{
    (void)state;
    struct wal_fixture fx;
    struct buf text;
    fixture_init(&fx, 0);
    fixture_open(&fx);
    buf_init(&text, alloc_default(), 1 * MIB);
    fixture_append(&fx, 1, 11, 1);
    fixture_commit(&fx);
    fixture_append(&fx, 11, 14, 1);
    fixture_commit(&fx);
    struct wal_metrics *metrics = wal_metrics(fx.wal);
    wal_metrics_write(metrics, &text);
    assert_true(metrics_value(&text, "wal_entries_total") == 13);
    assert_true(metrics_value(&text, "wal_bytes_total") == (double)counter_get(&metrics->bytes));
    assert_true(metrics_value(&text, "wal_segments_made_total") ==
                (double)counter_get(&metrics->segments_made));
    assert_true(metrics_value(&text, "wal_segments_recycled_total") == 0);
    assert_true(metrics_value(&text, "wal_group_entries{quantile=\"0.5\"}") == 3);
    assert_true(metrics_value(&text, "wal_group_entries{quantile=\"1\"}") == 10);
    assert_true(metrics_value(&text, "wal_group_entries_sum") == 13);
    assert_true(metrics_value(&text, "wal_group_entries_count") == 2);
    assert_true(metrics_value(&text, "wal_group_bytes_count") == 2);
    assert_true(metrics_value(&text, "wal_group_bytes_sum") ==
                metrics_value(&text, "wal_bytes_total"));
    assert_true(metrics_value(&text, "wal_fdatasync_seconds_count") == 2);
    double slowest = (double)histogram_quantile(&metrics->fdatasync_ns, 1) / (double)NS_PER_S;
    double said = metrics_value(&text, "wal_fdatasync_seconds{quantile=\"1\"}");
    assert_true(said - slowest < 1e-9 && slowest - said < 1e-9);
    buf_release(&text);
    fixture_release(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_double_buffer),
        cmocka_unit_test(test_close_forgets_pending),
        cmocka_unit_test(test_truncate),
        cmocka_unit_test(test_truncate_in_flight),
        cmocka_unit_test(test_group_over_segment),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_append_many),
        cmocka_unit_test(test_read_in_pieces),
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_metrics_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
