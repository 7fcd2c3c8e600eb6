/* SPDX-License-Identifier: Apache-2.0
 *
 * Target: the segments of a log: walked, scanned as on opening, and looked at for salvage. The
 * walk and the scan must agree on what is damage and where the log ends.
 */
#include <stdio.h>

#include "base/crc32c.h"
#include "fuzz.h"
#include "memory_fs.h"
#include "storage/wal/salvage.h"
#include "storage/wal/scan.h"
#include "storage/wal/walk.h"

/* Input: a byte, then the segments behind their heads, one after another. */
enum { SEGMENT_BYTES = 2048, BODY_BYTES = SEGMENT_BYTES - WAL_BLOCK_BYTES, SEGMENTS_MAX = 4 };
#define SALT 0x5a17U

/* --- checksums made good --------------------------------------------------------------------- */

/* The record at `at`, of `length` bytes, which goes to `place`: as wal_record_finish() would. */
static void seal_record(uint8_t *at, size_t length, struct wal_position place, uint64_t salt)
{
    uint8_t where[24];
    put_le64(where, place.file);
    put_le64(where + 8, place.offset);
    put_le64(where + 16, salt);
    uint32_t crc = crc32c_extend(0, at, 8);
    crc = crc32c_extend(crc, at + WAL_RECORD_HEADER_BYTES, length - WAL_RECORD_HEADER_BYTES);
    put_le32(at + 8, crc32c_extend(crc, where, sizeof where));
}

/* The group at `offset`, and what may be links behind it. Returns where the next one may be. */
static size_t seal_group(uint8_t *segment, uint64_t file, size_t offset)
{
    const uint8_t *group = segment + offset;
    bool is_chain = get_le32(group + 4) == WAL_RECORD_CHAIN;
    uint64_t chain = is_chain ? get_le64(group + 36) : 0;
    size_t length = wal_group_header_bytes(is_chain ? 1 : 0);
    size_t end = offset + length + get_le32(group + 28);
    end = end < SEGMENT_BYTES && !is_chain ? end : SEGMENT_BYTES;
    uint64_t salt = SALT;
    while (length > 0 && length <= end - offset) {
        struct wal_position place = {.file = file, .offset = offset};
        seal_record(segment + offset, length, place, salt);
        salt = wal_chain_salt(SALT, chain);
        offset += length;
        length = end - offset < WAL_RECORD_HEADER_BYTES ? 0 : wal_record_length(segment + offset);
    }
    return wal_block_up(offset);
}

static void seal(uint8_t *segment, uint64_t file)
{
    size_t offset = WAL_BLOCK_BYTES;
    while (offset < SEGMENT_BYTES) {
        const uint8_t *at = segment + offset;
        uint32_t length = get_le32(at);
        uint32_t type = get_le32(at + 4);
        bool is_group = (length == WAL_GROUP_CONTENT_BYTES && type == WAL_RECORD_GROUP) ||
                        (length == WAL_CHAIN_CONTENT_BYTES && type == WAL_RECORD_CHAIN);
        offset = is_group ? seal_group(segment, file, offset) : offset + WAL_BLOCK_BYTES;
    }
}

/* --- use ---------------------------------------------------------------------------------------
 */

struct seen {
    uint64_t entries;
    uint64_t faults;
};

static enum status on_record(void *context, struct wal_position place,
                             const struct wal_record *record, struct error *err)
{
    struct wal_entry entry;
    (void)err;
    CHECK(place.offset < SEGMENT_BYTES);
    if (wal_entry_get(record, &entry)) {
        ((struct seen *)context)->entries++;
    }
    return STATUS_OK;
}

static void on_fault(void *context, const struct error *fault)
{
    CHECK(fault->status == STATUS_CORRUPT);
    ((struct seen *)context)->faults++;
}

static void use(struct memory_fs *memory)
{
    struct seen seen = {.entries = 0};
    struct wal_walk walk;
    const struct wal_walk_options options = {.fs = &memory->fs,
                                             .alloc = fuzz_window_alloc(),
                                             .dir = "log",
                                             .on_record = on_record,
                                             .on_fault = on_fault,
                                             .context = &seen};
    enum status walked = wal_walk(&options, &walk, NULL);
    CHECK(walked == STATUS_OK);
    CHECK(walk.entries == seen.entries && walk.faults == seen.faults);
    struct wal_scan scan = {
        .fs = &memory->fs, .alloc = fuzz_window_alloc(), .dir = "log", .any_identity = true};
    enum status scanned = wal_scan_run(&scan, NULL);
    CHECK(scanned == STATUS_OK || scanned == STATUS_CORRUPT);
    CHECK((scanned == STATUS_OK) == (walk.faults == 0));
    if (scanned == STATUS_OK) {
        CHECK(walk.last_index == scan.terms.last_index);
        CHECK(walk.term == scan.state.term && walk.vote == scan.state.vote);
        CHECK(walk.end.file == scan.end.file && walk.end.offset == scan.end.offset);
        CHECK(walk.torn_bytes == scan.cut_bytes && walk.attested == scan.attested);
    }
    wal_scan_release(&scan);
    struct wal_salvage salvage;
    const struct wal_options log = {.fs = &memory->fs, .alloc = fuzz_window_alloc(), .dir = "log"};
    enum status salvaged = wal_salvage_look(&log, &salvage, NULL);
    CHECK(salvaged != STATUS_OK || scanned == STATUS_CORRUPT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t segments[SEGMENTS_MAX][SEGMENT_BYTES];
    struct memory_fs memory;
    if (size == 0) {
        return 0;
    }
    memory_fs_init(&memory);
    size_t at = 1;
    for (uint64_t i = 0; i < SEGMENTS_MAX && (at < size || i == 0); i++) {
        char name[32];
        size_t length = size - at < BODY_BYTES ? size - at : BODY_BYTES;
        struct wal_head head = {
            .version = WAL_VERSION_GROUPS + data[0] / 128, .file = i + 1, .salt = SALT};
        wal_head_encode(&head, segments[i]);
        memset(segments[i] + WAL_BLOCK_BYTES, 0, BODY_BYTES);
        memcpy(segments[i] + WAL_BLOCK_BYTES, data + at, length);
        at += length;
        if (fuzz_is_sealed(slice_of(data, size))) {
            seal(segments[i], i + 1);
        }
        (void)snprintf(name, sizeof name, "%016llx.wal", (unsigned long long)(i + 1));
        memory_fs_add(&memory, name, slice_of(segments[i], SEGMENT_BYTES));
    }
    use(&memory);
    return 0;
}

/* The golden logs, and one that goes on in a second segment. */
bool fuzz_seed(unsigned n, struct buf *out)
{
    if (n > 2) {
        return false;
    }
    struct buf golden;
    buf_init(&golden, alloc_default(), 1UL << 20);
    fuzz_golden(n == 2 ? "log_v2/0000000000000001.wal" : "log_v1/0000000000000001.wal", &golden);
    buf_put_u8(out, n == 2 ? 129 : 1);
    if (n != 1) {
        buf_append(out, golden.data + WAL_BLOCK_BYTES, 2UL * BODY_BYTES);
    } else {
        /* The last group comes into the second file; it says where the first one ended. */
        buf_append(out, golden.data + WAL_BLOCK_BYTES, 2UL * WAL_BLOCK_BYTES);
        (void)memset(buf_extend(out, WAL_BLOCK_BYTES), 0, WAL_BLOCK_BYTES);
        size_t group = out->length;
        buf_append(out, golden.data + 3UL * WAL_BLOCK_BYTES, WAL_BLOCK_BYTES);
        put_le64(out->data + group + 12, 1);
        put_le64(out->data + group + 20, 3UL * WAL_BLOCK_BYTES);
    }
    buf_release(&golden);
    return true;
}
