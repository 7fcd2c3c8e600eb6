/* SPDX-License-Identifier: Apache-2.0
 *
 * Looking at stores offline: each fault is told with file and offset, nothing is changed by
 * looking, and repair does what is proven and no more.
 */
#include "report_lines.h"
#include "storage/inspect/dump.h"
#include "storage/inspect/repair.h"
#include "storage/inspect/stats.h"
#include "storage/inspect/verify.h"
#include "storage/metrics.h"
#include "storage/table/table_format.h"
#include "store_fixture.h"
#include "testlib/fs_faulty.h"

/* What came of a look. */
struct look {
    char *text; /* lines and messages */
    size_t length;
    struct report report;
    struct verified verified;
    enum status status;
    struct error err;
};

enum look_at { LOOK_VERIFY, LOOK_STATS, LOOK_DUMP, LOOK_REPAIR };

static void look(struct store_fixture *fx, struct fs *fs, const char *dir, enum look_at what,
                 struct look *out)
{
    static struct store_place place;
    *out = (struct look){.err = ERROR_INIT};
    FILE *stream = open_memstream(&out->text, &out->length);
    assert_non_null(stream);
    out->report = (struct report){.lines = stream, .messages = stream};
    assert_ok(store_place_find(&place, fs, alloc_default(), dir, &fx->err), &fx->err);
    switch (what) {
    case LOOK_VERIFY:
        out->status = inspect_verify(&place, &out->report, &out->verified, &out->err);
        break;
    case LOOK_STATS:
        out->status = inspect_stats(&place, &out->report, &out->err);
        break;
    case LOOK_DUMP:
        out->status = inspect_dump(&place, &out->report, &out->err);
        break;
    case LOOK_REPAIR:
        assert_ok(store_place_lock(&place, true, &fx->err), &fx->err);
        out->status = inspect_repair(&place, &out->report, &out->err);
        store_place_release(&place);
        break;
    }
    assert_int_equal(fclose(stream), 0);
}

static void end_look(struct look *look)
{
    free(look->text);
}

static void assert_says(const struct look *look, const char *text)
{
    if (strstr(look->text, text) == NULL) {
        print_message("%s", look->text);
        fail_msg("does not say: %s", text);
    }
}

static void assert_says_not(const struct look *look, const char *text)
{
    if (strstr(look->text, text) != NULL) {
        print_message("%s", look->text);
        fail_msg("says: %s", text);
    }
}

static size_t count_lines(const struct look *look, const char *begin)
{
    return report_count(look->text, begin);
}

/* In the line of the log. */
static unsigned long long number_after(const struct look *look, const char *name)
{
    return report_number(look->text, "\nlog ", name);
}

/* Verifies: so many faults, and among what is said `text` (NULL: anything). */
static void expect_faults(struct store_fixture *fx, const char *dir, uint64_t faults,
                          const char *text)
{
    struct look found;
    look(fx, fx->fs, dir, LOOK_VERIFY, &found);
    assert_ok(found.status, &found.err);
    if (found.report.faults != faults) {
        print_message("%s", found.text);
    }
    assert_int_equal(found.report.faults, faults);
    assert_int_equal(count_lines(&found, "damage: "), faults);
    if (text != NULL) {
        assert_says(&found, text);
    }
    end_look(&found);
}

static int setup(void **state)
{
    static struct store_fixture fixture;
    store_init(&fixture, 11, 150);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    store_release(*state);
    return 0;
}

/* --- verify -------------------------------------------------------------------------------- */

/* The files are what was kept, and there are no others. */
static void assert_untouched(struct store_fixture *fx)
{
    size_t kept = fx->count;
    store_keep(fx, STORE_TABLES);
    store_keep(fx, STORE_LOG);
    store_keep(fx, STORE_COPY);
    assert_int_equal(fx->count, 2 * kept);
    for (size_t i = kept; i < fx->count; i++) {
        bool same = false;
        for (size_t j = 0; j < kept; j++) {
            same = same ||
                   (strcmp(fx->files[i].path, fx->files[j].path) == 0 &&
                    slice_equal(buf_slice(&fx->files[i].bytes), buf_slice(&fx->files[j].bytes)));
        }
        assert_true(same);
        buf_release(&fx->files[i].bytes);
    }
    fx->count = kept;
}

/* A sound store has no faults, whichever of its directories is named, and no look writes. */
static void sound_stores_are_sound(void **state)
{
    struct store_fixture *fx = *state;
    static const char *const dirs[] = {"data", STORE_TABLES, STORE_LOG, STORE_COPY};
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        for (int what = LOOK_VERIFY; what < LOOK_REPAIR; what++) {
            struct look found;
            look(fx, fx->fs, dirs[i], (enum look_at)what, &found);
            assert_ok(found.status, &found.err);
            assert_int_equal(found.report.faults, 0);
            assert_int_equal(found.report.unread, 0);
            end_look(&found);
        }
    }
    assert_untouched(fx);
    struct look found;
    look(fx, fx->fs, "data", LOOK_VERIFY, &found);
    assert_true(found.verified.tables > 4);
    assert_true(found.verified.log.segments > 3);
    assert_int_equal(found.verified.log.last_index, fx->log_last);
    assert_int_equal(found.verified.log.term, 1);
    assert_int_equal(found.verified.log.vote, 2);
    assert_int_equal(found.verified.log.torn_bytes, 0);
    assert_int_equal(found.verified.leftovers, 0);
    end_look(&found);
}

/* Two damaged blocks of one table, and one of another, are three faults; each names its file. */
static void each_damaged_block_is_told(void **state)
{
    struct store_fixture *fx = *state;
    struct store_file_bytes *largest = store_find(fx, STORE_TABLES, ".sst");
    struct store_file_bytes *other = NULL;
    for (size_t i = 0; i < fx->count; i++) {
        struct store_file_bytes *file = &fx->files[i];
        if (file->dir == largest->dir && strstr(file->path, ".sst") != NULL) {
            if (file->bytes.length > largest->bytes.length) {
                other = largest;
                largest = file;
            } else if (file != largest) {
                other = file;
            }
        }
    }
    assert_true(largest->bytes.length > 4000);
    assert_non_null(other);
    store_flip(fx, largest, 10 * 8);
    expect_faults(fx, "data", 1, largest->path);
    expect_faults(fx, "data", 1, "block at 0: checksum");
    store_flip(fx, largest, 3000 * 8);
    expect_faults(fx, "data", 2, largest->path);
    store_flip(fx, other, 10 * 8);
    expect_faults(fx, "data", 3, other->path);
    assert_ok(fs_unlink(fx->fs, other->path, &fx->err), &fx->err);
    expect_faults(fx, STORE_TABLES, 3, "the table is missing");
    /* A table in place of another: whole, but not what the manifest means. */
    store_write_file(fx, other->path, buf_slice(&largest->bytes));
    expect_faults(fx, STORE_TABLES, 3, other->path);
}

/* Without a manifest that can be read, the tables are looked at even so. */
static void tables_are_read_without_a_manifest(void **state)
{
    struct store_fixture *fx = *state;
    struct store_file_bytes *manifest = store_find(fx, STORE_TABLES, "MANIFEST");
    struct store_file_bytes *table = store_find(fx, STORE_TABLES, ".sst");
    store_flip(fx, manifest, 40 * 8);
    expect_faults(fx, "data", 1, "at 16: damaged record");
    store_flip(fx, table, 10 * 8);
    expect_faults(fx, "data", 2, table->path);
    assert_ok(fs_unlink(fx->fs, manifest->path, &fx->err), &fx->err);
    expect_faults(fx, "data", 2, "CURRENT names it, but it is missing");
    assert_ok(fs_unlink(fx->fs, STORE_TABLES "/CURRENT", &fx->err), &fx->err);
    expect_faults(fx, "data", 2, STORE_TABLES "/CURRENT at 0: missing, but there are tables");
    store_empty(fx, STORE_TABLES);
    expect_faults(fx, "data", 0, "no store yet");
}

/* Damage in two places of the log is two faults, and what lies between and behind is read. */
static void each_damaged_group_is_told(void **state)
{
    struct store_fixture *fx = *state;
    struct store_file_bytes *first = store_find(fx, STORE_LOG, "0001.wal");
    struct store_file_bytes *third = store_find(fx, STORE_LOG, "0003.wal");
    struct look whole;
    struct look found;
    look(fx, fx->fs, STORE_LOG, LOOK_VERIFY, &whole);
    store_flip(fx, first, 600 * 8);
    expect_faults(fx, "data", 1, STORE_LOG "/0000000000000001.wal: offset ");
    store_flip(fx, third, 700 * 8);
    expect_faults(fx, "data", 2, STORE_LOG "/0000000000000003.wal: offset ");
    look(fx, fx->fs, STORE_LOG, LOOK_VERIFY, &found);
    assert_int_equal(found.verified.log.groups, whole.verified.log.groups - 2);
    assert_int_equal(found.verified.log.last_index, fx->log_last);
    end_look(&found);
    end_look(&whole);
    store_flip(fx, third, 8);
    expect_faults(fx, STORE_LOG, 3, "0000000000000003.wal: offset 0");
}

/* A write that did not end is no damage, in the log nor in the manifest. */
static void torn_tails_are_notes(void **state)
{
    struct store_fixture *fx = *state;
    struct store_file_bytes *manifest = store_find(fx, STORE_TABLES, "MANIFEST");
    uint64_t end = manifest->bytes.length;
    store_truncate(fx, manifest->path, end - 3);
    expect_faults(fx, "data", 0, "13 bytes of a write that did not end");
    struct look found;
    look(fx, fx->fs, "data", LOOK_VERIFY, &found);
    uint64_t place = found.verified.log.end.offset;
    struct store_file_bytes *last = NULL;
    char name[64];
    (void)snprintf(name, sizeof name, "%016llx.wal",
                   (unsigned long long)found.verified.log.end.file);
    last = store_find(fx, STORE_LOG, name);
    end_look(&found);
    /* The SYNCED group is the last one: it has a block. Without its end it is torn. */
    store_flip(fx, last, (place - WAL_BLOCK_BYTES + 50) * 8);
    expect_faults(fx, "data", 0, "the next start writes over them");
}

/* --- dump and stats ------------------------------------------------------------------------ */

/* Every visible key is there to be found, each entry of the log, and no line but known ones. */
static void dump_shows_everything(void **state)
{
    struct store_fixture *fx = *state;
    struct look found;
    look(fx, fx->fs, "data", LOOK_DUMP, &found);
    for (uint32_t key = 0; key < MODEL_KEYS; key++) {
        char text[64];
        char wanted[128];
        struct slice name = model_key(text, key);
        (void)snprintf(wanted, sizeof wanted, " key=\"%.*s\" ", (int)name.length, text);
        if (fx->model.latest[key] != 0) {
            assert_says(&found, wanted);
        }
    }
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, " index=%llu term=4 ", (unsigned long long)fx->log_last);
    assert_says(&found, wanted);
    assert_says(&found, "identity=\"cluster-1/node-1\"");
    assert_says(&found, "hard_state file=0000000000000001.wal offset=");
    assert_says(&found, "keyspace file=MANIFEST-");
    static const char *const words[] = {
        "segment ", "group ", "entry ",      "hard_state ",    "truncate ", "synced ",
        "record ",  "full ",  "keyspace ",   "add ",           "remove ",   "next_file ",
        "seal ",    "put ",   "properties ", "last_sequence ", "block ",    "delete "};
    size_t known = 0;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        assert_true(count_lines(&found, words[i]) > 0);
        known += count_lines(&found, words[i]);
    }
    assert_int_equal(count_lines(&found, ""), known);
    end_look(&found);
}

/* What is damaged is told, and the rest shown. */
static void dump_passes_over_damage(void **state)
{
    struct store_fixture *fx = *state;
    struct look whole;
    struct look found;
    look(fx, fx->fs, "data", LOOK_DUMP, &whole);
    store_flip(fx, store_find(fx, STORE_TABLES, ".sst"), 10 * 8);
    store_flip(fx, store_find(fx, STORE_LOG, "0001.wal"), 600 * 8);
    look(fx, fx->fs, "data", LOOK_DUMP, &found);
    assert_ok(found.status, &found.err);
    assert_int_equal(found.report.faults, 2);
    assert_int_equal(count_lines(&found, "block "), count_lines(&whole, "block "));
    assert_int_equal(count_lines(&found, "group "), count_lines(&whole, "group ") - 1);
    assert_true(count_lines(&found, "put ") < count_lines(&whole, "put "));
    end_look(&found);
    end_look(&whole);
    store_flip(fx, store_find(fx, STORE_TABLES, "MANIFEST"), 40 * 8);
    look(fx, fx->fs, "data", LOOK_DUMP, &found);
    assert_int_equal(found.report.faults, 2);
    end_look(&found);
}

/* One file by its name. */
static void dump_takes_single_files(void **state)
{
    struct store_fixture *fx = *state;
    static const char *const kinds[] = {"0002.wal", ".sst", "MANIFEST"};
    static const char *const words[] = {"group ", "put ", "record "};
    for (size_t i = 0; i < 3; i++) {
        struct look found = {.err = ERROR_INIT};
        FILE *stream = open_memstream(&found.text, &found.length);
        assert_non_null(stream);
        found.report = (struct report){.lines = stream, .messages = stream};
        const char *path = store_find(fx, i == 0 ? STORE_LOG : STORE_TABLES, kinds[i])->path;
        assert_ok(inspect_dump_file(fx->fs, alloc_default(), path, &found.report, &found.err),
                  &found.err);
        assert_int_equal(fclose(stream), 0);
        assert_int_equal(found.report.faults, 0);
        assert_true(count_lines(&found, words[i]) > 0);
        end_look(&found);
    }
    struct report report = {.lines = stdout, .messages = stdout};
    assert_status(
        inspect_dump_file(fx->fs, alloc_default(), STORE_TABLES "/CURRENT", &report, &fx->err),
        STATUS_INVALID_ARGUMENT, &fx->err);
    assert_status(
        inspect_dump_file(fx->fs, alloc_default(), STORE_TABLES "/9.sst", &report, &fx->err),
        STATUS_NOT_FOUND, &fx->err);
}

/* Dumps `bytes` as a table. */
static void look_at_table(struct store_fixture *fx, struct slice bytes, struct look *out)
{
    struct file *file = NULL;
    const char *path = "000777.sst";
    assert_ok(fs_open(fx->fs, path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &file, &fx->err), &fx->err);
    assert_ok(file_write(file, 0, bytes, &fx->err), &fx->err);
    file_close(file);
    *out = (struct look){.err = ERROR_INIT};
    FILE *stream = open_memstream(&out->text, &out->length);
    assert_non_null(stream);
    out->report = (struct report){.lines = stream, .messages = stream};
    assert_ok(inspect_dump_file(fx->fs, alloc_default(), path, &out->report, &out->err), &out->err);
    assert_int_equal(fclose(stream), 0);
}

/* Of a table with an index of two levels its partitions are shown; what a damaged one names is not,
 * but all that others do. */
static void dump_shows_partitions(void **state)
{
    struct store_fixture *fx = *state;
    char path[PATH_BYTES_MAX];
    struct buf bytes;
    struct table_footer footer;
    struct look whole;
    struct look found;
    buf_init(&bytes, alloc_default(), 1UL << 20);
    test_source_path(path, "tests/golden/table_v1_two_levels.sst");
    assert_ok(fs_read_file(fs_posix(), path, &bytes, &fx->err), &fx->err);
    assert_ok(table_footer_decode(bytes.data + bytes.length - TABLE_FOOTER_BYTES, bytes.length,
                                  &footer, &fx->err),
              &fx->err);
    look_at_table(fx, buf_slice(&bytes), &whole);
    assert_int_equal(whole.report.faults, 0);
    assert_says(&whole, " index_levels=2 ");
    assert_int_equal(count_lines(&whole, "put ") + count_lines(&whole, "delete "), 300);
    size_t partitions = count_lines(&whole, "partition ");
    size_t blocks = count_lines(&whole, "block ");
    assert_true(partitions > 3 && blocks > partitions);
    /* The first and the last one. */
    const uint64_t places[] = {footer.filter.offset + footer.filter.length + 5,
                               footer.index.offset - TABLE_BLOCK_TRAILER_BYTES - 1};
    for (size_t i = 0; i < 2; i++) {
        bytes.data[places[i]] ^= 1;
        look_at_table(fx, buf_slice(&bytes), &found);
        bytes.data[places[i]] ^= 1;
        assert_int_equal(found.report.faults, 1);
        assert_says(&found, "damage: table 000777.sst: block at ");
        assert_int_equal(count_lines(&found, "partition "), partitions - 1);
        assert_true(count_lines(&found, "block ") < blocks);
        assert_true(count_lines(&found, "block ") + 8 > blocks);
        end_look(&found);
    }
    end_look(&whole);
    buf_release(&bytes);
}

/* Levels, keyspaces and segments sum up to what is there. */
static void stats_count(void **state)
{
    struct store_fixture *fx = *state;
    struct look found;
    look(fx, fx->fs, "data", LOOK_STATS, &found);
    assert_int_equal(count_lines(&found, "manifest "), 1);
    assert_int_equal(count_lines(&found, "keyspace "), KS_COUNT);
    assert_int_equal(count_lines(&found, "log "), 1);
    assert_true(number_after(&found, " write_records_max=") > 1);
    assert_true(number_after(&found, " write_bytes_max=") * number_after(&found, " groups=") >=
                number_after(&found, " entry_bytes="));
    assert_true(count_lines(&found, "segment ") > 2);
    assert_true(count_lines(&found, "level ") > 3);
    char events[64];
    (void)snprintf(events, sizeof events, "entries=%u deletions=0 raw_bytes=", fx->model.events);
    assert_says(&found, "keyspace name=events layout=append ");
    assert_says(&found, events);
    size_t tables = 0;
    for (size_t i = 0; i < fx->count; i++) {
        tables +=
            strcmp(fx->files[i].dir, STORE_TABLES) == 0 && strstr(fx->files[i].path, ".sst") != NULL
                ? 1
                : 0;
    }
    assert_int_equal(count_lines(&found, "table "), tables);
    assert_says(&found, " read_amplification=");
    assert_says(&found, " space_amplification=1.000"); /* of what only grows */
    assert_says_not(&found, STORAGE_METRICS_AS_OF);
    end_look(&found);
}

/* What a node has left behind of its metrics is shown last, and nothing that is no text of it. */
static void stats_show_metrics(void **state)
{
    struct store_fixture *fx = *state;
    struct look found;
    store_write_file(fx, "data/metrics",
                     slice_of_string("# as of 2026-11-26T14:25:17Z\nestreat_storage_x 1\n\033[2J"));
    look(fx, fx->fs, "data", LOOK_STATS, &found);
    assert_says(&found, "\n# as of 2026-11-26T14:25:17Z\nestreat_storage_x 1\n[2J");
    assert_int_equal(count_lines(&found, "keyspace "), KS_COUNT);
    end_look(&found);
    look(fx, fx->fs, STORE_TABLES, LOOK_STATS, &found); /* a part of it is no node's directory */
    assert_says_not(&found, STORAGE_METRICS_AS_OF);
    end_look(&found);
    static uint8_t long_text[STORAGE_METRICS_BYTES_MAX + 1];
    store_write_file(fx, "data/metrics", slice_of(long_text, sizeof long_text));
    look(fx, fx->fs, "data", LOOK_STATS, &found);
    assert_says(&found, "unread: ");
    assert_says(&found, "longer than the 1048576 bytes allowed");
    assert_int_equal(count_lines(&found, "keyspace "), KS_COUNT);
    end_look(&found);
    assert_ok(fs_unlink(fx->fs, "data/metrics", &fx->err), &fx->err);
}

/* --- repair -------------------------------------------------------------------------------- */

static void expect_repair(struct store_fixture *fx, const char *dir, uint64_t faults,
                          const char *text)
{
    struct look found;
    look(fx, fx->fs, dir, LOOK_REPAIR, &found);
    assert_ok(found.status, &found.err);
    if (found.report.faults != faults) {
        print_message("%s", found.text);
    }
    assert_int_equal(found.report.faults, faults);
    assert_says(&found, text);
    if (faults == 0) {
        assert_says_not(&found, "to do: ");
    } else {
        assert_says(&found, "to do: keep a copy");
    }
    end_look(&found);
}

static void expect_content(struct store_fixture *fx)
{
    assert_ok(store_open_engine(fx, STORE_TABLES), &fx->err);
    assert_content(fx->engine, NULL, &fx->model);
    store_close_engine(fx);
    fixture_open(&fx->log);
    fixture_expect(&fx->log, fx->log_last);
    fixture_close(&fx->log);
}

/* What a start does: torn tail cut, leftovers removed; and the store is what it was. */
static void repair_starts(void **state)
{
    struct store_fixture *fx = *state;
    struct store_file_bytes *manifest = store_find(fx, STORE_TABLES, "MANIFEST");
    store_truncate(fx, manifest->path, manifest->bytes.length - 3);
    store_write_file(fx, STORE_TABLES "/999999.sst", slice_of_string("half a table"));
    store_write_file(fx, STORE_TABLES "/CURRENT.new", slice_of_string("MANI"));
    store_write_file(fx, STORE_LOG "/next.tmp", slice_of_string("half a segment"));
    struct look found;
    look(fx, fx->fs, "data", LOOK_VERIFY, &found);
    assert_int_equal(found.verified.leftovers, 3);
    assert_int_equal(found.report.faults, 0);
    end_look(&found);
    expect_repair(fx, "data", 0, "verified again:");
    look(fx, fx->fs, "data", LOOK_VERIFY, &found);
    assert_int_equal(found.verified.leftovers, 0);
    assert_says_not(&found, "note: ");
    end_look(&found);
    expect_content(fx);
}

/* A lost or spoilt CURRENT is written anew only where one manifest is left that can be it. */
static void repair_names_the_only_manifest(void **state)
{
    struct store_fixture *fx = *state;
    struct store_file_bytes *manifest = store_find(fx, STORE_TABLES, "MANIFEST");
    assert_ok(fs_unlink(fx->fs, STORE_TABLES "/CURRENT", &fx->err), &fx->err);
    expect_repair(fx, "data", 0, "the only manifest");
    expect_content(fx);
    store_write_file(fx, STORE_TABLES "/CURRENT", slice_of_string("MANIFEST-00000\0"));
    expect_repair(fx, "data", 0, "the only manifest");
    expect_content(fx);

    /* Two manifests: which was it? */
    assert_ok(fs_unlink(fx->fs, STORE_TABLES "/CURRENT", &fx->err), &fx->err);
    store_write_file(fx, STORE_TABLES "/MANIFEST-999999", buf_slice(&manifest->bytes));
    expect_repair(fx, "data", 1, "not repaired: " STORE_TABLES ": 2 manifests");
    assert_ok(fs_unlink(fx->fs, STORE_TABLES "/MANIFEST-999999", &fx->err), &fx->err);
    /* A table that it does not know. */
    struct store_file_bytes *table = store_find(fx, STORE_TABLES, ".sst");
    store_write_file(fx, STORE_TABLES "/999999.sst", buf_slice(&table->bytes));
    expect_repair(fx, "data", 2, "CURRENT is not all that is damaged");
    store_write_file(fx, STORE_TABLES "/999999.sst", slice_of_string(""));
    assert_ok(fs_unlink(fx->fs, STORE_TABLES "/999999.sst", &fx->err), &fx->err);
    /* Its end is missing: there may have been more. */
    store_truncate(fx, manifest->path, manifest->bytes.length - 3);
    expect_repair(fx, "data", 1, "the manifest's end is not whole");
    store_write_file(fx, manifest->path, buf_slice(&manifest->bytes));
    /* A table of it is damaged. */
    store_flip(fx, table, 10 * 8);
    expect_repair(fx, "data", 2, "CURRENT is not all that is damaged");
    /* No manifest at all. */
    store_write_file(fx, table->path, buf_slice(&table->bytes));
    assert_ok(fs_unlink(fx->fs, manifest->path, &fx->err), &fx->err);
    expect_repair(fx, "data", 1, "0 manifests");
    bool made = true;
    assert_ok(fs_exists(fx->fs, STORE_TABLES "/CURRENT", &made, &fx->err), &fx->err);
    assert_false(made);
}

/* Damage stays as it is, and so does all that lies beside it. */
static void repair_leaves_damage(void **state)
{
    struct store_fixture *fx = *state;
    struct store_file_bytes *table = store_find(fx, STORE_TABLES, ".sst");
    struct store_file_bytes *segment = store_find(fx, STORE_LOG, "0001.wal");
    store_flip(fx, table, 10 * 8);
    store_flip(fx, segment, 600 * 8);
    store_write_file(fx, STORE_TABLES "/999999.sst", slice_of_string("half a table"));
    store_write_file(fx, STORE_LOG "/next.tmp", slice_of_string("half a segment"));
    expect_repair(fx, "data", 2, "take a snapshot from another member");
    bool there = false;
    assert_ok(fs_exists(fx->fs, STORE_TABLES "/999999.sst", &there, &fx->err), &fx->err);
    assert_true(there);
    there = false;
    assert_ok(fs_exists(fx->fs, STORE_LOG "/next.tmp", &there, &fx->err), &fx->err);
    assert_true(there);
}

/* --- what may go wrong --------------------------------------------------------------------- */

/* Whoever holds the lock of a node keeps repair out of each of its directories. */
static void a_running_node_is_left_alone(void **state)
{
    struct store_fixture *fx = *state;
    static struct store_place place;
    static const char *const dirs[] = {"data", "data/", STORE_TABLES, STORE_LOG "//"};
    struct file *held = NULL;
    assert_ok(fs_lock(fx->fs, "data/lock", &held, &fx->err), &fx->err);
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        for (int make = 0; make < 2; make++) {
            assert_ok(store_place_find(&place, fx->fs, alloc_default(), dirs[i], &fx->err),
                      &fx->err);
            assert_status(store_place_lock(&place, make == 1, &fx->err), STATUS_FAILED_PRECONDITION,
                          &fx->err);
            assert_non_null(strstr(fx->err.text, "stop the node first"));
        }
    }
    file_close(held);
    assert_ok(store_place_find(&place, fx->fs, alloc_default(), "data", &fx->err), &fx->err);
    assert_ok(store_place_lock(&place, true, &fx->err), &fx->err);
    store_place_release(&place);
}

static void what_is_no_store_is_refused(void **state)
{
    struct store_fixture *fx = *state;
    static struct store_place place;
    assert_ok(fs_make_dir(fx->fs, "empty", &fx->err), &fx->err);
    assert_status(store_place_find(&place, fx->fs, alloc_default(), "empty", &fx->err),
                  STATUS_NOT_FOUND, &fx->err);
    assert_status(store_place_find(&place, fx->fs, alloc_default(), "absent", &fx->err),
                  STATUS_NOT_FOUND, &fx->err);
    assert_status(store_place_find(&place, fx->fs, alloc_default(), "", &fx->err),
                  STATUS_INVALID_ARGUMENT, &fx->err);
}

/* Each read or open fails once: that is said, is no damage, and is never taken for soundness. */
static void unreadable_is_not_sound(void **state)
{
    struct store_fixture *fx = *state;
    struct fs_faulty faulty;
    fs_faulty_init(&faulty, fx->fs);
    static const enum fs_call calls[] = {FS_CALL_OPEN, FS_CALL_READ, FS_CALL_SIZE, FS_CALL_LIST};
    for (size_t kind = 0; kind < sizeof calls / sizeof calls[0]; kind++) {
        bool hit = true;
        uint64_t n = calls[kind] == FS_CALL_LIST ? 1 : 0; /* the first finds the place */
        for (; hit; n++) {
            struct look found;
            fs_faulty_arm(&faulty, (struct fs_fault){.call = calls[kind], .at = n});
            look(fx, &faulty.fs, "data", LOOK_VERIFY, &found);
            hit = fs_faulty_hit(&faulty) > 0;
            fs_faulty_disarm(&faulty);
            assert_int_equal(hit, found.status != STATUS_OK || found.report.unread > 0);
            assert_int_equal(found.report.faults, 0);
            end_look(&found);
        }
        assert_true(n > 1);
    }
    fs_faulty_release(&faulty);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(sound_stores_are_sound),
        CASE(each_damaged_block_is_told),
        CASE(tables_are_read_without_a_manifest),
        CASE(each_damaged_group_is_told),
        CASE(torn_tails_are_notes),
        CASE(dump_shows_everything),
        CASE(dump_passes_over_damage),
        CASE(dump_takes_single_files),
        CASE(dump_shows_partitions),
        CASE(stats_count),
        CASE(stats_show_metrics),
        CASE(repair_starts),
        CASE(repair_names_the_only_manifest),
        CASE(repair_leaves_damage),
        CASE(a_running_node_is_left_alone),
        CASE(what_is_no_store_is_refused),
        CASE(unreadable_is_not_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
