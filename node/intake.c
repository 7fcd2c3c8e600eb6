/* SPDX-License-Identifier: Apache-2.0
 *
 * No item is forgotten: the pusher links its item, then sets `called`; the owner clears
 * it, then looks for items. Both by exchange, so one comes after the other: if the
 * pusher's is the later one it finds `called` clear, and calls; if the owner's is, it
 * has read what the pusher wrote, and sees the item.
 */
#include "node/intake.h"

#include "base/check.h"

void intake_init(struct intake_queue *queue)
{
    mpsc_init(&queue->items);
    atomic_init(&queue->called, true); /* shut */
}

static void call_owner(struct intake_queue *queue)
{
    if (!atomic_exchange(&queue->called, true)) {
        queue->call(queue->context);
    }
}

void intake_open(struct intake_queue *queue, void (*call)(void *context), void *context)
{
    CHECK(atomic_load(&queue->called));
    queue->call = call;
    queue->context = context;
    call(context);
}

bool intake_shut(struct intake_queue *queue)
{
    return !atomic_exchange(&queue->called, true);
}

void intake_push(struct intake_queue *queue, struct intake *item, enum intake_kind kind)
{
    item->kind = kind;
    mpsc_push(&queue->items, &item->node);
    call_owner(queue);
}

void intake_wake(struct intake_queue *queue)
{
    call_owner(queue);
}

void intake_begin(struct intake_queue *queue)
{
    (void)atomic_exchange(&queue->called, false);
}

struct intake *intake_take(struct intake_queue *queue)
{
    return (struct intake *)(void *)mpsc_pop(&queue->items);
}
