/* SPDX-License-Identifier: Apache-2.0
 *
 * Target: the manifest of a backup, decoded; and what it says, written anew, is the same bytes.
 */
#include "base/crc32c.h"
#include "fuzz.h"
#include "storage/backup/format.h"
#include "storage/tree/manifest_read.h"

/* The store's manifest within, of that number. */
static void seal_image(uint8_t *image, size_t size, uint64_t number)
{
    if (size < MANIFEST_HEADER_BYTES + MANIFEST_RECORD_HEADER_BYTES) {
        return;
    }
    uint8_t *record = image + MANIFEST_HEADER_BYTES;
    size_t length = size - MANIFEST_HEADER_BYTES - MANIFEST_RECORD_HEADER_BYTES;
    put_le32(image + 12, crc32c_extend(0, image, 12));
    put_le32(record, (uint32_t)length);
    put_le32(record + 4,
             manifest_record_crc(number, MANIFEST_HEADER_BYTES, record,
                                 slice_of(record + MANIFEST_RECORD_HEADER_BYTES, length)));
}

static void seal(uint8_t *file, size_t size)
{
    if (size < BACKUP_HEADER_BYTES + BACKUP_CRC_BYTES) {
        return;
    }
    size_t end = size - BACKUP_CRC_BYTES;
    memcpy(file, BACKUP_MAGIC, strlen(BACKUP_MAGIC));
    put_le64(file + 12, end - BACKUP_HEADER_BYTES);
    struct cursor cursor =
        cursor_of(slice_of(file + BACKUP_HEADER_BYTES, end - BACKUP_HEADER_BYTES));
    (void)cursor_varint(&cursor);
    (void)cursor_varint(&cursor);
    (void)cursor_bytes(&cursor, 1 + BACKUP_LINEAGE_BYTES);
    uint64_t number = cursor_varint(&cursor);
    struct slice image = cursor_prefixed(&cursor);
    if (!cursor.failed) {
        seal_image(file + (image.data - file), image.length, number);
    }
    put_le32(file + end, crc32c_extend(0, file, end));
}

static void write_anew(const struct backup_manifest *manifest, struct slice bytes)
{
    struct buf again;
    buf_init(&again, alloc_default(), 1UL << 24);
    backup_manifest_encode(manifest, &again);
    CHECK(!buf_failed(&again) && slice_equal(buf_slice(&again), bytes));
    buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct backup_manifest manifest;
    struct manifest_state state;
    struct error err = ERROR_INIT;
    if (size == 0) {
        return 0;
    }
    uint8_t *file = alloc_new(alloc_default(), size);
    CHECK(file != NULL);
    memcpy(file, data + 1, size - 1);
    if (fuzz_is_sealed(slice_of(data, size))) {
        seal(file, size - 1);
    }
    struct slice bytes = slice_of(file, size - 1);
    backup_manifest_init(&manifest, fuzz_alloc());
    manifest_state_init(&state, fuzz_alloc());
    enum status status = backup_manifest_decode(bytes, fuzz_alloc(), &manifest, &state, &err);
    if (status == STATUS_OK) {
        CHECK(backup_file_count(&manifest) == edit_add_count(&state.tables));
        write_anew(&manifest, bytes);
    } else {
        CHECK(status == STATUS_RESOURCE_EXHAUSTED || strncmp(err.text, "at ", 3) == 0);
    }
    manifest_state_release(&state);
    backup_manifest_release(&manifest);
    alloc_free(alloc_default(), file);
    return 0;
}

bool fuzz_seed(unsigned n, struct buf *out)
{
    static const char *const golden[] = {"backup_v1/BACKUP-000001", "backup_v1/BACKUP-000002",
                                         "backup_v1/BACKUP-000003"};
    if (n >= sizeof golden / sizeof golden[0]) {
        return false;
    }
    buf_put_u8(out, 1);
    fuzz_golden(golden[n], out);
    return true;
}
