/* SPDX-License-Identifier: Apache-2.0
 *
 * Intake: the queue of what reaches the driver, and how its owner is called to take
 * it. Each kind of item embeds a `struct intake` as its first member and is the
 * driver's from the push on; how it ends stands with its type.
 *
 * Any thread pushes; one takes. The owner is called at the first push after it began
 * to take, however many follow: one wake-up for all that comes together.
 */
#ifndef ESTREAT_NODE_INTAKE_H
#define ESTREAT_NODE_INTAKE_H

#include <stdatomic.h>

#include "base/mpsc.h"

enum intake_kind {
    INTAKE_PROPOSALS,   /* struct proposal: one append, or a list of them */
    INTAKE_MESSAGE,     /* struct peer_message: from another node */
    INTAKE_UNREACHABLE, /* struct peer_lost: a connection broke */
    INTAKE_READ,        /* struct read_barrier: a linearizable read */
    INTAKE_WAL_DONE,    /* the driver's own: a group is durable */
    INTAKE_APPLIED,     /* struct apply_batch: comes back from the applier */
    INTAKE_LOADED,      /* struct entry_load: comes back from the loader */
    INTAKE_ADMIN,       /* struct admin_request: a membership change, a transfer */
    INTAKE_LEAVE,       /* the driver's own: lead no more */
    INTAKE_STOP,        /* the driver's own: shut down */
};

struct intake {
    struct mpsc_node node; /* first: the queue gives it back */
    enum intake_kind kind;
};

struct intake_queue {
    struct mpsc items;
    _Atomic bool called; /* and has not begun to take since */
    void (*call)(void *context);
    void *context;
};

/* What is pushed stays there until somebody takes it. */
void intake_init(struct intake_queue *queue);

/* From now on the owner is called, for the first time at once. `call` comes on any pushing thread,
 * and must not take in place. */
void intake_open(struct intake_queue *queue, void (*call)(void *context), void *context);

/* From now on it is not. False if a call is on its way: it will come, and is the last one. */
bool intake_shut(struct intake_queue *queue);

/* Any thread. Takes the item. */
void intake_push(struct intake_queue *queue, struct intake *item, enum intake_kind kind);

/* Any thread: calls the owner though nothing was pushed. */
void intake_wake(struct intake_queue *queue);

/* The owner, when it was called, and only then: begins to take; what is pushed from now on calls
 * again. */
void intake_begin(struct intake_queue *queue);

/* The owner: the oldest item, or NULL. Returns owned. */
struct intake *intake_take(struct intake_queue *queue);

#endif
