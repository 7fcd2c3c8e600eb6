/* SPDX-License-Identifier: Apache-2.0
 *
 * Fs_crash: a file system in memory that knows what a disk would still have
 * after the power failed.
 *
 * - File data and size are durable after file_sync(). Else each 512-byte sector
 *   that was written since has, after the crash, its old or its new content; the
 *   size is the old or the new one or one between them.
 * - A name (created, linked, renamed, unlinked, directory made or removed) is
 *   durable after fs_sync_dir() of the directory that holds it. Else it may be
 *   lost or kept, each on its own; a rename happens whole or not at all.
 * - Syncing a file does not make its name durable, nor the other way round.
 *
 * A crash in a test, with the module's threads or without:
 *
 *   struct fs_crash *crash = fs_crash_new();
 *   ... use fs_crash_fs(crash) ...
 *   fs_crash_stop(crash);         power off: from here every call fails, nothing changes
 *   thing_close(thing);           and its errors are of no interest
 *   fs_crash_now(crash, seed);    what was not synced is kept or lost, by the seed; power on
 *   ... open the thing again: what it acknowledged must be there ...
 *   fs_crash_free(crash);
 *
 * fs_crash_damage() spoils what is stored, silently: see crash_damage.h.
 *
 * fs_crash_stop_at(crash, n) puts the power failure into the middle of a
 * protocol: run it for every n until fs_crash_stopped() stays false.
 *
 * Thread-safe. Paths: '/' separates, a leading one is ignored; the root directory is there.
 */
#ifndef ESTREAT_TESTLIB_FS_CRASH_H
#define ESTREAT_TESTLIB_FS_CRASH_H

#include "base/fs.h"
#include "testlib/crash_damage.h"

struct fs_crash;

/* Returns owned; never NULL. */
struct fs_crash *fs_crash_new(void);

/* Files must be closed; stops the test if one is not. */
void fs_crash_free(struct fs_crash *crash);

/* Borrowed until fs_crash_free(). */
struct fs *fs_crash_fs(struct fs_crash *crash);

/* Every call from now on fails with UNAVAILABLE and changes nothing, until fs_crash_now(). */
void fs_crash_stop(struct fs_crash *crash);

/* As fs_crash_stop() in the n-th changing call from now on (from 0): it fails, and what it did
 * before is not synced. UINT64_MAX: never. */
void fs_crash_stop_at(struct fs_crash *crash, uint64_t n);

bool fs_crash_stopped(struct fs_crash *crash);

/* Loses what was not synced, as the seed decides, and goes on. What is left is durable. Files that
 * are open and locks that are held are lost: calls on them fail, closing them is still due. */
void fs_crash_now(struct fs_crash *crash, uint64_t seed);

/* As fs_crash_now, and loses everything that was not synced. */
void fs_crash_now_losing_all(struct fs_crash *crash);

/* The process ended, the machine did not: the next one finds all, and what was not synced can be
 * lost yet. */
void fs_crash_now_losing_nothing(struct fs_crash *crash);

/* A sync of the file failed, as on Linux: what was not durable never will be, unless it is written
 * again, whatever later syncs say. For fs_faulty.sync_failed. */
void fs_crash_sync_failed(struct file *file);

/* While set, file_sync() and fs_sync_dir() say OK and do nothing. A test that passes with it shows
 * nothing. */
void fs_crash_set_sync_lies(struct fs_crash *crash, bool lies);

/* The sizes of all files together may not exceed it: RESOURCE_EXHAUSTED. No limit at first. */
void fs_crash_set_capacity(struct fs_crash *crash, uint64_t bytes);

/* What the sizes of all files come to. */
uint64_t fs_crash_used(struct fs_crash *crash);

/* Once a disk: damage of a kind to a file whose name contains `name`. False: there is nothing yet
 * that a flip could hit, and it may be tried again. */
bool fs_crash_damage(struct fs_crash *crash, enum crash_damage_kind kind, const char *name,
                     bool is_log, uint64_t seed);
enum crash_damage_state fs_crash_damage_state(struct fs_crash *crash);
bool fs_crash_damage_is_below(struct fs_crash *crash, const char *path);

/* Changing calls so far, for the bounds of a fs_crash_stop_at() loop. */
uint64_t fs_crash_changes(struct fs_crash *crash);

#endif
