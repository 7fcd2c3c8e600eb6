/* SPDX-License-Identifier: Apache-2.0
 *
 * Incarnation: which run of which data directory a node is, so that others notice when
 * a member comes back without what it acknowledged and voted for: on an empty
 * directory, or on an older copy of its own.
 *
 * Each directory has a random number for life and counts its runs (DATA/incarnation);
 * each run draws a number besides. The three are told in HELLO on peers' connections.
 * Every node keeps what it last saw of each other member (DATA/peers), durably before
 * it talks to it, and refuses
 *   another directory under a known id: the machine was wiped or replaced;
 *   a lower count: an older copy of the directory;
 *   the same count with another draw: two copies of it run.
 * Such a machine comes back under a new id.
 *
 * What cannot be noticed: a copy that was taken of the present run, and an older one
 * that was started often enough to have counted past what the others saw.
 *
 * One thread at a time.
 */
#ifndef ESTREAT_NODE_INCARNATION_H
#define ESTREAT_NODE_INCARNATION_H

#include "base/alloc.h"
#include "base/fs.h"
#include "base/rng.h"

#define INCARNATION_TEXT_BYTES 80

struct incarnations;

/* Counts this run, durably. Returns owned. CORRUPT if a file is damaged. */
enum status incarnations_open(struct alloc *alloc, struct fs *fs, struct rng *rng, const char *dir,
                              struct incarnations **out, struct error *err) MUST_USE;
void incarnations_close(struct incarnations *incarnations); /* NULL is allowed */

/* What this run says of itself. Valid until close. */
const char *incarnations_own(const struct incarnations *incarnations);

/* A node of this id says that. FAILED_PRECONDITION if it must not be talked to. May wait for the
 * disk, at a member's first contact and after its restarts. */
enum status incarnations_accept(struct incarnations *incarnations, const char *id, const char *text,
                                struct error *err) MUST_USE;

#endif
