/* SPDX-License-Identifier: Apache-2.0 */
#include "node/member_clocks.h"

#include "base/check.h"
#include "base/log.h"

void member_clocks_init(struct member_clocks *clocks, struct clock *clock,
                        const struct members *members, uint64_t self)
{
    *clocks = (struct member_clocks){.clock = clock, .members = members, .self = self};
}

/* Its place, or one that nobody has or needs. Members fit, and who leaves gives his up. */
static struct member_clock *place_of(struct member_clocks *clocks, uint64_t raft_id)
{
    struct member_clock *free = NULL;
    for (size_t i = 0; i < RAFT_PEERS_MAX; i++) {
        struct member_clock *at = &clocks->of[i];
        if (at->raft_id == raft_id) {
            return at;
        }
        if (at->raft_id == 0 || members_find(clocks->members, at->raft_id) == NULL) {
            free = at;
        }
    }
    return free;
}

void member_clocks_heard(struct member_clocks *clocks, uint64_t raft_id, uint64_t time_ns)
{
    if (time_ns == 0 || raft_id == clocks->self || members_find(clocks->members, raft_id) == NULL) {
        return;
    }
    struct member_clock *at = place_of(clocks, raft_id);
    CHECK(at != NULL);
    *at = (struct member_clock){.raft_id = raft_id,
                                .offset_ns = time_ns - clock_monotonic_ns(clocks->clock)};
}

/* Of this node's clock and those of the other voters that are known. */
static uint64_t median_ns(const struct member_clocks *clocks, uint64_t own_ns)
{
    uint64_t now_ns = clock_monotonic_ns(clocks->clock);
    uint64_t times[RAFT_PEERS_MAX + 1];
    size_t count = 1;
    times[0] = own_ns;
    for (size_t i = 0; i < RAFT_PEERS_MAX; i++) {
        const struct member_clock *of = &clocks->of[i];
        const struct member *member =
            of->raft_id == 0 ? NULL : members_find(clocks->members, of->raft_id);
        if (member == NULL || !member->voter) {
            continue;
        }
        uint64_t time_ns = now_ns + of->offset_ns;
        size_t at = count++;
        for (; at > 0 && times[at - 1] > time_ns; at--) {
            times[at] = times[at - 1];
        }
        times[at] = time_ns;
    }
    return times[(count - 1) / 2];
}

uint64_t member_clocks_now_ns(struct member_clocks *clocks)
{
    uint64_t own_ns = clock_realtime_ns(clocks->clock);
    uint64_t others_ns = median_ns(clocks, own_ns);
    uint64_t difference_ns = own_ns > others_ns ? own_ns - others_ns : others_ns - own_ns;
    /* What is at the bound would be logged all the time: half of it is agreement again. */
    bool differs = difference_ns > CLOCK_DIFFERENCE_NS_MAX / (clocks->differs ? 2 : 1);
    if (differs != clocks->differs) {
        log_write("node", differs ? LOG_ERROR : LOG_INFO,
                  differs ? "this node's clock differs: events get the time of the other members'"
                          : "this node's clock agrees with the other members' again",
                  "by_ms=%lu ahead=%s", (unsigned long)(difference_ns / NS_PER_MS),
                  own_ns > others_ns ? "yes" : "no");
        clocks->differs = differs;
    }
    return differs ? others_ns : own_ns;
}
