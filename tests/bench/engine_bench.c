/* SPDX-License-Identifier: Apache-2.0
 *
 * engine_bench: what one event costs in the engine, as a node applies it: a lookup
 * of its key, then puts into events, latest and versions, in batches of 256, with
 * seals, flushes and compactions running. Then lookups, walks and an opening.
 *
 *   engine_bench [DIRECTORY [EVENTS [MEMTABLE_MIB]]]
 *       an empty directory, else /tmp/engine_bench.<pid>; what seals hold
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/rng.h"
#include "storage/engine.h"

enum { EVENTS, LATEST, VERSIONS, KEYSPACES };
enum { KEYS = 100000, BATCH_EVENTS = 256, PAYLOAD_BYTES = 400, LOOKUPS = 200000 };

static const struct keyspace_options keyspaces[KEYSPACES] = {
    {.name = "events", .layout = KEYSPACE_APPEND, .codec_new = CODEC_LZ4, .codec_old = CODEC_LZ4},
    {.name = "latest", .layout = KEYSPACE_LEVELED, .bloom_bits = 10, .codec_old = CODEC_LZ4},
    {.name = "versions", .layout = KEYSPACE_LEVELED, .bloom_bits = 10, .codec_old = CODEC_LZ4},
};

static uint64_t now_ns(void)
{
    return clock_monotonic_ns(clock_system());
}

/* Of all threads, so that background work counts as well. */
static uint64_t cpu_ns(void)
{
    struct timespec time;
    CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

/* Of the calling thread. */
static uint64_t thread_ns(void)
{
    struct timespec time;
    CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

static struct slice event_key(uint64_t number, uint8_t out[32])
{
    int length = snprintf((char *)out, 32, "customer-%012" PRIu64, number);
    return slice_of(out, (size_t)length);
}

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) {
        fprintf(stderr, "%s: %s\n", status_name(status), err->text);
        exit(1);
    }
}

static void add_event(struct batch *batch, uint64_t position, struct slice key,
                      const uint8_t *payload)
{
    uint8_t place[8];
    uint8_t versioned[48];
    uint8_t row[24] = {0};
    put_be64(place, position);
    put_le64(row, position);
    batch_put(batch, EVENTS, slice_of(place, 8), slice_of(payload, PAYLOAD_BYTES));
    batch_put(batch, LATEST, key, slice_of(row, 17));
    memcpy(versioned, key.data, key.length);
    memcpy(versioned + key.length, place, 8);
    batch_put(batch, VERSIONS, slice_of(versioned, key.length + 8), slice_of(row, 17));
}

static void append(struct engine *engine, uint64_t events)
{
    struct error err = ERROR_INIT;
    struct batch batch;
    struct buf value;
    struct rng_seeded rng;
    static uint8_t payload[PAYLOAD_BYTES * 64];
    rng_seeded_init(&rng, 1);
    rng_fill(&rng.rng, payload, sizeof payload / 2);
    batch_init(&batch, alloc_default());
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    uint64_t get_ns = 0;
    uint64_t write_ns = 0;
    uint64_t began = now_ns();
    uint64_t cpu = cpu_ns();
    uint64_t own = thread_ns();
    for (uint64_t position = 0; position < events; position += BATCH_EVENTS) {
        uint8_t keys[BATCH_EVENTS][32];
        struct slice slices[BATCH_EVENTS];
        for (int i = 0; i < BATCH_EVENTS; i++) {
            slices[i] = event_key(rng_below(&rng.rng, KEYS), keys[i]);
        }
        uint64_t start = thread_ns();
        for (int i = 0; i < BATCH_EVENTS; i++) {
            enum status status = engine_get_by_writer(engine, LATEST, slices[i], &value, &err);
            CHECK(status == STATUS_OK || status == STATUS_NOT_FOUND);
        }
        uint64_t middle = thread_ns();
        batch_clear(&batch);
        for (uint64_t i = 0; i < BATCH_EVENTS; i++) {
            add_event(&batch, position + i, slices[i],
                      payload + (position + i) % 63 * PAYLOAD_BYTES);
        }
        must(engine_write(engine, &batch, &err), &err);
        if (engine_should_seal(engine)) {
            must(engine_seal(engine, slice_of(&position, sizeof position), &err), &err);
        }
        get_ns += middle - start;
        write_ns += thread_ns() - middle;
    }
    double each = 1.0 / (double)events;
    printf(
        "events: %.0f a second; writer's CPU an event: get %.0f ns, put x3 %.0f ns, all %.0f ns\n",
        (double)events / ((double)(now_ns() - began) / 1e9), (double)get_ns * each,
        (double)write_ns * each, (double)(thread_ns() - own) * each);
    must(engine_seal(engine, slice_of(&events, sizeof events), &err), &err);
    must(engine_flush(engine, &err), &err);
    printf("all threads' CPU an event, to the last flush: %.0f ns\n",
           (double)(cpu_ns() - cpu) * each);
    buf_release(&value);
    batch_release(&batch);
}

static void look_up(struct engine *engine, bool present, const char *name)
{
    struct error err = ERROR_INIT;
    struct buf value;
    struct rng_seeded rng;
    rng_seeded_init(&rng, 2);
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    uint64_t found = 0;
    uint64_t began = thread_ns();
    for (int i = 0; i < LOOKUPS; i++) {
        uint8_t key[32];
        struct slice slice = event_key((present ? 0 : KEYS) + rng_below(&rng.rng, KEYS), key);
        found += engine_get(engine, NULL, LATEST, slice, &value, &err) == STATUS_OK ? 1 : 0;
    }
    printf("%s: %.0f ns each (%" PRIu64 " found)\n", name, (double)(thread_ns() - began) / LOOKUPS,
           found);
    buf_release(&value);
}

static void walk(struct engine *engine)
{
    struct error err = ERROR_INIT;
    struct engine_iter *iter = NULL;
    struct engine_iter_options options = {.no_fill_cache = true, .readahead = true};
    must(engine_iter_new(engine, NULL, EVENTS, &options, &iter, &err), &err);
    uint64_t count = 0;
    uint64_t began = now_ns();
    for (engine_iter_seek_first(iter); engine_iter_valid(iter); engine_iter_next(iter)) {
        count += engine_iter_value(iter).length > 0 ? 1 : 0;
    }
    must(engine_iter_status(iter, &err), &err);
    printf("walk over all events: %.0f ns each\n", (double)(now_ns() - began) / (double)count);
    engine_iter_close(iter);
}

static void print_stats(struct engine *engine)
{
    struct engine_stats stats;
    engine_stats(engine, &stats);
    printf("%" PRIu64 " tables, %.0f MB; %" PRIu64 " flushes (%.0f MB), %" PRIu64
           " compactions (%.0f MB); stalls %.0f ms\n",
           stats.tables, (double)stats.bytes / 1e6, stats.flushes,
           (double)stats.flush_bytes_written / 1e6, stats.compactions,
           (double)stats.compaction_bytes_written / 1e6, (double)stats.stall_ns / 1e6);
}

int main(int argc, char **argv)
{
    char standard[64];
    (void)snprintf(standard, sizeof standard, "/tmp/engine_bench.%d", (int)getpid());
    const char *dir = argc > 1 ? argv[1] : standard;
    uint64_t events = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    events = (events + BATCH_EVENTS - 1) / BATCH_EVENTS * BATCH_EVENTS;
    size_t memtable_bytes = argc > 3 ? strtoull(argv[3], NULL, 10) * MIB : 0;
    struct error err = ERROR_INIT;
    struct executor *executor = NULL;
    struct engine *engine = NULL;
    for (int round = 0; round < 2; round++) {
        must(executor_open_threads(alloc_default(), "jobs", 2, &executor, &err), &err);
        struct engine_options options = {.fs = fs_posix(),
                                         .executor = executor,
                                         .dir = dir,
                                         .memtable_bytes = memtable_bytes,
                                         .keyspaces = keyspaces,
                                         .keyspace_count = KEYSPACES};
        uint64_t began = now_ns();
        must(engine_open(&options, &engine, &err), &err);
        printf("open: %.1f ms\n", (double)(now_ns() - began) / 1e6);
        if (round == 0) {
            append(engine, events);
        }
        look_up(engine, true, "lookup of a present key");
        look_up(engine, false, "lookup of an absent key");
        walk(engine);
        print_stats(engine);
        executor_close(executor);
        engine_close(engine);
    }
    return 0;
}
