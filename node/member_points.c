/* SPDX-License-Identifier: Apache-2.0 */
#include "node/member_points.h"

#include "base/check.h"

void member_points_heard(struct member_points *points, const struct members *members,
                         uint64_t raft_id, const struct applied_point *applied)
{
    if (members_find(members, raft_id) == NULL) {
        return;
    }
    struct member_point *at = NULL; /* its own, or one that nobody has or needs: members fit */
    for (size_t i = 0; i < RAFT_PEERS_MAX && (at == NULL || at->raft_id != raft_id); i++) {
        struct member_point *of = &points->of[i];
        if (of->raft_id == raft_id || members_find(members, of->raft_id) == NULL) {
            at = of;
        }
    }
    CHECK(at != NULL);
    *at = (struct member_point){.raft_id = raft_id, .applied = *applied};
}

const struct applied_point *member_points_find(const struct member_points *points, uint64_t raft_id)
{
    for (size_t i = 0; i < RAFT_PEERS_MAX; i++) {
        if (points->of[i].raft_id == raft_id && raft_id != 0) {
            return &points->of[i].applied;
        }
    }
    return NULL;
}
