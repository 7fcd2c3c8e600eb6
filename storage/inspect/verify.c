/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/inspect/verify.h"

#include <inttypes.h>

#include "storage/engine_internal.h"
#include "storage/inspect/tables.h"
#include "storage/tree/store_file.h"
#include "storage/wal/files.h"

static void note(struct report *report, const char *dir, const char *name, const char *what)
{
    (void)fprintf(report->messages, "note: %s/%s: %s\n", dir, name, what);
}

/* --- tables -------------------------------------------------------------------------------- */

/* One table, by itself: `file` NULL if no manifest says what it should be. */
static enum status verify_table(const struct store_place *place, uint64_t number,
                                const struct table_file *file, struct report *report,
                                struct verified *out, struct error *err)
{
    char name[TABLE_FILE_NAME_BYTES];
    char path[PATH_BYTES_MAX];
    struct table *table = NULL;
    struct error found = ERROR_INIT;
    enum status status = path_join(path, place->tables, table_file_name(name, number), err);
    if (status != STATUS_OK) {
        return status;
    }
    const struct table_open_options options = {.fs = place->fs,
                                               .alloc = place->alloc,
                                               .path = path,
                                               .file_number = number,
                                               .file_bytes = file == NULL ? 0 : file->bytes};
    status = table_open(&options, &table, &found);
    if (status == STATUS_NOT_FOUND) {
        status = error_set(&found, STATUS_CORRUPT, "%.300s at 0: the table is missing", path);
    }
    if (status == STATUS_OK) {
        status = table_find_faults(table, report_fault, report, &found);
    }
    if (status == STATUS_OK && file != NULL) {
        status = engine_check_table_is(file, table, &found);
    }
    if (table != NULL) {
        out->tables++;
        out->table_bytes += table_get_info(table)->file_bytes;
    }
    table_unref(table);
    return report_end(report, status, &found, err);
}

static enum status verify_live(const struct inspect_tables *tables, struct report *report,
                               struct verified *out, struct error *err)
{
    enum status status = STATUS_OK;
    for (unsigned keyspace = 0; keyspace < tables->state.keyspace_count; keyspace++) {
        for (unsigned level = 0; level < TREE_LEVELS; level++) {
            size_t count = version_count(tables->version, keyspace, level);
            for (size_t i = 0; i < count && status == STATUS_OK; i++) {
                const struct table_file *file = version_at(tables->version, keyspace, level, i);
                status = verify_table(tables->place, file->number, file, report, out, err);
            }
        }
    }
    return status;
}

struct listing {
    const struct store_place *place;
    const struct inspect_tables *tables; /* NULL: there is no manifest that could be read */
    struct report *report;
    struct verified *out;
    size_t table_files;
};

/* Files that nothing names; without a manifest each table is looked at by itself. */
static enum status each_file(void *context, const char *name, struct error *err)
{
    struct listing *listing = context;
    uint64_t number = 0;
    enum store_file kind = store_file_of(name, &number);
    const char *dir = listing->place->tables;
    listing->table_files += kind == STORE_FILE_TABLE ? 1 : 0;
    bool left = kind == STORE_FILE_CURRENT_NEW;
    if (listing->tables == NULL) {
        return kind == STORE_FILE_TABLE
                   ? verify_table(listing->place, number, NULL, listing->report, listing->out, err)
                   : STATUS_OK;
    }
    left = left || (kind == STORE_FILE_TABLE && !inspect_tables_has(listing->tables, number)) ||
           (kind == STORE_FILE_MANIFEST && number != listing->tables->number);
    if (left) {
        note(listing->report, dir, name, "nothing names it; the next start removes it");
        listing->out->leftovers++;
    }
    return STATUS_OK;
}

static void note_torn(const struct inspect_tables *tables, struct report *report)
{
    char name[MANIFEST_NAME_BYTES];
    const struct manifest_reading *reading = &tables->reading;
    if (reading->end < reading->bytes) {
        (void)fprintf(report->messages,
                      "note: %s/%s at %" PRIu64 ": %" PRIu64
                      " bytes of a write that did not end; the next start cuts them off\n",
                      tables->place->tables, manifest_file_name(name, tables->number), reading->end,
                      reading->bytes - reading->end);
    }
}

static enum status verify_tables(const struct store_place *place, struct report *report,
                                 struct verified *out, struct error *err)
{
    struct inspect_tables tables;
    struct error found = ERROR_INIT;
    uint64_t faults = report->faults;
    enum status status = inspect_tables_open(&tables, place, &found);
    bool no_current = status == STATUS_NOT_FOUND;
    bool readable = status == STATUS_OK;
    out->current_lost =
        no_current || (status == STATUS_CORRUPT && strstr(found.text, "/CURRENT at") != NULL);
    struct listing listing = {
        .place = place, .tables = readable ? &tables : NULL, .report = report, .out = out};
    status = no_current ? STATUS_OK : report_end(report, status, &found, err);
    if (status == STATUS_OK && readable) {
        note_torn(&tables, report);
        status = verify_live(&tables, report, out, err);
    }
    if (status == STATUS_OK) {
        status = fs_list(place->fs, place->tables, each_file, &listing, err);
    }
    if (status == STATUS_OK && no_current && listing.table_files == 0) {
        out->current_lost = false;
        note(report, place->tables, "CURRENT", "not there, and no table: no store yet");
    } else if (status == STATUS_OK && no_current) {
        (void)error_set(&found, STATUS_CORRUPT,
                        "%.300s/CURRENT at 0: missing, but there are tables", place->tables);
        report_fault(report, &found);
    }
    out->table_faults = report->faults - faults;
    inspect_tables_release(&tables);
    return status;
}

/* --- the log ------------------------------------------------------------------------------- */

/* What a start removes, and what a salvage has set aside. */
static enum status each_log_file(void *context, const char *name, struct error *err)
{
    struct listing *listing = context;
    (void)err;
    size_t length = strlen(name);
    const size_t suffix = strlen(WAL_TEMPORARY_SUFFIX);
    if (length > suffix && strcmp(name + length - suffix, WAL_TEMPORARY_SUFFIX) == 0) {
        note(listing->report, listing->place->log, name,
             "made ahead or to be reused; the next start removes it");
        listing->out->leftovers++;
    }
    return STATUS_OK;
}

static enum status verify_log(const struct store_place *place, struct report *report,
                              struct verified *out, struct error *err)
{
    const struct wal_walk_options options = {.fs = place->fs,
                                             .alloc = place->alloc,
                                             .dir = place->log,
                                             .on_fault = report_fault,
                                             .context = report};
    struct listing listing = {.place = place, .report = report, .out = out};
    struct error found = ERROR_INIT;
    uint64_t faults = report->faults;
    enum status status = wal_walk(&options, &out->log, &found);
    status = report_end(report, status, &found, err);
    out->log_faults = report->faults - faults;
    if (status == STATUS_OK && out->log.torn_bytes > 0) {
        (void)fprintf(report->messages,
                      "note: %s/%016" PRIx64 ".wal at %" PRIu64 ": %" PRIu64
                      " bytes of a write that did not end; the next start writes over them\n",
                      place->log, out->log.end.file, out->log.end.offset, out->log.torn_bytes);
    }
    return status == STATUS_OK ? fs_list(place->fs, place->log, each_log_file, &listing, err)
                               : status;
}

enum status inspect_verify(const struct store_place *place, struct report *report,
                           struct verified *out, struct error *err)
{
    *out = (struct verified){.tables = 0};
    enum status status = STATUS_OK;
    if (place->has_tables) {
        status = verify_tables(place, report, out, err);
    }
    if (status == STATUS_OK && place->has_log) {
        status = verify_log(place, report, out, err);
    }
    return status;
}
