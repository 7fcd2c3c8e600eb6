/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/inspect/place.h"

#include <string.h>

#include "storage/metrics.h"
#include "storage/tree/store_file.h"
#include "storage/wal/format.h"

struct looking {
    bool tables;
    bool segments;
};

static enum status each_name(void *context, const char *name, struct error *err)
{
    struct looking *looking = context;
    uint64_t number = 0;
    enum store_file kind = store_file_of(name, &number);
    (void)err;
    looking->tables = looking->tables || kind == STORE_FILE_TABLE || kind == STORE_FILE_MANIFEST ||
                      kind == STORE_FILE_CURRENT;
    looking->segments = looking->segments || wal_segment_name_parse(name, &number);
    return STATUS_OK;
}

/* Joins, and sets *found if it is there. */
static enum status look_for(struct store_place *place, const char *dir, const char *name, char *out,
                            bool *found, struct error *err)
{
    enum status status = path_join(out, dir, name, err);
    return status == STATUS_OK ? fs_exists(place->fs, out, found, err) : status;
}

static enum status find_parts(struct store_place *place, const char *dir, struct error *err)
{
    enum status status = look_for(place, dir, "tables", place->tables, &place->has_tables, err);
    if (status == STATUS_OK) {
        status = look_for(place, dir, "wal", place->log, &place->has_log, err);
    }
    if (status == STATUS_OK && !place->has_log) {
        status = look_for(place, dir, "log", place->log, &place->has_log, err);
    }
    if (status == STATUS_OK) {
        status = path_join(place->metrics, dir, STORAGE_METRICS_FILE, err);
    }
    return status;
}

enum status store_place_parent(char *out, const char *dir, struct error *err)
{
    size_t length = strlen(dir);
    while (length > 1 && dir[length - 1] == '/') {
        length--;
    }
    size_t slash = length;
    while (slash > 0 && dir[slash - 1] != '/') {
        slash--;
    }
    bool named = !(length - slash == 1 && dir[slash] == '.') &&
                 !(length - slash == 2 && memcmp(dir + slash, "..", 2) == 0);
    if (!named) {
        return path_join(out, dir, "..", err);
    }
    if (slash == 0) {
        memcpy(out, ".", 2);
    } else {
        size_t kept = slash == 1 ? 1 : slash - 1;
        memcpy(out, dir, kept);
        out[kept] = '\0';
    }
    return STATUS_OK;
}

/* DIR/lock, or that of the directory above if it is there. */
static enum status find_lock(struct store_place *place, const char *dir, bool is_part,
                             struct error *err)
{
    char parent[PATH_BYTES_MAX];
    enum status status = STATUS_OK;
    if (is_part) {
        status = store_place_parent(parent, dir, err);
        if (status == STATUS_OK) {
            status = look_for(place, parent, "lock", place->lock, &place->has_lock, err);
        }
    }
    if (status == STATUS_OK && !place->has_lock) {
        status = look_for(place, dir, "lock", place->lock, &place->has_lock, err);
    }
    return status;
}

enum status store_place_find(struct store_place *place, struct fs *fs, struct alloc *alloc,
                             const char *dir, struct error *err)
{
    struct looking looking = {.tables = false};
    *place = (struct store_place){.fs = fs, .alloc = alloc};
    size_t length = strlen(dir);
    if (length == 0 || length >= PATH_BYTES_MAX - 64) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "a directory's name of %zu bytes", length);
    }
    enum status status = fs_list(fs, dir, each_name, &looking, err);
    if (status != STATUS_OK) {
        return status;
    }
    bool is_part = looking.tables || looking.segments;
    if (is_part) {
        place->has_tables = looking.tables;
        place->has_log = looking.segments;
        memcpy(place->tables, dir, length + 1);
        memcpy(place->log, dir, length + 1);
    } else {
        status = find_parts(place, dir, err);
    }
    if (status == STATUS_OK && !place->has_tables && !place->has_log) {
        return error_set(err, STATUS_NOT_FOUND,
                         "%.300s: neither tables (CURRENT), nor a log (*.wal), nor a directory of "
                         "both (tables, wal)",
                         dir);
    }
    return status == STATUS_OK ? find_lock(place, dir, is_part, err) : status;
}

enum status store_place_lock(struct store_place *place, bool make, struct error *err)
{
    if (!place->has_lock && !make) {
        return STATUS_OK;
    }
    enum status status = fs_lock(place->fs, place->lock, &place->held, err);
    if (status == STATUS_FAILED_PRECONDITION) {
        return error_set(err, status, "%.300s: in use: stop the node first", place->lock);
    }
    return status;
}

void store_place_release(struct store_place *place)
{
    file_close(place->held);
    place->held = NULL;
}
