/* SPDX-License-Identifier: Apache-2.0
 *
 * Member_points: how far each other member has applied the log, as it last said to
 * this node since this one leads. So a leader can tell how far one lags that says
 * nothing any more.
 *
 * The driver's turns only; copies may go anywhere.
 */
#ifndef ESTREAT_NODE_MEMBER_POINTS_H
#define ESTREAT_NODE_MEMBER_POINTS_H

#include "node/applied.h"
#include "node/members.h"

struct member_point {
    uint64_t raft_id; /* 0: nobody's */
    struct applied_point applied;
};

struct member_points {
    struct member_point of[RAFT_PEERS_MAX];
};

/* Who is no member is ignored. */
void member_points_heard(struct member_points *points, const struct members *members,
                         uint64_t raft_id, const struct applied_point *applied);

/* NULL if it never said. */
const struct applied_point *member_points_find(const struct member_points *points,
                                               uint64_t raft_id);

#endif
