/* SPDX-License-Identifier: Apache-2.0
 *
 * Log_writer: the driver's way into the WAL. It takes what the Raft core wants
 * stored, in the core's order, gives it to the WAL as far as that takes it, starts
 * one group at a time, and says what a finished group made durable.
 *
 * It also knows the time of the log's newest event, applied or not: a leader goes
 * on from there.
 *
 * A full disk is no failure: what does not fit waits, and is tried again at the
 * next log_writer_tick(). Any other error is poison and returned. The driver's
 * thread only.
 */
#ifndef ESTREAT_NODE_LOG_WRITER_H
#define ESTREAT_NODE_LOG_WRITER_H

#include "raft/raft.h"
#include "storage/wal/wal.h"

struct log_writer {
    struct alloc *alloc;
    struct wal *wal;
    uint64_t tail_events;        /* in the entries that were there at the start */
    uint64_t last_time_ns;       /* of the newest event in the log */
    uint64_t given_sequence;     /* the newest store of which the WAL has something */
    uint64_t submitted_sequence; /* what the group under way covers */
    struct raft_entry **changes; /* of the membership, in the entries that were there */
    size_t change_count;
    size_t change_capacity;
    bool waits;       /* for disk space, until the next tick */
    bool group_again; /* the group under way had no room: what it covers stays as it is */
    /* The store that the WAL has not taken whole yet. */
    bool has_hard_state;
    struct raft_hard_state hard_state;
    uint64_t sequence;
    struct raft_entry **entries; /* with references */
    size_t next;                 /* the first that the WAL has not */
    size_t count;
    size_t capacity;
};

/* What a group made durable, as raft_stored() and raft_hard_state_stored() want it. */
struct log_stored {
    struct raft_hard_state hard_state;
    uint64_t sequence; /* 0: no entries yet */
    uint64_t index;
    uint64_t term;
};

/* Borrows `wal`. Reads the log from `from_index` to `last_index` for the time of its newest
 * event, and for changes of the membership; `time_ns` is that of the state before. */
enum status log_writer_init(struct log_writer *writer, struct alloc *alloc, struct wal *wal,
                            uint64_t from_index, uint64_t last_index, uint64_t time_ns,
                            struct error *err) MUST_USE;
void log_writer_release(struct log_writer *writer);

/* Lets go of `changes`. */
void log_writer_drop_changes(struct log_writer *writer);

/* False while something of the last store waits: the core is then asked for nothing more. */
bool log_writer_ready(const struct log_writer *writer);

/* Takes the ready's hard state and entries. Requires log_writer_ready(). */
enum status log_writer_store(struct log_writer *writer, const struct raft_ready *ready,
                             struct error *err) MUST_USE;

/* Gives the WAL more of what waits, if anything does. */
enum status log_writer_go_on(struct log_writer *writer, struct error *err) MUST_USE;

/* Starts a group with all that the WAL has pending, unless one is under way. */
enum status log_writer_submit(struct log_writer *writer, struct error *err) MUST_USE;

/* After the WAL's completion. RESOURCE_EXHAUSTED: the group had no room and waits; `out` is not
 * filled. */
enum status log_writer_finish(struct log_writer *writer, struct log_stored *out,
                              struct error *err) MUST_USE;

/* What waited for space is tried again. */
void log_writer_tick(struct log_writer *writer);

/* True while a full disk holds up the log. */
static inline bool log_writer_waits(const struct log_writer *writer)
{
    return writer->waits;
}

#endif
