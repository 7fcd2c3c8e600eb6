/* SPDX-License-Identifier: Apache-2.0
 *
 * Crash_damage: what fs_crash's disk does wrong and says nothing of: a bit that flips,
 * a write that is lost, one that goes elsewhere. One damage a disk. Not thread-safe;
 * fs_crash's mutex guards it.
 *
 * Files are chosen by what their names contain. In logs, which are written group after
 * group, only what lies before the last write that was synced is hit: what that one can
 * attest. A write to a log that is lost is FRESH until a later one is synced: till then
 * nobody can tell it from one that a crash tore.
 */
#ifndef ESTREAT_TESTLIB_CRASH_DAMAGE_H
#define ESTREAT_TESTLIB_CRASH_DAMAGE_H

#include "testlib/crash_names.h"

enum crash_damage_kind { CRASH_FLIP, CRASH_LOSE_WRITE, CRASH_MISDIRECT_WRITE };

enum crash_damage_state {
    CRASH_DAMAGE_NONE,  /* nothing has happened yet */
    CRASH_DAMAGE_FRESH, /* a write was lost, and none was synced after it */
    CRASH_DAMAGE_THERE,
    CRASH_DAMAGE_GONE, /* written over, or the file is gone */
};

/* A place that is not as it was written. */
struct crash_wrong {
    struct crash_inode *inode; /* a reference, or NULL */
    uint64_t begin;
    uint64_t end;
};

struct crash_damage {
    enum crash_damage_kind kind;
    char name[16];
    bool is_log;
    bool armed; /* the next write to such a file */
    bool done;
    struct rng_seeded rng;
    struct crash_wrong lost; /* the bytes that were to be there are not */
    struct crash_wrong hit;  /* the bytes that were there are not */
    unsigned synced;         /* writes to such files that were synced, from the lost one on */
};

void crash_damage_release(struct crash_damage *damage);

/* FLIP happens now, and is false if there is nothing that it could hit; the others happen with the
 * next write to a file of that name. Requires that none was begun. */
bool crash_damage_begin(struct crash_damage *damage, const struct crash_names *names,
                        enum crash_damage_kind kind, const char *name, bool is_log, uint64_t seed);

/* Before a write; true if it shall not be done. */
bool crash_damage_write(struct crash_damage *damage, const struct crash_names *names,
                        struct crash_inode *inode, uint64_t offset, struct slice data);

/* Before a sync of the file. */
void crash_damage_sync(struct crash_damage *damage, const struct crash_names *names,
                       const struct crash_inode *inode);

/* After a rename: a file that is called otherwise now will be used for something else. */
void crash_damage_renamed(struct crash_damage *damage, const struct crash_names *names);

/* The power fails: a write that no sync had covered yet need not be there. */
void crash_damage_crashed(struct crash_damage *damage);

enum crash_damage_state crash_damage_state(const struct crash_damage *damage,
                                           const struct crash_names *names);

/* True if the file that is not as it was written lies below this directory. */
bool crash_damage_is_below(const struct crash_damage *damage, struct crash_names *names,
                           const char *path);

#endif
