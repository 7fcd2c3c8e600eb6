/* SPDX-License-Identifier: Apache-2.0
 *
 * Place: what of Estreat's a directory holds, and the lock that keeps its owner out.
 *
 *   DIR/CURRENT, *.sst ...            DIR holds tables: an engine's, a snapshot's, a backup's
 *   DIR/<16 hex digits>.wal           DIR holds a log
 *   DIR/tables, DIR/wal or DIR/log    DIR is a node's data, or a store with a log of its own
 *
 * A node holds DATA/lock while it runs; the lock of DATA/tables and DATA/wal is the same.
 */
#ifndef ESTREAT_STORAGE_INSPECT_PLACE_H
#define ESTREAT_STORAGE_INSPECT_PLACE_H

#include "base/alloc.h"
#include "base/fs.h"

struct store_place {
    struct fs *fs; /* borrowed, as the next */
    struct alloc *alloc;
    bool has_tables;
    bool has_log;
    bool has_lock; /* the file is there; whether it is held, store_place_lock tells */
    struct file *held;
    char tables[PATH_BYTES_MAX];
    char log[PATH_BYTES_MAX];
    char lock[PATH_BYTES_MAX];
    char metrics[PATH_BYTES_MAX]; /* DIR/metrics, where it is said what was done; or empty */
};

/* NOT_FOUND: no such directory, or nothing of ours in it. Changes nothing. */
enum status store_place_find(struct store_place *place, struct fs *fs, struct alloc *alloc,
                             const char *dir, struct error *err) MUST_USE;

/* Takes the lock, if there is its file, or with `make` in any case. FAILED_PRECONDITION: whoever
 * the directory belongs to is running. */
enum status store_place_lock(struct store_place *place, bool make, struct error *err) MUST_USE;

/* The directory that holds `dir`, by its name (a link to another disk belongs to where it is), into
 * out[PATH_BYTES_MAX]. */
enum status store_place_parent(char *out, const char *dir, struct error *err) MUST_USE;

/* Gives the lock back. */
void store_place_release(struct store_place *place);

#endif
