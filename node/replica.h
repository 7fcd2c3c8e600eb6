/* SPDX-License-Identifier: Apache-2.0
 *
 * Replica: what a node is without its sockets and threads: engine, WAL, log tree,
 * signer, applier and driver, recovered from a directory and joined. Clock, random,
 * file system, executors, the network and those who wait for answers are passed in:
 * estreatd passes the real ones (node.c), the simulator (tests/sim) its own.
 *
 *     replica_open()          recovers; nothing runs yet
 *       give the driver and the applier their turns (turns.h, apply_thread.h)
 *     replica_end_driver()    after the driver's last turn
 *     replica_end_snapshots() after the link's last answer
 *     replica_end_applier()   after the applier's last turn
 *     replica_close()
 *
 * The fields are for those who give the turns and serve requests; what may be called
 * on which thread says each one's header.
 */
#ifndef ESTREAT_NODE_REPLICA_H
#define ESTREAT_NODE_REPLICA_H

#include "base/io_queue.h"
#include "node/applied.h"
#include "node/applier.h"
#include "node/config.h"
#include "node/driver.h"
#include "node/fault.h"
#include "node/loader.h"
#include "node/pending.h"
#include "node/refill.h"
#include "node/signer.h"
#include "node/snapshot_pull.h"
#include "node/snapshot_source.h"
#include "node/tile_store.h"

struct replica_options {
    const struct config *config; /* borrowed, as all but the four that are taken */
    struct alloc *alloc;
    struct clock *clock;
    struct rng *rng;
    struct fs *fs;
    struct io_queue *io;        /* the WAL's writes; taken */
    struct executor *engine;    /* flush, compaction, the WAL's files; taken */
    struct executor *loads;     /* one step at a time; taken */
    struct executor *snapshots; /* serves and pulls them; taken */
    struct snapshot_link *link; /* to the other members, for snapshots */
    struct replier *replier;
    /* See driver_options. */
    bool (*send)(void *context, const struct raft_message *message, const struct peer_news *news);
    /* Tells who the others are: in the driver's first turn, and whenever that changes. May be
     * NULL. */
    void (*on_members)(void *context, const struct members *members);
    /* The replica cannot go on. Any thread; nothing more may be acknowledged. */
    void (*on_fatal)(void *context, const struct error *err);
    /* A snapshot is staged: the replica is to be ended, closed and opened again. Any thread. */
    void (*on_restart)(void *context);
    /* If given, called over and over instead of sleeping wherever somebody would. */
    void (*on_wait)(void *context);
    void *context; /* of all of these */
};

struct replica {
    struct replica_options options;
    struct file *lock;
    char wal_dir[PATH_BYTES_MAX];
    char table_dir[PATH_BYTES_MAX];
    struct engine *engine;
    struct buf seal_bytes;
    struct seal seal;          /* what the engine began with; borrows from the two bufs */
    struct member_names first; /* who was a member when the directory was first used */
    struct buf first_members;  /* the membership before the log said anything */
    struct wal_notice wal_notice;
    struct wal *wal;
    struct wal_recovered recovered;
    struct tile_store *tiles;
    struct signer *signer;
    struct fault fault;
    struct refill refill;       /* what the log has lost */
    struct intake_queue intake; /* the driver's */
    struct pending pending;
    struct applied applied;
    bool has_applied;
    struct applier *applier;
    struct loader *loader;
    struct driver *driver;
    bool installed; /* it began with a snapshot that was staged */
    struct snapshot_source *source;
    struct snapshot_pull *pull;
};

/* Recovers what is in config->data, or begins anew. Returns owned. FAILED_PRECONDITION: the
 * directory is in use or another's; CORRUPT, DATA_LOSS: it is damaged, file and offset named. */
enum status replica_open(const struct replica_options *options, struct replica **out,
                         struct error *err) MUST_USE;

/* After the driver's last turn, also if there was none: fails the appends and reads that wait. */
void replica_end_driver(struct replica *replica);

/* From now on no snapshot is pulled; the link can be closed. Any thread; NULL is allowed. */
void replica_stop_pull(struct replica *replica);

/* After the link's last answer, and when no member asks for snapshots any more: answers those that
 * still wait. */
void replica_end_snapshots(struct replica *replica);

/* After these and the applier's last turn, also if there was none: flushes what is
 * applied, and lets a snapshot that is staged be the next start's state. */
void replica_end_applier(struct replica *replica);

/* After both; nobody reads any more. NULL is allowed. */
void replica_close(struct replica *replica);

#endif
