/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/loop.h"

#include <pthread.h>

#include "base/check.h"
#include "base/sync.h"
#include "rpc/timers.h"

/* Events in one turn: what they have to say waits for the turn's end. */
enum { TURN_EVENTS_MAX = 512 };

struct rpc_loop {
    struct alloc *alloc;
    struct clock *clock;
    struct rng *rng;
    pthread_t thread;
    _Atomic bool running;     /* `thread` is set */
    _Atomic unsigned posting; /* threads that may still look at the intake */
    _Atomic size_t holds;
    struct mpsc intake;
    struct rpc_event stop_event;
    /* the loop's own */
    bool stopping;
    uint64_t now_ns;
    struct rpc_timers timers;
    struct rpc_late *late_first;
    struct rpc_late **late_last;
};

static unsigned run_events(struct rpc_loop *loop)
{
    unsigned count = 0;
    while (count < TURN_EVENTS_MAX) {
        struct mpsc_node *node = mpsc_pop(&loop->intake);
        if (node == NULL) {
            break;
        }
        struct rpc_event *event =
            (struct rpc_event *)((char *)node - offsetof(struct rpc_event, node));
        event->run(event);
        count++;
    }
    return count;
}

static void fire_timers(struct rpc_loop *loop)
{
    while (loop->timers.root != NULL && loop->timers.root->at_ns <= loop->now_ns) {
        struct rpc_timer *timer = loop->timers.root;
        rpc_timers_remove(&loop->timers, timer);
        timer->fire(timer);
    }
}

static void run_late(struct rpc_loop *loop)
{
    struct rpc_late *late = loop->late_first;
    loop->late_first = NULL;
    loop->late_last = &loop->late_first;
    while (late != NULL) {
        struct rpc_late *next = late->next;
        late->queued = false;
        late->run(late);
        late = next;
    }
}

static void *run(void *context)
{
    struct rpc_loop *loop = context;
    loop->thread = pthread_self();
    atomic_store(&loop->running, true);
    while (true) {
        loop->now_ns = clock_monotonic_ns(loop->clock);
        unsigned events = run_events(loop);
        fire_timers(loop);
        run_late(loop);
        if (events > 0 || loop->late_first != NULL) {
            continue;
        }
        if (loop->stopping && atomic_load(&loop->holds) == 0) {
            break;
        }
        uint64_t timeout_ns = UINT64_MAX;
        if (loop->timers.root != NULL) {
            uint64_t now_ns = clock_monotonic_ns(loop->clock);
            uint64_t at_ns = loop->timers.root->at_ns;
            timeout_ns = at_ns > now_ns ? at_ns - now_ns : 0;
        }
        if (timeout_ns > 0) {
            mpsc_wait(&loop->intake, timeout_ns);
        }
    }
    return NULL;
}

static void stop(struct rpc_event *event)
{
    struct rpc_loop *loop =
        (struct rpc_loop *)((char *)event - offsetof(struct rpc_loop, stop_event));
    loop->stopping = true;
}

enum status rpc_loop_open(const struct rpc_loop_options *options, struct rpc_loop **out,
                          struct error *err)
{
    struct alloc *alloc = options->alloc == NULL ? alloc_default() : options->alloc;
    struct rpc_loop *loop = alloc_zeroed(alloc, 1, sizeof *loop);
    if (loop == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a loop");
    }
    loop->alloc = alloc;
    loop->clock = options->clock == NULL ? clock_system() : options->clock;
    loop->rng = options->rng == NULL ? rng_system() : options->rng;
    loop->late_last = &loop->late_first;
    loop->stop_event.run = stop;
    mpsc_init(&loop->intake);
    pthread_t thread;
    if (!thread_start(&thread, options->name, run, loop)) {
        alloc_free(alloc, loop);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "cannot start the thread \"%s\"",
                         options->name);
    }
    while (!atomic_load(&loop->running)) {
        (void)sched_yield();
    }
    *out = loop;
    return STATUS_OK;
}

void rpc_loop_close(struct rpc_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    CHECK(!rpc_loop_is_current(loop));
    rpc_loop_post(loop, &loop->stop_event);
    thread_join(loop->thread);
    while (atomic_load(&loop->posting) > 0) {
        (void)sched_yield();
    }
    alloc_free(loop->alloc, loop);
}

bool rpc_loop_is_current(const struct rpc_loop *loop)
{
    return pthread_equal(loop->thread, pthread_self()) != 0;
}

void rpc_loop_post(struct rpc_loop *loop, struct rpc_event *event)
{
    /* The event may run, and the loop be closed, before the push returns. */
    (void)atomic_fetch_add(&loop->posting, 1);
    mpsc_push(&loop->intake, &event->node);
    (void)atomic_fetch_sub(&loop->posting, 1);
}

void rpc_loop_hold(struct rpc_loop *loop)
{
    (void)atomic_fetch_add(&loop->holds, 1);
}

void rpc_loop_let_go(struct rpc_loop *loop)
{
    CHECK(atomic_fetch_sub(&loop->holds, 1) > 0);
    if (!rpc_loop_is_current(loop)) {
        mpsc_wake(&loop->intake);
    }
}

void rpc_timer_set(struct rpc_loop *loop, struct rpc_timer *timer, uint64_t at_ns)
{
    rpc_timer_cancel(loop, timer);
    timer->at_ns = at_ns;
    rpc_timers_insert(&loop->timers, timer);
}

void rpc_timer_cancel(struct rpc_loop *loop, struct rpc_timer *timer)
{
    if (timer->set) {
        rpc_timers_remove(&loop->timers, timer);
    }
}

void rpc_loop_run_late(struct rpc_loop *loop, struct rpc_late *late)
{
    if (late->queued) {
        return;
    }
    late->queued = true;
    late->next = NULL;
    *loop->late_last = late;
    loop->late_last = &late->next;
}

struct alloc *rpc_loop_alloc(const struct rpc_loop *loop)
{
    return loop->alloc;
}

struct clock *rpc_loop_clock(const struct rpc_loop *loop)
{
    return loop->clock;
}

struct rng *rpc_loop_rng(const struct rpc_loop *loop)
{
    return loop->rng;
}

uint64_t rpc_loop_now_ns(const struct rpc_loop *loop)
{
    return loop->now_ns;
}
