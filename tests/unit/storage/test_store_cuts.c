/* SPDX-License-Identifier: Apache-2.0
 *
 * Each file of a store cut at each byte offset. Of the log all is recovered that was whole before
 * the cut, and nothing else, unless what is left says that more was durable: then, as of tables and
 * manifests, the error names file and offset.
 *
 * Tables alone, and what is told of each place: test_table_damage.c. Manifests with several seals:
 * test_manifest.c. What backups leave in a store, and backups: test_backup_damage.c.
 */
#include "storage/wal/format.h"
#include "store_fixture.h"

/* Under ASan, which maps the windows that files are read through anew each time, some places: one
 * in seven of logs, one in 61 of tables. */
#ifdef __SANITIZE_ADDRESS__
enum { CUT_STRIDE = 7, TABLE_STRIDE = 61 };
#else
enum { CUT_STRIDE = 1, TABLE_STRIDE = 1 };
#endif
enum { BATCHES = 12 };

static struct store_fixture fixture;

static void assert_names(const struct store_file_bytes *file, const struct error *err)
{
    const char *name = strrchr(file->path, '/') + 1;
    if (err->status != STATUS_CORRUPT || strstr(err->text, name) == NULL ||
        (strstr(err->text, " at ") == NULL && strstr(err->text, "offset ") == NULL)) {
        fail_msg("%s was cut, and this was said: %s", file->path, err->text);
    }
}

static void cut(const struct store_file_bytes *file, uint64_t bytes)
{
    store_write_file(&fixture, file->path, slice_of(file->bytes.data, (size_t)bytes));
}

static int setup(void **state)
{
    (void)state;
    store_init(&fixture, 4, BATCHES);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_release(&fixture);
    return 0;
}

/* --- the log ------------------------------------------------------------------------------- */

/* The log behind what was written at once, and where that is, by the rules of storage/FORMAT.md. */
struct point {
    struct wal_model model;
    uint64_t file;
    uint64_t begin; /* its bytes are [begin, end) */
    uint64_t end;
    uint64_t head_bytes;         /* of the GROUP or CHAIN record; 0: a link */
    struct wal_position durable; /* what that record says: the log was durable up to here */
};

enum { POINTS_MAX = 50, SEGMENT_BYTES = 4096 };

struct history {
    struct point points[POINTS_MAX];
    size_t count;
    bool chains;
};

static const struct wal_position log_begin = {.file = 1, .offset = WAL_BLOCK_BYTES};

static void begin_history(struct history *history, bool chains)
{
    struct wal_fixture *log = &fixture.log;
    memset(history, 0, sizeof *history);
    memset(&log->model, 0, sizeof log->model);
    history->chains = chains;
    store_empty(&fixture, STORE_LOG);
    log->options.unsynced = chains;
    fixture_open(log);
}

/* Where the log ends if it has so many points: a group fills its last block. */
static struct wal_position end_of(const struct history *history, size_t count)
{
    if (count == 0) {
        return log_begin;
    }
    const struct point *last = &history->points[count - 1];
    return (struct wal_position){.file = last->file,
                                 .offset = history->chains ? last->end : wal_block_up(last->end)};
}

/* Adds the point of what was just written: records of so many bytes, behind a head if `head` or if
 * they begin a file. */
static void add_point(struct history *history, bool head, uint64_t bytes,
                      struct wal_position durable)
{
    struct wal_fixture *log = &fixture.log;
    struct wal_position place = end_of(history, history->count);
    struct point *point = &history->points[history->count++];
    point->model = log->model;
    point->file = wal_bytes(log->wal) / SEGMENT_BYTES;
    head = head || point->file > place.file;
    point->begin = point->file > place.file ? WAL_BLOCK_BYTES
                   : head                   ? wal_block_up(place.offset)
                                            : place.offset;
    point->head_bytes = head ? wal_group_header_bytes(history->chains) : 0;
    point->durable = durable;
    /* A head is followed by the state before. */
    bytes += head ? point->head_bytes + 2UL * WAL_PAIR_RECORD_BYTES : 0;
    point->end = point->begin + bytes;
}

static uint64_t data_bytes(uint64_t index, uint64_t term)
{
    static uint8_t data[FIXTURE_DATA_MAX];
    return fixture_entry(&fixture.log, index, term, data).data.length;
}

/* Of groups, without a SYNCED record at the end. */
static void build_groups(struct history *history)
{
    struct wal_fixture *log = &fixture.log;
    begin_history(history, false);
    uint64_t next = 1;
    for (unsigned group = 0; group < 12; group++) {
        uint64_t from = group % 5 == 4 ? next - 1 : next; /* sometimes a tail is replaced */
        uint64_t bytes = from < next ? WAL_PAIR_RECORD_BYTES : 0;
        uint64_t term = 1 + group / 5;
        next = from + 1 + group % 4;
        if (group % 3 == 0) {
            fixture_vote(log, group + 1, group);
            bytes += WAL_PAIR_RECORD_BYTES;
        }
        fixture_append(log, from, next, term);
        fixture_commit(log);
        for (uint64_t i = from; i < next; i++) {
            bytes += WAL_ENTRY_OVERHEAD_BYTES + data_bytes(i, term);
        }
        add_point(history, true, bytes, end_of(history, history->count));
    }
    fixture_close(log);
}

/* Of chains: a point behind each record, and one sync, in the second of three files. */
static void build_chains(struct history *history)
{
    struct wal_fixture *log = &fixture.log;
    struct wal_position durable = log_begin;
    bool head = true;
    begin_history(history, true);
    log->entry_bytes = 150;
    for (uint64_t next = 1; next <= POINTS_MAX; next++) {
        fixture_append(log, next, next + 1, 1);
        bool sync = next == POINTS_MAX / 2;
        if (sync) {
            fixture_commit(log);
        } else {
            fixture_write(log);
        }
        uint64_t overhead =
            next == 1 ? WAL_ENTRY_OVERHEAD_BYTES : WAL_RECORD_HEADER_BYTES + WAL_NEXT_FIXED_BYTES;
        add_point(history, head, overhead + data_bytes(next, 1), durable);
        durable = sync ? end_of(history, history->count) : durable;
        head = sync;
    }
    assert_int_equal(durable.file, 2);
    assert_int_equal(history->points[history->count - 1].file, 3);
    fixture_close(log);
}

/* What must come of a cut. */
struct outcome {
    size_t points; /* the log has these, and nothing else */
    bool refused;  /* or this file is said to be damaged at an offset in [from, to] */
    uint64_t file;
    uint64_t from;
    uint64_t to;
};

static bool is_there(const struct point *point, uint64_t end, uint64_t file, uint64_t bytes)
{
    return point->file != file || end <= bytes;
}

/* What is whole before the cut is there, and no more; but if some head that is left says that more
 * was durable, that is damage. */
static struct outcome outcome_of(const struct history *history, uint64_t file, uint64_t bytes)
{
    struct outcome outcome = {.points = 0};
    const struct point *points = history->points;
    if (bytes < WAL_BLOCK_BYTES) {
        return (struct outcome){.refused = true, .file = file};
    }
    while (outcome.points < history->count &&
           is_there(&points[outcome.points], points[outcome.points].end, file, bytes)) {
        outcome.points++;
    }
    struct wal_position end = end_of(history, outcome.points);
    for (size_t i = outcome.points; i < history->count && !outcome.refused; i++) {
        const struct point *point = &points[i];
        outcome.refused = point->head_bytes > 0 &&
                          is_there(point, point->begin + point->head_bytes, file, bytes) &&
                          wal_position_before(end, point->durable);
        /* Of a later file alone: it may be that this one ended here, and the next begins badly. */
        bool here = point->durable.file == end.file;
        outcome.file = here ? end.file : end.file + 1;
        outcome.from = here ? end.offset : WAL_BLOCK_BYTES;
        outcome.to = !here ? WAL_BLOCK_BYTES : bytes > end.offset ? bytes : end.offset;
    }
    return outcome;
}

static void assert_refused(const struct outcome *outcome)
{
    struct wal_fixture *log = &fixture.log;
    char name[32];
    assert_status(fixture_try_open(log), STATUS_CORRUPT, &log->err);
    log->wal = NULL;
    (void)snprintf(name, sizeof name, "%016llx.wal", (unsigned long long)outcome->file);
    const char *named = strstr(log->err.text, name);
    const char *offset = named == NULL ? NULL : strstr(named, "offset ");
    if (offset == NULL) {
        fail_msg("%s was cut, and this was said: %s", name, log->err.text);
    }
    assert_in_range(strtoull(offset + strlen("offset "), NULL, 10), outcome->from, outcome->to);
}

/* What was recovered is that, and goes on: the next entry is there after the next open. */
static void assert_recovered(const struct history *history, size_t points, bool goes_on)
{
    struct wal_fixture *log = &fixture.log;
    assert_ok(fixture_try_open(log), &log->err);
    if (points == 0) {
        memset(&log->model, 0, sizeof log->model);
    } else {
        log->model = history->points[points - 1].model;
    }
    uint64_t last = log->model.last;
    fixture_expect(log, last);
    if (goes_on) {
        fixture_append(log, last + 1, last + 2, 9);
        fixture_commit(log);
        fixture_reopen(log);
        fixture_expect(log, last + 1);
    }
    fixture_close(log);
}

/* Cuts each file of the log at each byte. */
static void cut_log(const struct history *history)
{
    uint64_t refused = 0;
    uint64_t recovered = 0;
    store_forget(&fixture);
    store_keep(&fixture, STORE_LOG);
    for (size_t i = 0; i < fixture.count; i++) {
        const struct store_file_bytes *file = &fixture.files[i];
        uint64_t number = strtoull(strrchr(file->path, '/') + 1, NULL, 16);
        for (uint64_t bytes = 0; bytes < file->bytes.length; bytes += CUT_STRIDE) {
            struct outcome outcome = outcome_of(history, number, bytes);
            store_restore(&fixture, STORE_LOG); /* opening removes what is behind a cut */
            cut(file, bytes);
            if (outcome.refused) {
                assert_refused(&outcome);
                refused++;
            } else {
                assert_recovered(history, outcome.points, bytes % 97 == 0);
                recovered++;
            }
        }
    }
    assert_true(refused > 5000 / CUT_STRIDE);
    assert_true(recovered > 5000 / CUT_STRIDE);
    store_restore(&fixture, STORE_LOG);
    assert_recovered(history, history->count, false);
}

/* Of a segment that others follow nothing may be missing, of the last one what nobody attests. */
static void groups(void **state)
{
    (void)state;
    static struct history history;
    build_groups(&history);
    assert_int_equal(history.points[history.count - 1].file, 3);
    cut_log(&history);
}

/* Of chains, however many segments they are in, nothing may be missing that a group behind it
 * attests; of the rest the prefix is there, to the record. */
static void chains(void **state)
{
    (void)state;
    static struct history history;
    build_chains(&history);
    cut_log(&history);
}

/* --- tables -------------------------------------------------------------------------------- */

/* What can be read is right; the rest is told. */
static void read_some(const struct store_file_bytes *file)
{
    struct error err = ERROR_INIT;
    struct buf value;
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    for (uint32_t key = 0; key < MODEL_KEYS; key += 7) {
        char text[64];
        enum status status =
            engine_get(fixture.engine, NULL, KS_LATEST, model_key(text, key), &value, &err);
        if (status == STATUS_OK) {
            assert_value(buf_slice(&value), fixture.model.latest[key]);
        } else if (status == STATUS_NOT_FOUND) {
            assert_int_equal(fixture.model.latest[key], 0);
        } else {
            assert_names(file, &err);
        }
    }
    buf_release(&value);
}

static void cut_table_file(const struct store_file_bytes *file, uint64_t bytes)
{
    struct error err = ERROR_INIT;
    cut(file, bytes);
    if (store_open_engine(&fixture, file->dir) != STATUS_OK) {
        assert_names(file, &fixture.err);
        cut(file, file->bytes.length);
        return;
    }
    read_some(file);
    enum status status = engine_verify(fixture.engine, &err);
    if (strstr(file->path, ".sst") != NULL) {
        assert_int_equal(status, STATUS_CORRUPT);
        assert_names(file, &err);
    } else {
        /* A manifest without its attestation, or with a part of it. */
        assert_ok(status, &err);
        assert_true(bytes + 16 >= file->bytes.length);
        assert_content(fixture.engine, NULL, &fixture.model);
    }
    store_close_engine(&fixture);
    cut(file, file->bytes.length);
}

/* In the store, and in the copy that was made from a checkpoint. */
static void tables_and_manifests(void **state)
{
    (void)state;
    for (size_t i = 0; i < fixture.count; i++) {
        const struct store_file_bytes *file = &fixture.files[i];
        bool is_table = strstr(file->path, ".sst") != NULL;
        if (strcmp(file->dir, STORE_LOG) == 0) {
            continue;
        }
        /* A manifest of several seals, cut before its last one, holds an older state: see
         * test_manifest.c. */
        uint64_t from = 0;
        if (strstr(file->path, "MANIFEST") != NULL && strcmp(file->dir, STORE_TABLES) == 0) {
            from = file->bytes.length - 16;
        }
        for (uint64_t bytes = from; bytes < file->bytes.length;
             bytes += is_table ? TABLE_STRIDE : 1) {
            cut_table_file(file, bytes);
        }
    }
    assert_ok(store_open_engine(&fixture, STORE_TABLES), &fixture.err);
    assert_content(fixture.engine, NULL, &fixture.model);
    store_close_engine(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(groups, setup, teardown),
        cmocka_unit_test_setup_teardown(chains, setup, teardown),
        cmocka_unit_test_setup_teardown(tables_and_manifests, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
