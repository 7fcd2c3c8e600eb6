/* SPDX-License-Identifier: Apache-2.0
 *
 * Power failures of an engine with a log of its own: a batch is an entry of the log, durable before
 * it is written to the engine; a flushed seal lets the log be purged. Whatever was acknowledged is
 * there afterwards, by tables and log together. ESTREAT_CRASHES: how many stores.
 */
#include <stdlib.h>

#include "base/log.h"
#include "engine_model.h"
#include "wal_fixture.h"

/* Under ASan, which takes four times as long, a part of them. */
#ifdef __SANITIZE_ADDRESS__
enum { CRASHES = 40 };
#else
enum { CRASHES = 200 };
#endif
enum { LIVES = 3, TURNS = 120, ENTRIES_MAX = 1000 };

/* What a seal's blob says: what is in the tables, and up to which entry of the log. */
struct blob {
    struct model model;
    uint64_t index;
};

struct run {
    struct wal_fixture log;
    struct executor_manual executor;
    struct engine_options options;
    struct engine *engine;
    struct batch batch;
    uint64_t seed;
    struct model model;     /* what was written to the engine */
    uint64_t written;       /* the last entry of it */
    uint64_t acknowledged;  /* durable in the log */
    uint64_t flushed;       /* in tables */
    struct model models[2]; /* scratch */
};

/* The batch of an entry follows from its index alone, and from what was before. */
static void make_batch(struct run *run, struct model *model, uint64_t index)
{
    struct rng_seeded rng;
    rng_seeded_init(&rng, run->seed * 10007 + index);
    model_random_batch(model, &run->batch, &rng.rng);
}

static struct slice blob_of(struct run *run, struct blob *blob)
{
    *blob = (struct blob){.model = run->model, .index = run->written};
    return slice_of(blob, sizeof *blob);
}

static void note_flushed(void *context, struct slice owner_state)
{
    struct run *run = context;
    struct blob blob;
    assert_int_equal(owner_state.length, sizeof blob);
    memcpy(&blob, owner_state.data, sizeof blob);
    assert_true(blob.index >= run->flushed);
    run->flushed = blob.index;
}

static void step(void *context)
{
    (void)executor_manual_step(&((struct run *)context)->executor);
}

/* --- a life -------------------------------------------------------------------------------- */

static enum status apply(struct run *run, uint64_t index, struct error *err)
{
    struct model before = run->model;
    make_batch(run, &run->model, index);
    enum status status = engine_write(run->engine, &run->batch, err);
    if (status != STATUS_OK) {
        run->model = before;
        return status;
    }
    run->written = index;
    return STATUS_OK;
}

static enum status commit(struct run *run)
{
    struct wal_fixture *log = &run->log;
    enum status status = fixture_try_commit(log);
    if (status == STATUS_OK && !wal_busy(log->wal) && log->durable.index > run->acknowledged) {
        run->acknowledged = log->durable.index;
    }
    while (status == STATUS_OK && run->written < run->acknowledged) {
        status = apply(run, run->written + 1, &log->err);
    }
    return status;
}

/* Random work until something fails. */
static void work(struct run *run, struct rng *rng)
{
    struct wal_fixture *log = &run->log;
    enum status status = STATUS_OK;
    for (unsigned turn = 0; turn < TURNS && status == STATUS_OK; turn++) {
        struct blob blob;
        uint64_t next = wal_last_index(log->wal) + 1;
        uint64_t choice = rng_below(rng, 20);
        if (choice == 0 || engine_should_seal(run->engine)) {
            status = engine_seal(run->engine, blob_of(run, &blob), &log->err);
        } else if (choice < 6) {
            (void)executor_manual_step(&run->executor);
        } else if (choice == 6) {
            status = wal_purge(log->wal, run->flushed, &log->err);
        } else if (choice < 14 && next + 4 < ENTRIES_MAX) {
            status = fixture_try_append(log, next, next + 1 + rng_below(rng, 3), 1);
        } else {
            status = commit(run);
        }
    }
}

static void close_all(struct run *run)
{
    fixture_close(&run->log);
    executor_close(&run->executor.executor);
    engine_close(run->engine);
    run->engine = NULL;
}

/* --- opening ------------------------------------------------------------------------------- */

static enum status each_entry(void *context, const struct wal_entry *entry, struct error *err)
{
    struct run *run = context;
    static uint8_t data[FIXTURE_DATA_MAX];
    struct wal_entry expected = fixture_entry(&run->log, entry->index, 1, data);
    assert_int_equal(entry->index, run->written + 1);
    assert_true(slice_equal(entry->data, expected.data));
    return apply(run, entry->index, err);
}

/* Tables, then what the log has beyond them. */
static enum status open_all(struct run *run, struct error *err)
{
    struct wal_fixture *log = &run->log;
    struct wal_reader *reader = NULL;
    struct blob blob = {.index = 0};
    struct buf bytes;
    executor_manual_init(&run->executor, run->seed);
    enum status status = engine_open(&run->options, &run->engine, err);
    if (status != STATUS_OK) {
        return status;
    }
    buf_init(&bytes, alloc_default(), ENGINE_STATE_BYTES_MAX);
    assert_ok(engine_sealed_state(run->engine, &bytes, err), err);
    if (bytes.length > 0) {
        assert_int_equal(bytes.length, sizeof blob);
        memcpy(&blob, bytes.data, sizeof blob);
    }
    buf_release(&bytes);
    assert_true(blob.index >= run->flushed);
    run->model = blob.model;
    run->written = blob.index;
    run->flushed = blob.index;
    status = wal_open(&log->options, blob.index, blob.index > 0 ? 1 : 0, &log->recovered, &log->wal,
                      err);
    if (status != STATUS_OK) {
        log->wal = NULL;
        return status;
    }
    status = wal_reader_open(log->wal, &reader, err);
    if (status == STATUS_OK) {
        status = wal_read(reader, blob.index + 1, log->recovered.last_index + 1, SIZE_MAX,
                          each_entry, run, err);
        wal_reader_close(reader);
    }
    return status;
}

/* Everything that was acknowledged, and nothing but batches in their order. */
static void check(struct run *run)
{
    struct error err = ERROR_INIT;
    assert_ok(open_all(run, &err), &err);
    assert_true(run->written >= run->acknowledged);
    assert_int_equal(run->written, run->log.recovered.last_index);
    struct model *expected = &run->models[0];
    *expected = (struct model){.events = 0};
    for (uint64_t index = 1; index <= run->written; index++) {
        make_batch(run, expected, index);
    }
    assert_memory_equal(expected, &run->model, sizeof *expected);
    assert_content(run->engine, NULL, expected);
    assert_ok(engine_verify(run->engine, &err), &err);
    run->acknowledged = run->written;
}

static void begin(struct run *run, uint64_t seed)
{
    memset(run, 0, sizeof *run);
    run->seed = seed;
    fixture_init(&run->log, 4 * KIB);
    run->log.entry_bytes = 40;
    batch_init(&run->batch, alloc_default());
    struct error err = ERROR_INIT;
    assert_ok(fs_make_dir(run->log.fs, "/store", &err), &err);
    assert_ok(fs_sync_dir(run->log.fs, "/", &err), &err);
    run->options = model_options(run->log.fs, &run->executor.executor, "/store");
    run->options.memtable_bytes = 30 * KIB;
    run->options.on_flushed = note_flushed;
    run->options.on_wait = step;
    run->options.context = run;
    assert_ok(open_all(run, &err), &err);
}

static void end(struct run *run)
{
    batch_release(&run->batch);
    fixture_release(&run->log);
}

static void what_is_acknowledged_is_there(void **state)
{
    (void)state;
    static struct run run;
    const char *wanted = getenv("ESTREAT_CRASHES");
    uint64_t stores = wanted == NULL ? CRASHES : strtoull(wanted, NULL, 10);
    uint64_t seed = test_seed();
    uint64_t replayed = 0;
    for (uint64_t store = 0; store < stores; store++) {
        struct rng_seeded rng;
        struct error err = ERROR_INIT;
        rng_seeded_init(&rng, seed + store);
        begin(&run, seed + store);
        for (int life = 0; life < LIVES; life++) {
            fs_crash_stop_at(run.log.crash, rng_below(&rng.rng, 150));
            work(&run, &rng.rng);
            fs_crash_stop(run.log.crash);
            close_all(&run);
            fs_crash_now(run.log.crash, rng_u64(&rng.rng));
            /* And sometimes while opening. */
            fs_crash_stop_at(run.log.crash, rng_below(&rng.rng, 12));
            (void)open_all(&run, &err);
            fs_crash_stop(run.log.crash);
            close_all(&run);
            fs_crash_now(run.log.crash, rng_u64(&rng.rng));
            check(&run);
            replayed += run.written - run.flushed;
        }
        close_all(&run);
        end(&run);
    }
    assert_true(replayed > stores);
}

/* With syncs that do nothing acknowledged batches are gone: so the test above does look. */
static void lying_syncs_are_noticed(void **state)
{
    (void)state;
    static struct run run;
    unsigned noticed = 0;
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct rng_seeded rng;
        struct error err = ERROR_INIT;
        rng_seeded_init(&rng, seed);
        begin(&run, seed);
        fs_crash_set_sync_lies(run.log.crash, true);
        work(&run, &rng.rng);
        fs_crash_stop(run.log.crash);
        close_all(&run);
        fs_crash_now_losing_all(run.log.crash);
        uint64_t acknowledged = run.acknowledged;
        run.flushed = 0;
        bool opened = open_all(&run, &err) == STATUS_OK;
        noticed += !opened || run.written < acknowledged ? 1 : 0;
        close_all(&run);
        end(&run);
    }
    assert_true(noticed > 8);
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_acknowledged_is_there),
        cmocka_unit_test(lying_syncs_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
