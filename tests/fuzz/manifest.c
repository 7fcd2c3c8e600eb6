/* SPDX-License-Identifier: Apache-2.0
 *
 * Target: a manifest, replayed; and what it says, written anew, says the same.
 */
#include "base/crc32c.h"
#include "fuzz.h"
#include "storage/tree/catalog.h"
#include "storage/tree/manifest_read.h"

enum { NUMBER = 1 };

static void seal(uint8_t *file, size_t size)
{
    if (size < MANIFEST_HEADER_BYTES) {
        return;
    }
    memcpy(file, MANIFEST_MAGIC, strlen(MANIFEST_MAGIC));
    put_le32(file + 8, file[8] == MANIFEST_VERSION ? MANIFEST_VERSION : MANIFEST_VERSION_TIMES);
    put_le32(file + 12, crc32c_extend(0, file, 12));
    size_t at = MANIFEST_HEADER_BYTES;
    while (size - at >= MANIFEST_RECORD_HEADER_BYTES) {
        size_t left = size - at - MANIFEST_RECORD_HEADER_BYTES;
        size_t length = get_le32(file + at);
        if (length > left) {
            return;
        }
        uint8_t *payload = file + at + MANIFEST_RECORD_HEADER_BYTES;
        put_le32(file + at + 4,
                 manifest_record_crc(NUMBER, at, file + at, slice_of(payload, length)));
        at += MANIFEST_RECORD_HEADER_BYTES + length;
    }
}

/* As the engine writes its whole state into a new file. */
static void write_anew(const struct version *version, const struct manifest_state *state)
{
    struct keyspace_options keyspaces[KEYSPACES_MAX] = {{0}};
    for (size_t i = 0; i < state->keyspace_count; i++) {
        keyspaces[i].name = state->keyspaces[i].name;
        keyspaces[i].layout = state->keyspaces[i].layout;
    }
    const struct manifest_options options = {
        .alloc = alloc_default(), .keyspaces = keyspaces, .keyspace_count = state->keyspace_count};
    struct edit full;
    struct buf image;
    struct manifest_state again;
    struct manifest_reading reading;
    edit_init(&full, alloc_default());
    buf_init(&image, alloc_default(), 1UL << 24);
    manifest_state_init(&again, alloc_default());
    version_describe(version, &full);
    full.full = true;
    full.has_seal = state->seal_count > 0;
    full.seal_count = state->seal_count;
    full.owner_state = buf_slice(&state->owner_state);
    full.next_file = state->next_file;
    full.last_sequence = state->last_sequence;
    CHECK(manifest_image(&options, 2, &full, &image));
    CHECK(manifest_replay(&options, 2, buf_slice(&image), &again, NULL, NULL, &reading, NULL) ==
          STATUS_OK);
    CHECK(reading.end == image.length && reading.records == 1);
    CHECK(edit_add_count(&again.tables) == edit_add_count(&state->tables));
    CHECK(again.seal_count == state->seal_count && again.next_file == state->next_file);
    CHECK(again.last_sequence == state->last_sequence);
    for (unsigned i = 0; i < state->keyspace_count; i++) {
        struct floor before = edit_floor_of(&state->tables, i);
        struct floor after = edit_floor_of(&again.tables, i);
        CHECK(slice_equal(floor_key(&before), floor_key(&after)));
    }
    manifest_state_release(&again);
    buf_release(&image);
    edit_release(&full);
}

static void use(const struct manifest_state *state)
{
    struct epoch epoch;
    const struct catalog_options options = {.alloc = alloc_default(),
                                            .dir = "m",
                                            .epoch = &epoch,
                                            .keyspace_count = state->keyspace_count};
    struct catalog *catalog = NULL;
    struct version *version = NULL;
    epoch_init(&epoch);
    CHECK(catalog_open(&options, &catalog, NULL) == STATUS_OK);
    if (catalog_prepare(catalog, &state->tables, &version, NULL) == STATUS_OK) {
        write_anew(version, state);
        version_release(version);
    }
    catalog_close(catalog);
    epoch_release(&epoch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct manifest_options options = {.alloc = fuzz_alloc(), .dir = "m"};
    struct manifest_state state;
    struct manifest_reading reading;
    struct error err = ERROR_INIT;
    if (size == 0) {
        return 0;
    }
    uint8_t *file = alloc_new(alloc_default(), size);
    CHECK(file != NULL);
    memcpy(file, data, size);
    if (fuzz_is_sealed(slice_of(data, size))) {
        seal(file + 1, size - 1);
    }
    manifest_state_init(&state, fuzz_alloc());
    enum status status = manifest_replay(&options, NUMBER, slice_of(file + 1, size - 1), &state,
                                         NULL, NULL, &reading, &err);
    if (status == STATUS_OK) {
        CHECK(reading.end <= reading.bytes && reading.records > 0);
        if (state.keyspace_count > 0) {
            use(&state);
        }
    } else {
        CHECK(strncmp(err.text, "at ", 3) == 0);
    }
    manifest_state_release(&state);
    alloc_free(alloc_default(), file);
    return 0;
}

bool fuzz_seed(unsigned n, struct buf *out)
{
    static const char *const golden[] = {"store_v1/MANIFEST-000001", "store_v2/MANIFEST-000001"};
    if (n >= sizeof golden / sizeof golden[0]) {
        return false;
    }
    buf_put_u8(out, 1);
    fuzz_golden(golden[n], out);
    return true;
}
