/* SPDX-License-Identifier: Apache-2.0
 *
 * Fs_posix: what an I/O queue needs to know of the real file system's files to
 * do by other calls what file_write() and file_sync() do.
 */
#ifndef ESTREAT_BASE_FS_POSIX_H
#define ESTREAT_BASE_FS_POSIX_H

#include "base/fs.h"

/* The descriptor, valid until the file is closed; -1 if the file is not one of fs_posix(). */
int fs_posix_descriptor(const struct file *file);

/* What file_write() and file_sync() of such a file say about a failure. */
enum status fs_posix_write_failed(const struct file *file, uint64_t offset, int errnum,
                                  struct error *err);
enum status fs_posix_sync_failed(const struct file *file, int errnum, struct error *err);

#endif
