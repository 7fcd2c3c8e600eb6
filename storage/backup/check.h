/* SPDX-License-Identifier: Apache-2.0
 *
 * Check: whether all that the manifests of a directory of backups name is there and as it was:
 * each manifest whole, each file with its size and digest, each table sound inside and the one
 * that the backup means. Each file is read once, however many backups name it. Nothing is changed.
 *
 * In steps, as a backup; one thread at a time. The directory of backups is locked meanwhile.
 */
#ifndef ESTREAT_STORAGE_BACKUP_CHECK_H
#define ESTREAT_STORAGE_BACKUP_CHECK_H

#include "base/alloc.h"
#include "base/fs.h"

struct backup_check;

struct backup_check_options {
    struct fs *fs; /* borrowed */
    struct alloc *alloc;
    const char *dir;   /* copied */
    size_t step_bytes; /* 0: 1 MiB */
    /* Gets each fault, CORRUPT with file, offset and cause. */
    void (*on_fault)(void *context, const struct error *fault);
    void *context;
};

struct backup_checked {
    uint64_t backups; /* whose manifests could be read */
    uint64_t files;
    uint64_t bytes; /* of them */
};

/* Returns owned. NOT_FOUND: no such directory; FAILED_PRECONDITION: it is in use. */
enum status backup_check_start(const struct backup_check_options *options,
                               struct backup_check **out, struct error *err) MUST_USE;

/* Does the next piece; *done: that was all. An error is none of the backups' but of the looking. */
enum status backup_check_step(struct backup_check *check, bool *done, struct error *err) MUST_USE;

/* All steps. */
enum status backup_check_run(struct backup_check *check, struct error *err) MUST_USE;

const struct backup_checked *backup_check_result(const struct backup_check *check);

void backup_check_free(struct backup_check *check); /* NULL is allowed */

#endif
