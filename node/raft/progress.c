/* SPDX-License-Identifier: Apache-2.0 */
#include "raft/progress.h"

#include "base/check.h"

static enum status check_ids(const struct raft_options *options, struct error *err)
{
    if (options->member_count < 1 || options->member_count > MEMBERS_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "%zu members; 1 to %zu are possible",
                         options->member_count, (size_t)MEMBERS_MAX);
    }
    bool self = false;
    for (size_t i = 0; i < options->member_count; i++) {
        if (options->members[i] == 0) {
            return error_set(err, STATUS_INVALID_ARGUMENT, "a member's id is 0");
        }
        for (size_t j = 0; j < i; j++) {
            if (options->members[i] == options->members[j]) {
                return error_set(err, STATUS_INVALID_ARGUMENT, "member %llu appears twice",
                                 (unsigned long long)options->members[i]);
            }
        }
        self = self || options->members[i] == options->id;
    }
    if (!self) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "this node, %llu, is not a member",
                         (unsigned long long)options->id);
    }
    return STATUS_OK;
}

static void insert_sorted(struct raft_members *members, uint64_t id)
{
    size_t at = members->count++;
    while (at > 0 && members->of[at - 1].id > id) {
        members->of[at] = members->of[at - 1];
        at--;
    }
    members->of[at] = (struct raft_progress){.id = id, .next = 1};
}

enum status raft_members_init(struct raft_members *members, const struct raft_options *options,
                              struct error *err)
{
    enum status status = check_ids(options, err);
    if (status != STATUS_OK) {
        return status;
    }
    *members = (struct raft_members){
        .alloc = options->alloc,
        .flights_max = options->inflight_messages_max,
    };
    for (size_t i = 0; i < options->member_count; i++) {
        insert_sorted(members, options->members[i]);
    }
    for (size_t i = 0; i < members->count; i++) {
        members->of[i].flights =
            alloc_zeroed(options->alloc, members->flights_max, sizeof(struct raft_flight));
        if (members->of[i].flights == NULL) {
            raft_members_release(members);
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the members");
        }
    }
    return STATUS_OK;
}

void raft_members_release(struct raft_members *members)
{
    for (size_t i = 0; i < members->count; i++) {
        struct raft_progress *progress = &members->of[i];
        raft_progress_drop_loaded(progress);
        alloc_free(members->alloc, progress->loaded);
        alloc_free(members->alloc, progress->flights);
    }
    members->count = 0;
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

size_t raft_members_quorum(const struct raft_members *members)
{
    CHECK(members->count > 0);
    return members->count / 2 + 1;
}

uint64_t raft_members_quorum_match(const struct raft_members *members, uint64_t id, uint64_t own)
{
    uint64_t sorted[MEMBERS_MAX]; /* descending */
    for (size_t i = 0; i < members->count; i++) {
        uint64_t match = members->of[i].id == id ? own : members->of[i].match;
        size_t at = i;
        while (at > 0 && sorted[at - 1] < match) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = match;
    }
    return sorted[raft_members_quorum(members) - 1];
}

uint64_t raft_members_least_match(const struct raft_members *members, uint64_t id, uint64_t own)
{
    uint64_t least = own;
    for (size_t i = 0; i < members->count; i++) {
        if (members->of[i].id != id && members->of[i].match < least) {
            least = members->of[i].match;
        }
    }
    return least;
}

size_t raft_members_ballots(const struct raft_members *members, enum raft_ballot ballot)
{
    size_t count = 0;
    for (size_t i = 0; i < members->count; i++) {
        count += members->of[i].ballot == ballot;
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
    progress->commit_sent = 0;
    progress->round = 0;
    progress->state = RAFT_PEER_PROBE;
    progress->probe_sent = false;
    progress->check_due = false;
    progress->heartbeat_due = false;
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
