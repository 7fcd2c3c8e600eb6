/* SPDX-License-Identifier: Apache-2.0
 *
 * Copy: a table's file copied in steps, into a new file that is then durable, and read back;
 * and what is checked of a table wherever it lies. Backups and restores are made of these.
 *
 * Linked files share their faults, so a copy is worth something only if it is looked at: the
 * digest says that the bytes are those that were read, and reading the copy back, past the
 * caches, with all its checksums, that those were a sound table and the disk has them.
 *
 * One thread at a time.
 */
#ifndef ESTREAT_STORAGE_BACKUP_COPY_H
#define ESTREAT_STORAGE_BACKUP_COPY_H

#include "base/fs.h"
#include "storage/backup/digest.h"
#include "storage/tree/edit.h"

/* Reads [offset, offset + length) of the source, all of it or an error. */
typedef enum status (*copy_read_fn)(void *context, uint64_t offset, void *out, size_t length,
                                    struct error *err);

struct file_copy {
    struct fs *fs;  /* borrowed */
    uint64_t bytes; /* of the source */
    uint64_t at;
    struct file *to;
    struct digester digester;
};

/* Makes `path`, or empties it. */
enum status file_copy_begin(struct file_copy *copy, struct fs *fs, const char *path, uint64_t bytes,
                            struct error *err) MUST_USE;

/* Copies the next piece, by way of `piece` (of `piece_bytes`). When all was copied it is synced,
 * *done is set, *digest is that of the bytes, and nothing is to be ended. */
enum status file_copy_step(struct file_copy *copy, copy_read_fn read, void *context, uint8_t *piece,
                           size_t piece_bytes, bool *done, struct digest *digest,
                           struct error *err) MUST_USE;

/* Closes what is open; the file stays, half written. Also after init by zeros, and when done. */
void file_copy_end(struct file_copy *copy);

/* Reads the table at `path` whole and past the caches: each checksum, and that it is `expected` of
 * `tables`. `on_fault` gets each fault, and the status is OK; NULL: the first is returned. */
struct copy_check {
    struct fs *fs; /* borrowed, as all */
    struct alloc *alloc;
    const char *path;
    const struct edit *tables;
    struct edit_add expected;
    void (*on_fault)(void *context, const struct error *fault);
    void *context;
};
enum status copy_check_table(const struct copy_check *check, struct error *err) MUST_USE;

/* Opens a file that a backup names. CORRUPT: it is not there, or has not so many bytes. After an
 * error nothing is open. */
enum status copy_open_source(struct fs *fs, const char *path, uint64_t bytes, struct file **out,
                             struct error *err) MUST_USE;

/* Reads of an open file, whose path is for the errors: CORRUPT if it ends before. */
enum status copy_read_whole(struct file *file, const char *path, uint64_t offset, void *out,
                            size_t length, struct error *err) MUST_USE;

#endif
