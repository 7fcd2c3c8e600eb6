/* SPDX-License-Identifier: Apache-2.0
 *
 * Incarnation: which run of which data directory a node is, so that others notice when
 * a member comes back without what it acknowledged and voted for: on an empty
 * directory, or on an older copy of its own.
 *
 * Each directory has a random number for life and counts its runs; each run draws a
 * number besides. DATA/incarnation keeps them, with the draws of HISTORY runs before,
 * durably before anybody is told. All that is told in HELLO on peers' connections:
 * "DIRECTORY RUN DRAW PAST", where PAST has the first half of each draw before, the
 * newest first. Every node keeps what it last saw of each other member (DATA/peers),
 * durably before it talks to it, and refuses
 *   another directory under a known id: the machine was wiped or replaced;
 *   a lower count: an older copy of the directory;
 *   the same count with another draw: two copies of it run;
 *   a higher count whose past has another draw for the count that was seen: a copy
 *     that parted before that run, however often it was started since;
 *   a higher count while the run that was seen is connected: a copy was taken of the
 *     present run. A node that has ended is not connected for longer than the
 *     connection takes to be found dead (peers.c), and tries again.
 * Such a machine comes back under a new id.
 *
 * Why that holds: a run's draw is in the past of every later run of the same directory
 * and of the copies taken in or after that run, and of no other. So, of all copies,
 * those get past a member that has seen run R that descend from R.
 *
 * What cannot be noticed: a copy taken of the last run that others saw, once that run
 * has ended (the original cannot come back then); an older copy that was started more
 * than HISTORY times since the others last saw the original; a copy of which nobody
 * has seen a later run; and a majority whose machines were wiped at once, since those
 * have seen nobody: they would begin a log of their own, without the others.
 *
 * One thread at a time.
 */
#ifndef ESTREAT_NODE_INCARNATION_H
#define ESTREAT_NODE_INCARNATION_H

#include "base/alloc.h"
#include "base/fs.h"
#include "base/rng.h"
#include "raft/raft.h"

#define INCARNATION_HISTORY 100U /* past draws that are kept and told */
#define INCARNATION_TEXT_BYTES 880
#define INCARNATION_KNOWN_MAX (RAFT_REMOVED_MAX + RAFT_PEERS_MAX) /* all that ever were members */

struct incarnations;

/* Counts this run, durably. Returns owned. CORRUPT if a file is damaged. */
enum status incarnations_open(struct alloc *alloc, struct fs *fs, struct rng *rng, const char *dir,
                              struct incarnations **out, struct error *err) MUST_USE;
void incarnations_close(struct incarnations *incarnations); /* NULL is allowed */

/* What this run says of itself. Valid until close. */
const char *incarnations_own(const struct incarnations *incarnations);

/* A node of this id, which this node has connected to, says that. FAILED_PRECONDITION if it must
 * not be talked to. May wait for the disk, at a member's first contact and after its restarts. */
enum status incarnations_accept(struct incarnations *incarnations, const char *id, const char *text,
                                struct error *err) MUST_USE;

/* The same of one that has connected to this node. On OK it runs until incarnations_leave(), once
 * for each connection. */
enum status incarnations_arrive(struct incarnations *incarnations, const char *id, const char *text,
                                struct error *err) MUST_USE;
void incarnations_leave(struct incarnations *incarnations, const char *id);

#endif
