/* SPDX-License-Identifier: Apache-2.0
 *
 * Restore: a backup made a store again, in a directory of its own: tables, manifest, and
 * CURRENT last, so that what is not whole is no store that opens. Each file is held against
 * its digest on the way and read back with all its checksums.
 *
 * What a node needs besides: storage/backup/backup.h.
 *
 * In steps, as a backup; one thread at a time. The directory of backups is locked meanwhile.
 */
#ifndef ESTREAT_STORAGE_BACKUP_RESTORE_H
#define ESTREAT_STORAGE_BACKUP_RESTORE_H

#include "base/alloc.h"
#include "base/fs.h"

struct restore;

struct restore_options {
    struct fs *fs; /* borrowed */
    struct alloc *alloc;
    const char *from;  /* directory of backups; copied */
    uint64_t number;   /* which; 0: the newest */
    const char *to;    /* copied; not there, or empty; its parent must be there */
    size_t step_bytes; /* 0: 1 MiB */
};

struct restored {
    uint64_t number; /* of the backup */
    uint64_t tables;
    uint64_t bytes; /* of them */
};

/* Returns owned. NOT_FOUND: no such backup; FAILED_PRECONDITION: there is something in `to`, or
 * somebody works with the backups; CORRUPT: the backup's manifest is damaged. Nothing was written
 * then. */
enum status restore_start(const struct restore_options *options, struct restore **out,
                          struct error *err) MUST_USE;

/* Does the next piece. When *done, the store is there and durable. After an error, CORRUPT for a
 * damaged or missing file of the backup, it is not, and no step follows; the directory is left as
 * it is, without CURRENT, and is to be removed. */
enum status restore_step(struct restore *restore, bool *done, struct error *err) MUST_USE;

/* All steps. */
enum status restore_run(struct restore *restore, struct error *err) MUST_USE;

const struct restored *restore_result(const struct restore *restore);

void restore_free(struct restore *restore); /* NULL is allowed */

#endif
