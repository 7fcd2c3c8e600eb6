/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshot_install: DATA/incoming, where a snapshot is staged, and the switch that makes
 * it this node's tables.
 *
 *   DATA/incoming/            files of a checkpoint, some of them perhaps cut
 *   DATA/incoming/COMPLETE    all are there, synced and verified: it replaces DATA/tables
 *
 * The marker is the switch: before it is durable the old tables count, after it the new
 * ones, whatever of the exchange itself a crash leaves undone; snapshot_install() does the
 * rest again. No threads of its own.
 */
#ifndef ESTREAT_NODE_SNAPSHOT_INSTALL_H
#define ESTREAT_NODE_SNAPSHOT_INSTALL_H

#include "base/fs.h"

/* The directory's path, into out[PATH_BYTES_MAX]. */
enum status snapshot_staging_path(const char *data, char *out, struct error *err) MUST_USE;

/* Makes the directory, durably, if it is not there. */
enum status snapshot_staging_make(struct fs *fs, const char *data, struct error *err) MUST_USE;

/* Removes the directory and all in it, if it is there. */
enum status snapshot_staging_remove(struct fs *fs, const char *data, struct error *err) MUST_USE;

/* What is staged is complete, durable and verified, and this node is not so far itself: from now on
 * it is what the node has. The engine is closed before the node opens it again. */
enum status snapshot_commit(struct fs *fs, const char *data, struct error *err) MUST_USE;

/* Before the engine is opened: if what is staged is complete, exchanges the tables for it. After an
 * error, or a crash, it may be called again. *installed may be NULL. */
enum status snapshot_install(struct fs *fs, const char *data, bool *installed,
                             struct error *err) MUST_USE;

#endif
