/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine against a model: random work with flushes and compactions in
 * between, snapshots, iterators, reopening.
 */
#include "engine_model.h"
#include "testlib/fs_crash.h"
#include "testlib/temp_dir.h"

struct fixture {
    struct temp_dir dir;
    struct fs_crash *memory; /* NULL: on disk */
    struct fs *fs;
    struct executor_manual executor;
    struct engine_options options;
    struct engine *engine;
    struct batch batch;
};

static void open_engine(struct fixture *fixture, uint64_t seed)
{
    struct error err = ERROR_INIT;
    executor_manual_init(&fixture->executor, seed);
    fixture->options =
        model_options(fixture->fs, &fixture->executor.executor,
                      fixture->memory != NULL ? "/store" : temp_dir_path(&fixture->dir, "store"));
    fixture->options.on_wait = step_while_waiting;
    fixture->options.context = &fixture->executor;
    assert_ok(engine_open(&fixture->options, &fixture->engine, &err), &err);
}

static void close_engine(struct fixture *fixture)
{
    executor_close(&fixture->executor.executor);
    engine_close(fixture->engine);
    fixture->engine = NULL;
}

static void fixture_init_on(struct fixture *fixture, struct fs_crash *memory, uint64_t seed)
{
    memset(fixture, 0, sizeof *fixture);
    temp_dir_init(&fixture->dir);
    fixture->memory = memory;
    fixture->fs = memory != NULL ? fs_crash_fs(memory) : fs_posix();
    batch_init(&fixture->batch, alloc_default());
    open_engine(fixture, seed);
}

/* In memory, where a sync costs nothing. */
static void fixture_init(struct fixture *fixture, uint64_t seed)
{
    fixture_init_on(fixture, fs_crash_new(), seed);
}

static void fixture_init_on_disk(struct fixture *fixture, uint64_t seed)
{
    fixture_init_on(fixture, NULL, seed);
}

static void fixture_clean(struct fixture *fixture)
{
    batch_release(&fixture->batch);
    temp_dir_release(&fixture->dir);
    if (fixture->memory != NULL) {
        fs_crash_free(fixture->memory);
    }
}

static void fixture_release(struct fixture *fixture)
{
    close_engine(fixture);
    fixture_clean(fixture);
}

static void write_batch(struct fixture *fixture)
{
    struct error err = ERROR_INIT;
    assert_ok(engine_write(fixture->engine, &fixture->batch, &err), &err);
}

static void seal(struct fixture *fixture, const struct model *model)
{
    struct error err = ERROR_INIT;
    assert_ok(engine_seal(fixture->engine, model_blob(model), &err), &err);
}

static void flush(struct fixture *fixture)
{
    struct error err = ERROR_INIT;
    assert_ok(engine_flush(fixture->engine, &err), &err);
}

struct held {
    struct snapshot *snapshot;
    struct model model;
};

enum { HELD_MAX = 4 };

/* One turn of the random walk: write, seal, background work, snapshots. */
static void act(struct fixture *fixture, struct model *model, struct held held[HELD_MAX],
                struct rng *rng)
{
    struct held *at = &held[rng_below(rng, HELD_MAX)];
    switch (rng_below(rng, 40)) {
    case 0:
        seal(fixture, model);
        break;
    case 1:
        (void)executor_manual_run(&fixture->executor, 100000);
        break;
    case 2:
        if (at->snapshot == NULL) {
            at->snapshot = engine_snapshot_new(fixture->engine);
            assert_non_null(at->snapshot);
            at->model = *model;
        } else {
            assert_content(fixture->engine, at->snapshot, &at->model);
            engine_snapshot_free(fixture->engine, at->snapshot);
            at->snapshot = NULL;
        }
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        (void)executor_manual_step(&fixture->executor);
        break;
    default:
        if (engine_should_seal(fixture->engine)) {
            seal(fixture, model);
        }
        model_random_batch(model, &fixture->batch, rng);
        write_batch(fixture);
        break;
    }
}

/* Whatever is flushed, merged or dropped in between, lookups and walks give what the model has,
 * now and at every snapshot that is held. */
static void test_random(void **state)
{
    (void)state;
    uint64_t seed = test_seed();
    for (uint64_t round = 0; round < 6; round++) {
        struct rng_seeded seeded;
        rng_seeded_init(&seeded, seed + round);
        struct fixture fixture;
        fixture_init(&fixture, seed + round);
        struct model model = {.events = 0};
        struct held held[HELD_MAX] = {{.snapshot = NULL}};
        for (int turn = 0; turn < 2500; turn++) {
            act(&fixture, &model, held, &seeded.rng);
            if (turn % 250 == 0) {
                assert_content(fixture.engine, NULL, &model);
            }
        }
        assert_content(fixture.engine, NULL, &model);
        for (int i = 0; i < HELD_MAX; i++) {
            if (held[i].snapshot != NULL) {
                assert_content(fixture.engine, held[i].snapshot, &held[i].model);
                engine_snapshot_free(fixture.engine, held[i].snapshot);
            }
        }
        struct error err = ERROR_INIT;
        assert_ok(engine_verify(fixture.engine, &err), &err);
        struct engine_stats stats;
        engine_stats(fixture.engine, &stats);
        assert_true(stats.flushes > 5);
        assert_true(stats.compactions > 5);
        assert_true(stats.level_tables[2] > 0);
        fixture_release(&fixture);
    }
}

/* A store that is closed at any time holds, opened again, exactly what the last flushed seal's
 * blob says; what was written since is gone. */
static void test_reopen(void **state)
{
    (void)state;
    uint64_t seed = test_seed();
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, seed);
    struct fixture fixture;
    fixture_init(&fixture, seed);
    struct model model = {.events = 0};
    struct held none[HELD_MAX] = {{.snapshot = NULL}};
    uint64_t sealed = 0;
    for (int round = 0; round < 12; round++) {
        uint64_t turns = rng_below(&seeded.rng, 400);
        for (uint64_t turn = 0; turn < turns; turn++) {
            act(&fixture, &model, none, &seeded.rng);
        }
        for (int i = 0; i < HELD_MAX; i++) {
            engine_snapshot_free(fixture.engine, none[i].snapshot);
            none[i].snapshot = NULL;
        }
        if (round % 3 == 0) {
            seal(&fixture, &model);
            flush(&fixture);
        }
        sealed = engine_sealed_count(fixture.engine);
        close_engine(&fixture);
        open_engine(&fixture, seed + (uint64_t)round);
        assert_int_equal(engine_sealed_count(fixture.engine), sealed);
        struct model found;
        read_sealed_model(fixture.engine, &found);
        if (round % 3 == 0) {
            assert_memory_equal(&found, &model, sizeof model);
        }
        model = found;
        assert_content(fixture.engine, NULL, &model);
    }
    assert_true(sealed > 5);
    fixture_release(&fixture);
}

/* Bounds are half-open, seeks land where they should, and an iterator may turn at every step. */
static void test_iterator(void **state)
{
    (void)state;
    uint64_t seed = test_seed();
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, seed);
    struct rng *rng = &seeded.rng;
    struct fixture fixture;
    fixture_init(&fixture, seed);
    struct model model = {.events = 0};
    struct held none[HELD_MAX] = {{.snapshot = NULL}};
    for (int turn = 0; turn < 1500; turn++) {
        act(&fixture, &model, none, rng);
    }
    for (int round = 0; round < 150; round++) {
        uint32_t begin = (uint32_t)rng_below(rng, MODEL_KEYS);
        uint32_t end = begin + 1 + (uint32_t)rng_below(rng, MODEL_KEYS - begin);
        assert_walk(fixture.engine, NULL, KS_LATEST, model.latest, begin, end);
    }
    struct error err = ERROR_INIT;
    struct engine_iter *iter = NULL;
    assert_ok(engine_iter_new(fixture.engine, NULL, KS_LATEST, NULL, &iter, &err), &err);
    uint32_t ids[MODEL_KEYS];
    memcpy(ids, model.latest, sizeof ids);
    /* What is written now must not be seen. */
    for (int turn = 0; turn < 200; turn++) {
        act(&fixture, &model, none, rng);
    }
    uint32_t at = MODEL_KEYS; /* where the iterator must stand; MODEL_KEYS: nowhere */
    for (int step = 0; step < 4000; step++) {
        char text[64];
        uint64_t choice = rng_below(rng, 12);
        if (choice == 0 || at == MODEL_KEYS) {
            uint32_t target = (uint32_t)rng_below(rng, MODEL_KEYS);
            engine_iter_seek(iter, model_key(text, target));
            at = model_next(ids, target, MODEL_KEYS);
        } else if (choice == 1) {
            uint32_t target = (uint32_t)rng_below(rng, MODEL_KEYS);
            engine_iter_seek_before(iter, model_key(text, target));
            at = target;
            do {
                at = at == 0 ? MODEL_KEYS : at - 1;
            } while (at != MODEL_KEYS && ids[at] == 0);
        } else if (choice < 7) {
            engine_iter_next(iter);
            at = model_next(ids, at + 1, MODEL_KEYS);
        } else {
            engine_iter_prev(iter);
            do {
                at = at == 0 ? MODEL_KEYS : at - 1;
            } while (at != MODEL_KEYS && ids[at] == 0);
        }
        assert_int_equal(engine_iter_valid(iter), at != MODEL_KEYS);
        assert_ok(engine_iter_status(iter, &err), &err);
        if (at != MODEL_KEYS) {
            assert_true(slice_equal(engine_iter_key(iter), model_key(text, at)));
            assert_value(engine_iter_value(iter), ids[at]);
        }
        if (step % 100 == 0) {
            (void)executor_manual_run(&fixture.executor, 100000);
        }
    }
    engine_iter_close(iter);
    for (int i = 0; i < HELD_MAX; i++) {
        engine_snapshot_free(fixture.engine, none[i].snapshot);
    }
    fixture_release(&fixture);
}

/* Of one key in one batch the last operation wins, also against a put before a delete. */
static void test_batch_order(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    struct buf value;
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    struct model model = {.events = 0};
    model_put(&model, &fixture.batch, KS_LATEST, 1);
    model_put(&model, &fixture.batch, KS_LATEST, 1);
    model_put(&model, &fixture.batch, KS_LATEST, 2);
    model_delete(&model, &fixture.batch, KS_LATEST, 2);
    model_delete(&model, &fixture.batch, KS_LATEST, 3);
    model_put(&model, &fixture.batch, KS_LATEST, 3);
    write_batch(&fixture);
    assert_content(fixture.engine, NULL, &model);
    char text[64];
    struct error err = ERROR_INIT;
    assert_ok(engine_get_by_writer(fixture.engine, KS_LATEST, model_key(text, 1), &value, &err),
              &err);
    assert_value(buf_slice(&value), model.latest[1]);
    assert_status(engine_get_by_writer(fixture.engine, KS_LATEST, model_key(text, 2), &value, &err),
                  STATUS_NOT_FOUND, &err);
    buf_release(&value);
    fixture_release(&fixture);
}

/* A key that does not ascend, or a delete, in a keyspace that only appends is refused whole, also
 * after reopening, and changes nothing. */
static void test_append_refuses(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    struct error err = ERROR_INIT;
    struct model model = {.events = 0};
    for (int i = 0; i < 10; i++) {
        model_append(&model, &fixture.batch);
    }
    write_batch(&fixture);
    seal(&fixture, &model);
    flush(&fixture);
    for (int round = 0; round < 2; round++) {
        uint8_t key[8];
        batch_clear(&fixture.batch);
        batch_put(&fixture.batch, KS_LATEST, slice_of_string("k000"), slice_of_string("x"));
        batch_put(&fixture.batch, KS_EVENTS, model_event_key(key, 9), slice_of_string("again"));
        assert_status(engine_write(fixture.engine, &fixture.batch, &err), STATUS_INVALID_ARGUMENT,
                      &err);
        batch_clear(&fixture.batch);
        batch_delete(&fixture.batch, KS_EVENTS, model_event_key(key, 11));
        assert_status(engine_write(fixture.engine, &fixture.batch, &err), STATUS_INVALID_ARGUMENT,
                      &err);
        assert_content(fixture.engine, NULL, &model);
        close_engine(&fixture);
        open_engine(&fixture, 2);
    }
    fixture_release(&fixture);
}

static enum status note_level(void *context, const struct engine_table *table, struct error *err)
{
    (void)err;
    unsigned *levels = context;
    *levels |= 1U << table->level;
    return STATUS_OK;
}

static enum status count_table(void *context, const struct engine_table *table, struct error *err)
{
    (void)err;
    uint64_t *counts = context;
    counts[0]++;
    counts[1] += table->entries;
    assert_true(slice_compare(table->smallest, table->largest) <= 0);
    return STATUS_OK;
}

static enum status count_files(void *context, const char *name, struct error *err)
{
    (void)err;
    *(uint64_t *)context += strstr(name, ".sst") != NULL ? 1 : 0;
    return STATUS_OK;
}

/* Events are split by size, never merged, and each lies in exactly one table; what is compacted
 * away leaves no file behind, once nobody reads it. */
static void test_tables(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init_on_disk(&fixture, 7);
    struct error err = ERROR_INIT;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 7);
    struct model model = {.events = 0};
    for (int i = 0; i < 600; i++) {
        model_random_batch(&model, &fixture.batch, &seeded.rng);
        write_batch(&fixture);
        if (i % 60 == 59) {
            seal(&fixture, &model);
            flush(&fixture);
        }
    }
    (void)executor_manual_run(&fixture.executor, 100000);
    (void)engine_should_seal(fixture.engine); /* the writer lets go of what it last saw */
    (void)executor_manual_run(&fixture.executor, 100000);
    uint64_t events[2] = {0, 0};
    assert_ok(engine_for_each_table(fixture.engine, KS_EVENTS, count_table, events, &err), &err);
    assert_int_equal(events[1], model.events);
    assert_true(events[0] >= 10);
    uint64_t files = 0;
    assert_ok(fs_list(fixture.fs, fixture.options.dir, count_files, &files, &err), &err);
    struct engine_stats stats;
    engine_stats(fixture.engine, &stats);
    assert_int_equal(files, stats.tables);
    fixture_release(&fixture);
}

/* After a compaction of the whole each leveled keyspace is in one level, with the same content. */
static void test_compact(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 8);
    struct error err = ERROR_INIT;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 8);
    struct model model = {.events = 0};
    for (int i = 0; i < 200; i++) {
        model_random_batch(&model, &fixture.batch, &seeded.rng);
        write_batch(&fixture);
        if (i % 20 == 19) {
            seal(&fixture, &model);
            flush(&fixture);
        }
    }
    assert_ok(engine_compact(fixture.engine, &err), &err);
    struct engine_stats stats;
    engine_stats(fixture.engine, &stats);
    assert_false(stats.compaction_due);
    for (unsigned keyspace = 0; keyspace < fixture.options.keyspace_count; keyspace++) {
        if (fixture.options.keyspaces[keyspace].layout == KEYSPACE_LEVELED) {
            unsigned levels = 0; /* a bit each */
            assert_ok(engine_for_each_table(fixture.engine, keyspace, note_level, &levels, &err),
                      &err);
            assert_int_equal(levels & (levels - 1), 0);
            assert_int_equal(levels & 1, 0);
        }
    }
    assert_content(fixture.engine, NULL, &model);
    /* The codecs have counted both directions: flushes in LZ4, read by the compaction. */
    engine_stats(fixture.engine, &stats);
    assert_true(stats.codecs[CODEC_LZ4].compress.raw_bytes > 0);
    assert_true(stats.codecs[CODEC_LZ4].compress.stored_bytes > 0);
    assert_true(stats.codecs[CODEC_LZ4].decompress.raw_bytes >
                stats.codecs[CODEC_LZ4].decompress.stored_bytes);
    assert_true(stats.codecs[CODEC_ZSTD].compress.blocks > 0);
    assert_true(stats.codecs[CODEC_NONE].decompress.blocks > 0);
    /* Again: there is nothing to do. */
    assert_ok(engine_compact(fixture.engine, &err), &err);
    fixture_release(&fixture);
}

/* An iterator keeps the tables it reads from on disk, and only as long as it is open. */
static void test_pins(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 7);
    struct error err = ERROR_INIT;
    struct model model = {.events = 0};
    for (uint32_t key = 0; key < MODEL_KEYS; key++) {
        model_put(&model, &fixture.batch, KS_LATEST, key);
    }
    write_batch(&fixture);
    seal(&fixture, &model);
    flush(&fixture);
    struct model before = model;
    struct engine_iter *iter = NULL;
    struct engine_iter_options options = {.past_cache = true};
    assert_ok(engine_iter_new(fixture.engine, NULL, KS_LATEST, &options, &iter, &err), &err);
    for (int i = 0; i < 6; i++) {
        batch_clear(&fixture.batch);
        for (uint32_t key = 0; key < MODEL_KEYS; key++) {
            model_put(&model, &fixture.batch, KS_LATEST, key);
        }
        write_batch(&fixture);
        seal(&fixture, &model);
        flush(&fixture);
    }
    (void)executor_manual_run(&fixture.executor, 100000);
    uint64_t pinned = 0;
    assert_ok(fs_list(fixture.fs, fixture.options.dir, count_files, &pinned, &err), &err);
    engine_iter_seek_first(iter);
    for (uint32_t key = 0; key < MODEL_KEYS; key++) {
        assert_true(engine_iter_valid(iter));
        assert_value(engine_iter_value(iter), before.latest[key]);
        engine_iter_next(iter);
    }
    assert_ok(engine_iter_status(iter, &err), &err);
    engine_iter_close(iter);
    (void)executor_manual_run(&fixture.executor, 100000);
    uint64_t left = 0;
    assert_ok(fs_list(fixture.fs, fixture.options.dir, count_files, &left, &err), &err);
    assert_true(left < pinned);
    fixture_release(&fixture);
}

/* Other keyspaces than the store's are refused; one more at the end is welcome, and kept. */
static void test_keyspaces(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 7);
    struct error err = ERROR_INIT;
    struct model model = {.events = 0};
    model_put(&model, &fixture.batch, KS_LATEST, 5);
    write_batch(&fixture);
    seal(&fixture, &model);
    flush(&fixture);
    close_engine(&fixture);
    struct keyspace_options other[KS_COUNT + 1];
    memcpy(other, model_keyspaces, sizeof model_keyspaces);
    other[KS_COUNT] = (struct keyspace_options){.name = "extra", .layout = KEYSPACE_LEVELED};
    fixture.options.keyspaces = other;
    other[KS_META].name = "mata";
    struct engine *engine = NULL;
    assert_status(engine_open(&fixture.options, &engine, &err), STATUS_FAILED_PRECONDITION, &err);
    other[KS_META].name = "meta";
    fixture.options.keyspace_count = KS_COUNT - 1;
    assert_status(engine_open(&fixture.options, &engine, &err), STATUS_FAILED_PRECONDITION, &err);
    fixture.options.keyspace_count = KS_COUNT + 1;
    for (int round = 0; round < 2; round++) {
        executor_manual_init(&fixture.executor, 3);
        assert_ok(engine_open(&fixture.options, &fixture.engine, &err), &err);
        if (round == 0) {
            batch_clear(&fixture.batch);
            batch_put(&fixture.batch, KS_COUNT, slice_of_string("a"), slice_of_string("b"));
            write_batch(&fixture);
            seal(&fixture, &model);
            flush(&fixture);
            close_engine(&fixture);
        }
    }
    struct buf value;
    buf_init(&value, alloc_default(), 100);
    assert_ok(engine_get(fixture.engine, NULL, KS_COUNT, slice_of_string("a"), &value, &err), &err);
    assert_content(fixture.engine, NULL, &model);
    buf_release(&value);
    fixture_release(&fixture);
}

static void break_file(struct fs *fs, const char *path, uint64_t offset)
{
    struct error err = ERROR_INIT;
    struct file *file = NULL;
    assert_ok(fs_open(fs, path, FS_READ | FS_WRITE, &file, &err), &err);
    uint8_t byte = 0;
    size_t length = 0;
    assert_ok(file_read(file, offset, &byte, 1, &length, &err), &err);
    byte ^= 0x40;
    assert_ok(file_write(file, offset, slice_of(&byte, 1), &err), &err);
    file_close(file);
}

static enum status remember_name(void *context, const struct engine_table *table, struct error *err)
{
    (void)err;
    memcpy(context, table->name, sizeof table->name);
    return STATUS_OK;
}

/* A flipped byte in a table is CORRUPT for the read that meets it and for engine_verify, naming the
 * file, and no read gives a wrong value; so is one that is missing. */
static void test_damage(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 7);
    struct error err = ERROR_INIT;
    struct model model = {.events = 0};
    for (uint32_t key = 0; key < MODEL_KEYS; key++) {
        model_put(&model, &fixture.batch, KS_LATEST, key);
    }
    write_batch(&fixture);
    seal(&fixture, &model);
    flush(&fixture);
    char name[32];
    assert_ok(engine_for_each_table(fixture.engine, KS_LATEST, remember_name, name, &err), &err);
    close_engine(&fixture);
    char path[PATH_BYTES_MAX];
    assert_ok(path_join(path, fixture.options.dir, name, &err), &err);
    break_file(fixture.fs, path, 700);
    open_engine(&fixture, 8);
    assert_status(engine_verify(fixture.engine, &err), STATUS_CORRUPT, &err);
    assert_non_null(strstr(err.text, name));
    struct engine_iter *iter = NULL;
    assert_ok(engine_iter_new(fixture.engine, NULL, KS_LATEST, NULL, &iter, &err), &err);
    engine_iter_seek_first(iter);
    for (uint32_t key = 0; engine_iter_valid(iter); key++) {
        assert_value(engine_iter_value(iter), model.latest[key]);
        engine_iter_next(iter);
    }
    assert_status(engine_iter_status(iter, &err), STATUS_CORRUPT, &err);
    engine_iter_close(iter);
    close_engine(&fixture);
    assert_ok(fs_unlink(fixture.fs, path, &err), &err);
    open_engine(&fixture, 9);
    assert_status(engine_verify(fixture.engine, &err), STATUS_CORRUPT, &err);
    assert_non_null(strstr(err.text, name));
    fixture_release(&fixture);
}

static enum status find_manifest(void *context, const char *name, struct error *err)
{
    (void)err;
    if (strncmp(name, "MANIFEST-", 9) == 0) {
        assert_int_equal(*(char *)context, 0); /* there is one */
        memcpy(context, name, strlen(name) + 1);
    }
    return STATUS_OK;
}

/* With large blobs the manifest is soon written anew; the store opens as before, blob and all, and
 * only the new file is left. */
static void test_manifest_rewrite(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 9);
    struct error err = ERROR_INIT;
    struct model model = {.events = 0};
    struct buf blob;
    buf_init(&blob, alloc_default(), ENGINE_STATE_BYTES_MAX);
    for (uint32_t i = 0; i < 9; i++) {
        batch_clear(&fixture.batch);
        model_put(&model, &fixture.batch, KS_LATEST, i);
        model_append(&model, &fixture.batch);
        write_batch(&fixture);
        buf_clear(&blob);
        uint8_t *bytes = buf_extend(&blob, 3 * MIB);
        assert_non_null(bytes);
        memset(bytes, (int)i, 3 * MIB);
        assert_ok(engine_seal(fixture.engine, buf_slice(&blob), &err), &err);
        flush(&fixture);
    }
    close_engine(&fixture);
    char name[64] = "";
    assert_ok(fs_list(fixture.fs, fixture.options.dir, find_manifest, name, &err), &err);
    assert_string_not_equal(name, "MANIFEST-000001");
    open_engine(&fixture, 10);
    struct buf found;
    buf_init(&found, alloc_default(), ENGINE_STATE_BYTES_MAX);
    assert_ok(engine_sealed_state(fixture.engine, &found, &err), &err);
    assert_true(slice_equal(buf_slice(&found), buf_slice(&blob)));
    assert_int_equal(engine_sealed_count(fixture.engine), 9);
    assert_content(fixture.engine, NULL, &model);
    buf_release(&found);
    buf_release(&blob);
    fixture_release(&fixture);
}

struct flushed_log {
    struct executor_manual *executor;
    uint64_t count;
    uint32_t events; /* of the last blob */
};

static void note_flushed(void *context, struct slice owner_state)
{
    struct flushed_log *log = context;
    struct model model;
    assert_int_equal(owner_state.length, sizeof model);
    memcpy(&model, owner_state.data, sizeof model);
    assert_true(model.events > log->events);
    log->events = model.events;
    log->count++;
}

static void step_for_log(void *context)
{
    (void)executor_manual_step(((struct flushed_log *)context)->executor);
}

/* The owner hears of each flushed seal once, in order, with its own blob; a third seal waits for
 * the first one's flush instead of piling up. */
static void test_on_flushed(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init_on_disk(&fixture, 7);
    close_engine(&fixture);
    struct flushed_log log = {.executor = &fixture.executor};
    executor_manual_init(&fixture.executor, 3);
    fixture.options.on_flushed = note_flushed;
    fixture.options.on_wait = step_for_log;
    fixture.options.context = &log;
    struct error err = ERROR_INIT;
    assert_ok(engine_open(&fixture.options, &fixture.engine, &err), &err);
    struct model model = {.events = 0};
    for (int i = 0; i < 5; i++) {
        batch_clear(&fixture.batch);
        model_append(&model, &fixture.batch);
        write_batch(&fixture);
        seal(&fixture, &model);
        struct engine_stats stats;
        engine_stats(fixture.engine, &stats);
        assert_true(stats.immutable_count <= 2);
    }
    flush(&fixture);
    assert_int_equal(log.count, 5);
    assert_int_equal(log.events, 5);
    struct engine_stats stats;
    engine_stats(fixture.engine, &stats);
    assert_true(stats.stalls > 0);
    fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),         cmocka_unit_test(test_reopen),
        cmocka_unit_test(test_iterator),       cmocka_unit_test(test_batch_order),
        cmocka_unit_test(test_append_refuses), cmocka_unit_test(test_tables),
        cmocka_unit_test(test_pins),           cmocka_unit_test(test_keyspaces),
        cmocka_unit_test(test_damage),         cmocka_unit_test(test_manifest_rewrite),
        cmocka_unit_test(test_on_flushed),     cmocka_unit_test(test_compact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
