/* SPDX-License-Identifier: Apache-2.0
 *
 * table_bench: what memtables and tables cost. Prints one line a measurement.
 *
 *   table_bench [DIRECTORY]      where it writes its table files; else /tmp
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/rng.h"
#include "storage/mem/memtable.h"
#include "storage/table/bloom.h"
#include "storage/table/table_reader.h"
#include "storage/table/table_writer.h"

enum { MEMTABLE_ENTRIES = 125000, TABLE_ENTRIES = 200000, VALUE_BYTES = 300, KEY_BYTES = 24 };

static uint64_t now(void)
{
    return clock_monotonic_ns(clock_system());
}

static void report(const char *name, uint64_t began, uint64_t operations, uint64_t bytes)
{
    uint64_t ns = now() - began;
    printf("%-44s %8.1f ns each", name, (double)ns / (double)operations);
    if (bytes > 0) {
        printf(" %8.1f MB/s", (double)bytes * 1000 / (double)ns);
    }
    printf("\n");
}

/* The number-th key, "customer-" and digits, either in order or spread. */
static struct slice make_key(uint64_t number, bool spread, uint8_t to[KEY_BYTES + 1])
{
    uint64_t shown = spread ? number * 0x9e3779b97f4a7c15U % 1000000000000U : number;
    int length = snprintf((char *)to, KEY_BYTES + 1, "customer-%015" PRIu64, shown);
    CHECK(length == KEY_BYTES);
    return slice_of(to, KEY_BYTES);
}

/* --- memtable ------------------------------------------------------------------------------- */

static void fill_memtable(struct memtable *memtable, const char *name, bool spread)
{
    static uint8_t keys[MEMTABLE_ENTRIES][KEY_BYTES + 1];
    static const uint8_t value[48];
    for (uint64_t i = 0; i < MEMTABLE_ENTRIES; i++) {
        (void)make_key(i, spread, keys[i]);
    }
    struct error err = ERROR_INIT;
    uint64_t began = now();
    for (uint64_t i = 0; i < MEMTABLE_ENTRIES; i++) {
        CHECK(memtable_add(memtable, i, KEY_PUT, slice_of(keys[i], KEY_BYTES),
                           slice_of(value, sizeof value), &err) == STATUS_OK);
    }
    report(name, began, MEMTABLE_ENTRIES, 0);
}

/* What an append does to `latest`: look a key up, add a newer entry of it; in batches of 256. */
static void update_memtable(struct memtable *memtable, const char *name)
{
    enum { DISTINCT = 100000, BATCH = 256, BATCHES = 480 };
    static uint8_t keys[BATCH][KEY_BYTES + 1];
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 7);
    struct error err = ERROR_INIT;
    uint64_t sequence = 0;
    uint64_t ns = 0;
    for (int b = 0; b < BATCHES; b++) {
        struct slice users[BATCH];
        for (size_t i = 0; i < BATCH; i++) {
            users[i] = make_key(rng_below(&seeded.rng, DISTINCT), true, keys[i]);
        }
        uint64_t began = now();
        for (size_t i = 0; i < BATCH; i++) {
            struct slice value;
            enum lookup result = memtable_get(memtable, users[i], SEQUENCE_MAX, &value);
            CHECK(result != LOOKUP_DELETED);
            CHECK(memtable_add(memtable, sequence++, KEY_PUT, users[i], users[i], &err) ==
                  STATUS_OK);
        }
        ns += now() - began;
    }
    printf("%-44s %8.1f ns each\n", name, (double)ns / (BATCH * BATCHES));
}

static void look_up_memtable(struct memtable *memtable, const char *name, uint64_t first,
                             enum lookup expected)
{
    static uint8_t keys[MEMTABLE_ENTRIES][KEY_BYTES + 1];
    for (uint64_t i = 0; i < MEMTABLE_ENTRIES; i++) {
        (void)make_key(first + i * 7919 % MEMTABLE_ENTRIES, true, keys[i]);
    }
    uint64_t began = now();
    for (uint64_t i = 0; i < MEMTABLE_ENTRIES; i++) {
        struct slice value;
        CHECK(memtable_get(memtable, slice_of(keys[i], KEY_BYTES), SEQUENCE_MAX, &value) ==
              expected);
    }
    report(name, began, MEMTABLE_ENTRIES, 0);
}

static void measure_memtable(void)
{
    struct memtable *rising = memtable_new(alloc_default());
    struct memtable *spread = memtable_new(alloc_default());
    struct memtable *filtered = memtable_new(alloc_default());
    CHECK(rising != NULL && spread != NULL && filtered != NULL);
    struct slice value;
    fill_memtable(rising, "memtable insert, rising keys", false);
    fill_memtable(spread, "memtable insert, random keys", true);
    CHECK(memtable_get(filtered, slice_of_string("x"), 0, &value) == LOOKUP_ABSENT);
    fill_memtable(filtered, "memtable insert, random keys, with index", true);
    look_up_memtable(filtered, "memtable get, present", 0, LOOKUP_FOUND);
    look_up_memtable(filtered, "memtable get, absent", 2 * MEMTABLE_ENTRIES, LOOKUP_ABSENT);
    printf("%-44s %8.1f bytes each\n", "memtable memory, 24 + 48 bytes an entry",
           (double)memtable_bytes(filtered) / MEMTABLE_ENTRIES);
    uint64_t began = now();
    struct iter *iter = memtable_iter_new(filtered);
    for (iter_seek_to_first(iter); iter_valid(iter); iter_next(iter)) {
    }
    report("memtable scan", began, MEMTABLE_ENTRIES, 0);
    iter_close(iter);
    struct memtable *updated = memtable_new(alloc_default());
    CHECK(updated != NULL);
    update_memtable(updated, "memtable get and insert, 100,000 keys");
    memtable_unref(updated);
    memtable_unref(rising);
    memtable_unref(spread);
    memtable_unref(filtered);
}

/* --- tables ----------------------------------------------------------------------------------- */

static void write_table(const char *path, enum codec codec, struct table_info *info)
{
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 1);
    struct error err = ERROR_INIT;
    struct table_writer_options options = {.fs = fs_posix(),
                                           .alloc = alloc_default(),
                                           .path = path,
                                           .file_number = 1 + (uint64_t)codec,
                                           .codec = codec,
                                           .bloom_bits_per_key = BLOOM_BITS_PER_KEY_DEFAULT};
    static uint8_t values[1024][VALUE_BYTES];
    for (size_t i = 0; i < 1024; i++) {
        memset(values[i], 'e', VALUE_BYTES);
        rng_fill(&seeded.rng, values[i], VALUE_BYTES / 2);
    }
    struct table_writer *writer = NULL;
    (void)!fs_unlink(fs_posix(), path, &err);
    CHECK(table_writer_open(&options, &writer, &err) == STATUS_OK);
    char name[64];
    (void)snprintf(name, sizeof name, "table write, %s", codec_name(codec));
    uint64_t began = now();
    for (uint64_t i = 0; i < TABLE_ENTRIES; i++) {
        uint8_t key[KEY_BYTES + 1 + KEY_TRAILER_BYTES];
        struct slice user = make_key(i, false, key);
        size_t length = internal_key_put(key, user, i, KEY_PUT);
        CHECK(table_writer_add(writer, slice_of(key, length),
                               slice_of(values[i % 1024], VALUE_BYTES), &err) == STATUS_OK);
    }
    CHECK(table_writer_finish(writer, info, &err) == STATUS_OK);
    report(name, began, TABLE_ENTRIES, info->raw_bytes);
    printf("%-44s %8.3f of raw\n", "  file size",
           (double)info->file_bytes / (double)info->raw_bytes);
}

static void scan_table(struct table *table, const char *what,
                       const struct table_read_options *reading)
{
    char name[64];
    (void)snprintf(name, sizeof name, "table scan, %s, %s",
                   codec_name(table_get_info(table)->codec), what);
    struct error err = ERROR_INIT;
    struct iter *iter = NULL;
    CHECK(table_iter_new(table, reading, &iter, &err) == STATUS_OK);
    uint64_t began = now();
    uint64_t seen = 0;
    for (iter_seek_to_first(iter); iter_valid(iter); iter_next(iter)) {
        seen++;
    }
    CHECK(seen == TABLE_ENTRIES);
    report(name, began, seen, table_get_info(table)->raw_bytes);
    iter_close(iter);
}

static void look_up_table(struct table *table, const char *what, uint64_t first,
                          enum lookup expected)
{
    enum { LOOKUPS = 50000 };
    char name[64];
    (void)snprintf(name, sizeof name, "table get, %s, %s", codec_name(table_get_info(table)->codec),
                   what);
    struct error err = ERROR_INIT;
    struct buf value;
    buf_init(&value, alloc_default(), VALUE_BYTES_MAX);
    uint64_t began = now();
    uint64_t unexpected = 0;
    for (uint64_t i = 0; i < LOOKUPS; i++) {
        uint8_t key[KEY_BYTES + 1];
        enum lookup result = LOOKUP_ABSENT;
        CHECK(table_get(table, make_key(first + i * 7919 % TABLE_ENTRIES, false, key), SEQUENCE_MAX,
                        NULL, &result, &value, &err) == STATUS_OK);
        unexpected += result != expected ? 1 : 0;
    }
    CHECK(unexpected == 0);
    report(name, began, LOOKUPS, 0);
    buf_release(&value);
}

static void measure_table(const char *path, enum codec codec)
{
    struct error err = ERROR_INIT;
    struct table_info info;
    write_table(path, codec, &info);
    struct table_open_options options = {.fs = fs_posix(), .alloc = alloc_default(), .path = path};
    options.cache = block_cache_new(alloc_default(), 128UL << 20);
    struct table *table = NULL;
    CHECK(table_open(&options, &table, &err) == STATUS_OK);
    struct table_read_options reading = {.readahead_bytes = 256UL << 10};
    scan_table(table, "readahead", &reading);
    look_up_table(table, "first time", 0, LOOKUP_FOUND);
    scan_table(table, "fill cache", NULL);
    look_up_table(table, "cached", 0, LOOKUP_FOUND);
    scan_table(table, "cached", NULL);
    uint64_t began = now();
    CHECK(table_verify(table, NULL, &err) == STATUS_OK);
    report("table verify", began, TABLE_ENTRIES, info.raw_bytes);
    table_unlink_when_unused(table);
    table_unref(table);
    block_cache_free(options.cache);
    table_info_release(&info);
}

int main(int argc, char **argv)
{
    char path[PATH_BYTES_MAX];
    struct error err = ERROR_INIT;
    CHECK(path_join(path, argc > 1 ? argv[1] : "/tmp", "table_bench.sst", &err) == STATUS_OK);
    measure_memtable();
    measure_table(path, CODEC_NONE);
    measure_table(path, CODEC_LZ4);
    measure_table(path, CODEC_ZSTD);
    return EXIT_SUCCESS;
}
