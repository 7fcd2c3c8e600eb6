/* SPDX-License-Identifier: Apache-2.0
 *
 * Node: one member of a cluster, all parts joined.
 *
 *   DATA/lock        held while the node runs
 *   DATA/identity    cluster and node id: a directory serves nobody else
 *   DATA/members     the members at its first start: others would be another quorum
 *   DATA/fault       damage that was met, until an operator has mended it
 *   DATA/started     there was a log: one that is missing is lost, not new
 *   DATA/wal/        the log
 *   DATA/tables/     the engine
 *   DATA/incoming/   a snapshot that is being pulled: see snapshot_install.h
 *   DATA/metrics     what it has done, for whoever looks: see metrics_file.h
 *   DATA/signing-key, verifier-key, signed-head: see signer.h
 *
 * Threads: the peer loop (sockets, and the driver: Raft, WAL), the client loop
 * (sockets), the applier (state), readers (reading calls), the engine's (flush,
 * compaction), the WAL's io thread, the loader (old entries for members that lag),
 * snapshots (serves this node's, pulls another's), backups if they are configured,
 * metrics (writes the file).
 */
#ifndef ESTREAT_NODE_NODE_H
#define ESTREAT_NODE_NODE_H

#include "base/fs.h"
#include "node/config.h"

struct node;

struct node_options {
    const struct config *config; /* borrowed */
    struct fs *fs;               /* NULL: the real one */
    /* The node cannot go on (a disk that fails, a log that contradicts itself). Any thread; must
     * end the process: nothing more may be acknowledged. */
    void (*on_fatal)(void *context, const struct error *err);
    /* A snapshot is staged: the owner closes the node and opens it again. Any thread. */
    void (*on_restart)(void *context);
    void *context;
};

/* Recovers and starts to serve. Returns owned. Errors name the file, port or setting. */
enum status node_open(const struct node_options *options, struct node **out,
                      struct error *err) MUST_USE;

/* Stops serving, hands leadership over, flushes, frees. NULL is allowed. */
void node_close(struct node *node);

/* The C2SP verifier key of this node; valid until close. */
const char *node_verifier_key(const struct node *node);

#endif
