/* SPDX-License-Identifier: Apache-2.0
 *
 * Mpsc: the intake queue of a thread that owns state. Any thread pushes without
 * a lock (Vyukov's intrusive queue); the owner takes all that is there, or
 * sleeps until there is something or a time has come.
 *
 * Order: what one thread pushes comes out in its order.
 *
 * Life: a pusher touches the queue for a moment after its node can be popped, so
 * the queue may go only when its pushers have ended (or were told to and joined).
 */
#ifndef ESTREAT_BASE_MPSC_H
#define ESTREAT_BASE_MPSC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Embedded in what is queued; in at most one queue at a time. */
struct mpsc_node {
    _Atomic(struct mpsc_node *) next;
};

struct mpsc {
    _Atomic(struct mpsc_node *) head; /* pushers */
    char gap[64];                     /* the owner's line is not the pushers' */
    struct mpsc_node *tail;           /* the owner */
    struct mpsc_node stub;
    _Atomic uint32_t sleeping; /* futex word: see mpsc.c */
};

void mpsc_init(struct mpsc *queue);

/* Any thread. Wakes the owner if it sleeps. */
void mpsc_push(struct mpsc *queue, struct mpsc_node *node);

/* Owner only. The oldest, or NULL when empty (or when a push is half done: a moment later it
 * is there, and its pusher wakes the owner). */
struct mpsc_node *mpsc_pop(struct mpsc *queue);

/* Owner only. Returns when the queue is not empty, when mpsc_wake() was called, or after
 * `timeout_ns` (UINT64_MAX: never). May return early. */
void mpsc_wait(struct mpsc *queue, uint64_t timeout_ns);

/* Owner only. True if there is nothing to pop (or a push is half done). */
bool mpsc_is_empty(struct mpsc *queue);

/* Any thread: makes the present or next mpsc_wait() return. */
void mpsc_wake(struct mpsc *queue);

#endif
