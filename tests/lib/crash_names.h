/* SPDX-License-Identifier: Apache-2.0
 *
 * Crash_names: the directory tree of fs_crash and the changes of names that no
 * directory sync has made durable yet. Not thread-safe; fs_crash's mutex guards it.
 *
 * A change is one or two assignments "this name in this directory is that inode (or
 * nothing)" that reach the disk together: a rename has two.
 */
#ifndef ESTREAT_TESTLIB_CRASH_NAMES_H
#define ESTREAT_TESTLIB_CRASH_NAMES_H

#include "testlib/crash_inode.h"

enum { CRASH_NAME_BYTES_MAX = 255 };

struct crash_change;

struct crash_names {
    struct crash_inode *root;
    struct crash_change *oldest;
    struct crash_change **last;
};

/* Where a path leads: `inode` is NULL if its last name is not there. */
struct crash_place {
    struct crash_inode *dir; /* NULL for the root itself */
    struct crash_inode *inode;
    char name[CRASH_NAME_BYTES_MAX + 1];
};

/* Borrows `bytes_used`. */
void crash_names_init(struct crash_names *names, uint64_t *bytes_used);
void crash_names_release(struct crash_names *names);

/* Returns 0 or an errno: ENOENT, ENOTDIR, ENAMETOOLONG. Borrowed until the next change. */
int crash_names_find(struct crash_names *names, const char *path, struct crash_place *out);

/* The name is `inode` from now on (NULL: gone). */
void crash_names_assign(struct crash_names *names, const struct crash_place *place,
                        struct crash_inode *inode);

/* `to` is what `from` was, and `from` is gone. */
void crash_names_rename(struct crash_names *names, const struct crash_place *from,
                        const struct crash_place *to);

/* Makes durable what was changed in `dir`, and what that needs. */
void crash_names_sync(struct crash_names *names, struct crash_inode *dir);

/* Whoever holds a lock is gone. */
void crash_names_unlock(struct crash_names *names);

/* Loses some changes (all if `rng` is NULL) and, in each file, what was not synced. */
void crash_names_crash(struct crash_names *names, struct rng *rng);

#endif
