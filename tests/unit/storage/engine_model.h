/* SPDX-License-Identifier: Apache-2.0
 *
 * What the engine's tests share: a small engine that seals, flushes and compacts
 * often, and a model of what it must hold. A seal's blob is the model of that
 * moment, so that a store found after a crash says itself what must be in it.
 */
#ifndef ESTREAT_TESTS_ENGINE_MODEL_H
#define ESTREAT_TESTS_ENGINE_MODEL_H

#include <stdio.h>

#include "base/rng.h"
#include "storage/engine.h"
#include "testlib/executor_manual.h"
#include "testlib/test.h"

enum { KS_LATEST, KS_EVENTS, KS_META, KS_COUNT };
enum { MODEL_KEYS = 120, EVENTS_MAX = 1 << 20 };

static const struct keyspace_options model_keyspaces[KS_COUNT] = {
    {.name = "latest",
     .layout = KEYSPACE_LEVELED,
     .bloom_bits = 10,
     .block_bytes = 1024,
     .codec_new = CODEC_LZ4,
     .codec_old = CODEC_ZSTD},
    {.name = "events",
     .layout = KEYSPACE_APPEND,
     .block_bytes = 1024,
     .codec_new = CODEC_NONE,
     .codec_old = CODEC_ADAPTIVE},
    {.name = "meta", .layout = KEYSPACE_LEVELED, .bloom_bits = 10, .block_bytes = 512},
};

/* Values are known by their id; 0: the key is absent. */
struct model {
    uint32_t latest[MODEL_KEYS];
    uint32_t meta[MODEL_KEYS];
    uint32_t events; /* positions [0, events) */
    uint32_t next_id;
};

static inline struct engine_options model_options(struct fs *fs, struct executor *executor,
                                                  const char *dir)
{
    return (struct engine_options){.fs = fs,
                                   .executor = executor,
                                   .dir = dir,
                                   .keyspaces = model_keyspaces,
                                   .keyspace_count = KS_COUNT,
                                   .memtable_bytes = 40 * KIB,
                                   .block_cache_bytes = 64 * KIB,
                                   .l0_trigger = 3,
                                   .l0_slowdown = 6,
                                   .l0_stop = 9,
                                   .level_base_bytes = 16 * KIB,
                                   .level_multiplier = 3,
                                   .table_bytes = 6 * KIB};
}

/* Keys of different lengths, some a prefix of others, in the order of their numbers. */
static inline struct slice model_key(char out[64], uint32_t number)
{
    int length = snprintf(out, 64, "k%03u%.*s", number, (int)(number % 7), "xxxxxxxx");
    return slice_of(out, (size_t)length);
}

static inline struct slice model_event_key(uint8_t out[8], uint32_t position)
{
    put_be64(out, position);
    return slice_of(out, 8);
}

/* The bytes of value `id`; its length and content depend on nothing else. */
static inline struct slice model_value(uint8_t out[512], uint32_t id)
{
    size_t length = 4 + id * 7919 % 397;
    for (size_t i = 0; i < length; i++) {
        out[i] = (uint8_t)(id * 31 + i / 5);
    }
    put_le32(out, id);
    return slice_of(out, length);
}

static inline uint32_t event_value_id(uint32_t position)
{
    return position + 1000000;
}

static inline void model_put(struct model *model, struct batch *batch, unsigned keyspace,
                             uint32_t key)
{
    char text[64];
    uint8_t bytes[512];
    uint32_t id = ++model->next_id;
    (keyspace == KS_LATEST ? model->latest : model->meta)[key] = id;
    batch_put(batch, keyspace, model_key(text, key), model_value(bytes, id));
}

static inline void model_delete(struct model *model, struct batch *batch, unsigned keyspace,
                                uint32_t key)
{
    char text[64];
    (keyspace == KS_LATEST ? model->latest : model->meta)[key] = 0;
    batch_delete(batch, keyspace, model_key(text, key));
}

static inline void model_append(struct model *model, struct batch *batch)
{
    uint8_t key[8];
    uint8_t bytes[512];
    uint32_t position = model->events++;
    batch_put(batch, KS_EVENTS, model_event_key(key, position),
              model_value(bytes, event_value_id(position)));
}

/* 1 to 12 operations, on the model as well. */
static inline void model_random_batch(struct model *model, struct batch *batch, struct rng *rng)
{
    batch_clear(batch);
    uint64_t count = 1 + rng_below(rng, 12);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t key = (uint32_t)rng_below(rng, MODEL_KEYS);
        unsigned keyspace = rng_below(rng, 4) == 0 ? KS_META : KS_LATEST;
        switch (rng_below(rng, 6)) {
        case 0:
            model_delete(model, batch, keyspace, key);
            break;
        case 1:
        case 2:
            model_append(model, batch);
            break;
        default:
            model_put(model, batch, keyspace, key);
            break;
        }
    }
}

static inline struct slice model_blob(const struct model *model)
{
    return slice_of(model, sizeof *model);
}

/* --- comparing ----------------------------------------------------------------------------- */

static inline void assert_value(struct slice value, uint32_t id)
{
    uint8_t bytes[512];
    struct slice expected = model_value(bytes, id);
    assert_int_equal(value.length, expected.length);
    assert_memory_equal(value.data, expected.data, expected.length);
}

static inline void assert_get(struct engine *engine, const struct snapshot *snapshot,
                              unsigned keyspace, struct slice key, uint32_t id, struct buf *value)
{
    struct error err = ERROR_INIT;
    enum status status = engine_get(engine, snapshot, keyspace, key, value, &err);
    if (id == 0) {
        assert_status(status, STATUS_NOT_FOUND, &err);
        assert_int_equal(value->length, 0);
        return;
    }
    assert_ok(status, &err);
    assert_value(buf_slice(value), id);
}

/* The next number in [begin, end) that the model holds, from `from` on; `end` if there is none. */
static inline uint32_t model_next(const uint32_t *ids, uint32_t from, uint32_t end)
{
    while (from < end && ids[from] == 0) {
        from++;
    }
    return from;
}

/* One above the last number in [begin, below) that the model holds; `begin` if there is none. */
static inline uint32_t model_above(const uint32_t *ids, uint32_t begin, uint32_t below)
{
    while (below > begin && ids[below - 1] == 0) {
        below--;
    }
    return below;
}

static inline void assert_at(const struct engine_iter *iter, const uint32_t *ids, uint32_t key)
{
    char text[64];
    assert_true(slice_equal(engine_iter_key(iter), model_key(text, key)));
    assert_value(engine_iter_value(iter), ids[key]);
}

/* A whole walk forward over keys [begin, end), and back: what the model holds, and all of it, or
 * the walk ends with an error. */
static inline enum status try_walk(struct engine *engine, const struct snapshot *snapshot,
                                   unsigned keyspace, const uint32_t *ids, uint32_t begin,
                                   uint32_t end, struct error *err)
{
    char low[64];
    char high[64];
    struct engine_iter *iter = NULL;
    struct engine_iter_options options = {
        .begin = begin == 0 ? slice_of(NULL, 0) : model_key(low, begin),
        .end = end == MODEL_KEYS ? slice_of(NULL, 0) : model_key(high, end),
    };
    enum status status = engine_iter_new(engine, snapshot, keyspace, &options, &iter, err);
    if (status != STATUS_OK) {
        return status;
    }
    uint32_t next = model_next(ids, begin, end);
    for (engine_iter_seek_first(iter); engine_iter_valid(iter); engine_iter_next(iter)) {
        assert_true(next < end);
        assert_at(iter, ids, next);
        next = model_next(ids, next + 1, end);
    }
    status = engine_iter_status(iter, err);
    if (status == STATUS_OK) {
        assert_int_equal(next, end);
        next = model_above(ids, begin, end);
        for (engine_iter_seek_last(iter); engine_iter_valid(iter); engine_iter_prev(iter)) {
            assert_true(next > begin);
            assert_at(iter, ids, next - 1);
            next = model_above(ids, begin, next - 1);
        }
        status = engine_iter_status(iter, err);
        assert_true(status != STATUS_OK || next == begin);
    }
    engine_iter_close(iter);
    return status;
}

static inline void assert_walk(struct engine *engine, const struct snapshot *snapshot,
                               unsigned keyspace, const uint32_t *ids, uint32_t begin, uint32_t end)
{
    struct error err = ERROR_INIT;
    assert_ok(try_walk(engine, snapshot, keyspace, ids, begin, end, &err), &err);
}

/* All events, forward, or an error. */
static inline enum status try_events(struct engine *engine, const struct snapshot *snapshot,
                                     uint32_t count, struct error *err)
{
    struct engine_iter *iter = NULL;
    struct engine_iter_options options = {.readahead = true, .no_fill_cache = true};
    enum status status = engine_iter_new(engine, snapshot, KS_EVENTS, &options, &iter, err);
    if (status != STATUS_OK) {
        return status;
    }
    uint32_t position = 0;
    for (engine_iter_seek_first(iter); engine_iter_valid(iter); engine_iter_next(iter)) {
        uint8_t key[8];
        assert_true(slice_equal(engine_iter_key(iter), model_event_key(key, position)));
        assert_value(engine_iter_value(iter), event_value_id(position));
        position++;
    }
    status = engine_iter_status(iter, err);
    engine_iter_close(iter);
    assert_true(status == STATUS_OK ? position == count : position <= count);
    return status;
}

static inline void assert_events(struct engine *engine, const struct snapshot *snapshot,
                                 uint32_t count)
{
    struct error err = ERROR_INIT;
    assert_ok(try_events(engine, snapshot, count, &err), &err);
}

/* Everything, by lookups and by walks. */
static inline void assert_content(struct engine *engine, const struct snapshot *snapshot,
                                  const struct model *model)
{
    struct buf value;
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    for (uint32_t key = 0; key < MODEL_KEYS; key++) {
        char text[64];
        assert_get(engine, snapshot, KS_LATEST, model_key(text, key), model->latest[key], &value);
        assert_get(engine, snapshot, KS_META, model_key(text, key), model->meta[key], &value);
    }
    uint8_t key[8];
    assert_get(engine, snapshot, KS_EVENTS, model_event_key(key, model->events), 0, &value);
    assert_walk(engine, snapshot, KS_LATEST, model->latest, 0, MODEL_KEYS);
    assert_walk(engine, snapshot, KS_META, model->meta, 0, MODEL_KEYS);
    assert_events(engine, snapshot, model->events);
    buf_release(&value);
}

/* What the store says that it holds; an empty model for a new store. */
static inline void read_sealed_model(struct engine *engine, struct model *out)
{
    struct error err = ERROR_INIT;
    struct buf blob;
    buf_init(&blob, alloc_default(), ENGINE_STATE_BYTES_MAX);
    assert_ok(engine_sealed_state(engine, &blob, &err), &err);
    *out = (struct model){.events = 0};
    if (blob.length > 0) {
        assert_int_equal(blob.length, sizeof *out);
        memcpy(out, blob.data, sizeof *out);
    }
    buf_release(&blob);
}

/* For engine_options.on_wait with the context being the executor. */
static inline void step_while_waiting(void *context)
{
    (void)executor_manual_step(context);
}

#endif
