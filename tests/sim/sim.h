/* SPDX-License-Identifier: Apache-2.0
 *
 * Sim: a whole cluster in one process and one thread: real replicas (driver, Raft core,
 * WAL, engine, sessions, log tree) on simulated disks, clocks and a simulated network,
 * real bytes on the wire, and clients that check what they are told. See README.md.
 *
 *     world.h     time, chance and the trace
 *     network.c   packets: delayed, lost, repeated, held up, cut off
 *     memory.c    what a node allocates: counted, and refused in bursts
 *     calls.c     calls on that network, of clients and of nodes
 *     server.c    a node's services, which answer them
 *     node.c      a replica's life: its turns, its disk, its crashes
 *     snapshots.c nodes that ask for others' snapshots
 *     membership.c  nodes that come and go for good
 *     clients.c   appends, repeated until they are answered
 *     client_reads.c  reads, at any node
 *     damage.c    the account of disks that silently did wrong
 *     checks.c    what must hold after every step
 *     content.c   what must hold of what a node stores
 *     ending.c    what must hold at the end
 *     weather.c   how bad this seed's world is, and what strikes when
 *     sim.c       one seed from begin to end
 */
#ifndef ESTREAT_TESTS_SIM_SIM_H
#define ESTREAT_TESTS_SIM_SIM_H

#include "base/clock.h"
#include "base/limits.h"
#include "client/session.h"
#include "merkle/hash.h"
#include "node/event_record.h"
#include "node/replica.h"
#include "node/replier_rpc.h"
#include "rpc/channel.h"
#include "rpc/out.h"
#include "schema/log.pb-c.h"
#include "testlib/executor_manual.h"
#include "testlib/fs_crash.h"
#include "testlib/fs_faulty.h"
#include "testlib/io_queue_manual.h"
#include "world.h"

#define SIM_CLIENTS 4U
#define SIM_OPS_DEFAULT 2000U
#define SIM_IN_FLIGHT 8U
#define SIM_EVENTS_PER_OP_MAX 3U
#define SIM_KEYS 40U
/* What a node may allocate besides its memtables (four, with those that are flushed): its
 * configured megabyte of block cache, a megabyte for each snapshot that it gives or takes, 256 KiB
 * for each reader of the log, and as much again of small things; entries that followers lack stay
 * on disk. Of 1,400 seeds none took more than 3.4 MiB in all; one of 20,000 that gave a snapshot
 * while it verified another took 4.3. */
#define SIM_NODE_BYTES_MAX (5 * MIB)

struct sim;
struct sim_node;

/* --- weather ----------------------------------------------------------------------------- */

struct weather {
    unsigned loss_permille;
    unsigned repeat_permille;
    uint64_t delay_max_ns;
    uint64_t disk_max_ns;  /* of one write and sync */
    uint64_t turn_max_ns;  /* until a driver or an applier that has work takes its turn */
    uint64_t job_max_ns;   /* until a background job's next step */
    uint64_t fault_max_ns; /* until the next fault */
    bool exact;            /* packets and disks take as long as they may */
};

void weather_draw(struct sim *sim);

/* Strikes now and then until sim->healed. */
void weather_begin(struct sim *sim);

/* The node has come to a new term: a bad moment to fail, for it and for others. */
void weather_election(struct sim_node *node);

/* The node has voted, and its answer is on its way; the same. */
void weather_voted(struct sim_node *node, unsigned for_whom);

/* The node leads, as of now; the same. */
void weather_elected(struct sim_node *node);
void weather_change(struct sim_node *node);

/* How long something takes that may take so long. */
uint64_t weather_takes(struct sim *sim, uint64_t max_ns);

/* How long a node is down. */
uint64_t weather_down_ns(struct sim_node *node);

/* Everything works from now on. */
void weather_heal(struct sim *sim);

/* --- network ------------------------------------------------------------------------------ */

/* Copies the message as bytes. */
bool network_send(struct sim *sim, unsigned from, const struct raft_message *message,
                  const struct peer_news *news);

/* --- calls -------------------------------------------------------------------------------- */

/* Asks, and is no node: its ways are never cut or held up. */
#define SIM_CLIENT MEMBERS_MAX
#define SIM_ENDS (MEMBERS_MAX + 1)
#define SIM_CONTEXT_BYTES 64U

/* Somebody asks a node: frames there and back (rpc/frame.h), which get lost, are late, or come
 * from a node that has died meanwhile. */
struct sim_call {
    struct sim_call *next; /* of those that are remembered */
    struct sim_call **link;
    struct sim *sim;
    unsigned references; /* of events to come, and of the server */
    unsigned from;
    unsigned to;
    uint64_t life; /* of the node that asks */
    uint64_t id;
    const ProtobufCMethodDescriptor *method;
    struct rpc_out *frame; /* the one that is on its way; owned */
    rpc_result_fn done;    /* NULL: it was called */
    _Alignas(16) uint8_t context[SIM_CONTEXT_BYTES];
};

struct sim_asking {
    unsigned from; /* a node, or SIM_CLIENT */
    unsigned to;
    const ProtobufCServiceDescriptor *service;
    unsigned method;
    const ProtobufCMessage *request;
    uint64_t patience_ns; /* then the end is DEADLINE_EXCEEDED; UINT64_MAX: never */
    /* Called once, unless who asks dies before; with a copy of the context. */
    rpc_result_fn done;
    const void *context;
    size_t context_bytes;
};

/* The request is packed before this returns. */
void calls_ask(struct sim *sim, const struct sim_asking *asking);

/* The server's end: takes the frame, and lets go of the call. NULL: nothing is said. */
void calls_answer(struct sim_call *call, struct rpc_out *frame);

/* After all nodes. */
void calls_release(struct sim *sim);

/* --- nodes -------------------------------------------------------------------------------- */

/* The time of day when a simulation begins. */
#define SIM_EPOCH_NS (1700000000 * NS_PER_S)

struct sim_clock {
    struct clock clock; /* first */
    struct world *world;
    int64_t offset_ns; /* of the time of day */
    uint64_t ahead_ns; /* the moment up to which the node slept in the turn that it is in */
};

/* Free blocks, by their size. */
#define SIM_POOL_LISTS 65U
struct sim_pool {
    struct sim_block *lists[SIM_POOL_LISTS];
};

void pool_release(struct sim_pool *pool);

struct sim_alloc {
    struct alloc alloc; /* first */
    struct sim_pool *pool;
    uint64_t bytes;
    uint64_t bytes_most;
    uint64_t pass; /* allocations that succeed before those that fail */
    uint64_t fail; /* that many */
    bool failed;   /* in this life */
};

/* Fails nothing and counts from here. Borrows the pool. */
void memory_init(struct sim_alloc *memory, struct sim_pool *pool);

/* What is applied becomes tables, at the end. */
struct sim_flush {
    struct flush_request request; /* first */
    struct sim_node *node;
    bool waits;
    bool done;
};

/* What a crash does to what was not synced. */
enum sim_loses { SIM_LOSES_BY_SEED, SIM_LOSES_ALL, SIM_LOSES_NOTHING };

struct sim_link {
    struct snapshot_link link; /* first */
    struct sim_node *node;
};

struct sim_node {
    struct sim *sim;
    unsigned number; /* from 0 */
    struct config config;
    struct fs_crash *disk;
    struct fs_faulty faulty; /* over it */
    uint64_t io_failed;      /* calls of this life, before the last arming */
    uint64_t full_until_ns;  /* the disk is */
    uint64_t disk_ns;        /* what a write and sync takes; 0: as the weather is */
    struct sim_alloc memory;
    bool damaged;          /* the disk has, or will have, silently done wrong */
    bool is_log_damage;    /* to the log or a manifest, which are looked at only at a start */
    bool out;              /* it does not come back in this run */
    unsigned damage_stops; /* times that it stopped because of that */
    struct sim_clock clock;
    struct rng_seeded rng;
    /* of one life */
    uint64_t life; /* events of an earlier one are void */
    bool running;
    bool dying; /* its answers reach nobody any more */
    bool fatal;
    struct error fatal_error;
    struct replica *replica;
    struct io_queue_manual io;
    struct executor_manual engine;
    struct executor_manual loads;
    struct executor_manual snapshots;
    struct executor_manual readers;
    struct sim_link link;
    bool restart; /* a snapshot is staged */
    struct replier_rpc replier;
    struct rpc_server *server;
    struct sim_flush flush;
    bool apply_posted;
    bool engine_posted;
    bool loads_posted;
    bool snapshots_posted;
    bool readers_posted;
    bool io_posted;
    bool timer_posted;
    uint64_t timer_at_ns;
    uint64_t paused_until_ns;
    bool applies_nothing; /* its applier takes no turns */
    bool returns_quickly; /* when the power fails next */
    enum sim_loses loses; /* likewise; a script's choice */
    /* checks */
    uint64_t applied_index;
    uint64_t applied_size;
    uint64_t stored_index;
    bool refilling;
    uint64_t commit;
    uint64_t term;
    bool leads;
    uint64_t matched_index; /* so far its log was seen */
    uint64_t matched_term;
    unsigned installed; /* snapshots */
    unsigned source;    /* whom it asked last about one: number + 1; 0: nobody */
};

void node_init(struct sim *sim, unsigned number);
void node_release(struct sim_node *node);

void node_boot(struct sim_node *node);

/* The power fails: what was not synced is kept or lost by the seed. A node that has met a fault of
 * its own ends as a process alone: nothing is lost yet. It comes back after `down_ns`, but not in a
 * script. */
void node_crash(struct sim_node *node, uint64_t down_ns);

/* Of the node's calls of a kind the one after `at` others fails with EIO, once; if it is a write,
 * with half of it done, if so asked. */
void node_fail_io(struct sim_node *node, enum fs_call call, uint64_t at, bool half);

/* The disk has room for `bytes` more, for so long. */
void node_fill_disk(struct sim_node *node, uint64_t bytes, uint64_t for_ns);
void node_free_disk(struct sim_node *node);

/* How much later a paused node looks again at what comes to it now; 0: it is not paused. */
uint64_t node_paused_ns(const struct sim_node *node);

/* After an event of the node's: what is there to do next? */
void node_settle(struct sim_node *node);

/* The node's way to others' snapshots (snapshots.c). */
void snapshots_init(struct sim_node *node);

/* --- membership ----------------------------------------------------------------------------- */

/* Voters that are never removed, however many are. */
#define MEMBERS_LEFT 3U

/* Before the nodes are made: `members`, and perhaps some that may become such. */
void membership_draw(struct sim *sim, unsigned members);
void membership_begin(struct sim *sim);
void membership_elected(struct sim *sim);

/* The one that leads in the newest term, as far as a bystander can tell; NULL: nobody does. */
struct sim_node *membership_leader(const struct sim *sim);

/* What it is, as the leader sees it. */
enum sim_standing { SIM_UNKNOWN, SIM_OUTSIDER, SIM_LEARNER, SIM_VOTER };
enum sim_standing membership_of(const struct sim *sim, const struct sim_node *node);

/* Asks `by`, as an operator does; the answer is told. */
void membership_ask(struct sim_node *by, enum admin_kind kind, const struct sim_node *about);

/* False only of one that the leader does not count in. */
bool membership_has(const struct sim *sim, const struct sim_node *node);

/* --- a node's services ---------------------------------------------------------------------- */

/* After the replica's opening. Returns owned. */
struct rpc_server *server_open(struct sim_node *node);

/* A frame reaches the node. Answers in the end, by calls_answer(). */
void server_take(struct rpc_server *server, struct sim_call *call, struct slice frame);

/* After the end of all that would answer. */
void server_close(struct rpc_server *server);

/* --- damage --------------------------------------------------------------------------------- */

/* Spoils something on the node's disk, unless too many of the disks are spoilt already: what is
 * committed is whole on one that is not, and a majority can go on without those that are. Whether
 * it did. */
bool damage_strike(struct sim_node *node);

/* The node stopped, and its disk may be why. False: it stays away. */
bool damage_may_return(struct sim_node *node);

/* The node does not open what is on its disk. True if it is right about that. */
bool damage_explains(struct sim_node *node, enum status status);

/* Looks at each spoilt disk whose node runs: does the node know? Ends those that must be started
 * anew for it. */
void damage_at_end(struct sim *sim);

/* As Audit.Deep. True if nothing is wrong. */
bool damage_audit(struct sim_node *node);

/* --- clients ------------------------------------------------------------------------------ */

struct sim_op {
    uint64_t sequence;
    uint64_t began_ns;
    uint64_t ended_ns;
    uint64_t first_attempt_ns; /* log time, as the next */
    uint64_t time_ns;          /* of its first event */
    uint64_t floor;            /* positions below were acknowledged when it began */
    uint64_t position;
    uint64_t versions[SIM_EVENTS_PER_OP_MAX]; /* one more than that; 0: not told */
    unsigned client;
    unsigned key;
    unsigned events;
    unsigned attempt;
    bool done;
    bool once;           /* it is not repeated */
    enum status refused; /* then: the answer; OK: none yet */
    char *name;          /* in a script; NULL: none; owned */
};

struct sim_client {
    struct session session;
    unsigned number;
    unsigned leader_guess;
    unsigned in_flight;
};

void clients_init(struct sim *sim);
void clients_begin(struct sim *sim);

/* The next operation, which will go to `node` first: its number. */
uint64_t clients_append(struct sim *sim, unsigned client, unsigned node, unsigned events,
                        unsigned key);

/* It is sent now, and again until it is answered. */
void clients_attempt(struct sim *sim, uint64_t op);

/* All that they wanted to append is answered, and they have read as often as they wanted. */
bool clients_are_done(const struct sim *sim);

/* Each client goes on beginning operations, while there are some. */
void clients_go_on(struct sim *sim);

/* By how much they see: what was acknowledged or read before, what was acknowledged, anything. */
enum sim_read_kind { SIM_READ_LINEARIZABLE, SIM_READ_AT_LEAST, SIM_READ_LOCAL, SIM_READ_KINDS };

/* A read at the node. What it sees is as it was sent. */
void clients_read(struct sim_node *node, enum sim_read_kind kind);

/* Each node that should has served one of each kind since all has healed. */
bool clients_were_served(const struct sim *sim);

/* The payload that event `i` of an operation has; returns its length. */
size_t op_payload(const struct sim *sim, uint64_t op, unsigned i, uint8_t out[128]);
/* Of the keys the one of that number. */
size_t key_of(unsigned number, uint8_t out[32]);
size_t op_key(const struct sim *sim, uint64_t op, unsigned i, uint8_t out[32]);

/* --- checks ------------------------------------------------------------------------------- */

struct sim_point {
    bool known;
    uint64_t derived; /* versions, newest rows and sessions, as one number; 0: not seen */
    uint64_t term;
    uint64_t size;
    uint64_t seen; /* the term of the node that applied it first: it was committed by then */
};

/* An entry, and the term of the one before it. */
struct sim_followed {
    uint64_t index; /* 0: an empty place */
    uint64_t term;
    uint64_t before;
};

/* What the logs have been seen to hold; all zeros at first. */
struct sim_matching {
    struct sim_followed *places;
    size_t capacity; /* a power of two */
    size_t count;
};

/* After a turn of the node's driver. */
void matching_check(struct sim_node *node);

void matching_release(struct sim_matching *matching);

struct checks {
    struct sim_matching matching;
    unsigned *leader_of; /* [term], number + 1; 0: none seen */
    size_t leader_capacity;
    struct sim_point *points; /* [index] */
    size_t point_capacity;
    uint64_t point_last; /* the last index that anybody has applied */
    struct hash *roots;  /* [size]; all zeros: none seen */
    size_t root_capacity;
    uint64_t *owner; /* [position]: op + 1; 0: not acknowledged */
    size_t owner_capacity;
    uint64_t acknowledged_end; /* one past the highest position that was acknowledged */
    struct hasher hasher;
};

void checks_init(struct sim *sim);
void checks_release(struct sim *sim);

/* After a turn of the node's. */
void checks_after_driver(struct sim_node *node);
void checks_after_applier(struct sim_node *node);

/* After that, and where it stands: what was derived from equal entries is equal. */
void checks_derived(struct sim_node *node, const struct applied_point *point);

/* A node acknowledges an operation, and nobody knows yet. */
void checks_acknowledges(struct sim_node *node, const Estreat__V1__AppendRequest *request,
                         const Estreat__V1__AppendResponse *response);

/* A client was told so. */
void checks_acknowledged(struct sim *sim, uint64_t op, uint64_t position, uint32_t count);

/* An event that a node has at `position`. */
void checks_event(struct sim_node *node, uint64_t position, const struct event_record *record);

/* --- what a node stores -------------------------------------------------------------------- */

typedef void (*content_each_fn)(struct sim_node *node, uint64_t n, struct slice key,
                                struct slice value);

/* Folds every row of the keyspace into *hash, and calls `each`, if there is one. */
enum status content_fold(struct sim_node *node, unsigned keyspace, content_each_fn each,
                         uint64_t *hash, struct error *err);

/* --- at the end ---------------------------------------------------------------------------- */

/* All nodes that are not out run, and have applied the same. */
bool ending_converged(const struct sim *sim);

/* All of those make tables of all that they have applied. */
void ending_flush(struct sim *sim);
void ending_flush_node(struct sim_node *node);
bool ending_flushed(const struct sim *sim);

/* Everything that was acknowledged is there, once, with its bytes, on every node, and what the
 * nodes derived from it is alike. */
void ending_check(struct sim *sim);

/* --- one seed ------------------------------------------------------------------------------ */

struct sim {
    struct world world;
    unsigned node_count;    /* with those that are no members at first: the last ones */
    unsigned first_members; /* so many are */
    bool changing;          /* members come and go, leadership is transferred */
    unsigned spare;         /* so many are not; set before, in a script */
    uint64_t op_count;      /* appends */
    uint64_t read_count;    /* reads to be served at least */
    struct sim_node nodes[MEMBERS_MAX];
    struct weather weather;
    bool cut[SIM_ENDS][SIM_ENDS];               /* from, to */
    uint64_t clog_until_ns[SIM_ENDS][SIM_ENDS]; /* till then nothing arrives */
    bool healed;
    struct sim_call *calls;
    uint64_t call_count; /* so far */
    struct sim_client clients[SIM_CLIENTS];
    struct sim_op *ops;
    uint64_t ops_begun;
    uint64_t ops_done;
    struct checks checks;
    struct sim_pool pool;
    unsigned damaged;      /* nodes */
    unsigned clocks_wrong; /* of these nodes, as bits, ever */
    /* counts */
    uint64_t faults;
    uint64_t crashes;
    uint64_t packets;
    uint64_t reads;                  /* that were served */
    unsigned served[SIM_READ_KINDS]; /* by these nodes, as bits, since all has healed */
    uint64_t seen[SIM_KEYS]; /* by reads: the newest position of each key, and one; 0: none */
    uint64_t repeats;        /* appends that were answered from the session */
    uint64_t noticed;        /* damaged disks of which their node knew */
    uint64_t snapshots;      /* that were installed */
    uint64_t salvaged;       /* logs that were cut for damage, to be refilled */
    uint64_t changes;        /* of the membership, and transfers */
    uint64_t compared;       /* times that what a node had derived was held against another's */
    /* a script's, else unset */
    bool scripted;  /* nothing comes back by itself */
    bool unsettled; /* elections are quick and many, and leaders fail as they begin */
    void (*tell)(void *context, const char *line);
    void *tell_context;
};

struct sim_options {
    uint64_t seed;
    unsigned nodes;
    uint64_t ops;
    bool tracing;
};

struct sim_result {
    const char *broken; /* NULL: all held */
    char text[256];
    uint64_t trace;
    uint64_t ops;
    uint64_t faults;
    uint64_t crashes;
    uint64_t repeats;
    uint64_t reads;
    uint64_t damaged;
    uint64_t noticed;
    uint64_t snapshots;
    uint64_t salvaged;
    uint64_t changes;
    uint64_t compared;
    uint64_t memory_most; /* bytes of one node */
    uint64_t events;
    double seconds; /* simulated */
};

void sim_run(const struct sim_options *options, struct sim_result *result);

/* The parts of that, for scripts: a cluster whose nodes are not started yet; and until `done` or
 * for so long, false if it did not come to that. sim->world.tracing and the script's fields may be
 * set before. */
void sim_init(struct sim *sim, const struct sim_options *options);
bool sim_run_until(struct sim *sim, bool (*done)(const struct sim *sim), uint64_t limit_ns);
void sim_release(struct sim *sim);

/* Something that a script's reader wants to know. */
void sim_tell(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
