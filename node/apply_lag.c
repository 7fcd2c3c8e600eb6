/* SPDX-License-Identifier: Apache-2.0 */
#include "node/apply_lag.h"

void apply_lag_clear(struct apply_lag *lag)
{
    lag->bytes = 0;
    lag->first = 0;
    lag->count = 0;
}

void apply_lag_count(struct apply_lag *lag, uint64_t index, size_t bytes)
{
    size_t last = (lag->first + lag->count - 1) % APPLY_LAG_MARKS;
    if (lag->count < APPLY_LAG_MARKS &&
        (lag->count == 0 || lag->bytes >= lag->marks[last].before + APPLY_LAG_MARK_BYTES)) {
        size_t at = (lag->first + lag->count++) % APPLY_LAG_MARKS;
        lag->marks[at].index = index;
        lag->marks[at].before = lag->bytes;
    }
    lag->bytes += bytes;
}

uint64_t apply_lag_bytes(struct apply_lag *lag, uint64_t applied)
{
    /* The last mark at or before the first entry that is not applied. */
    while (lag->count > 1 && lag->marks[(lag->first + 1) % APPLY_LAG_MARKS].index - 1 <= applied) {
        lag->first = (lag->first + 1) % APPLY_LAG_MARKS;
        lag->count--;
    }
    return lag->count == 0 ? 0 : lag->bytes - lag->marks[lag->first].before;
}

uint64_t apply_lag_quorum(const struct raft_peer *peers, size_t count, uint64_t id, uint64_t own)
{
    uint64_t sorted[RAFT_PEERS_MAX] = {0}; /* descending */
    size_t voters = 0;
    for (size_t i = 0; i < count && i < RAFT_PEERS_MAX; i++) {
        if (!peers[i].voter) {
            continue;
        }
        uint64_t applied = peers[i].id == id ? own : peers[i].applied;
        size_t at = voters++;
        while (at > 0 && sorted[at - 1] < applied) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = applied;
    }
    _Static_assert(RAFT_APPLIES_NOTHING == UINT64_MAX, "sorts before every index");
    return voters == 0 ? own : sorted[voters / 2];
}
