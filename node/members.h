/* SPDX-License-Identifier: Apache-2.0
 *
 * Members: who belongs to the cluster, by name and address. The log says it (entries
 * of type RAFT_ENTRY_MEMBERSHIP, raft/membership.h); what Raft takes for opaque `info`
 * there is a member's name and its two addresses. Where this node's configuration
 * gives a member other addresses, those hold: hosts move.
 *
 *   info: name, client address, peer address; each length (2, little-endian), bytes
 *
 * Before the log says anything, the members are those that the configuration named
 * when the data directory was first used (data_dir.h).
 */
#ifndef ESTREAT_NODE_MEMBERS_H
#define ESTREAT_NODE_MEMBERS_H

#include "base/buf.h"
#include "node/config.h"
#include "node/data_dir.h"
#include "raft/raft.h"

#define MEMBERSHIP_BYTES_MAX (64UL * KIB)

struct member {
    uint64_t raft_id;
    bool voter;
    bool leaving; /* removed, and perhaps not yet told so */
    struct config_member at;
};

struct members {
    uint64_t index; /* of the entry that says so; 0: none does yet */
    size_t count;
    struct member of[RAFT_PEERS_MAX]; /* ascending by raft_id */
};

/* Appends the info of a member. */
void member_info_encode(const struct config_member *member, struct buf *out);

/* Appends the membership of voters of these names, nothing if there are none; addresses come from
 * `config` where it has them. CORRUPT: two have the same number. */
enum status members_encode(const struct member_names *names, const struct config *config,
                           struct buf *out, struct error *err) MUST_USE;

/* FAILED_PRECONDITION if `config` names a member that is neither in `membership`, nor was removed
 * from it, nor among `first`, who were members at the first start: it would not be counted. */
enum status members_check_config(const struct config *config, const struct member_names *first,
                                 const struct raft_membership *membership,
                                 struct error *err) MUST_USE;

/* Fills `out` with `membership`. Who is no longer in it, but among `peers` as leaving, is kept. */
void members_fill(struct members *out, const struct raft_membership *membership, uint64_t index,
                  const struct raft_peer *peers, size_t peer_count, const struct config *config);

size_t members_voters(const struct members *members);

/* NULL if there is none. */
const struct member *members_find(const struct members *members, uint64_t raft_id);
const struct member *members_named(const struct members *members, const char *name);

#endif
