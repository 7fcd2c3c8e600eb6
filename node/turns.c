/* SPDX-License-Identifier: Apache-2.0 */
#include "node/turns.h"

#include "base/check.h"
#include "base/sync.h"
#include "rpc/latch.h"

struct turns {
    struct rpc_loop *loop;
    struct driver *driver;
    struct intake_queue *intake;
    struct rpc_event event;
    struct rpc_timer timer;
    bool ended; /* the driver had its last turn */
    struct rpc_latch last;
};

/* Any thread. The queue calls once until the driver begins to take, so the event is posted once. */
static void post(void *context)
{
    struct turns *turns = context;
    rpc_loop_post(turns->loop, &turns->event);
}

/* A turn comes of a call alone: one that came of the timer would tell the queue that the owner has
 * begun while the event of a call is still posted, and the next call would post it twice. */
static void on_timer(struct rpc_timer *timer)
{
    struct turns *turns = (struct turns *)(void *)((char *)timer - offsetof(struct turns, timer));
    intake_wake(turns->intake);
}

static void on_event(struct rpc_event *event)
{
    struct turns *turns = (struct turns *)(void *)((char *)event - offsetof(struct turns, event));
    uint64_t due_ns = UINT64_MAX;
    if (!turns->ended) {
        turns->ended = !driver_turn(turns->driver, &due_ns);
        if (turns->ended) {
            rpc_timer_cancel(turns->loop, &turns->timer);
            if (!intake_shut(turns->intake)) {
                return; /* the event is posted and will come: then it is over */
            }
        }
    }
    if (turns->ended) {
        rpc_latch_open(&turns->last); /* turns may be gone from here on */
    } else if (due_ns == UINT64_MAX) {
        rpc_timer_cancel(turns->loop, &turns->timer);
    } else if (!turns->timer.set || turns->timer.at_ns != due_ns) {
        rpc_timer_set(turns->loop, &turns->timer, due_ns);
    }
}

enum status turns_start(struct rpc_loop *loop, struct driver *driver, struct intake_queue *intake,
                        struct turns **out, struct error *err)
{
    struct turns *turns = alloc_zeroed(rpc_loop_alloc(loop), 1, sizeof *turns);
    if (turns == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the driver's turns");
    }
    turns->loop = loop;
    turns->driver = driver;
    turns->intake = intake;
    turns->event.run = on_event;
    turns->timer.fire = on_timer;
    rpc_latch_init(&turns->last);
    *out = turns;
    intake_open(intake, post, turns);
    return STATUS_OK;
}

void turns_stop(struct turns *turns)
{
    if (turns == NULL) {
        return;
    }
    driver_ask_to_stop(turns->driver);
    rpc_latch_wait(&turns->last);
    alloc_free(rpc_loop_alloc(turns->loop), turns);
}
