/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/manifest_read.h"

#include <inttypes.h>

#include "base/crc32c.h"

#define MANIFEST_BYTES_MAX (1024 * MIB)
/* More than a name has, so that a longer one is seen to be none. */
#define CURRENT_BYTES_MAX 4096

uint32_t manifest_record_crc(uint64_t number, uint64_t offset, const uint8_t *length_bytes,
                             struct slice payload)
{
    uint8_t place[16];
    put_le64(place, number);
    put_le64(place + 8, offset);
    uint32_t crc = crc32c_extend(0, place, sizeof place);
    crc = crc32c_extend(crc, length_bytes, 4);
    return crc32c_extend(crc, payload.data, payload.length);
}

/* --- records ------------------------------------------------------------------------------- */

/* What may be a record's payload, its checksum not looked at. */
static bool frame_at(struct slice bytes, uint64_t offset, struct slice *payload)
{
    uint64_t left = bytes.length - offset;
    if (left < MANIFEST_RECORD_HEADER_BYTES) {
        return false;
    }
    const uint8_t *at = bytes.data + offset;
    uint32_t length = get_le32(at);
    if (length < 8 || length > MANIFEST_RECORD_BYTES_MAX ||
        length > left - MANIFEST_RECORD_HEADER_BYTES) {
        return false;
    }
    *payload = slice_of(at + MANIFEST_RECORD_HEADER_BYTES, length);
    return true;
}

static bool is_sound(struct slice bytes, uint64_t number, uint64_t offset, struct slice payload)
{
    const uint8_t *at = bytes.data + offset;
    return manifest_record_crc(number, offset, at, payload) == get_le32(at + 4);
}

/* True if a sound record behind `offset` says that the file was synced past it. No record says so
 * of what comes after itself; that is looked at first, since checksums of all that could be a
 * record would take hours for a large file. */
static bool is_attested(struct slice bytes, uint64_t number, uint64_t offset)
{
    for (uint64_t at = offset + 1; at < bytes.length; at++) {
        struct slice payload;
        if (frame_at(bytes, at, &payload)) {
            uint64_t synced_through = get_le64(payload.data);
            if (synced_through > offset && synced_through <= at &&
                is_sound(bytes, number, at, payload)) {
                return true;
            }
        }
    }
    return false;
}

static enum status check_header(struct slice bytes, struct error *err)
{
    if (bytes.length < MANIFEST_HEADER_BYTES ||
        memcmp(bytes.data, MANIFEST_MAGIC, strlen(MANIFEST_MAGIC)) != 0 ||
        crc32c_extend(0, bytes.data, 12) != get_le32(bytes.data + 12)) {
        return error_set(err, STATUS_CORRUPT, "no manifest's header");
    }
    uint32_t version = get_le32(bytes.data + 8);
    if (version != MANIFEST_VERSION && version != MANIFEST_VERSION_TIMES) {
        return error_set(err, STATUS_FAILED_PRECONDITION, "version %u is not known", version);
    }
    return STATUS_OK;
}

enum status manifest_replay(const struct manifest_options *options, uint64_t number,
                            struct slice bytes, struct manifest_state *state,
                            manifest_record_fn each, void *context, struct manifest_reading *out,
                            struct error *err)
{
    *out = (struct manifest_reading){.bytes = bytes.length};
    enum status status = check_header(bytes, err);
    if (status != STATUS_OK) {
        return error_wrap(err, "at 0");
    }
    out->version = get_le32(bytes.data + 8);
    uint64_t offset = MANIFEST_HEADER_BYTES;
    while (offset < bytes.length) {
        struct slice payload;
        bool first = offset == MANIFEST_HEADER_BYTES;
        if (!frame_at(bytes, offset, &payload) || !is_sound(bytes, number, offset, payload)) {
            if (first || is_attested(bytes, number, offset)) {
                return error_set(err, STATUS_CORRUPT, "at %" PRIu64 ": damaged record", offset);
            }
            break;
        }
        if (each != NULL) {
            status = each(context, offset, payload, err);
        }
        if (status == STATUS_OK) {
            status = manifest_decode(payload, first, options->keyspaces, options->keyspace_count,
                                     state, err);
        }
        if (status != STATUS_OK) {
            return error_wrap(err, "at %" PRIu64, offset);
        }
        offset += MANIFEST_RECORD_HEADER_BYTES + payload.length;
        out->synced = get_le64(payload.data);
        out->full_bytes = first ? offset : out->full_bytes;
        out->records++;
    }
    if (out->full_bytes == 0) {
        /* CURRENT names only what was synced whole. */
        return error_set(err, STATUS_CORRUPT, "at %d: the first record is missing",
                         MANIFEST_HEADER_BYTES);
    }
    out->end = offset;
    return STATUS_OK;
}

/* --- files --------------------------------------------------------------------------------- */

enum status manifest_read_current(const struct manifest_options *options, uint64_t *number,
                                  struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct buf text;
    enum status status = path_join(path, options->dir, "CURRENT", err);
    if (status != STATUS_OK) {
        return status;
    }
    buf_init(&text, options->alloc, CURRENT_BYTES_MAX);
    status = fs_read_file(options->fs, path, &text, err);
    if (status == STATUS_OK) {
        uint64_t value = 0;
        size_t digits = 0;
        struct slice prefix = slice_of_string("MANIFEST-");
        bool shaped = slice_starts_with(buf_slice(&text), prefix);
        size_t at = prefix.length;
        while (shaped && at < text.length && text.data[at] >= '0' && text.data[at] <= '9' &&
               digits < 19) {
            value = value * 10 + (uint64_t)(text.data[at++] - '0');
            digits++;
        }
        if (!shaped || digits == 0 || at + 1 != text.length || text.data[at] != '\n') {
            status = error_set(err, STATUS_CORRUPT, "%s at 0: names no manifest", path);
        } else {
            *number = value;
        }
    }
    buf_release(&text);
    return status;
}

enum status manifest_read(const struct manifest_options *options, uint64_t number,
                          struct manifest_state *state, manifest_record_fn each, void *context,
                          struct manifest_reading *out, struct error *err)
{
    char name[MANIFEST_NAME_BYTES];
    char path[PATH_BYTES_MAX];
    enum status status = path_join(path, options->dir, manifest_file_name(name, number), err);
    if (status != STATUS_OK) {
        return status;
    }
    struct buf bytes;
    buf_init(&bytes, options->alloc, MANIFEST_BYTES_MAX);
    status = fs_read_file(options->fs, path, &bytes, err);
    if (status == STATUS_NOT_FOUND) {
        status =
            error_set(err, STATUS_CORRUPT, "%s at 0: CURRENT names it, but it is missing", path);
    } else if (status == STATUS_OK) {
        status =
            manifest_replay(options, number, buf_slice(&bytes), state, each, context, out, err);
        if (status != STATUS_OK) {
            (void)error_wrap(err, "%s", path);
        }
    }
    buf_release(&bytes);
    return status;
}
