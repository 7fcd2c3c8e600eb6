/* SPDX-License-Identifier: Apache-2.0
 *
 * Raft: the consensus core, a pure state machine (design 5, node/raft/DESIGN.md).
 *
 * It does no I/O, reads no clock, takes no lock and starts no thread; memory
 * comes from the allocator and chance from the rng that it is given, so the
 * same calls in the same order always give the same results. One thread owns
 * a core and makes all calls; only entries are shared between threads.
 *
 * The driver feeds events in (raft_tick, raft_receive, raft_propose, ...) and
 * then takes out what is to be done:
 *
 *     while (raft_ready(raft, &ready)) {
 *         submit ready.hard_state and ready.entries to the WAL, in this order;
 *         send ready.messages; start ready.loads; release ready.reads;
 *         let the applier go on up to ready.commit;
 *     }
 *     when the WAL has synced: raft_hard_state_stored(...), raft_stored(...)
 *
 * Nothing in a ready waits for anything else in it: a message that rests on
 * something durable is only made after the core was told that it is durable.
 * So submit, send and apply may go on side by side. The one order that the
 * driver owes: the WAL makes durable what it was given in the order of giving,
 * so that after a crash it holds a prefix of it.
 *
 * Errors: RESOURCE_EXHAUSTED means no memory or a bound was reached, and that
 * the call had no effect beyond adopting a newer term; INVALID_ARGUMENT a
 * malformed message (dropped); DATA_LOSS a message that would break what is
 * committed: the node must stop. Where no memory is left to queue a message,
 * it counts as lost, which Raft survives (raft_status.messages_dropped).
 */
#ifndef ESTREAT_RAFT_RAFT_H
#define ESTREAT_RAFT_RAFT_H

#include "base/alloc.h"
#include "base/rng.h"
#include "base/status.h"
#include "raft/entry.h"
#include "raft/membership.h"
#include "raft/message.h"

struct raft; /* opaque */

enum raft_role {
    RAFT_FOLLOWER,
    RAFT_PRE_CANDIDATE,
    RAFT_CANDIDATE,
    RAFT_LEADER,
};

const char *raft_role_name(enum raft_role role);

/* Entries from first_index on, up to the next run, are of `term`. */
struct raft_term_run {
    uint64_t first_index;
    uint64_t term;
};

struct raft_hard_state {
    uint64_t term;
    uint64_t vote; /* 0: none */
};

struct raft_options {
    uint64_t id; /* this node; not 0 */
    /* The membership as of applied_index, encoded; empty for a node that waits to be added. */
    struct slice membership;
    /* The log's entries past applied_index that change it, ascending; references are taken. */
    struct raft_entry *const *changes;
    size_t change_count;

    unsigned election_ticks;  /* followers wait this to twice this; > heartbeat_ticks */
    unsigned heartbeat_ticks; /* at least 1 */

    size_t message_bytes_max;     /* entries of one APPEND (one larger entry goes alone) */
    size_t inflight_bytes_max;    /* sent to one peer and not yet acknowledged */
    size_t inflight_messages_max; /* the same, in messages; at most 4096 */
    size_t cache_bytes_max;       /* entries in memory; durable ones beyond it are let go */

    struct alloc *alloc; /* borrowed for the core's life */
    struct rng *rng;     /* borrowed for the core's life */

    /* What was recovered. A new node has 0 everywhere. All of it is durable. */
    struct raft_hard_state hard_state;
    uint64_t snapshot_index; /* the log begins after it */
    uint64_t snapshot_term;
    uint64_t applied_index; /* at least snapshot_index; at most last_index */
    uint64_t last_index;
    const struct raft_term_run *runs; /* ascending; the first begins at snapshot_index + 1 */
    size_t run_count;                 /* 0 if last_index == snapshot_index */

    /* Not 0: the log was damaged and lost its end, which was (at most) at this index; the hard
     * state was not lost, and its term was refill_term. Until the log is refilled this node does
     * not help to elect anybody (DESIGN.md). */
    uint64_t refill_index;
    uint64_t refill_term;
};

#define RAFT_READS_PENDING_MAX 65536U
#define RAFT_MESSAGES_QUEUED_MAX 4096U

/* The driver's values for options: 1 MiB messages fill a connection without making heartbeats
 * wait, 8 MiB in flight cover 80 ms at 100 MB/s, the cache rides out a peer's short pause. */
#define RAFT_MESSAGE_BYTES_DEFAULT (1024UL * 1024UL)
#define RAFT_INFLIGHT_BYTES_DEFAULT (8UL * 1024UL * 1024UL)
#define RAFT_INFLIGHT_MESSAGES_DEFAULT 256UL
#define RAFT_CACHE_BYTES_DEFAULT (64UL * 1024UL * 1024UL)

/* Copies what `options` points to, except alloc and rng. On success *out is owned.
 * INVALID_ARGUMENT: options out of range; CORRUPT: recovered values contradict each other. */
MUST_USE enum status raft_new(const struct raft_options *options, struct raft **out,
                              struct error *err);

/* Frees; readies given out are void. NULL is allowed. */
void raft_free(struct raft *raft);

/* ---- Inputs ---------------------------------------------------------------------------------- */

/* One tick has passed. RESOURCE_EXHAUSTED: no memory to begin a term; tried again later. */
MUST_USE enum status raft_tick(struct raft *raft, struct error *err);

/* A message has come in. Borrows it; takes references to the entries that it keeps. One to
 * another node is INVALID_ARGUMENT. Whoever asks is answered, member or not (this node may not
 * know yet who is), but for those whose removal is committed; replies count from members only. */
MUST_USE enum status raft_receive(struct raft *raft, const struct raft_message *message,
                                  struct error *err);

/* Appends to the leader's log and sets entry->index and entry->term. On success takes the
 * caller's (only) reference; on failure the caller keeps it. FAILED_PRECONDITION: not the
 * leader; UNAVAILABLE: leadership is being handed over; RESOURCE_EXHAUSTED: no memory, or
 * more than cache_bytes_max wait for the disk; INVALID_ARGUMENT: type is not the driver's. */
MUST_USE enum status raft_propose(struct raft *raft, struct raft_entry *entry, struct error *err);

/* Proposes a membership that is one step from the present one: `entry` is of type
 * RAFT_ENTRY_MEMBERSHIP; on success as raft_propose. It is in force at once on each node that has
 * it in its log. FAILED_PRECONDITION: not the leader, no such step, or it would remove the leader
 * itself (hand over first); UNAVAILABLE: an earlier change or this term's first entry is not yet
 * committed, or leadership is being handed over; CORRUPT: malformed. */
MUST_USE enum status raft_change(struct raft *raft, struct raft_entry *entry, struct error *err);

/* What readies up to the one with `store_sequence` gave to store is durable, of that one itself
 * as far as the entry (index, term), usually its last. May be called for some readies only, as
 * the WAL syncs in groups; a later one covers all earlier ones. An entry that was overwritten
 * since then is ignored: (index, term) alone would not do, since the same entry may have been
 * stored, overwritten and stored again (DESIGN.md). */
void raft_stored(struct raft *raft, uint64_t store_sequence, uint64_t index, uint64_t term);

/* The hard state is durable. An older one than the present is noted and waited past.
 * RESOURCE_EXHAUSTED: the vote made this node leader and there is no memory; it stands back. */
MUST_USE enum status raft_hard_state_stored(struct raft *raft, struct raft_hard_state stored,
                                            struct error *err);

/* The state machine has applied up to `index`, at most the commit index given out. */
void raft_applied(struct raft *raft, uint64_t index);

/* This node applies nothing any more, until it is started anew. It tells its leader that in place
 * of an index, so that nobody waits for it to apply something. */
#define RAFT_APPLIES_NOTHING UINT64_MAX
void raft_stop_applying(struct raft *raft);

/* Asks for a read index: a later ready's `reads` has `context` once (the driver chooses it, not
 * necessarily unique). UNAVAILABLE: no leader is known; RESOURCE_EXHAUSTED: too many wait. */
MUST_USE enum status raft_read(struct raft *raft, uint64_t context, struct error *err);

/* Answers a load: `entries` are those from from_index on, at least one unless reading failed
 * (count 0: asked for again later). Borrows; takes references to those it keeps. An answer that
 * has become useless is ignored. RESOURCE_EXHAUSTED: as count 0. */
struct raft_load;
MUST_USE enum status raft_loaded(struct raft *raft, const struct raft_load *load,
                                 struct raft_entry *const *entries, size_t count,
                                 struct error *err);

/* Hands leadership to `target`. When it has what the log had at this call, proposals are refused
 * until it has the rest and leads; or an election timeout has passed since that was first asked
 * for. FAILED_PRECONDITION: not the leader; INVALID_ARGUMENT: not another voter. */
MUST_USE enum status raft_transfer(struct raft *raft, uint64_t target, struct error *err);

/* The connection to `peer` was lost: what is in flight has to be sent again. Only saves time. */
void raft_unreachable(struct raft *raft, uint64_t peer);

/* The log's entries up to `index`, which is durable here, are committed, though no leader has said
 * so since the start: this node remembers having applied them. */
void raft_recall_commit(struct raft *raft, uint64_t index);

/* Whether this node may campaign (true at first); a node that lags in applying or whose tables
 * are damaged should not. It votes and acknowledges all the same. */
void raft_set_electable(struct raft *raft, bool electable);

/* The WAL no longer has entries up to `index`; at most the commit index given out (what was
 * flushed may be ahead of what raft_applied was told). */
void raft_purged(struct raft *raft, uint64_t index);

/* ---- Output ---------------------------------------------------------------------------------- */

struct raft_read_state {
    uint64_t context;
    uint64_t index; /* the read may be served once this is applied */
    bool ok;        /* false: the leader changed; ask again */
};

/* Entries that a slow peer needs and that are no longer in memory; all are durable. */
struct raft_load {
    uint64_t peer;
    uint64_t from_index; /* [from_index, end_index) */
    uint64_t end_index;
    size_t bytes_max; /* as raft_entry_bytes counts; at least one entry whatever its size */
};

struct raft_soft_state {
    enum raft_role role;
    uint64_t leader; /* 0: not known */
    uint64_t term;
};

/* Everything is given out once. Pointers, and the references of the entries behind them, are
 * valid until the next raft_ready or raft_free; who needs an entry longer takes a reference. */
struct raft_ready {
    uint64_t store_sequence; /* 0: nothing to store; else rises with each ready that has some */
    bool has_hard_state;     /* to be stored before `entries` */
    struct raft_hard_state hard_state;
    /* To be appended to the WAL; if the first index is not past the WAL's end, the WAL is cut
     * there before. Consecutive. */
    struct raft_entry *const *entries;
    size_t entry_count;

    const struct raft_message *messages;
    size_t message_count;
    const struct raft_read_state *reads;
    size_t read_count;
    const struct raft_load *loads;
    size_t load_count;

    bool has_commit;
    uint64_t commit; /* may be applied up to here: committed and durable on this node */

    bool has_soft_state;
    struct raft_soft_state soft_state;

    bool has_membership; /* another one is in force: ask raft_members_now */
    bool refilled;       /* once: what raft_options.refill_index asked for is durable */
    /* Not 0: the leader no longer has what this node lacks, which so needs a snapshot that reaches
     * this index at least. Told again with every heartbeat until the node has it. */
    uint64_t snapshot_wanted;
};

/* Fills *out and returns true if there is anything to do. Lets go of the last ready. */
bool raft_ready(struct raft *raft, struct raft_ready *out);

/* ---- Questions ------------------------------------------------------------------------------- */

/* Puts entries [begin, end) into out[0..], each with a reference that the caller owns, and
 * returns how many there are from `begin` on: 0 if `begin` is no longer (or not yet) in memory,
 * in which case the WAL has it. */
size_t raft_entries(const struct raft *raft, uint64_t begin, uint64_t end, struct raft_entry **out);

/* The term of the entry at `index`; false if it is not in [snapshot_index, last_index]. */
bool raft_term_at(const struct raft *raft, uint64_t index, uint64_t *term);

/* Up to here every member has the log durably: nobody will ask for it again. */
uint64_t raft_retain_index(const struct raft *raft);

/* The membership in force and the index of its entry (0: before the log). Valid until the next
 * input. It may be taken back as long as the index is not committed. */
const struct raft_membership *raft_members_now(const struct raft *raft, uint64_t *index);

enum raft_peer_state {
    RAFT_PEER_PROBE,     /* where the logs agree is being found out, one message at a time */
    RAFT_PEER_REPLICATE, /* entries stream */
    RAFT_PEER_SNAPSHOT,  /* needs entries that the WAL no longer has */
};

const char *raft_peer_state_name(enum raft_peer_state state);

/* What a leader knows of a member; of itself too. */
struct raft_peer {
    uint64_t id;
    uint64_t match;   /* durable there, as far as it said */
    uint64_t next;    /* the next index to send */
    uint64_t applied; /* applied there, as far as it said; or RAFT_APPLIES_NOTHING */
    enum raft_peer_state state;
    bool voter;
    bool leaving; /* removed, and not yet told so */
    bool heard;   /* in this term; this node itself is */
    uint64_t contact_ticks_ago;
    size_t inflight_bytes;
    size_t inflight_messages;
};

struct raft_status {
    uint64_t id;
    enum raft_role role;
    uint64_t leader;
    struct raft_hard_state hard_state;
    uint64_t commit;         /* committed as far as known, durable here or not */
    uint64_t stored_index;   /* durable here */
    uint64_t applied_index;  /* as raft_applied said */
    uint64_t snapshot_index; /* the log begins after it */
    uint64_t last_index;
    uint64_t last_term;
    uint64_t cache_first_index; /* entries from here to last_index are in memory */
    size_t cache_bytes;
    uint64_t messages_dropped; /* for lack of memory */
    uint64_t refill_index;     /* as in raft_options, until it is refilled; then 0 */
    bool transferring;
};

void raft_status(const struct raft *raft, struct raft_status *out);

#define RAFT_PEERS_MAX (MEMBERS_MAX + 1) /* one may be leaving */

/* Fills up to `max` of *out with the members in ascending order of id; returns how many. Match
 * and what follows have a meaning on the leader only. */
size_t raft_peers(const struct raft *raft, struct raft_peer *out, size_t max);

#endif
