/* SPDX-License-Identifier: Apache-2.0
 *
 * Fs_mirror: the real file system, and beside it what a power failure would
 * leave of it. A process works in DIR as usual; MIRROR always holds exactly
 * what was made durable:
 *
 * - a file's content and size as of its last file_sync(): what was written,
 *   truncated or allocated since is lost, all of it;
 * - a directory's names as of its last fs_sync_dir(): names created, linked,
 *   renamed or removed since are as they were before. DIR itself is a name in
 *   its parent, and durable once that was synced.
 *
 * So kill -9 at any moment, which keeps the page cache, followed by a new
 * fs_mirror_open(), is a power failure. A sync that the kill interrupts may be
 * partly in the mirror, as on a disk; it was not acknowledged.
 *
 *   MIRROR/lock         held while open
 *   MIRROR/inodes/ID    content of a file; absent: empty
 *   MIRROR/dirs/ID      names in a directory, replaced by rename; absent: none
 *
 * What lies outside DIR goes straight to the real file system. A rename from
 * one directory to another is UNIMPLEMENTED: nobody makes one, and file systems
 * differ in what makes it durable. Thread-safe.
 */
#ifndef ESTREAT_TESTLIB_FS_MIRROR_H
#define ESTREAT_TESTLIB_FS_MIRROR_H

#include "base/fs.h"

struct fs_mirror;

/* Syncs that say OK and leave the mirror as it was: a test that passes with it shows nothing. */
enum fs_mirror_lie {
    FS_MIRROR_HONEST,
    FS_MIRROR_NO_SYNC,       /* no file is ever synced; names are */
    FS_MIRROR_NO_LATER_SYNC, /* only the first sync of each file is one: what was there to
                                begin with stays, so that a process starts again and knows nothing
                              */
};

struct fs_mirror_options {
    const char *dir;    /* absolute */
    const char *mirror; /* outside `dir`; made if absent */
    enum fs_mirror_lie lie;
};

/* Power on: makes `dir` what `mirror` holds (what else is there is removed), and goes on from it.
 * Returns owned. FAILED_PRECONDITION if another process has the mirror open, or if the mirror is
 * new and `dir` exists: it is not ours to remove. */
enum status fs_mirror_open(const struct fs_mirror_options *options, struct fs_mirror **out,
                           struct error *err) MUST_USE;

/* Files must be closed; stops the process if one is not. Syncs nothing. NULL is allowed. */
void fs_mirror_close(struct fs_mirror *mirror);

/* Borrowed until fs_mirror_close(). */
struct fs *fs_mirror_fs(struct fs_mirror *mirror);

/* What fs_mirror_open() does with `dir`, alone. */
enum status fs_mirror_restore(const char *mirror, const char *dir, struct error *err) MUST_USE;

#endif
