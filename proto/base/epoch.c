/* SPDX-License-Identifier: Apache-2.0
 *
 * The epoch is a number that rises. A reader counts itself in under the number's lowest bit and
 * makes sure that the number is still the same; else it takes that back and begins anew. From e
 * the epoch advances to e + 1 only when nobody is in who entered in e - 1: so readers are always
 * in the present epoch or the one before, and two counters are enough. What is retired in e is
 * freed when e + 2 has begun.
 *
 * Why nobody holds it then. All operations on `now` and the counters are sequentially consistent,
 * so they have one order.
 *   - A reader of epoch e - 1 or e counted itself in before it saw `now` unchanged, thus before
 *     the advance that follows; the look at its counter that allows the advance after that comes
 *     later in the order, and finds it until it has left. What it read happened before the look.
 *   - A reader of epoch e + 1 or later saw a value of `now` that was stored after the item had
 *     been taken out of sight, and cannot find it.
 * A reader that counts itself in too late and takes it back delays an advance, no more.
 *
 * Why nothing is left waiting. Who holds the mutex advances until a reader of the epoch before is
 * in the way, or nothing waits. A reader that leaves and sees its epoch unchanged is in nobody's
 * way: the advance comes later in the order, and who makes it looks for readers after that. If it
 * sees that its epoch has passed, it adds one to `asked` and tries the mutex. If that is taken,
 * then whoever has it looks at `asked` after he gave it back, and advances again if it has changed.
 * He sees the change: both are read-modify-writes of one variable, and had his come first, the
 * reader would have found the mutex as he left it.
 */
#include "base/epoch.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

_Static_assert((EPOCH_STRIPES & (EPOCH_STRIPES - 1)) == 0, "a stripe is some bits of a hash");

void epoch_init(struct epoch *epoch)
{
    *epoch = (struct epoch){.now = 1};
    mutex_init(&epoch->mutex);
}

static bool is_anybody_in(struct epoch *epoch, uint64_t entered)
{
    for (size_t i = 0; i < EPOCH_STRIPES; i++) {
        if (atomic_load(&epoch->stripes[i].inside[entered & 1]) != 0) {
            return true;
        }
    }
    return false;
}

void epoch_release(struct epoch *epoch)
{
    CHECK(!is_anybody_in(epoch, 0) && !is_anybody_in(epoch, 1));
    CHECK(epoch->waiting[0] == NULL && epoch->waiting[1] == NULL);
    mutex_release(&epoch->mutex);
}

/* --- freeing ------------------------------------------------------------------------------- */

/* Advances as far as it goes. Returns what is to be freed, after unlocking. */
static struct epoch_item *advance_locked(struct epoch *epoch)
{
    struct epoch_item *gone = NULL;
    while (epoch->waiting[0] != NULL || epoch->waiting[1] != NULL) {
        uint64_t now = atomic_load(&epoch->now);
        if (is_anybody_in(epoch, now - 1)) {
            break;
        }
        struct epoch_item *item = epoch->waiting[1];
        epoch->waiting[1] = epoch->waiting[0];
        epoch->waiting[0] = NULL;
        atomic_store(&epoch->now, now + 1);
        while (item != NULL) {
            struct epoch_item *next = item->next;
            item->next = gone;
            gone = item;
            item = next;
        }
    }
    return gone;
}

/* Gives the mutex back, and frees. False: readers have left meanwhile that found it taken. */
static bool finish_locked(struct epoch *epoch)
{
    uint64_t asked = atomic_load(&epoch->asked);
    struct epoch_item *item = advance_locked(epoch);
    mutex_unlock(&epoch->mutex);
    bool finished = atomic_fetch_add(&epoch->asked, 0) == asked;
    while (item != NULL) {
        struct epoch_item *next = item->next;
        item->free_item(item);
        item = next;
    }
    return finished;
}

static void free_what_can_go(struct epoch *epoch)
{
    while (mutex_try_lock(&epoch->mutex)) {
        if (finish_locked(epoch)) {
            return;
        }
    }
}

void epoch_retire(struct epoch *epoch, struct epoch_item *item,
                  void (*free_item)(struct epoch_item *item))
{
    item->free_item = free_item;
    mutex_lock(&epoch->mutex);
    item->next = epoch->waiting[0];
    epoch->waiting[0] = item;
    if (!finish_locked(epoch)) {
        free_what_can_go(epoch);
    }
}

/* --- readers ------------------------------------------------------------------------------- */

/* Threads differ in the upper bits of their handles, whose lowest ones are all the same. */
static unsigned stripe_of_thread(void)
{
    uint64_t hash = (uint64_t)pthread_self() * 0x9e3779b97f4a7c15;
    return (unsigned)(hash >> 32) % EPOCH_STRIPES;
}

static void count_out(struct epoch *epoch, struct epoch_guard guard)
{
    uint64_t before = atomic_fetch_sub(&epoch->stripes[guard.stripe].inside[guard.epoch & 1], 1);
    CHECK(before > 0);
    if (atomic_load(&epoch->now) != guard.epoch) {
        atomic_fetch_add(&epoch->asked, 1);
        free_what_can_go(epoch);
    }
}

struct epoch_guard epoch_enter(struct epoch *epoch)
{
    struct epoch_guard guard = {.stripe = stripe_of_thread()};
    for (;;) {
        guard.epoch = atomic_load(&epoch->now);
        atomic_fetch_add(&epoch->stripes[guard.stripe].inside[guard.epoch & 1], 1);
        if (atomic_load(&epoch->now) == guard.epoch) {
            return guard;
        }
        count_out(epoch, guard);
    }
}

void epoch_leave(struct epoch *epoch, struct epoch_guard guard)
{
    count_out(epoch, guard);
}
