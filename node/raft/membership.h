/* SPDX-License-Identifier: Apache-2.0
 *
 * Membership: who belongs to the cluster, as a value and as the bytes of an entry of
 * type RAFT_ENTRY_MEMBERSHIP. Each such entry holds the whole membership, so the one
 * with the highest index in a log is what that node goes by.
 *
 *   layout 1 (1 byte), members (1 byte), then each, ascending by id:
 *     id (8), role (1), length of info (2), info: the driver's (name, addresses)
 *   ids that were removed (2), then each (8), ascending: they never come back
 *
 * Integers are little-endian. Pure functions.
 */
#ifndef ESTREAT_RAFT_MEMBERSHIP_H
#define ESTREAT_RAFT_MEMBERSHIP_H

#include "base/buf.h"
#include "base/limits.h"
#include "base/status.h"

enum raft_member_role {
    RAFT_VOTER = 1,
    RAFT_LEARNER = 2, /* gets everything and is counted nowhere */
};

const char *raft_member_role_name(enum raft_member_role role);

struct raft_member {
    uint64_t id;
    enum raft_member_role role;
    struct slice info; /* borrowed */
};

#define RAFT_REMOVED_MAX 1024U

struct raft_membership {
    size_t count; /* at most MEMBERS_MAX */
    struct raft_member of[MEMBERS_MAX];
    size_t removed_count;   /* at most RAFT_REMOVED_MAX */
    const uint8_t *removed; /* 8 bytes each; borrowed */
};

/* Appends the bytes; ask buf_failed(). */
void raft_membership_encode(const struct raft_membership *membership, struct buf *out);

/* Borrows from `bytes`; empty bytes are nobody. CORRUPT if malformed, out of order, or an id is a
 * member and removed at once. */
enum status raft_membership_decode(struct slice bytes, struct raft_membership *out,
                                   struct error *err) MUST_USE;

/* NULL if `id` is not a member. */
const struct raft_member *raft_membership_find(const struct raft_membership *membership,
                                               uint64_t id);

/* True if `id` was a member once and is not any more. */
bool raft_membership_removed(const struct raft_membership *membership, uint64_t id);

size_t raft_membership_voters(const struct raft_membership *membership);

/* The three changes: each appends the bytes of what `from` becomes, ask buf_failed().
 * ALREADY_EXISTS, NOT_FOUND, FAILED_PRECONDITION (a removed id, too many members, the last
 * voter): nothing is appended, and the text says why. */
enum status raft_membership_add(const struct raft_membership *from, uint64_t id, struct slice info,
                                struct buf *out, struct error *err) MUST_USE;
enum status raft_membership_promote(const struct raft_membership *from, uint64_t id,
                                    struct buf *out, struct error *err) MUST_USE;
enum status raft_membership_remove(const struct raft_membership *from, uint64_t id, struct buf *out,
                                   struct error *err) MUST_USE;

/* FAILED_PRECONDITION unless `to` is `from` with at most one voter more or less, nobody who was
 * removed came back, and every voter that is new was a learner: what keeps any two quorums of
 * neighbouring memberships in touch (dissertation 4.1). */
enum status raft_membership_check_step(const struct raft_membership *from,
                                       const struct raft_membership *to,
                                       struct error *err) MUST_USE;

#endif
