/* SPDX-License-Identifier: Apache-2.0 */
#include "raft/progress.h"

#include "base/check.h"

void raft_members_init(struct raft_members *members, struct alloc *alloc, size_t flights_max)
{
    *members = (struct raft_members){.alloc = alloc, .flights_max = flights_max};
}

static void release(struct raft_members *members, struct raft_progress *progress)
{
    raft_progress_drop_loaded(progress);
    alloc_free(members->alloc, progress->loaded);
    alloc_free(members->alloc, progress->flights);
}

void raft_members_release(struct raft_members *members)
{
    for (size_t i = 0; i < members->count; i++) {
        release(members, &members->of[i]);
    }
    members->count = 0;
}

static struct raft_progress *insert(struct raft_members *members, uint64_t id)
{
    CHECK(members->count < RAFT_PEERS_MAX);
    size_t at = members->count++;
    while (at > 0 && members->of[at - 1].id > id) {
        members->of[at] = members->of[at - 1];
        at--;
    }
    members->of[at] = (struct raft_progress){.id = id, .next = 1};
    return &members->of[at];
}

static void drop(struct raft_members *members, size_t at)
{
    release(members, &members->of[at]);
    members->count--;
    memmove(&members->of[at], &members->of[at + 1], (members->count - at) * sizeof members->of[0]);
}

void raft_members_set(struct raft_members *members, const struct raft_membership *membership,
                      uint64_t leave_index, uint64_t last_index, uint64_t now)
{
    for (size_t i = members->count; i-- > 0;) {
        struct raft_progress *progress = &members->of[i];
        if (raft_membership_find(membership, progress->id) != NULL) {
            continue;
        }
        if (leave_index == 0 && progress->leave_index != 0) {
            continue;
        }
        if (leave_index == 0 || progress->leave_index != 0) {
            drop(members, i); /* one leaves at a time */
            continue;
        }
        progress->voter = false;
        progress->leave_index = leave_index;
        progress->leave_tick = now;
    }
    for (size_t i = 0; i < membership->count; i++) {
        const struct raft_member *member = &membership->of[i];
        struct raft_progress *progress = raft_members_find(members, member->id);
        if (progress == NULL) {
            progress = insert(members, member->id);
            raft_progress_reset(progress, last_index, now);
        }
        progress->voter = member->role == RAFT_VOTER;
        progress->leave_index = 0;
    }
}

void raft_members_part(struct raft_members *members, uint64_t tick)
{
    for (size_t i = members->count; i-- > 0;) {
        const struct raft_progress *progress = &members->of[i];
        if (progress->leave_index != 0 &&
            (progress->commit_sent >= progress->leave_index || progress->leave_tick < tick)) {
            drop(members, i);
        }
    }
}

bool raft_members_track(struct raft_members *members, struct raft_progress *progress)
{
    if (progress->flights == NULL) {
        progress->flights =
            alloc_zeroed(members->alloc, members->flights_max, sizeof(struct raft_flight));
    }
    return progress->flights != NULL;
}

struct raft_progress *raft_members_find(struct raft_members *members, uint64_t id)
{
    for (size_t i = 0; i < members->count; i++) {
        if (members->of[i].id == id) {
            return &members->of[i];
        }
    }
    return NULL;
}

bool raft_members_is_voter(struct raft_members *members, uint64_t id)
{
    const struct raft_progress *progress = raft_members_find(members, id);
    return progress != NULL && progress->voter;
}

size_t raft_members_voters(const struct raft_members *members)
{
    size_t voters = 0;
    for (size_t i = 0; i < members->count; i++) {
        voters += members->of[i].voter;
    }
    return voters;
}

size_t raft_members_quorum(const struct raft_members *members)
{
    return raft_members_voters(members) / 2 + 1;
}

uint64_t raft_members_quorum_match(const struct raft_members *members, uint64_t id, uint64_t own)
{
    uint64_t sorted[RAFT_PEERS_MAX]; /* descending */
    size_t voters = 0;
    for (size_t i = 0; i < members->count; i++) {
        if (!members->of[i].voter) {
            continue;
        }
        uint64_t match = members->of[i].id == id ? own : members->of[i].match;
        size_t at = voters++;
        while (at > 0 && sorted[at - 1] < match) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = match;
    }
    CHECK(voters > 0);
    return sorted[voters / 2];
}

uint64_t raft_members_least_match(const struct raft_members *members, uint64_t id, uint64_t own,
                                  uint64_t since)
{
    uint64_t least = own;
    for (size_t i = 0; i < members->count; i++) {
        const struct raft_progress *progress = &members->of[i];
        bool counts = progress->leave_index == 0 && progress->contact_tick >= since;
        if (progress->id != id && counts && progress->match < least) {
            least = progress->match;
        }
    }
    return least;
}

size_t raft_members_ballots(const struct raft_members *members, enum raft_ballot ballot)
{
    size_t count = 0;
    for (size_t i = 0; i < members->count; i++) {
        count += members->of[i].voter && members->of[i].ballot == ballot;
    }
    return count;
}

void raft_members_clear_ballots(struct raft_members *members)
{
    for (size_t i = 0; i < members->count; i++) {
        members->of[i].ballot = RAFT_BALLOT_NONE;
    }
}

static void clear_flights(struct raft_progress *progress)
{
    progress->flight_first = 0;
    progress->flight_count = 0;
    progress->flight_bytes = 0;
}

void raft_progress_reset(struct raft_progress *progress, uint64_t last_index, uint64_t now)
{
    raft_progress_drop_loaded(progress);
    clear_flights(progress);
    progress->match = 0;
    progress->next = last_index + 1;
    progress->applied = 0;
    progress->contact_tick = now;
    progress->heard = false;
    progress->commit_sent = 0;
    progress->round = 0;
    progress->state = RAFT_PEER_PROBE;
    progress->probe_sent = false;
    progress->check_due = false;
    progress->heartbeat_due = false;
}

void raft_progress_applied(struct raft_progress *progress, uint64_t applied)
{
    if (applied > progress->applied || progress->applied == RAFT_APPLIES_NOTHING) {
        progress->applied = applied;
    }
}

void raft_progress_probe(struct raft_progress *progress, uint64_t next)
{
    CHECK(next > progress->match);
    raft_progress_drop_loaded(progress);
    clear_flights(progress);
    progress->state = RAFT_PEER_PROBE;
    progress->next = next;
    progress->probe_sent = false;
    progress->check_due = false;
}

void raft_progress_replicate(struct raft_progress *progress)
{
    CHECK(progress->state == RAFT_PEER_PROBE);
    CHECK(progress->flight_count == 0);
    progress->state = RAFT_PEER_REPLICATE;
    progress->probe_sent = false;
}

void raft_progress_sent(struct raft_progress *progress, size_t flights_max, uint64_t last_index,
                        size_t bytes)
{
    CHECK(progress->flight_count < flights_max);
    CHECK(last_index >= progress->next);
    size_t at = (progress->flight_first + progress->flight_count) % flights_max;
    progress->flights[at] = (struct raft_flight){.last_index = last_index, .bytes = bytes};
    progress->flight_count++;
    progress->flight_bytes += bytes;
    progress->next = last_index + 1;
}

bool raft_progress_acknowledged(struct raft_progress *progress, size_t flights_max, uint64_t index)
{
    while (progress->flight_count > 0 &&
           progress->flights[progress->flight_first].last_index <= index) {
        CHECK(progress->flight_bytes >= progress->flights[progress->flight_first].bytes);
        progress->flight_bytes -= progress->flights[progress->flight_first].bytes;
        progress->flight_first = (progress->flight_first + 1) % flights_max;
        progress->flight_count--;
    }
    if (index <= progress->match) {
        return false;
    }
    progress->match = index;
    if (progress->next <= index) {
        /* What was loaded or is being loaded begins too early now. */
        raft_progress_drop_loaded(progress);
        progress->next = index + 1;
    }
    CHECK(progress->match < progress->next);
    return true;
}

void raft_progress_drop_loaded(struct raft_progress *progress)
{
    for (size_t i = 0; i < progress->loaded_count; i++) {
        raft_entry_unref(progress->loaded[i]);
    }
    progress->loaded_count = 0;
    progress->loading = false;
    progress->load_failed = false;
}
