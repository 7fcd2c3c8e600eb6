/* SPDX-License-Identifier: Apache-2.0
 *
 * The queue is Vyukov's intrusive one: a list from `tail` (oldest) to `head`
 * (newest) that always holds one node at least; the stub stands in when there
 * is no other. A pusher first takes the head, then links the former head to its
 * node; between the two the list is cut there and pop() returns NULL.
 *
 * Sleeping. `sleeping` is AWAKE, ASLEEP or WOKEN (mpsc_wake was called, and no wait
 * has returned for it yet). No wake-up is lost, because
 *     the owner   stores sleeping = ASLEEP, then loads the link and the head,
 *     the pusher  stores the link,          then loads sleeping,
 * all four sequentially consistent: in their one total order either the owner's
 * load comes after the link, and it does not sleep, or the pusher's load comes
 * after ASLEEP, and it wakes the owner. A pusher whose node hangs behind a cut
 * wakes in vain; the one that closes the cut wakes again.
 * No fences: operations on the variables themselves are as cheap here, and thread
 * sanitizers understand them.
 */
#include "base/mpsc.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

enum { AWAKE, ASLEEP, WOKEN };

void mpsc_init(struct mpsc *queue)
{
    atomic_init(&queue->stub.next, NULL);
    atomic_init(&queue->head, &queue->stub);
    atomic_init(&queue->sleeping, AWAKE);
    queue->tail = &queue->stub;
}

static void link_node(struct mpsc *queue, struct mpsc_node *node)
{
    atomic_store_explicit(&node->next, NULL, memory_order_relaxed);
    struct mpsc_node *before = atomic_exchange(&queue->head, node);
    CHECK(before != node); /* pushed twice */
    /* Publishes what the pusher wrote into its node, too. */
    atomic_store(&before->next, node);
}

static void futex_wake(_Atomic uint32_t *word)
{
    long result = syscall(SYS_futex, (uint32_t *)word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    CHECK(result >= 0);
}

void mpsc_push(struct mpsc *queue, struct mpsc_node *node)
{
    link_node(queue, node);
    uint32_t expected = ASLEEP;
    if (atomic_load(&queue->sleeping) == ASLEEP &&
        atomic_compare_exchange_strong(&queue->sleeping, &expected, AWAKE)) {
        futex_wake(&queue->sleeping);
    }
}

void mpsc_wake(struct mpsc *queue)
{
    if (atomic_exchange(&queue->sleeping, WOKEN) == ASLEEP) {
        futex_wake(&queue->sleeping);
    }
}

struct mpsc_node *mpsc_pop(struct mpsc *queue)
{
    struct mpsc_node *oldest = queue->tail;
    struct mpsc_node *next = atomic_load_explicit(&oldest->next, memory_order_acquire);
    if (oldest == &queue->stub) {
        if (next == NULL) {
            return NULL;
        }
        queue->tail = next;
        oldest = next;
        next = atomic_load_explicit(&oldest->next, memory_order_acquire);
    }
    if (next == NULL) {
        /* The last node leaves only when the stub can take its place behind it. */
        if (atomic_load_explicit(&queue->head, memory_order_acquire) != oldest) {
            return NULL;
        }
        link_node(queue, &queue->stub);
        next = atomic_load_explicit(&oldest->next, memory_order_acquire);
        if (next == NULL) { /* somebody was faster than the stub, and is half done */
            return NULL;
        }
    }
    queue->tail = next;
    return oldest;
}

/* True if pop() would, but for a cut, return a node. */
static bool has_node(struct mpsc *queue)
{
    if (atomic_load(&queue->tail->next) != NULL) {
        return true;
    }
    return queue->tail != &queue->stub && atomic_load(&queue->head) == queue->tail;
}

bool mpsc_is_empty(struct mpsc *queue)
{
    return !has_node(queue);
}

static void futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
    struct timespec timeout;
    struct timespec *limit = NULL;
    if (timeout_ns / NS_PER_S < INT32_MAX) { /* 68 years: for ever */
        timeout.tv_sec = (time_t)(timeout_ns / NS_PER_S);
        timeout.tv_nsec = (long)(timeout_ns % NS_PER_S);
        limit = &timeout;
    }
    long result = syscall(SYS_futex, (uint32_t *)word, FUTEX_WAIT_PRIVATE, value, limit, NULL, 0);
    CHECK(result == 0 || errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT);
}

void mpsc_wait(struct mpsc *queue, uint64_t timeout_ns)
{
    uint32_t expected = AWAKE;
    if (timeout_ns == 0) {
        return;
    }
    if (!atomic_compare_exchange_strong(&queue->sleeping, &expected, ASLEEP)) {
        CHECK(expected == WOKEN); /* ASLEEP would be a second owner */
        atomic_store(&queue->sleeping, AWAKE);
        return;
    }
    if (!has_node(queue)) {
        futex_wait(&queue->sleeping, ASLEEP, timeout_ns);
    }
    /* Forgets a WOKEN that came meanwhile: this is the wait that returns for it. */
    atomic_store(&queue->sleeping, AWAKE);
}
