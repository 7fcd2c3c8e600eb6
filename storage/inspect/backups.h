/* SPDX-License-Identifier: Apache-2.0
 *
 * Backups: what the tool does with a directory of them (storage/backup/directory.h), for a store
 * whose owner is not running.
 */
#ifndef ESTREAT_STORAGE_INSPECT_BACKUPS_H
#define ESTREAT_STORAGE_INSPECT_BACKUPS_H

#include "storage/inspect/place.h"
#include "storage/inspect/report.h"

struct inspect_backup_options {
    uint64_t keep; /* so many of the newest; 0: all */
    bool link;
    bool full;
};

/* Starts the tables as repair does, and makes a backup of them in `backups`. Requires the place's
 * lock. What it made is a line; older manifests that are damaged are faults. FAILED_PRECONDITION:
 * there are no tables. */
enum status inspect_backup(const struct store_place *place, const char *backups,
                           const struct inspect_backup_options *options, struct report *report,
                           struct error *err) MUST_USE;

/* A line for each backup, and with `files` one for each of its files; backups whose manifests are
 * damaged are faults. NOT_FOUND: none there. */
enum status inspect_backups(struct fs *fs, struct alloc *alloc, const char *backups, bool files,
                            struct report *report, struct error *err) MUST_USE;

/* Reads everything that the backups name. */
enum status inspect_backups_verify(struct fs *fs, struct alloc *alloc, const char *backups,
                                   struct report *report, struct error *err) MUST_USE;

/* Makes `to` the store that backup `number` (0: the newest) holds; a line says which. */
enum status inspect_restore(struct fs *fs, struct alloc *alloc, const char *backups,
                            uint64_t number, const char *to, struct report *report,
                            struct error *err) MUST_USE;

#endif
