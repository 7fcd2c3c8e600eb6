/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/timers.h"

#include "base/check.h"

/* Joins two heaps; either may be NULL. */
static struct rpc_timer *meld(struct rpc_timer *a, struct rpc_timer *b)
{
    if (a == NULL || b == NULL) {
        return a == NULL ? b : a;
    }
    if (b->at_ns < a->at_ns) {
        struct rpc_timer *swap = a;
        a = b;
        b = swap;
    }
    b->next = a->child;
    if (b->next != NULL) {
        b->next->previous = b;
    }
    b->previous = a;
    a->child = b;
    return a;
}

/* Joins siblings to one heap: by pairs from the left, then those from the right. */
static struct rpc_timer *meld_siblings(struct rpc_timer *first)
{
    struct rpc_timer *pairs = NULL;
    while (first != NULL) {
        struct rpc_timer *second = first->next;
        struct rpc_timer *rest = second == NULL ? NULL : second->next;
        first->next = NULL;
        first->previous = NULL;
        if (second != NULL) {
            second->next = NULL;
            second->previous = NULL;
        }
        struct rpc_timer *pair = meld(first, second);
        pair->next = pairs;
        pairs = pair;
        first = rest;
    }
    struct rpc_timer *heap = NULL;
    while (pairs != NULL) {
        struct rpc_timer *rest = pairs->next;
        pairs->next = NULL;
        heap = meld(heap, pairs);
        pairs = rest;
    }
    return heap;
}

void rpc_timers_insert(struct rpc_timers *timers, struct rpc_timer *timer)
{
    CHECK(!timer->set);
    timer->child = NULL;
    timer->next = NULL;
    timer->previous = NULL;
    timer->set = true;
    timers->root = meld(timers->root, timer);
}

void rpc_timers_remove(struct rpc_timers *timers, struct rpc_timer *timer)
{
    CHECK(timer->set);
    struct rpc_timer *children = meld_siblings(timer->child);
    if (timers->root == timer) {
        timers->root = children;
    } else {
        if (timer->previous->child == timer) {
            timer->previous->child = timer->next;
        } else {
            timer->previous->next = timer->next;
        }
        if (timer->next != NULL) {
            timer->next->previous = timer->previous;
        }
        timers->root = meld(timers->root, children);
    }
    timer->child = NULL;
    timer->next = NULL;
    timer->previous = NULL;
    timer->set = false;
}
