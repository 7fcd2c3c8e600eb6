/* SPDX-License-Identifier: Apache-2.0
 *
 * Driver: owns the Raft core and the WAL's writing end. It takes proposals, peers'
 * messages and completions from its intake queue, feeds them to the core, and
 * carries out what the core says: persist, send, apply. It has no thread: somebody
 * (turns.h, a test, a simulator) gives it its turns, one at a time.
 *
 * One turn: take everything that waits; then, as long as the core has something
 * ready: append to the WAL, send the messages, hand committed entries to the
 * applier, release reads; then start one WAL group with all that was appended.
 * While that group is under way the next one collects, so that under load one
 * fdatasync serves many requests and with one request nothing waits.
 *
 * The order that matters is the core's (node/raft/DESIGN.md): what depends on
 * something durable comes out of the core only after the driver said it is.
 */
#ifndef ESTREAT_NODE_DRIVER_H
#define ESTREAT_NODE_DRIVER_H

#include "base/clock.h"
#include "base/rng.h"
#include "node/admin.h"
#include "node/applied.h"
#include "node/applier.h"
#include "node/config.h"
#include "node/fault.h"
#include "node/intake.h"
#include "node/loader.h"
#include "node/member_points.h"
#include "node/peer_message.h"
#include "node/pending.h"
#include "node/proposals.h"
#include "node/reads.h"
#include "node/refill.h"
#include "node/replier.h"
#include "raft/raft.h"
#include "storage/wal/wal.h"

struct driver;

#define DRIVER_TICK_NS (20 * NS_PER_MS) /* the core's */

struct driver_options {
    struct alloc *alloc;
    struct clock *clock;
    struct rng *rng;
    struct fs *fs;               /* to watch the free space */
    const struct config *config; /* borrowed, as all that follows */
    struct intake_queue *intake;
    struct wal *wal;
    const struct wal_recovered *recovered;
    const struct refill *refill; /* what the log lacks at the start */
    uint64_t signed_size;        /* of the newest head that this node signed, and so has applied */
    const struct seal *start;
    /* Sends to another member; false if that cannot be done now. Raft repeats what gets lost. */
    bool (*send)(void *context, const struct raft_message *message, const struct peer_news *news);
    void *send_context; /* also of on_members */
    /* In the first turn, and whenever they change; may be NULL. */
    void (*on_members)(void *context, const struct members *members);
    struct loader *loader; /* on the same intake */
    struct applier *applier;
    struct pending *pending;
    struct replier *replier;
    struct applied *applied;
    struct fault *fault;
    /* In a turn: the leader, and how far a snapshot must reach that this node needs. */
    void (*on_snapshot_wanted)(void *context, const struct members *members, uint64_t leader,
                               uint64_t least_index);
    uint64_t (*log_needed_past)(void *context); /* by those who pull snapshots */
    void (*on_refilled)(void *context);         /* in a turn; once, if it lacked some */
    void (*on_house)(void *context);            /* in a turn, about twice a second */
    void (*on_fatal)(void *context, const struct error *err); /* in a turn; once */
    void *context;
};

/* Returns owned. */
enum status driver_new(const struct driver_options *options, struct driver **out,
                       struct error *err) MUST_USE;

/* One turn. `due_ns`: when the next one must be at the latest, on the monotonic clock, if nothing
 * calls before. False: it was asked to stop, and this was the last one. */
bool driver_turn(struct driver *driver, uint64_t *due_ns);

/* Any thread, once. It takes no more appends and, when it has answered those that it took, hands
 * leadership over; it goes on as a follower. */
void driver_ask_to_leave(struct driver *driver);

/* True when it leads no more after that, or nobody takes over. Any thread. */
bool driver_has_left(struct driver *driver);

/* Any thread, once. It leaves, unless it has, and ends when the WAL has what it was given. */
void driver_ask_to_stop(struct driver *driver);

/* FAILED_PRECONDITION if the configuration names who is no member by all that the log says;
 * `first`: who was at the first start. */
enum status driver_check_config(const struct driver *driver, const struct member_names *first,
                                struct error *err) MUST_USE;

/* Events in the log's entries past options.start: all that may be applied without anything new from
 * others. */
uint64_t driver_tail_events(const struct driver *driver);

/* After the last turn, on any thread, the loader closed: fails what waits. */
void driver_end(struct driver *driver);

/* Gives back what came in since. The applier is stopped. NULL is allowed. */
void driver_free(struct driver *driver);

/* How the WAL's io thread says that a group is done: wal_options takes driver_wal_done and a
 * notice that lives as long as the WAL. At most one group is under way, so one item serves. */
struct wal_notice {
    struct intake item; /* INTAKE_WAL_DONE */
    struct intake_queue *intake;
};
void driver_wal_done(void *notice);

/* --- appends --- */

/* Any thread. Takes the list of proposals, their calls and their entries: a call is answered when
 * its entry is applied, or with the reason why it will not be. */
void driver_propose(struct driver *driver, struct proposal *first);

/* --- reads --- */

/* Any thread. Borrows the barrier until `ready`. */
void driver_read(struct driver *driver, struct read_barrier *barrier);

/* --- membership and leadership --- */

/* Any thread. Takes the request until its `done`. */
void driver_admin(struct driver *driver, struct admin_request *request);

/* --- status --- */

struct driver_status {
    struct raft_status raft;
    struct raft_peer peers[RAFT_PEERS_MAX];
    size_t peer_count;
    struct members members;
    struct member_points points; /* how far the others have applied the log */
    bool left;                   /* as driver_has_left() */
};

/* As of the driver's last turn. Any thread. */
void driver_status(struct driver *driver, struct driver_status *out);

/* True if no other node has a copy of what this one has. Any thread. */
bool driver_is_alone(struct driver *driver);

/* How long the log's syncs take: their median since the start. Any thread. */
uint64_t driver_fdatasync_p50_ns(const struct driver *driver);

#endif
