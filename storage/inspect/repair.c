/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/inspect/repair.h"

#include <inttypes.h>

#include "base/check.h"
#include "storage/inspect/start.h"
#include "storage/inspect/verify.h"
#include "storage/tree/store_file.h"
#include "storage/wal/scan.h"

/* --- a lost CURRENT ------------------------------------------------------------------------ */

struct manifests {
    uint64_t number;
    size_t count;
};

static enum status each_manifest(void *context, const char *name, struct error *err)
{
    struct manifests *manifests = context;
    uint64_t number = 0;
    (void)err;
    if (store_file_of(name, &number) == STORE_FILE_MANIFEST) {
        manifests->number = number;
        manifests->count++;
    }
    return STATUS_OK;
}

static enum status each_unknown(void *context, const char *name, struct error *err)
{
    const struct inspect_tables *tables = context;
    uint64_t number = 0;
    if (store_file_of(name, &number) == STORE_FILE_TABLE && !inspect_tables_has(tables, number)) {
        return error_set(err, STATUS_CORRUPT,
                         "%.300s/%s: the manifest does not know it, so there "
                         "may have been a later one",
                         tables->place->tables, name);
    }
    return STATUS_OK;
}

/* CORRUPT says why it is not proven that MANIFEST-<number> is the one that was named. */
static enum status prove_manifest(const struct store_place *place, uint64_t *number,
                                  struct error *err)
{
    struct manifests manifests = {.count = 0};
    enum status status = fs_list(place->fs, place->tables, each_manifest, &manifests, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (manifests.count != 1) {
        return error_set(err, STATUS_CORRUPT, "%.300s: %zu manifests, one of which was named",
                         place->tables, manifests.count);
    }
    struct inspect_tables tables;
    status = inspect_tables_open_as(&tables, place, manifests.number, err);
    if (status == STATUS_OK && tables.reading.end < tables.reading.bytes) {
        status = error_set(err, STATUS_CORRUPT,
                           "%.300s: the manifest's end is not whole, so it may not be all",
                           place->tables);
    }
    if (status == STATUS_OK) {
        status = fs_list(place->fs, place->tables, each_unknown, &tables, err);
    }
    inspect_tables_release(&tables);
    *number = manifests.number;
    return status;
}

static enum status write_current(const struct store_place *place, uint64_t number,
                                 struct error *err)
{
    char path[PATH_BYTES_MAX];
    char name[MANIFEST_NAME_BYTES];
    char text[MANIFEST_NAME_BYTES + 1];
    enum status status = path_join(path, place->tables, "CURRENT", err);
    if (status != STATUS_OK) {
        return status;
    }
    int length = snprintf(text, sizeof text, "%s\n", manifest_file_name(name, number));
    CHECK(length > 0 && (size_t)length < sizeof text);
    return fs_replace_file(place->fs, place->tables, path, slice_of(text, (size_t)length), err);
}

/* `faults` are all of the directory's: if there are others than that of CURRENT, it stays. */
static enum status repair_current(const struct store_place *place, struct report *report,
                                  uint64_t faults, bool *done, struct error *err)
{
    struct error found = ERROR_INIT;
    uint64_t number = 0;
    enum status status =
        faults > 1 ? error_set(&found, STATUS_CORRUPT, "%.300s: CURRENT is not all that is damaged",
                               place->tables)
                   : prove_manifest(place, &number, &found);
    *done = false;
    if (status == STATUS_CORRUPT) {
        (void)fprintf(report->messages, "not repaired: %s\n", found.text);
        return STATUS_OK;
    }
    if (status == STATUS_OK) {
        status = write_current(place, number, &found);
        *done = status == STATUS_OK;
    }
    if (*done) {
        char name[MANIFEST_NAME_BYTES];
        (void)fprintf(report->messages, "repaired: %s/CURRENT names %s, the only manifest\n",
                      place->tables, manifest_file_name(name, number));
    }
    return report_end(report, status, &found, err);
}

/* --- what a start does --------------------------------------------------------------------- */

static enum status start_tables(const struct store_place *place, struct error *err)
{
    struct inspect_tables tables;
    struct engine *engine = NULL;
    enum status status = inspect_tables_open(&tables, place, err);
    if (status == STATUS_OK && tables.state.keyspace_count > 0) {
        status = inspect_start(&tables, &engine, err);
    }
    engine_close(engine);
    inspect_tables_release(&tables);
    return status;
}

static enum status start_log(const struct store_place *place, struct error *err)
{
    struct wal_scan scan = {
        .fs = place->fs, .alloc = place->alloc, .dir = place->log, .any_identity = true};
    enum status status = wal_scan_run(&scan, err);
    wal_scan_release(&scan);
    return status;
}

/* --- all of it ----------------------------------------------------------------------------- */

static void advise(const struct store_place *place, const struct verified *found,
                   struct report *report)
{
    if (found->table_faults > 0) {
        (void)fprintf(report->messages,
                      "to do: keep a copy of %s; then either bring back the damaged files from a "
                      "backup, or take a snapshot from another member: set this one up anew, under "
                      "a new id, and it pulls one\n",
                      place->tables);
    }
    if (found->log_faults > 0) {
        (void)fprintf(report->messages,
                      "to do: keep a copy of %s; then start the node while the others run: it ends "
                      "its log before the damage, and they send what it lacks; a node alone needs "
                      "the damaged files back from a backup\n",
                      place->log);
    }
}

/* The parts that are sound are started; *again: what was found is not what is there now. */
static enum status put_right(const struct store_place *place, const struct verified *found,
                             struct report *report, bool *again, struct error *err)
{
    bool tables_good = place->has_tables && found->table_faults == 0;
    enum status status = STATUS_OK;
    *again = false;
    if (found->current_lost) {
        status = repair_current(place, report, found->table_faults, &tables_good, err);
        *again = tables_good;
    }
    struct error end = ERROR_INIT;
    if (status == STATUS_OK && tables_good) {
        /* No CURRENT and no table is no store yet, and none is made. */
        enum status started = start_tables(place, &end);
        *again = *again || started == STATUS_OK;
        status = started == STATUS_NOT_FOUND ? STATUS_OK : report_end(report, started, &end, err);
    }
    if (status == STATUS_OK && place->has_log && found->log_faults == 0) {
        enum status started = start_log(place, &end);
        *again = *again || started == STATUS_OK;
        status = report_end(report, started, &end, err);
    }
    return status;
}

enum status inspect_repair(const struct store_place *place, struct report *report,
                           struct error *err)
{
    CHECK(place->held != NULL);
    struct verified found;
    bool again = false;
    enum status status = inspect_verify(place, report, &found, err);
    if (status == STATUS_OK && report->unread > 0) {
        (void)fprintf(report->messages, "not repaired: not everything could be read\n");
        return STATUS_OK;
    }
    if (status == STATUS_OK) {
        status = put_right(place, &found, report, &again, err);
    }
    if (status == STATUS_OK && again && report->unread == 0) {
        (void)fprintf(report->messages, "verified again:\n");
        report->faults = 0;
        status = inspect_verify(place, report, &found, err);
    }
    if (status == STATUS_OK) {
        advise(place, &found, report);
    }
    return status;
}
