/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes: the membership entries of the log that may still matter. A membership is
 * in force as soon as its entry is in the log and taken back when that is cut
 * (dissertation 4.1), so those past the commit index are kept, and the newest one
 * that is committed.
 *
 * Part of the core: one thread, no I/O.
 */
#ifndef ESTREAT_RAFT_CHANGES_H
#define ESTREAT_RAFT_CHANGES_H

#include "raft/raft.h"

struct raft_changes {
    struct alloc *alloc;
    struct raft_entry **entries; /* with references, ascending; at least one */
    size_t count;
    size_t capacity;
    struct raft_membership now; /* the last one's; borrows from it */
};

/* What was recovered, as raft_new. On an error nothing needs release. */
MUST_USE enum status raft_changes_init(struct raft_changes *changes,
                                       const struct raft_options *options, struct error *err);
void raft_changes_release(struct raft_changes *changes);

/* Room for as many more as there are among `entries`; false if there is no memory. */
bool raft_changes_reserve(struct raft_changes *changes, struct raft_entry *const *entries,
                          size_t count);

/* `entry` was appended to the log: takes a reference. Its bytes are well-formed, and there is
 * room. What was in force before may be forgotten up to `commit`, but for the newest. */
void raft_changes_push(struct raft_changes *changes, struct raft_entry *entry, uint64_t commit);

/* The log was cut before `from`. Returns true if another membership is in force now. */
bool raft_changes_truncate(struct raft_changes *changes, uint64_t from);

/* The index of the entry in force. */
uint64_t raft_changes_index(const struct raft_changes *changes);

#endif
