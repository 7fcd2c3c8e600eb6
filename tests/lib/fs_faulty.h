/* SPDX-License-Identifier: Apache-2.0
 *
 * Fs_faulty: passes every call on to another fs, and makes the n-th one (of a
 * kind, on a path) fail. Works over fs_posix() and over fs_crash. Thread-safe.
 *
 *   struct fs_faulty faulty;
 *   fs_faulty_init(&faulty, fs_posix());
 *   fs_faulty_arm(&faulty, (struct fs_fault){.call = FS_CALL_SYNC, .at = 2, .errnum = EIO});
 *   ... use &faulty.fs; fs_faulty_hit(&faulty) tells whether it came to that ...
 *   fs_faulty_release(&faulty);
 */
#ifndef ESTREAT_TESTLIB_FS_FAULTY_H
#define ESTREAT_TESTLIB_FS_FAULTY_H

#include "base/fs.h"
#include "base/sync.h"

enum fs_call {
    FS_CALL_ANY,
    FS_CALL_OPEN,
    FS_CALL_READ,
    FS_CALL_WRITE,
    FS_CALL_SYNC,
    FS_CALL_SIZE,
    FS_CALL_TRUNCATE,
    FS_CALL_ALLOCATE,
    FS_CALL_RENAME,
    FS_CALL_UNLINK,
    FS_CALL_LINK,
    FS_CALL_MAKE_DIR,
    FS_CALL_REMOVE_DIR,
    FS_CALL_SYNC_DIR,
    FS_CALL_LIST,
    FS_CALL_EXISTS,
    FS_CALL_LOCK,
    FS_CALL_FREE_BYTES,
    FS_CALLS, /* their number */
};

struct fs_fault {
    enum fs_call call;         /* FS_CALL_ANY: all kinds count */
    uint64_t at;               /* the n-th such call since arming, from 0 */
    int errnum;                /* what it fails with; 0: EIO */
    bool for_ever;             /* and all later ones of the kind, too */
    bool half;                 /* a failing write puts the first half of its bytes before */
    const char *path_contains; /* borrowed; only paths with this in them count. NULL: all */
};

struct fs_faulty {
    struct fs fs; /* pass &faulty.fs */
    struct fs *under;
    /* If given (after init, before any call), called first in each call, on its thread and without
     * the mutex: it may block, so that a call takes as long as a test wants. */
    void (*before)(void *context, enum fs_call call, const char *path);
    void *context;
    void (*sync_failed)(struct file *under); /* if given, called when a file's sync is to fail */
    struct mutex mutex;
    /* under the mutex */
    bool armed;
    struct fs_fault fault;
    uint64_t matched;
    uint64_t failed;
    uint64_t calls[FS_CALLS];
    uint64_t files_open;
};

/* Borrows `under`. Fails nothing until armed. */
void fs_faulty_init(struct fs_faulty *faulty, struct fs *under);

/* Stops the test if a file is still open. */
void fs_faulty_release(struct fs_faulty *faulty);

/* Replaces the fault and counts from 0 again. */
void fs_faulty_arm(struct fs_faulty *faulty, struct fs_fault fault);
void fs_faulty_disarm(struct fs_faulty *faulty);

/* How many calls were made to fail since the last arming. */
uint64_t fs_faulty_hit(struct fs_faulty *faulty);

/* Calls of a kind since init or the last arming (FS_CALL_ANY: of all kinds). */
uint64_t fs_faulty_calls(struct fs_faulty *faulty, enum fs_call call);

#endif
