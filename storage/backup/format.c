/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/backup/format.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "storage/tree/manifest_read.h"

enum { FLAG_FULL = 1, KIND_COPY = 0, KIND_LINK = 1 };

void backup_manifest_init(struct backup_manifest *manifest, struct alloc *alloc)
{
    *manifest = (struct backup_manifest){.number = 0};
    buf_init(&manifest->files, alloc, BACKUP_BYTES_MAX);
}

void backup_manifest_release(struct backup_manifest *manifest)
{
    buf_release(&manifest->files);
}

struct backup_file backup_file_at(const struct backup_manifest *manifest, size_t index)
{
    struct backup_file file;
    CHECK(index < backup_file_count(manifest));
    memcpy(&file, manifest->files.data + index * sizeof file, sizeof file);
    return file;
}

void backup_file_add(struct backup_manifest *manifest, const struct backup_file *file)
{
    buf_append(&manifest->files, file, sizeof *file);
}

/* --- writing ------------------------------------------------------------------------------- */

static void encode_payload(const struct backup_manifest *manifest, struct buf *out)
{
    buf_put_varint(out, manifest->number);
    buf_put_varint(out, manifest->made_at_ns);
    buf_put_u8(out, manifest->full ? FLAG_FULL : 0);
    buf_append(out, manifest->lineage, sizeof manifest->lineage);
    buf_put_varint(out, manifest->store_manifest);
    buf_put_prefixed(out, manifest->image);
    buf_put_varint(out, backup_file_count(manifest));
    for (size_t i = 0; i < backup_file_count(manifest); i++) {
        struct backup_file file = backup_file_at(manifest, i);
        buf_put_varint(out, file.table);
        buf_put_varint(out, file.bytes);
        buf_put_varint(out, file.made_by);
        buf_put_u8(out, file.linked ? KIND_LINK : KIND_COPY);
        if (!file.linked) {
            buf_append(out, file.digest.bytes, sizeof file.digest.bytes);
        }
    }
}

void backup_manifest_encode(const struct backup_manifest *manifest, struct buf *out)
{
    CHECK(!buf_failed(&manifest->files) && manifest->number > 0);
    size_t start = out->length;
    buf_append(out, BACKUP_MAGIC, strlen(BACKUP_MAGIC));
    buf_put_le32(out, BACKUP_VERSION);
    buf_put_le64(out, 0);
    encode_payload(manifest, out);
    if (buf_failed(out)) {
        return;
    }
    put_le64(out->data + start + 12, out->length - start - BACKUP_HEADER_BYTES);
    buf_put_le32(out, crc32c_extend(0, out->data + start, out->length - start));
}

/* --- reading ------------------------------------------------------------------------------- */

static enum status check_frame(struct slice bytes, struct slice *payload, struct error *err)
{
    if (bytes.length < BACKUP_HEADER_BYTES + BACKUP_CRC_BYTES ||
        memcmp(bytes.data, BACKUP_MAGIC, strlen(BACKUP_MAGIC)) != 0) {
        return error_set(err, STATUS_CORRUPT, "at 0: no backup's manifest, or cut");
    }
    uint32_t version = get_le32(bytes.data + 8);
    size_t end = bytes.length - BACKUP_CRC_BYTES;
    if (crc32c_extend(0, bytes.data, end) != get_le32(bytes.data + end)) {
        return error_set(err, STATUS_CORRUPT, "at %zu: checksum mismatch", end);
    }
    if (version != BACKUP_VERSION) {
        return error_set(err, STATUS_UNIMPLEMENTED, "at 8: version %" PRIu32 " is not known",
                         version);
    }
    if (get_le64(bytes.data + 12) != end - BACKUP_HEADER_BYTES) {
        return error_set(err, STATUS_CORRUPT, "at 12: the length is not the file's");
    }
    *payload = slice_of(bytes.data + BACKUP_HEADER_BYTES, end - BACKUP_HEADER_BYTES);
    return STATUS_OK;
}

static bool take_file(struct cursor *cursor, uint64_t number, struct backup_file *file)
{
    *file = (struct backup_file){.table = cursor_varint(cursor)};
    file->bytes = cursor_varint(cursor);
    file->made_by = cursor_varint(cursor);
    uint8_t kind = cursor_u8(cursor);
    file->linked = kind == KIND_LINK;
    if (kind == KIND_COPY) {
        struct slice digest = cursor_bytes(cursor, DIGEST_BYTES);
        if (digest.length == DIGEST_BYTES) {
            memcpy(file->digest.bytes, digest.data, DIGEST_BYTES);
        }
    }
    return !cursor->failed && kind <= KIND_LINK && file->made_by > 0 && file->made_by <= number;
}

/* Takes what comes before the files; false: it makes no sense. */
static bool take_head(struct cursor *cursor, struct backup_manifest *out, uint64_t *count)
{
    out->number = cursor_varint(cursor);
    out->made_at_ns = cursor_varint(cursor);
    uint8_t flags = cursor_u8(cursor);
    out->full = (flags & FLAG_FULL) != 0;
    struct slice lineage = cursor_bytes(cursor, BACKUP_LINEAGE_BYTES);
    out->store_manifest = cursor_varint(cursor);
    out->image = cursor_prefixed(cursor);
    *count = cursor_varint(cursor);
    if (cursor->failed || flags > FLAG_FULL || out->number == 0 || out->store_manifest == 0) {
        return false;
    }
    memcpy(out->lineage, lineage.data, BACKUP_LINEAGE_BYTES);
    return true;
}

static enum status replay_image(const struct backup_manifest *manifest, struct alloc *alloc,
                                struct manifest_state *state, struct error *err)
{
    const struct manifest_options options = {.alloc = alloc, .dir = "."};
    struct manifest_reading reading;
    enum status status = manifest_replay(&options, manifest->store_manifest, manifest->image, state,
                                         NULL, NULL, &reading, err);
    if (status == STATUS_OK && (reading.end != reading.bytes || reading.records != 1)) {
        status = error_set(err, STATUS_CORRUPT, "at %" PRIu64 ": not one whole state", reading.end);
    }
    return status;
}

/* Takes the files, each of which must be the next table of `state`. */
static enum status take_files(struct cursor *cursor, uint64_t count,
                              const struct manifest_state *state, struct backup_manifest *out,
                              struct error *err)
{
    if (count != edit_add_count(&state->tables)) {
        return error_set(err, STATUS_CORRUPT, "%" PRIu64 " files for %zu tables", count,
                         edit_add_count(&state->tables));
    }
    for (size_t i = 0; i < count; i++) {
        struct backup_file file;
        struct edit_add table = edit_add_at(&state->tables, i);
        if (!take_file(cursor, out->number, &file)) {
            return error_set(err, STATUS_CORRUPT, "malformed file");
        }
        if (file.table != table.number || file.bytes != table.bytes) {
            return error_set(err, STATUS_CORRUPT, "a file that is not the table %" PRIu64,
                             table.number);
        }
        backup_file_add(out, &file);
    }
    if (buf_failed(&out->files)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a backup's manifest");
    }
    return cursor_done(cursor) ? STATUS_OK
                               : error_set(err, STATUS_CORRUPT, "bytes behind the files");
}

enum status backup_manifest_decode(struct slice bytes, struct alloc *alloc,
                                   struct backup_manifest *out, struct manifest_state *state,
                                   struct error *err)
{
    struct slice payload = {.length = 0};
    uint64_t count = 0;
    enum status status = check_frame(bytes, &payload, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct cursor cursor = cursor_of(payload);
    if (!take_head(&cursor, out, &count)) {
        return error_set(err, STATUS_CORRUPT, "at %d: malformed head", BACKUP_HEADER_BYTES);
    }
    status = replay_image(out, alloc, state, err);
    if (status != STATUS_OK) {
        return error_wrap(err, "at %zu: the store's manifest in it",
                          (size_t)(out->image.data - bytes.data));
    }
    status = take_files(&cursor, count, state, out, err);
    if (status == STATUS_CORRUPT) {
        return error_wrap(err, "at %zu", (size_t)(cursor.at - bytes.data));
    }
    return status;
}

/* --- names --------------------------------------------------------------------------------- */

const char *backup_manifest_name(char out[BACKUP_NAME_BYTES], uint64_t number)
{
    (void)snprintf(out, BACKUP_NAME_BYTES, "BACKUP-%06" PRIu64, number);
    return out;
}

const char *backup_file_name(char out[BACKUP_NAME_BYTES], const struct backup_file *file)
{
    (void)snprintf(out, BACKUP_NAME_BYTES, "%06" PRIu64 "-%06" PRIu64 ".%s", file->made_by,
                   file->table, file->linked ? "link" : "sst");
    return out;
}

/* Digits at *at, at most 18; false: none. */
static bool take_number(const char **at, uint64_t *number)
{
    size_t digits = 0;
    uint64_t value = 0;
    for (; **at >= '0' && **at <= '9' && digits < 18; (*at)++, digits++) {
        value = value * 10 + (uint64_t)(**at - '0');
    }
    *number = value;
    return digits > 0 && value > 0;
}

static enum backup_name parse_name(const char *name, uint64_t *backup, uint64_t *table)
{
    static const char prefix[] = "BACKUP-";
    const char *at = name;
    if (strncmp(name, prefix, sizeof prefix - 1) == 0) {
        at += sizeof prefix - 1;
        if (!take_number(&at, backup)) {
            return BACKUP_NAME_OTHER;
        }
        return *at == '\0'               ? BACKUP_NAME_MANIFEST
               : strcmp(at, ".new") == 0 ? BACKUP_NAME_MANIFEST_NEW
                                         : BACKUP_NAME_OTHER;
    }
    if (!take_number(&at, backup) || *at++ != '-' || !take_number(&at, table)) {
        return BACKUP_NAME_OTHER;
    }
    return strcmp(at, ".sst") == 0    ? BACKUP_NAME_COPY
           : strcmp(at, ".link") == 0 ? BACKUP_NAME_LINK
                                      : BACKUP_NAME_OTHER;
}

enum backup_name backup_name_of(const char *name, uint64_t *backup, uint64_t *table)
{
    char made[BACKUP_NAME_BYTES];
    *backup = 0;
    *table = 0;
    enum backup_name kind = parse_name(name, backup, table);
    /* "BACKUP-1" is not how BACKUP-000001 is written, so not the file that its number means. */
    if (kind == BACKUP_NAME_MANIFEST || kind == BACKUP_NAME_MANIFEST_NEW) {
        (void)backup_manifest_name(made, *backup);
    } else {
        const struct backup_file file = {
            .made_by = *backup, .table = *table, .linked = kind == BACKUP_NAME_LINK};
        (void)backup_file_name(made, &file);
    }
    if (kind == BACKUP_NAME_OTHER || strncmp(name, made, strlen(made)) != 0) {
        *backup = 0;
        *table = 0;
        return BACKUP_NAME_OTHER;
    }
    return kind;
}
