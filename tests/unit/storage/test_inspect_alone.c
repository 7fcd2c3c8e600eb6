/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tools say of a store alone, whose log has chains of batches that were not synced.
 */
#include <stdlib.h>

#include "base/log.h"
#include "report_lines.h"
#include "storage/inspect/dump.h"
#include "storage/inspect/stats.h"
#include "storage/wal/format.h"
#include "store_alone_fixture.h"
#include "testlib/fs_faulty.h"

static struct store_alone fixture;

struct said {
    struct report report;
    char *text;
    size_t length;
};

static void ask(enum status (*tool)(const struct store_place *place, struct report *report,
                                    struct error *err),
                struct said *out)
{
    static struct store_place place;
    *out = (struct said){.text = NULL};
    FILE *stream = open_memstream(&out->text, &out->length);
    assert_non_null(stream);
    out->report = (struct report){.lines = stream, .messages = stream};
    assert_ok(store_place_find(&place, fixture.options.fs, alloc_default(), "store", &fixture.err),
              &fixture.err);
    assert_ok(tool(&place, &out->report, &fixture.err), &fixture.err);
    assert_int_equal(fclose(stream), 0);
}

/* Batches, synced and not, none of which a flush has purged. */
static void make_log(void)
{
    alone_init(&fixture, 3);
    fixture.options.engine.memtable_bytes = 1 * MIB;
    fixture.options.segment_bytes = 1 * MIB;
    alone_open(&fixture);
    for (unsigned i = 0; i < 10; i++) {
        alone_write(&fixture, 6, false);
        alone_write(&fixture, 1, i % 3 == 0);
    }
    alone_close(&fixture);
}

/* Each batch is an entry, in a group or a chain, and there is no line of a kind that is not known.
 */
static void dump_shows_each_batch(void **state)
{
    (void)state;
    struct said said;
    make_log();
    ask(inspect_dump, &said);
    assert_int_equal(said.report.faults, 0);
    assert_int_equal(report_count(said.text, "entry "), fixture.written);
    assert_true(report_count(said.text, "chain ") >
                0); /* what follows one without gap has no line */
    static const char *const words[] = {"segment ",  "group ",         "chain ",     "entry ",
                                        "synced ",   "hard_state ",    "record ",    "full ",
                                        "keyspace ", "last_sequence ", "next_file ", "seal ",
                                        "truncate "};
    size_t known = 0;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        known += report_count(said.text, words[i]);
    }
    assert_int_equal(report_count(said.text, ""), known);
    free(said.text);
    alone_release(&fixture);
}

/* Stats count the same, and say how much was written at once, chains or not. */
static void stats_count_groups(void **state)
{
    (void)state;
    struct said said;
    make_log();
    ask(inspect_stats, &said);
    assert_int_equal(report_number(said.text, "\nlog ", " entries="), fixture.written);
    assert_true(report_number(said.text, "\nlog ", " groups=") > 1);
    /* One thread writes, a batch at a time: an entry, or with what says that all before is durable.
     */
    assert_int_equal(report_number(said.text, "\nlog ", " write_records_p50="), 1);
    assert_in_range(report_number(said.text, "\nlog ", " write_records_max="), 1, 3);
    uint64_t largest = report_number(said.text, "\nlog ", " write_bytes_max=");
    assert_true(largest > WAL_ENTRY_OVERHEAD_BYTES);
    /* Of so few writes the last hundredth is the largest one. */
    assert_int_equal(report_number(said.text, "\nlog ", " write_bytes_p99="), largest);
    free(said.text);
    alone_release(&fixture);
}

/* What the store had done when it was closed is there, too, and so is what its log had. */
static void stats_have_metrics(void **state)
{
    (void)state;
    struct said said;
    make_log();
    ask(inspect_stats, &said);
    assert_int_equal(report_number(said.text, "\nestreat_storage_", "writes_total "),
                     fixture.written);
    assert_true(report_number(said.text, "\nestreat_storage_", "written_bytes_total ") > 0);
    assert_non_null(strstr(said.text, "\nestreat_storage_lookup_seconds{quantile=\"0.99\"} "));
    assert_non_null(strstr(said.text, "\nestreat_storage_stall_seconds_count{why=\"seals\",} "));
    assert_non_null(strstr(said.text, "\nestreat_storage_block_cache_hits_total "));
    assert_non_null(strstr(said.text, "\nestreat_storage_bloom_asked_total "));
    assert_non_null(strstr(said.text, "fdatasync_seconds{quantile=\"0.99\"} "));
    free(said.text);
    alone_release(&fixture);
}

/* An open that failed has done nothing worth telling: what the last store left stays. */
static void failed_open_leaves_metrics(void **state)
{
    (void)state;
    struct fs_faulty faulty;
    struct buf before;
    struct buf after;
    unsigned failed = 0;
    make_log();
    buf_init(&before, alloc_default(), 1 * MIB);
    buf_init(&after, alloc_default(), 1 * MIB);
    fs_faulty_init(&faulty, fixture.options.fs);
    assert_ok(fs_read_file(&faulty.fs, "store/metrics", &before, &fixture.err), &fixture.err);
    fixture.options.fs = &faulty.fs;
    for (uint64_t at = 0;; at++) {
        fs_faulty_arm(&faulty,
                      (struct fs_fault){.call = FS_CALL_READ, .at = at, .path_contains = "log"});
        enum status status = alone_try_open(&fixture);
        if (status == STATUS_OK) {
            break; /* there is no such read */
        }
        failed++;
        buf_clear(&after);
        assert_ok(fs_read_file(&faulty.fs, "store/metrics", &after, &fixture.err), &fixture.err);
        assert_true(slice_equal(buf_slice(&before), buf_slice(&after)));
    }
    assert_true(failed > 2);
    alone_close(&fixture);
    fixture.options.fs = fs_crash_fs(fixture.crash);
    fs_faulty_release(&faulty);
    buf_release(&before);
    buf_release(&after);
    alone_release(&fixture);
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dump_shows_each_batch),
        cmocka_unit_test(stats_count_groups),
        cmocka_unit_test(stats_have_metrics),
        cmocka_unit_test(failed_open_leaves_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
