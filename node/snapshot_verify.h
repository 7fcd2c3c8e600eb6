/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshot_verify: checks what was staged before it may become this node's tables: every
 * table whole, the seal against the plan, every event against its leaf in the log tree, the
 * tree's root, computed from the events, against a tree head that the source has signed for
 * this log, and that this node's own log is a prefix of it. In steps of a table each, then of
 * some megabytes of events. What follows from the events (versions, sessions) is not made
 * again: a deep audit does not either.
 *
 * Which node signed is not asked: the source tells its key itself, since members' keys are
 * not configured. The signature binds the key's holder to the tree; that the tree is the
 * cluster's rests on the connections between members, as all replication does.
 *
 * One owner.
 */
#ifndef ESTREAT_NODE_SNAPSHOT_VERIFY_H
#define ESTREAT_NODE_SNAPSHOT_VERIFY_H

#include "node/snapshot_plan.h"
#include "node/tile_store.h"

struct snapshot_verify;

struct snapshot_verify_options {
    struct alloc *alloc;
    struct clock *clock;
    struct fs *fs;
    const char *dir; /* the staged files */
    const char *origin;
    struct snapshot_plan *plan; /* which tables are verified is noted in it */
    struct tile_store *own;     /* this node's present log */
};

/* Opens the staged store. Borrows all of the options. Returns owned. CORRUPT if it is none. */
enum status snapshot_verify_open(const struct snapshot_verify_options *options,
                                 struct snapshot_verify **out, struct error *err) MUST_USE;

/* One step. *done: all holds. CORRUPT if something does not. */
enum status snapshot_verify_step(struct snapshot_verify *verify, bool *done,
                                 struct error *err) MUST_USE;

/* Events that are checked, of the plan's size. */
uint64_t snapshot_verify_events(const struct snapshot_verify *verify);

void snapshot_verify_close(struct snapshot_verify *verify); /* NULL is allowed */

#endif
