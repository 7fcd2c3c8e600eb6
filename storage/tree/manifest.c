/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/manifest.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "storage/tree/manifest_read.h"

/* Edits beyond this are worth a new file; it also bounds what an open reads. */
#define REWRITE_BYTES_MIN (8 * MIB)

struct manifest {
    struct manifest_options options;
    struct file *file;
    uint64_t number;
    uint32_t version;
    uint64_t end;            /* where the next record goes */
    uint64_t synced_through; /* of the file in use */
    uint64_t full_bytes;     /* of its first record */
    struct buf record;
    bool failed;
    struct error failure;
};

const char *manifest_file_name(char out[MANIFEST_NAME_BYTES], uint64_t number)
{
    (void)snprintf(out, MANIFEST_NAME_BYTES, "MANIFEST-%06" PRIu64, number);
    return out;
}

static enum status manifest_path(const struct manifest *manifest, uint64_t number, char *out,
                                 struct error *err)
{
    char name[MANIFEST_NAME_BYTES];
    return path_join(out, manifest->options.dir, manifest_file_name(name, number), err);
}

/* --- reading ------------------------------------------------------------------------------- */

static enum status load(struct manifest *manifest, struct manifest_state *state, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct manifest_reading reading;
    enum status status = manifest_path(manifest, manifest->number, path, err);
    if (status == STATUS_OK) {
        status =
            manifest_read(&manifest->options, manifest->number, state, NULL, NULL, &reading, err);
    }
    if (status == STATUS_OK) {
        status = fs_open(manifest->options.fs, path, FS_READ | FS_WRITE, &manifest->file, err);
    }
    if (status == STATUS_OK && reading.end < reading.bytes) {
        status = file_truncate(manifest->file, reading.end, err);
    }
    if (status == STATUS_OK) {
        /* The last edit may have been read from the cache of a process that died before its
         * sync, or of it; what we are about to rely on must be on disk. */
        status = file_write_again(manifest->file, reading.synced, reading.end, err);
    }
    if (status == STATUS_OK) {
        manifest->version = reading.version;
        manifest->end = reading.end;
        manifest->synced_through = reading.end;
        manifest->full_bytes = reading.full_bytes;
    }
    return status;
}

/* --- writing ------------------------------------------------------------------------------- */

/* Final: also where the cause was a full disk, so that nobody takes it for a passing one. */
static enum status fail(struct manifest *manifest, struct error *err)
{
    if (err->status == STATUS_RESOURCE_EXHAUSTED) {
        err->status = STATUS_INTERNAL;
    }
    manifest->failed = true;
    manifest->failure = *err;
    return err->status;
}

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the manifest");
}

/* Frames `edit` at the end of `record`, as the record at `offset` of file `number`. */
static bool frame_into(const struct manifest_options *options, struct buf *record, uint64_t number,
                       uint64_t offset, uint64_t synced_through, const struct edit *edit)
{
    size_t start = record->length;
    (void)buf_extend(record, MANIFEST_RECORD_HEADER_BYTES);
    manifest_encode(record, synced_through, edit, options->keyspaces, options->keyspace_count);
    if (buf_failed(record)) {
        return false;
    }
    uint8_t *at = record->data + start;
    struct slice payload = slice_from(buf_slice(record), start + MANIFEST_RECORD_HEADER_BYTES);
    put_le32(at, (uint32_t)payload.length);
    put_le32(at + 4, manifest_record_crc(number, offset, at, payload));
    return true;
}

/* The same at the end of manifest->record. */
static bool frame(struct manifest *manifest, uint64_t number, uint64_t offset,
                  uint64_t synced_through, const struct edit *edit)
{
    return frame_into(&manifest->options, &manifest->record, number, offset, synced_through, edit);
}

/* Unsynced and allowed to fail: it only helps a later reader to tell rot from a torn write. */
static void attest(struct manifest *manifest)
{
    struct edit nothing;
    edit_init(&nothing, manifest->options.alloc);
    buf_clear(&manifest->record);
    if (frame(manifest, manifest->number, manifest->end, manifest->synced_through, &nothing) &&
        file_write(manifest->file, manifest->end, buf_slice(&manifest->record), NULL) ==
            STATUS_OK) {
        manifest->end += manifest->record.length;
    }
    edit_release(&nothing);
}

enum status manifest_append(struct manifest *manifest, const struct edit *edit, struct error *err)
{
    struct error local = ERROR_INIT;
    err = err == NULL ? &local : err;
    if (manifest->failed) {
        *err = manifest->failure;
        return manifest->failure.status;
    }
    buf_clear(&manifest->record);
    if (edit_failed(edit) ||
        !frame(manifest, manifest->number, manifest->end, manifest->synced_through, edit)) {
        return no_memory(err);
    }
    enum status status =
        file_write(manifest->file, manifest->end, buf_slice(&manifest->record), err);
    if (status == STATUS_RESOURCE_EXHAUSTED) {
        /* Not a byte of it counts: a whole record here that the next open finds would be an
         * edit that its writer believes undone. */
        struct error ignored = ERROR_INIT;
        enum status cut = file_truncate(manifest->file, manifest->end, &ignored);
        if (cut != STATUS_OK) {
            *err = ignored;
            return fail(manifest, err);
        }
        return status;
    }
    if (status != STATUS_OK) {
        return fail(manifest, err);
    }
    status = file_sync(manifest->file, err);
    if (status != STATUS_OK) {
        return fail(manifest, err);
    }
    manifest->end += manifest->record.length;
    manifest->synced_through = manifest->end;
    attest(manifest);
    return STATUS_OK;
}

bool manifest_wants_rewrite(const struct manifest *manifest)
{
    uint64_t limit = 4 * manifest->full_bytes;
    return manifest->end > (limit > REWRITE_BYTES_MIN ? limit : REWRITE_BYTES_MIN);
}

/* What a file must be that begins with `full`, or with less, and goes on with what these keyspaces
 * may add. */
static uint32_t version_of(const struct manifest_options *options, const struct edit *full)
{
    bool times = edit_floor_count(full) > 0;
    for (size_t i = 0; i < options->keyspace_count && !times; i++) {
        times = options->keyspaces[i].timed;
    }
    for (size_t i = 0; i < edit_add_count(full) && !times; i++) {
        times = edit_add_at(full, i).times.known;
    }
    return times ? MANIFEST_VERSION_TIMES : MANIFEST_VERSION;
}

bool manifest_is_too_old(const struct manifest *manifest)
{
    struct edit nothing;
    edit_init(&nothing, manifest->options.alloc);
    return manifest->version < version_of(&manifest->options, &nothing);
}

bool manifest_image(const struct manifest_options *options, uint64_t number,
                    const struct edit *full, struct buf *out)
{
    CHECK(full->full && !edit_failed(full));
    buf_clear(out);
    uint8_t *header = buf_extend(out, MANIFEST_HEADER_BYTES);
    if (header == NULL) {
        return false;
    }
    memcpy(header, MANIFEST_MAGIC, strlen(MANIFEST_MAGIC));
    put_le32(header + 8, version_of(options, full));
    put_le32(header + 12, crc32c_extend(0, header, 12));
    return frame_into(options, out, number, MANIFEST_HEADER_BYTES, 0, full);
}

/* Writes and syncs the new file's header and first record. */
static enum status write_first(struct manifest *manifest, const char *path, uint64_t number,
                               const struct edit *full, struct file **out, struct error *err)
{
    struct buf *record = &manifest->record;
    if (!manifest_image(&manifest->options, number, full, record)) {
        return no_memory(err);
    }
    struct file *file = NULL;
    enum status status = fs_open(manifest->options.fs, path,
                                 FS_READ | FS_WRITE | FS_CREATE | FS_TRUNCATE, &file, err);
    if (status != STATUS_OK) {
        return status;
    }
    status = file_write(file, 0, buf_slice(record), err);
    if (status == STATUS_OK) {
        status = file_sync(file, err);
    }
    if (status == STATUS_OK) {
        status = fs_sync_dir(manifest->options.fs, manifest->options.dir, err);
    }
    if (status != STATUS_OK) {
        file_close(file);
        return status;
    }
    *out = file;
    return STATUS_OK;
}

static enum status point_current(struct manifest *manifest, uint64_t number, struct error *err)
{
    char path[PATH_BYTES_MAX];
    char text[MANIFEST_NAME_BYTES + 1];
    enum status status = path_join(path, manifest->options.dir, "CURRENT", err);
    if (status != STATUS_OK) {
        return status;
    }
    int length = snprintf(text, sizeof text, "MANIFEST-%06" PRIu64 "\n", number);
    return fs_replace_file(manifest->options.fs, manifest->options.dir, path,
                           slice_of(text, (size_t)length), err);
}

static enum status switch_to(struct manifest *manifest, uint64_t number, const struct edit *full,
                             struct error *err)
{
    CHECK(full->full);
    if (edit_failed(full)) {
        return no_memory(err);
    }
    char path[PATH_BYTES_MAX];
    struct file *file = NULL;
    enum status status = manifest_path(manifest, number, path, err);
    if (status == STATUS_OK) {
        status = write_first(manifest, path, number, full, &file, err);
    }
    uint64_t length = manifest->record.length;
    if (status == STATUS_OK) {
        status = point_current(manifest, number, err);
    }
    if (status != STATUS_OK) {
        file_close(file);
        return status;
    }
    file_close(manifest->file);
    manifest->file = file;
    manifest->number = number;
    manifest->version = version_of(&manifest->options, full);
    manifest->end = length;
    manifest->synced_through = length;
    manifest->full_bytes = length;
    attest(manifest);
    return STATUS_OK;
}

enum status manifest_rewrite(struct manifest *manifest, uint64_t number, const struct edit *full,
                             struct error *err)
{
    struct error local = ERROR_INIT;
    err = err == NULL ? &local : err;
    CHECK(number > manifest->number);
    if (manifest->failed) {
        *err = manifest->failure;
        return manifest->failure.status;
    }
    char old[PATH_BYTES_MAX];
    enum status status = manifest_path(manifest, manifest->number, old, err);
    if (status == STATUS_OK) {
        status = switch_to(manifest, number, full, err);
    }
    if (status == STATUS_RESOURCE_EXHAUSTED) {
        return status; /* CURRENT was not touched; the next rewrite has another number */
    }
    if (status != STATUS_OK) {
        return fail(manifest, err);
    }
    /* What stays is an orphan that the next open removes. */
    (void)(fs_unlink(manifest->options.fs, old, NULL) == STATUS_OK);
    return STATUS_OK;
}

/* --- life ---------------------------------------------------------------------------------- */

static enum status create(struct manifest *manifest, struct manifest_state *state,
                          struct error *err)
{
    struct edit empty;
    edit_init(&empty, manifest->options.alloc);
    empty.full = true;
    empty.next_file = 2;
    enum status status = switch_to(manifest, 1, &empty, err);
    edit_release(&empty);
    state->next_file = 2;
    state->keyspace_count = manifest->options.keyspace_count;
    return status;
}

enum status manifest_open(const struct manifest_options *options, struct manifest_state *state,
                          struct manifest **out, struct error *err)
{
    char current[PATH_BYTES_MAX];
    enum status status = path_join(current, options->dir, "CURRENT", err);
    bool exists = false;
    if (status == STATUS_OK) {
        status = fs_exists(options->fs, current, &exists, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct manifest *manifest = alloc_zeroed(options->alloc, 1, sizeof *manifest);
    if (manifest == NULL) {
        return no_memory(err);
    }
    manifest->options = *options;
    buf_init(&manifest->record, options->alloc, MANIFEST_RECORD_BYTES_MAX);
    if (exists) {
        status = manifest_read_current(options, &manifest->number, err);
        if (status == STATUS_OK) {
            status = load(manifest, state, err);
        }
    } else {
        status = create(manifest, state, err);
    }
    if (status != STATUS_OK) {
        manifest_close(manifest);
        return status;
    }
    *out = manifest;
    return STATUS_OK;
}

void manifest_close(struct manifest *manifest)
{
    if (manifest == NULL) {
        return;
    }
    file_close(manifest->file);
    buf_release(&manifest->record);
    alloc_free(manifest->options.alloc, manifest);
}

uint64_t manifest_number(const struct manifest *manifest)
{
    return manifest->number;
}
