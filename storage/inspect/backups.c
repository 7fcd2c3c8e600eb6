/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/inspect/backups.h"

#include <inttypes.h>
#include <time.h>

#include "base/check.h"
#include "storage/backup/backup.h"
#include "storage/backup/check.h"
#include "storage/backup/directory.h"
#include "storage/backup/restore.h"
#include "storage/inspect/start.h"

/* --- making -------------------------------------------------------------------------------- */

static enum status make(struct engine *engine, const char *backups,
                        const struct inspect_backup_options *options, struct report *report,
                        struct error *err)
{
    struct backup *backup = NULL;
    const struct backup_options how = {.dir = backups,
                                       .link = options->link,
                                       .full = options->full,
                                       .policy = {.keep = options->keep}};
    enum status status = backup_start(engine, &how, &backup, err);
    if (status == STATUS_OK) {
        status = backup_run(backup, err);
    }
    if (status == STATUS_OK) {
        const struct backup_made *made = backup_result(backup);
        if (made->damaged > 0) {
            report_fault(report, &made->damage);
            report->faults += made->damaged - 1;
        }
        (void)fprintf(report->lines,
                      "backup number=%" PRIu64 " tables=%" PRIu64 " bytes=%" PRIu64 " %s=%" PRIu64
                      " bytes_copied=%" PRIu64 " removed=%" PRIu64 "\n",
                      made->number, made->tables, made->bytes, options->link ? "linked" : "copied",
                      made->tables_copied, made->bytes_copied, made->removed);
    }
    backup_free(backup);
    return status;
}

enum status inspect_backup(const struct store_place *place, const char *backups,
                           const struct inspect_backup_options *options, struct report *report,
                           struct error *err)
{
    CHECK(place->held != NULL);
    struct inspect_tables tables;
    struct engine *engine = NULL;
    if (!place->has_tables) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%.300s: a log alone: there are no tables to back up", place->log);
    }
    enum status status = inspect_tables_open(&tables, place, err);
    if (status == STATUS_NOT_FOUND) {
        status = error_set(err, STATUS_CORRUPT, "%.300s/CURRENT at 0: missing", place->tables);
    }
    if (status == STATUS_OK) {
        status = inspect_start(&tables, &engine, err);
    }
    if (status == STATUS_OK) {
        status = make(engine, backups, options, report, err);
    }
    engine_close(engine);
    inspect_tables_release(&tables);
    return status;
}

/* --- looking ------------------------------------------------------------------------------- */

static void show(const struct backup_read *read, struct report *report)
{
    const struct backup_manifest *manifest = &read->manifest;
    uint64_t bytes = 0;
    uint64_t made = 0;
    size_t linked = 0;
    char when[CLOCK_TEXT_BYTES];
    for (size_t i = 0; i < backup_file_count(manifest); i++) {
        struct backup_file file = backup_file_at(manifest, i);
        bytes += file.bytes;
        linked += file.linked ? 1 : 0;
        made += file.made_by == manifest->number ? file.bytes : 0;
    }
    (void)fprintf(report->lines,
                  "backup number=%" PRIu64 " made=%s kind=%s tables=%zu linked=%zu bytes=%" PRIu64
                  " own_bytes=%" PRIu64 " seals=%" PRIu64 " sequence=%" PRIu64 "\n",
                  manifest->number, clock_text(when, manifest->made_at_ns),
                  manifest->full ? "full" : "increment", backup_file_count(manifest), linked, bytes,
                  made, read->state.seal_count, read->state.last_sequence);
}

static void show_files(const struct backup_manifest *manifest, struct report *report)
{
    for (size_t i = 0; i < backup_file_count(manifest); i++) {
        char name[BACKUP_NAME_BYTES];
        struct backup_file file = backup_file_at(manifest, i);
        (void)fprintf(report->lines,
                      "file backup=%" PRIu64 " table=%" PRIu64 " bytes=%" PRIu64 " name=%s",
                      manifest->number, file.table, file.bytes, backup_file_name(name, &file));
        for (size_t at = 0; !file.linked && at < DIGEST_BYTES; at++) {
            (void)fprintf(report->lines, "%s%02x", at == 0 ? " blake2b=" : "",
                          file.digest.bytes[at]);
        }
        (void)fputc('\n', report->lines);
    }
}

static enum status open_backups(struct backup_directory *directory, struct fs *fs,
                                struct alloc *alloc, const char *backups, struct error *err)
{
    enum status status = backup_directory_open(directory, fs, alloc, backups, false, false, err);
    if (status == STATUS_OK && backup_directory_count(directory) == 0) {
        status = error_set(err, STATUS_NOT_FOUND, "%.300s: no backup (BACKUP-*)", backups);
    }
    return status;
}

enum status inspect_backups(struct fs *fs, struct alloc *alloc, const char *backups, bool files,
                            struct report *report, struct error *err)
{
    struct backup_directory directory;
    enum status status = open_backups(&directory, fs, alloc, backups, err);
    for (size_t i = 0; status == STATUS_OK && i < backup_directory_count(&directory); i++) {
        struct backup_read read;
        struct error found = ERROR_INIT;
        status = backup_directory_read(&directory, backup_directory_number(&directory, i), &read,
                                       &found);
        if (status == STATUS_OK) {
            show(&read, report);
        }
        if (status == STATUS_OK && files) {
            show_files(&read.manifest, report);
        }
        backup_read_release(&read);
        status = report_end(report, status, &found, err);
    }
    backup_directory_release(&directory);
    return status;
}

enum status inspect_backups_verify(struct fs *fs, struct alloc *alloc, const char *backups,
                                   struct report *report, struct error *err)
{
    struct backup_check *check = NULL;
    const struct backup_check_options options = {
        .fs = fs, .alloc = alloc, .dir = backups, .on_fault = report_fault, .context = report};
    enum status status = backup_check_start(&options, &check, err);
    if (status == STATUS_OK) {
        status = backup_check_run(check, err);
    }
    if (status == STATUS_OK) {
        const struct backup_checked *checked = backup_check_result(check);
        (void)fprintf(report->lines,
                      "read %" PRIu64 " backups with %" PRIu64 " files of %" PRIu64 " bytes\n",
                      checked->backups, checked->files, checked->bytes);
    }
    backup_check_free(check);
    return status;
}

/* --- restoring ----------------------------------------------------------------------------- */

enum status inspect_restore(struct fs *fs, struct alloc *alloc, const char *backups,
                            uint64_t number, const char *to, struct report *report,
                            struct error *err)
{
    struct restore *restore = NULL;
    const struct restore_options options = {
        .fs = fs, .alloc = alloc, .from = backups, .number = number, .to = to};
    enum status status = restore_start(&options, &restore, err);
    if (status == STATUS_OK) {
        status = restore_run(restore, err);
        if (status != STATUS_OK) {
            (void)fprintf(report->messages, "note: %s: not a store: remove it\n", to);
        }
    }
    if (status == STATUS_OK) {
        const struct restored *restored = restore_result(restore);
        (void)fprintf(report->lines,
                      "restored number=%" PRIu64 " tables=%" PRIu64 " bytes=%" PRIu64 "\n",
                      restored->number, restored->tables, restored->bytes);
    }
    restore_free(restore);
    return status;
}
