/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/inspect/dump.h"

#include <string.h>

#include "storage/inspect/dump_parts.h"
#include "storage/inspect/tables.h"
#include "storage/tree/store_file.h"
#include "storage/wal/format.h"

static enum status dump_live(const struct inspect_tables *tables, struct report *report,
                             struct error *err)
{
    const struct store_place *place = tables->place;
    const struct edit *live = &tables->state.tables;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < edit_add_count(live) && status == STATUS_OK; i++) {
        char name[TABLE_FILE_NAME_BYTES];
        char path[PATH_BYTES_MAX];
        (void)table_file_name(name, edit_add_at(live, i).number);
        status = path_join(path, place->tables, name, err);
        if (status == STATUS_OK) {
            status = dump_table(place->fs, place->alloc, path, name, report, err);
        }
    }
    return status;
}

static enum status dump_tables(const struct store_place *place, struct report *report,
                               struct error *err)
{
    struct inspect_tables tables;
    struct error found = ERROR_INIT;
    enum status status = inspect_tables_open(&tables, place, &found);
    if (tables.number != 0) {
        /* What the manifest says, up to where it is damaged; the damage is told there. */
        enum status shown =
            dump_manifest(place->fs, place->alloc, place->tables, tables.number, report, err);
        if (shown != STATUS_OK || status != STATUS_OK) {
            inspect_tables_release(&tables);
            return shown;
        }
    }
    status = status == STATUS_OK ? dump_live(&tables, report, err)
                                 : report_end(report, status, &found, err);
    inspect_tables_release(&tables);
    return status;
}

enum status inspect_dump(const struct store_place *place, struct report *report, struct error *err)
{
    enum status status = STATUS_OK;
    if (place->has_tables) {
        status = dump_tables(place, report, err);
    }
    if (status == STATUS_OK && place->has_log) {
        status = dump_log(place->fs, place->alloc, place->log, 0, report, err);
    }
    return status;
}

enum status inspect_dump_file(struct fs *fs, struct alloc *alloc, const char *path,
                              struct report *report, struct error *err)
{
    char dir[PATH_BYTES_MAX];
    bool exists = false;
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    if (strlen(path) >= sizeof dir) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "a file's name of %zu bytes", strlen(path));
    }
    memcpy(dir, path, length);
    dir[length] = '\0';
    if (length == 0) {
        memcpy(dir, slash == NULL ? "." : "/", 2);
    }
    enum status status = fs_exists(fs, path, &exists, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (!exists) {
        return error_set(err, STATUS_NOT_FOUND, "%.300s: no such file", path);
    }
    uint64_t number = 0;
    if (wal_segment_name_parse(name, &number)) {
        return dump_log(fs, alloc, dir, number, report, err);
    }
    switch (store_file_of(name, &number)) {
    case STORE_FILE_TABLE:
        return dump_table(fs, alloc, path, name, report, err);
    case STORE_FILE_MANIFEST:
        return dump_manifest(fs, alloc, dir, number, report, err);
    default:
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "%.300s: neither a table (*.sst), nor a manifest (MANIFEST-*), nor a "
                         "segment of a log (*.wal)",
                         path);
    }
}
