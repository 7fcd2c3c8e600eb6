/* SPDX-License-Identifier: Apache-2.0
 *
 * Target: a directory as a checkpoint makes it: CURRENT, a manifest, a table. All that looks at
 * stores offline looks at it; what is sound by that, an engine opens and verifies.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "fuzz.h"
#include "memory_fs.h"
#include "storage/inspect/dump.h"
#include "storage/inspect/start.h"
#include "storage/inspect/stats.h"
#include "storage/inspect/verify.h"

/* Input: a byte, whose second bit says which number the table has, for its blocks say it, too; the
 * lengths of CURRENT (1) and of the manifest (2); then these, then the table. */
enum { LENGTHS_BYTES = 4, TABLE_2 = 2 };

static void seal_manifest(uint8_t *file, size_t size)
{
    if (size < MANIFEST_HEADER_BYTES) {
        return;
    }
    put_le32(file + 12, crc32c_extend(0, file, 12));
    size_t at = MANIFEST_HEADER_BYTES;
    while (size - at >= MANIFEST_RECORD_HEADER_BYTES &&
           get_le32(file + at) <= size - at - MANIFEST_RECORD_HEADER_BYTES) {
        size_t length = get_le32(file + at);
        struct slice payload = slice_of(file + at + MANIFEST_RECORD_HEADER_BYTES, length);
        put_le32(file + at + 4, manifest_record_crc(1, at, file + at, payload));
        at += MANIFEST_RECORD_HEADER_BYTES + length;
    }
}

/* What the tool says of a store must be what the engine says. */
static void open_engine(const struct store_place *place, bool sound)
{
    struct inspect_tables tables;
    struct engine *engine = NULL;
    enum status status = inspect_tables_open(&tables, place, NULL);
    CHECK(status == STATUS_OK || !sound);
    if (status == STATUS_OK && tables.state.keyspace_count > 0) {
        CHECK(inspect_start(&tables, &engine, NULL) == STATUS_OK);
        status = engine_verify(engine, NULL);
        CHECK((status == STATUS_OK) == sound);
        engine_close(engine);
    }
    inspect_tables_release(&tables);
}

static void use(struct memory_fs *memory)
{
    static struct store_place place;
    static FILE *nowhere;
    struct verified found;
    if (nowhere == NULL) {
        nowhere = fopen("/dev/null", "w");
        log_set_level(LOG_OFF);
    }
    CHECK(nowhere != NULL);
    struct report report = {.lines = nowhere, .messages = nowhere};
    CHECK(store_place_find(&place, &memory->fs, fuzz_window_alloc(), "copy", NULL) == STATUS_OK);
    CHECK(inspect_verify(&place, &report, &found, NULL) == STATUS_OK);
    bool known = report.unread == 0; /* no version of the future among it */
    bool sound = report.faults == 0;
    CHECK(inspect_stats(&place, &report, NULL) == STATUS_OK);
    CHECK(inspect_dump(&place, &report, NULL) == STATUS_OK);
    CHECK(!sound || !known || report.faults == 0);
    if (known && !found.current_lost) {
        open_engine(&place, sound);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct memory_fs memory;
    if (size < LENGTHS_BYTES) {
        return 0;
    }
    uint8_t *bytes = alloc_new(alloc_default(), size);
    CHECK(bytes != NULL);
    memcpy(bytes, data, size);
    size_t left = size - LENGTHS_BYTES;
    size_t current = bytes[1] < left ? bytes[1] : left;
    left -= current;
    size_t manifest = get_le16(bytes + 2) < left ? get_le16(bytes + 2) : left;
    uint8_t *at = bytes + LENGTHS_BYTES;
    if (fuzz_is_sealed(slice_of(data, size))) {
        seal_manifest(at + current, manifest);
    }
    memory_fs_init(&memory);
    memory_fs_add(&memory, "CURRENT", slice_of(at, current));
    memory_fs_add(&memory, "MANIFEST-000001", slice_of(at + current, manifest));
    memory_fs_add(&memory, (data[0] & TABLE_2) != 0 ? "000002.sst" : "000006.sst",
                  slice_of(at + current + manifest, left - manifest));
    use(&memory);
    alloc_free(alloc_default(), bytes);
    return 0;
}

/* The table of the golden store of each version, as test_store_golden.c has it. */
static void add_table_1(struct edit *full, uint64_t table_bytes)
{
    uint8_t smallest[64];
    uint8_t largest[64];
    size_t low = internal_key_put(smallest, slice_of_string("golden/000"), 69, KEY_PUT);
    size_t high = internal_key_put(largest, slice_of_string("golden/023"), 92, KEY_DELETE);
    edit_add_table(full, 0, 0, 6, table_bytes, 24, slice_of(smallest, low),
                   slice_of(largest, high));
}

/* With times, and a floor in its middle. */
static void add_table_2(struct edit *full, uint64_t table_bytes)
{
    static const struct time_bounds times = {
        .known = true, .smallest = 1699999999999995500, .largest = 1700000000000004000};
    uint8_t position[8];
    uint8_t smallest[64];
    uint8_t largest[64];
    put_be64(position, 0);
    size_t low = internal_key_put(smallest, slice_of(position, sizeof position), 1, KEY_PUT);
    put_be64(position, 5);
    size_t high = internal_key_put(largest, slice_of(position, sizeof position), 6, KEY_PUT);
    edit_add_table(full, 1, KEYSPACE_FRESH_LEVEL, 2, table_bytes, 6, slice_of(smallest, low),
                   slice_of(largest, high));
    edit_set_times(full, &times);
    put_be64(position, 3);
    edit_set_floor(full, 1, slice_of(position, sizeof position));
}

/* A store of two keyspaces, the table in one of them. */
static void put_manifest(struct buf *out, int version, uint64_t table_bytes)
{
    static const struct keyspace_options keyspaces[] = {
        {.name = "keyed", .layout = KEYSPACE_LEVELED},
        {.name = "growing", .layout = KEYSPACE_APPEND}};
    const struct manifest_options options = {
        .alloc = alloc_default(), .dir = "m", .keyspaces = keyspaces, .keyspace_count = 2};
    struct edit full;
    edit_init(&full, alloc_default());
    version == 1 ? add_table_1(&full, table_bytes) : add_table_2(&full, table_bytes);
    full.full = true;
    full.has_seal = true;
    full.seal_count = 3;
    full.owner_state = slice_of_string("state 3");
    full.next_file = 7;
    full.last_sequence = 92;
    CHECK(manifest_image(&options, 1, &full, out));
    edit_release(&full);
}

/* Of each version: a store whose only table is there, and the golden one, that names more. */
bool fuzz_seed(unsigned n, struct buf *out)
{
    int version = n < 2 ? 1 : 2;
    struct buf manifest;
    struct buf table;
    if (n > 3) {
        return false;
    }
    buf_init(&manifest, alloc_default(), 1UL << 20);
    buf_init(&table, alloc_default(), 1UL << 20);
    fuzz_golden(version == 1 ? "store_v1/000006.sst" : "store_v2/000002.sst", &table);
    if (n % 2 == 0) {
        put_manifest(&manifest, version, table.length);
    } else {
        fuzz_golden(version == 1 ? "store_v1/MANIFEST-000001" : "store_v2/MANIFEST-000001",
                    &manifest);
    }
    buf_put_u8(out, (uint8_t)(1 | (version == 1 ? 0 : TABLE_2)));
    buf_put_u8(out, (uint8_t)strlen("MANIFEST-000001\n"));
    buf_put_le16(out, (uint16_t)manifest.length);
    buf_append_slice(out, slice_of_string("MANIFEST-000001\n"));
    buf_append_slice(out, buf_slice(&manifest));
    buf_append_slice(out, buf_slice(&table));
    buf_release(&table);
    buf_release(&manifest);
    return true;
}
