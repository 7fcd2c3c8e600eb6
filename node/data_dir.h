/* SPDX-License-Identifier: Apache-2.0
 *
 * Data_dir: a node's directory: made if absent, locked while in use, and bound
 * to one node of one cluster for ever.
 */
#ifndef ESTREAT_NODE_DATA_DIR_H
#define ESTREAT_NODE_DATA_DIR_H

#include "base/fs.h"
#include "node/config.h"

/* Makes `path` with its parents, durably, locks it and checks or writes its identity. *lock is
 * owned; the directory is locked until it is closed. FAILED_PRECONDITION if another process uses
 * it, or if it belongs to another node or cluster. */
enum status data_dir_open(struct fs *fs, const char *path, const char *cluster, const char *node_id,
                          struct file **lock, struct error *err) MUST_USE;

struct member_names {
    size_t count;
    char of[MEMBERS_MAX][NODE_ID_BYTES_MAX + 1];
};

/* Who was a member when the directory was first used: from then on only the log changes that, for
 * with others this node would count another quorum over the same log. At the first use it is who
 * the configuration names; nobody, if it says to join. CORRUPT if the record is damaged. */
enum status data_dir_members(struct fs *fs, const struct config *config, struct member_names *out,
                             struct error *err) MUST_USE;

/* Before the log is opened, which would begin a new one: DATA_LOSS if there was a log (DIR/started
 * says so) and there is none. A node that lost its log may have voted and acknowledged what it no
 * longer knows of: it must not come back under its id. */
enum status data_dir_check_log(struct fs *fs, const char *path, const char *wal_dir,
                               struct error *err) MUST_USE;

/* From now on a log or a key that is missing is lost, not new. */
enum status data_dir_note_started(struct fs *fs, const char *path, struct error *err) MUST_USE;

#endif
