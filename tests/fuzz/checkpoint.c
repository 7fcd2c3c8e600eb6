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

/* Input: a byte, the lengths of CURRENT (1) and of the manifest (2), then these, then the table. */
enum { LENGTHS_BYTES = 4 };

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
    memory_fs_add(&memory, "000006.sst", slice_of(at + current + manifest, left - manifest));
    use(&memory);
    alloc_free(alloc_default(), bytes);
    return 0;
}

/* A store of two keyspaces, the table in one of them. */
static void put_manifest(struct buf *out, uint64_t table_bytes)
{
    static const struct keyspace_options keyspaces[] = {
        {.name = "keyed", .layout = KEYSPACE_LEVELED},
        {.name = "growing", .layout = KEYSPACE_APPEND}};
    const struct manifest_options options = {
        .alloc = alloc_default(), .dir = "m", .keyspaces = keyspaces, .keyspace_count = 2};
    uint8_t smallest[64];
    uint8_t largest[64];
    struct edit full;
    edit_init(&full, alloc_default());
    /* As the golden store has it: see test_store_golden.c. */
    size_t low = internal_key_put(smallest, slice_of_string("golden/000"), 69, KEY_PUT);
    size_t high = internal_key_put(largest, slice_of_string("golden/023"), 92, KEY_DELETE);
    edit_add_table(&full, 0, 0, 6, table_bytes, 24, slice_of(smallest, low),
                   slice_of(largest, high));
    full.full = true;
    full.has_seal = true;
    full.seal_count = 3;
    full.owner_state = slice_of_string("state 3");
    full.next_file = 7;
    full.last_sequence = 92;
    CHECK(manifest_image(&options, 1, &full, out));
    edit_release(&full);
}

bool fuzz_seed(unsigned n, struct buf *out)
{
    if (n > 1) {
        return false;
    }
    struct buf manifest;
    struct buf table;
    buf_init(&manifest, alloc_default(), 1UL << 20);
    buf_init(&table, alloc_default(), 1UL << 20);
    fuzz_golden("store_v1/000006.sst", &table);
    if (n == 0) {
        put_manifest(&manifest, table.length);
    } else {
        fuzz_golden("store_v1/MANIFEST-000001", &manifest);
    }
    buf_put_u8(out, 1);
    buf_put_u8(out, (uint8_t)strlen("MANIFEST-000001\n"));
    buf_put_le16(out, (uint16_t)manifest.length);
    buf_append_slice(out, slice_of_string("MANIFEST-000001\n"));
    buf_append_slice(out, buf_slice(&manifest));
    buf_append_slice(out, buf_slice(&table));
    buf_release(&table);
    buf_release(&manifest);
    return true;
}
