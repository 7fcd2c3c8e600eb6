/* SPDX-License-Identifier: Apache-2.0
 *
 * Each file of a store cut at each byte offset: what is recovered is an exact prefix of what was
 * written, or the error names file and offset. Never less than that, nor anything else.
 *
 * Tables alone, and what is told of each place: test_table_damage.c. Manifests with several seals:
 * test_manifest.c.
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

/* A state of the log at the end of some group. */
struct point {
    uint64_t last;
    struct wal_model model;
};

enum { POINTS_MAX = 40 };

struct history {
    struct point points[POINTS_MAX];
    size_t count;
};

/* Builds the log anew, as store_build_log() did but without the SYNCED record at the end, and notes
 * each group's end. */
static void build_history(struct history *history)
{
    struct wal_fixture *log = &fixture.log;
    memset(history, 0, sizeof *history);
    memset(&log->model, 0, sizeof log->model);
    store_empty(&fixture, STORE_LOG);
    fixture_open(log);
    uint64_t next = 1;
    for (unsigned group = 0; group < 12; group++) {
        uint64_t from = group % 5 == 4 ? next - 1 : next;
        next = from + 1 + group % 4;
        if (group % 3 == 0) {
            fixture_vote(log, group + 1, group);
        }
        fixture_append(log, from, next, 1 + group / 5);
        fixture_commit(log);
        struct point *point = &history->points[history->count++];
        point->last = next - 1;
        point->model = log->model;
    }
    fixture_close(log);
}

static uint64_t segment_number(const struct store_file_bytes *file)
{
    return strtoull(strrchr(file->path, '/') + 1, NULL, 16);
}

/* What opened is one of the points, exactly. Returns its number. */
static size_t which_point(const struct history *history)
{
    struct wal_fixture *log = &fixture.log;
    for (size_t i = history->count; i-- > 0;) {
        const struct point *point = &history->points[i];
        if (point->last == log->recovered.last_index && point->model.term == log->recovered.term &&
            point->model.vote == log->recovered.vote) {
            log->model = point->model;
            fixture_expect(log, point->last);
            return i;
        }
    }
    assert_int_equal(log->recovered.last_index, 0); /* cut in the first group of all */
    return SIZE_MAX;
}

/* Cuts the file at each byte. Longer cuts recover more or are refused; what was recovered goes on:
 * the next entry is there after the next open. */
static void cut_segment(const struct history *history, const struct store_file_bytes *file,
                        uint64_t *recovered, uint64_t *refused)
{
    struct wal_fixture *log = &fixture.log;
    size_t before = 0;
    for (uint64_t bytes = 0; bytes < file->bytes.length; bytes += CUT_STRIDE) {
        cut(file, bytes);
        if (fixture_try_open(log) != STATUS_OK) {
            assert_names(file, &log->err);
            log->wal = NULL;
            (*refused)++;
        } else {
            size_t point = which_point(history) + 1;
            assert_true(point >= before);
            before = point;
            (*recovered)++;
            if (bytes % 97 == 0) {
                uint64_t last = log->recovered.last_index;
                fixture_append(log, last + 1, last + 2, 9);
                fixture_commit(log);
                fixture_reopen(log);
                fixture_expect(log, last + 1);
                fixture_close(log);
                store_restore(&fixture, STORE_LOG);
                continue;
            }
            fixture_close(log);
        }
    }
    cut(file, file->bytes.length);
}

/* Of a segment that others follow nothing may be missing, of the last one what nobody attests. */
static void segments(void **state)
{
    (void)state;
    static struct history history;
    uint64_t recovered = 0;
    uint64_t refused = 0;
    build_history(&history);
    store_forget(&fixture);
    store_keep(&fixture, STORE_LOG);
    for (size_t i = 0; i < fixture.count; i++) {
        uint64_t number = segment_number(&fixture.files[i]);
        uint64_t before = recovered;
        cut_segment(&history, &fixture.files[i], &recovered, &refused);
        if (number == 1) {
            /* The next one says that it was longer. But for its zeros at the end. */
            assert_true(recovered - before < 2 * WAL_BLOCK_BYTES / CUT_STRIDE);
        }
    }
    assert_true(refused > 1000 / CUT_STRIDE);
    assert_true(recovered > 1000 / CUT_STRIDE);
    fixture_open(&fixture.log);
    assert_int_equal(which_point(&history), history.count - 1);
    fixture_close(&fixture.log);
}

/* As build_history(), of chains: a point behind each record. One sync in the middle. */
static void build_chains(struct history *history)
{
    struct wal_fixture *log = &fixture.log;
    memset(history, 0, sizeof *history);
    memset(&log->model, 0, sizeof log->model);
    store_empty(&fixture, STORE_LOG);
    log->options.unsynced = true;
    fixture_open(log);
    for (uint64_t next = 1; next < POINTS_MAX; next++) {
        fixture_append(log, next, next + 1, 1);
        if (next == POINTS_MAX / 3) {
            fixture_commit(log);
        } else {
            fixture_write(log);
        }
        struct point *point = &history->points[history->count++];
        point->last = next;
        point->model = log->model;
    }
    fixture_close(log);
}

/* Of chains, however many segments they are in, nothing may be missing that a group behind it
 * attests; of the rest the prefix is there, to the record. */
static void chains(void **state)
{
    (void)state;
    static struct history history;
    uint64_t recovered = 0;
    uint64_t refused = 0;
    build_chains(&history);
    store_forget(&fixture);
    store_keep(&fixture, STORE_LOG);
    assert_true(fixture.count > 2);
    for (size_t i = 0; i < fixture.count; i++) {
        /* Opening removes what is behind a cut. */
        for (uint64_t bytes = 0; bytes < fixture.files[i].bytes.length; bytes += CUT_STRIDE) {
            store_restore(&fixture, STORE_LOG);
            cut(&fixture.files[i], bytes);
            if (fixture_try_open(&fixture.log) != STATUS_OK) {
                assert_names(&fixture.files[i], &fixture.log.err);
                fixture.log.wal = NULL;
                refused++;
                continue;
            }
            (void)which_point(&history);
            fixture_close(&fixture.log);
            recovered++;
        }
    }
    assert_true(refused > 1000 / CUT_STRIDE);
    assert_true(recovered > 4000 / CUT_STRIDE);
    store_restore(&fixture, STORE_LOG);
    fixture_open(&fixture.log);
    assert_int_equal(which_point(&history), history.count - 1);
    fixture_close(&fixture.log);
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
        cmocka_unit_test_setup_teardown(segments, setup, teardown),
        cmocka_unit_test_setup_teardown(chains, setup, teardown),
        cmocka_unit_test_setup_teardown(tables_and_manifests, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
