/* SPDX-License-Identifier: Apache-2.0
 *
 * Loop: one thread that owns the state of connections, calls and channels.
 * Everybody else, and the transport's callbacks, only post events to its intake
 * queue. A turn of the loop runs all events that are there, then due timers,
 * then starts one write on each connection that has something to say: that is
 * where small frames of a turn become one write.
 *
 * Handlers and callbacks run on the loop's thread and must not block: they
 * delay every connection of the loop.
 *
 * A process may have several loops (a node has one for clients and one for
 * peers). Servers and channels borrow their loop and must be closed before it.
 */
#ifndef ESTREAT_RPC_LOOP_H
#define ESTREAT_RPC_LOOP_H

#include "base/alloc.h"
#include "base/clock.h"
#include "base/mpsc.h"
#include "base/rng.h"
#include "base/status.h"

struct rpc_loop;

struct rpc_loop_options {
    const char *name;    /* of the thread, at most 15 bytes */
    struct alloc *alloc; /* NULL: the default; must be thread-safe */
    struct clock *clock; /* NULL: the system's */
    struct rng *rng;     /* NULL: the system's; used on the loop's thread only */
};

/* Starts the thread. Returns owned. RESOURCE_EXHAUSTED if the system refuses it. */
enum status rpc_loop_open(const struct rpc_loop_options *options, struct rpc_loop **out,
                          struct error *err) MUST_USE;

/* Runs what was posted, joins the thread and frees the loop. All servers and channels on it are
 * closed and all server calls are finished by then. Not on the loop's own thread. NULL is
 * allowed. */
void rpc_loop_close(struct rpc_loop *loop);

/* True on the loop's own thread. Any thread. */
bool rpc_loop_is_current(const struct rpc_loop *loop);

/* Something to run on the loop's thread. Embedded in what it is about. */
struct rpc_event {
    struct mpsc_node node;
    void (*run)(struct rpc_event *event);
};

/* Any thread. Takes the event until it runs; posted at most once at a time. Events of one
 * poster run in its order. */
void rpc_loop_post(struct rpc_loop *loop, struct rpc_event *event);

/* A moment at which to run something; embedded, zeroed when not set. A pairing heap's node. */
struct rpc_timer {
    void (*fire)(struct rpc_timer *timer);
    uint64_t at_ns; /* monotonic */
    struct rpc_timer *child;
    struct rpc_timer *next;
    struct rpc_timer *previous; /* the parent for a first child */
    bool set;
};

/* Loop's thread only. Sets or moves the timer; it fires once, not before `at_ns`. */
void rpc_timer_set(struct rpc_loop *loop, struct rpc_timer *timer, uint64_t at_ns);

/* Loop's thread only. A timer that is not set is allowed. */
void rpc_timer_cancel(struct rpc_loop *loop, struct rpc_timer *timer);

/* Keeps the loop's thread running until it is let go again as often: for what is still under way
 * elsewhere and will post. Any thread. */
void rpc_loop_hold(struct rpc_loop *loop);
void rpc_loop_let_go(struct rpc_loop *loop);

/* Something to do at the end of the turn, once however often it is asked for. */
struct rpc_late {
    struct rpc_late *next;
    void (*run)(struct rpc_late *late);
    bool queued;
};

/* Loop's thread only. Takes `late` until it runs. */
void rpc_loop_run_late(struct rpc_loop *loop, struct rpc_late *late);

/* What the loop was opened with. Any thread. */
struct alloc *rpc_loop_alloc(const struct rpc_loop *loop);
struct clock *rpc_loop_clock(const struct rpc_loop *loop);
struct rng *rpc_loop_rng(const struct rpc_loop *loop);

/* Monotonic time at the start of the loop's turn; cheap. Loop's thread only. */
uint64_t rpc_loop_now_ns(const struct rpc_loop *loop);

#endif
