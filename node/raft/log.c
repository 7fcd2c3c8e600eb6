/* SPDX-License-Identifier: Apache-2.0 */
#include "raft/log.h"

#include "base/check.h"
#include "base/plant.h"
#include "raft/grow.h"

#define RING_CAPACITY_MIN 64U

static void check_order(const struct raft_log *log)
{
    CHECK(log->snapshot_index <= log->stored_index);
    CHECK(log->stored_index <= log->handed_index);
    CHECK(log->handed_index <= log->last_index);
    CHECK(log->cache_first > log->snapshot_index);
    CHECK(log->cache_first <= log->stored_index + 1);
    CHECK((log->run_count == 0) == (log->last_index == log->snapshot_index));
}

static enum status check_recovered(const struct raft_options *options, struct error *err)
{
    if (options->last_index < options->snapshot_index) {
        return error_set(err, STATUS_CORRUPT, "log ends at %llu, before its snapshot at %llu",
                         (unsigned long long)options->last_index,
                         (unsigned long long)options->snapshot_index);
    }
    if ((options->run_count == 0) != (options->last_index == options->snapshot_index)) {
        return error_set(err, STATUS_CORRUPT, "terms of the log do not cover it");
    }
    uint64_t index = options->snapshot_index;
    uint64_t term = options->snapshot_term;
    for (size_t i = 0; i < options->run_count; i++) {
        const struct raft_term_run *run = &options->runs[i];
        bool begins_well = i == 0 ? run->first_index == options->snapshot_index + 1
                                  : run->first_index > index && run->term > term;
        if (!begins_well || run->term < term || run->term == 0 ||
            run->first_index > options->last_index) {
            return error_set(err, STATUS_CORRUPT, "term %llu from entry %llu on is out of order",
                             (unsigned long long)run->term, (unsigned long long)run->first_index);
        }
        index = run->first_index;
        term = run->term;
    }
    /* A snapshot may be of a later term than this node had entered durably; what is in its log may
     * not. */
    if (options->run_count > 0 && term > options->hard_state.term) {
        return error_set(err, STATUS_CORRUPT, "log ends in term %llu, but the node is in term %llu",
                         (unsigned long long)term, (unsigned long long)options->hard_state.term);
    }
    return STATUS_OK;
}

enum status raft_log_init(struct raft_log *log, const struct raft_options *options,
                          struct error *err)
{
    enum status status = check_recovered(options, err);
    if (status != STATUS_OK) {
        return status;
    }
    *log = (struct raft_log){
        .alloc = options->alloc,
        .snapshot_index = options->snapshot_index,
        .snapshot_term = options->snapshot_term,
        .last_index = options->last_index,
        .handed_index = options->last_index,
        .stored_index = options->last_index,
        .cache_first = options->last_index + 1,
    };
    if (options->run_count > 0) {
        if (!RAFT_GROW(log->alloc, &log->runs, &log->run_capacity, options->run_count)) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the log's terms");
        }
        memcpy(log->runs, options->runs, options->run_count * sizeof *log->runs);
        log->run_count = options->run_count;
    }
    check_order(log);
    return STATUS_OK;
}

static size_t slot_of(const struct raft_log *log, uint64_t index)
{
    return (size_t)(index & (log->ring_capacity - 1));
}

void raft_log_release(struct raft_log *log)
{
    for (uint64_t index = log->cache_first; index <= log->last_index; index++) {
        raft_entry_unref(log->ring[slot_of(log, index)]);
    }
    alloc_free(log->alloc, log->ring);
    alloc_free(log->alloc, log->runs);
    *log = (struct raft_log){.alloc = log->alloc};
}

/* The run that `index` lies in; the index must be in (snapshot_index, last_index]. */
static size_t run_of(const struct raft_log *log, uint64_t index)
{
    CHECK(log->run_count > 0);
    CHECK(index >= log->runs[0].first_index);
    size_t low = 0;
    size_t high = log->run_count; /* runs[low] begins at or before index, runs[high] after */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (log->runs[middle].first_index <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

bool raft_log_term_at(const struct raft_log *log, uint64_t index, uint64_t *term)
{
    if (index < log->snapshot_index || index > log->last_index) {
        return false;
    }
    *term = index == log->snapshot_index ? log->snapshot_term : log->runs[run_of(log, index)].term;
    return true;
}

uint64_t raft_log_last_term(const struct raft_log *log)
{
    return log->run_count == 0 ? log->snapshot_term : log->runs[log->run_count - 1].term;
}

bool raft_log_has(const struct raft_log *log, uint64_t index, uint64_t term)
{
    uint64_t own;
    return raft_log_term_at(log, index, &own) && own == term;
}

uint64_t raft_log_agreement(const struct raft_log *log, uint64_t index, uint64_t term)
{
    uint64_t at = index < log->last_index ? index : log->last_index;
    if (at <= log->snapshot_index) {
        return log->snapshot_index;
    }
    size_t run = run_of(log, at);
    while (log->runs[run].term > term) {
        at = log->runs[run].first_index - 1;
        if (run == 0) {
            return log->snapshot_index;
        }
        run--;
    }
    CHECK(at > log->snapshot_index);
    return at;
}

static bool grow_ring(struct raft_log *log, size_t needed)
{
    size_t capacity = log->ring_capacity == 0 ? RING_CAPACITY_MIN : log->ring_capacity;
    while (capacity < needed) {
        capacity *= 2;
    }
    if (capacity == log->ring_capacity) {
        return true;
    }
    struct raft_entry **ring = alloc_zeroed(log->alloc, capacity, sizeof(struct raft_entry *));
    if (ring == NULL) {
        return false;
    }
    for (uint64_t index = log->cache_first; index <= log->last_index; index++) {
        ring[(size_t)(index & (capacity - 1))] = log->ring[slot_of(log, index)];
    }
    alloc_free(log->alloc, log->ring);
    log->ring = ring;
    log->ring_capacity = capacity;
    return true;
}

bool raft_log_reserve(struct raft_log *log, size_t count)
{
    size_t cached = (size_t)(log->last_index + 1 - log->cache_first);
    /* Each entry may begin a term of its own. */
    return grow_ring(log, cached + count) &&
           RAFT_GROW(log->alloc, &log->runs, &log->run_capacity, log->run_count + count);
}

void raft_log_append(struct raft_log *log, struct raft_entry *entry)
{
    CHECK(entry->index == log->last_index + 1);
    CHECK(entry->term >= raft_log_last_term(log));
    CHECK(log->last_index + 1 - log->cache_first < log->ring_capacity);
    if (log->run_count == 0 || entry->term > raft_log_last_term(log)) {
        CHECK(log->run_count < log->run_capacity);
        log->runs[log->run_count++] =
            (struct raft_term_run){.first_index = entry->index, .term = entry->term};
    }
    log->ring[slot_of(log, entry->index)] = entry;
    log->cache_bytes += raft_entry_bytes(entry);
    log->last_index = entry->index;
}

void raft_log_truncate(struct raft_log *log, uint64_t from, uint64_t next_sequence)
{
    CHECK(from > log->snapshot_index);
    CHECK(from <= log->last_index);
    for (uint64_t index = log->last_index; index >= from && index >= log->cache_first; index--) {
        struct raft_entry *entry = raft_log_at(log, index);
        log->cache_bytes -= raft_entry_bytes(entry);
        raft_entry_unref(entry);
    }
    if (log->cache_first > from) {
        log->cache_first = from;
    }
    while (log->run_count > 0 && log->runs[log->run_count - 1].first_index >= from) {
        log->run_count--;
    }
    log->last_index = from - 1;
    if (log->handed_index >= from) {
        if (log->cut_index == 0 || from < log->cut_index) {
            log->cut_index = from;
        }
        log->cut_sequence = next_sequence;
        log->handed_index = from - 1;
    }
    if (log->stored_index >= from) {
        log->stored_index = from - 1;
    }
    check_order(log);
}

bool raft_log_cached(const struct raft_log *log, uint64_t index)
{
    return index >= log->cache_first && index <= log->last_index;
}

struct raft_entry *raft_log_at(const struct raft_log *log, uint64_t index)
{
    CHECK(raft_log_cached(log, index));
    struct raft_entry *entry = log->ring[slot_of(log, index)];
    CHECK(entry->index == index);
    return entry;
}

static void evict_first(struct raft_log *log)
{
    struct raft_entry *entry = raft_log_at(log, log->cache_first);
    log->cache_bytes -= raft_entry_bytes(entry);
    raft_entry_unref(entry);
    log->cache_first++;
}

void raft_log_evict(struct raft_log *log, uint64_t unneeded, size_t bytes_max)
{
    while (!PLANTED(EVICT_NOTHING) && log->cache_first <= log->stored_index &&
           (log->cache_first <= unneeded || log->cache_bytes > bytes_max)) {
        evict_first(log);
    }
    CHECK(log->cache_first <= log->last_index || log->cache_bytes == 0);
}

bool raft_log_stored(struct raft_log *log, uint64_t sequence, uint64_t index, uint64_t term)
{
    uint64_t durable = index;
    if (log->cut_index != 0 && sequence < log->cut_sequence) {
        /* Storage is in order: what lies before the cut was not touched by it. */
        if (durable >= log->cut_index) {
            durable = log->cut_index - 1;
        }
    } else {
        if (!raft_log_has(log, index, term)) {
            return false; /* not an entry that was handed out */
        }
        log->cut_index = 0;
        log->cut_sequence = 0;
    }
    if (durable > log->handed_index || durable <= log->stored_index) {
        return false;
    }
    log->stored_index = durable;
    check_order(log);
    return true;
}

void raft_log_purge(struct raft_log *log, uint64_t index)
{
    if (index <= log->snapshot_index) {
        return;
    }
    CHECK(index <= log->stored_index);
    uint64_t term = 0;
    bool known = raft_log_term_at(log, index, &term);
    CHECK(known);
    while (log->cache_first <= index) {
        evict_first(log);
    }
    size_t gone = 0;
    while (gone + 1 < log->run_count && log->runs[gone + 1].first_index <= index + 1) {
        gone++;
    }
    if (index == log->last_index) {
        gone = log->run_count;
    }
    log->run_count -= gone;
    memmove(log->runs, log->runs + gone, log->run_count * sizeof *log->runs);
    if (log->run_count > 0) {
        log->runs[0].first_index = index + 1;
    }
    log->snapshot_index = index;
    log->snapshot_term = term;
    check_order(log);
}
