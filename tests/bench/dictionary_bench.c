/* SPDX-License-Identifier: Apache-2.0
 *
 * dictionary_bench: where a dictionary pays. Takes lines of logs as values of events, and rows as
 * the node's keyspaces `versions`, `latest` and `sessions` have them; makes raw blocks of 4, 16 and
 * 48 KiB of them; trains a dictionary on the first half of the blocks and compresses the second
 * half, which it has not seen, without and with it.
 *
 *   dictionary_bench [--dictionary BYTES] FILE...
 *
 * For each: bytes of the blocks, of these compressed without and with the dictionary, what is saved
 * in per cent, what the dictionary itself takes in a table, and nanoseconds a byte each way.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/rng.h"
#include "node/event_record.h"
#include "node/keyspaces.h"
#include "node/session.h"
#include "storage/table/block.h"
#include "storage/table/codec.h"

enum {
    FILE_BYTES_MAX = 1 << 24,
    BLOCKS_MAX = 1 << 16,
    ROWS = 40000,
    ROUNDS = 10,
    ROW_MAX = 8192,
    SESSIONS = 5000
};

/* Blocks of entries, one after the other. */
struct blocks {
    struct block_builder builder;
    size_t block_bytes;
    struct buf bytes;
    size_t lengths[BLOCKS_MAX];
    size_t count;
};

static struct blocks blocks;
static size_t dictionary_bytes = 8192;

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) {
        fprintf(stderr, "%s: %s\n", status_name(status), err->text);
        exit(2);
    }
}

static void end_block(void)
{
    struct slice raw = block_builder_finish(&blocks.builder);
    CHECK(raw.length > 0 && blocks.count < BLOCKS_MAX);
    buf_append_slice(&blocks.bytes, raw);
    blocks.lengths[blocks.count++] = raw.length;
    block_builder_reset(&blocks.builder);
}

static void add(struct slice user_key, uint64_t sequence, struct slice value)
{
    static uint8_t key[INTERNAL_KEY_BYTES_MAX];
    size_t length = internal_key_put(key, user_key, sequence, KEY_PUT);
    CHECK(block_builder_add(&blocks.builder, slice_of(key, length), value));
    if (block_builder_bytes(&blocks.builder) >= blocks.block_bytes) {
        end_block();
    }
}

/* --- what is in the blocks ---------------------------------------------------------------------
 */

static void add_events(const char *path)
{
    static char text[FILE_BYTES_MAX];
    static uint8_t value[ROW_MAX];
    const char *name = strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1;
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    size_t length = fread(text, 1, sizeof text, file);
    CHECK(fclose(file) == 0);
    uint64_t position = 0;
    for (size_t at = 0; at < length; position++) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t bytes = end == NULL ? length - at : (size_t)(end - text) - at;
        struct event_record record = {.position = position,
                                      .time_ns = 1700000000 * NS_PER_S + position * 100000,
                                      .version = position + 1,
                                      .kind = EVENT_KIND_UPDATE,
                                      .key = slice_of_string(name),
                                      .type = slice_of_string("log"),
                                      .payload = slice_of((const uint8_t *)text + at, bytes)};
        uint8_t key[POSITION_KEY_BYTES];
        if (event_record_length(&record) <= sizeof value) {
            event_record_encode(&record, value);
            position_key(position, key);
            add(slice_of(key, sizeof key), position + 1,
                slice_of(value, event_record_length(&record)));
        }
        at += bytes + 1;
    }
}

/* Keys of 20,000 things, in order, two versions each. */
static void add_rows(bool versions)
{
    struct rng_seeded rng;
    rng_seeded_init(&rng, 1);
    for (uint64_t i = 0; i < ROWS; i++) {
        char name[32];
        uint8_t key[VERSION_KEY_BYTES_MAX];
        uint8_t value[VERSION_ROW_BYTES_MAX + LATEST_ROW_BYTES_MAX];
        uint64_t position = rng_below(&rng.rng, 10000000);
        int length = snprintf(name, sizeof name, "customer/%06" PRIu64 "/orders", i * 37 / 2);
        struct slice text = slice_of((const uint8_t *)name, (size_t)length);
        struct version_row version = {.position = position,
                                      .time_ns = 1700000000 * NS_PER_S + position * 100123,
                                      .kind = EVENT_KIND_UPDATE};
        struct latest_row latest = {.version = 1 + rng_below(&rng.rng, 300),
                                    .position = position,
                                    .kind = EVENT_KIND_UPDATE};
        if (versions) {
            size_t key_length = version_key(text, i % 2, key);
            add(slice_of(key, key_length), position + 1,
                slice_of(value, version_row_encode(&version, value)));
        } else {
            text = slice_of((const uint8_t *)name, (size_t)length - (i % 2));
            add(text, position + 1, slice_of(value, latest_row_encode(&latest, value)));
        }
    }
}

static enum status add_session(void *context, struct slice client_id, struct slice row,
                               struct error *err)
{
    (void)err;
    add(client_id, ++*(uint64_t *)context, row);
    return STATUS_OK;
}

/* Of clients with random ids, which have some answers on their way. */
static void add_sessions(void)
{
    struct error err = ERROR_INIT;
    struct session_table *table = NULL;
    struct rng_seeded rng;
    uint64_t sequence = 0;
    rng_seeded_init(&rng, 1);
    must(session_table_new(alloc_default(), &table, &err), &err);
    for (int i = 0; i < SESSIONS; i++) {
        uint8_t id[16];
        uint64_t first = 1 + rng_below(&rng.rng, 10000);
        uint64_t results = 1 + rng_below(&rng.rng, 8);
        rng_fill(&rng.rng, id, sizeof id);
        for (uint64_t k = 0; k < results; k++) {
            struct session_result result = {.sequence = first + k,
                                            .position = rng_below(&rng.rng, 10000000),
                                            .time_ns = 1700000000 * NS_PER_S +
                                                       rng_below(&rng.rng, NS_PER_S * 3600),
                                            .count = 1 + (uint32_t)rng_below(&rng.rng, 64)};
            must(session_record(table, slice_of(id, sizeof id), first, &result, &err), &err);
        }
    }
    must(session_flush(table, add_session, &sequence, &err), &err);
    session_table_free(table);
}

/* --- measuring ------------------------------------------------------------------------------- */

/* Compresses the second half, and decompresses it; returns the stored bytes. */
static uint64_t measure(struct codec_context *context, enum codec codec, double *in_ns,
                        double *out_ns)
{
    struct error err = ERROR_INIT;
    struct buf out;
    struct codec_counters counters = {.clock = NULL};
    uint64_t spent_in = 0;
    uint64_t spent_out = 0;
    uint64_t raw = 0;
    static uint8_t back[FILE_BYTES_MAX];
    buf_init(&out, alloc_default(), SIZE_MAX);
    for (int round = 0; round < ROUNDS; round++) {
        size_t at = 0;
        for (size_t i = 0; i < blocks.count; at += blocks.lengths[i++]) {
            enum codec used = CODEC_NONE;
            struct slice block = slice_of(blocks.bytes.data + at, blocks.lengths[i]);
            if (i < blocks.count / 2) {
                continue;
            }
            uint64_t began = clock_monotonic_ns(clock_system());
            must(codec_compress(context, codec, 1, block, &out, &used, &counters, &err), &err);
            uint64_t middle = clock_monotonic_ns(clock_system());
            must(codec_decompress(context, used, buf_slice(&out), back, block.length, NULL, &err),
                 &err);
            spent_out += clock_monotonic_ns(clock_system()) - middle;
            spent_in += middle - began;
            raw += block.length;
            CHECK(memcmp(back, block.data, block.length) == 0);
        }
    }
    buf_release(&out);
    *in_ns = (double)spent_in / (double)raw;
    *out_ns = (double)spent_out / (double)raw;
    return codec_counter_read(&counters.compress[codec]).stored_bytes / ROUNDS;
}

static void try_blocks(const char *name)
{
    struct error err = ERROR_INIT;
    struct buf bytes;
    struct buf stored;
    struct codec_dictionary *dictionary = NULL;
    struct codec_context context;
    size_t half = 0;
    for (size_t i = 0; i < blocks.count / 2; i++) {
        half += blocks.lengths[i];
    }
    buf_init(&bytes, alloc_default(), CODEC_DICTIONARY_BYTES_MAX);
    buf_init(&stored, alloc_default(), SIZE_MAX);
    codec_context_init(&context);
    uint64_t began = clock_monotonic_ns(clock_system());
    must(codec_dictionary_train(slice_of(blocks.bytes.data, half), dictionary_bytes, 1, &bytes,
                                &err),
         &err);
    uint64_t trained_ns = clock_monotonic_ns(clock_system()) - began;
    double in[2] = {0};
    double out[2] = {0};
    uint64_t without = measure(&context, CODEC_ZSTD, &in[0], &out[0]);
    uint64_t with = without;
    if (bytes.length > 0) {
        enum codec used = CODEC_NONE;
        must(codec_compress(&context, CODEC_ZSTD, 1, buf_slice(&bytes), &stored, &used, NULL, &err),
             &err);
        must(codec_dictionary_new(alloc_default(), buf_slice(&bytes), 1, &dictionary, &err), &err);
        context.dictionary = dictionary;
        with = measure(&context, CODEC_ZSTD_DICTIONARY, &in[1], &out[1]);
    }
    printf("%-18s %5zu %8zu -> %7" PRIu64 " -> %7" PRIu64 "  %5.1f %%  dictionary %5zu (%5zu "
           "stored, %.1f ms)  in %.1f, %.1f  out %.1f, %.1f ns/byte\n",
           name, blocks.block_bytes, blocks.bytes.length - half, without, with,
           without == 0 ? 0.0 : 100.0 * ((double)without - (double)with) / (double)without,
           bytes.length, stored.length, (double)trained_ns / 1e6, in[0], in[1], out[0], out[1]);
    codec_dictionary_free(dictionary);
    codec_context_release(&context);
    buf_release(&bytes);
    buf_release(&stored);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {4096, 16384, 49152};
    int first = 1;
    if (argc > 2 && strcmp(argv[1], "--dictionary") == 0) {
        dictionary_bytes = strtoull(argv[2], NULL, 10);
        first = 3;
    }
    if (dictionary_bytes < CODEC_DICTIONARY_BYTES_MIN ||
        dictionary_bytes > CODEC_DICTIONARY_BYTES_MAX) {
        fprintf(stderr, "usage: dictionary_bench [--dictionary BYTES] FILE...\n");
        return 64;
    }
    buf_init(&blocks.bytes, alloc_default(), SIZE_MAX);
    block_builder_init(&blocks.builder, alloc_default(), 16);
    static const char *const rows[] = {"versions", "latest", "sessions"};
    for (int source = first; source < argc + 3; source++) {
        const char *name = source < argc ? argv[source] : rows[source - argc];
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            blocks.block_bytes = sizes[i];
            blocks.count = 0;
            buf_clear(&blocks.bytes);
            block_builder_reset(&blocks.builder);
            if (source < argc) {
                add_events(name);
            } else if (source == argc + 2) {
                add_sessions();
            } else {
                add_rows(source == argc);
            }
            try_blocks(strrchr(name, '/') == NULL ? name : strrchr(name, '/') + 1);
        }
    }
    block_builder_release(&blocks.builder);
    buf_release(&blocks.bytes);
    return 0;
}
