/* SPDX-License-Identifier: Apache-2.0
 *
 * Epoch: when what was taken out of sight may be freed, with readers that take no lock
 * (K. Fraser, "Practical lock-freedom", 2004, section 5.2.3; the counters are those of
 * P. McKenney's SRCU).
 *
 *     reader   struct epoch_guard guard = epoch_enter(epoch);
 *              struct thing *thing = atomic_load(&current);
 *              ... reads it, or takes a reference that outlives the epoch ...
 *              epoch_leave(epoch, guard);
 *     writer   struct thing *old = atomic_exchange(&current, next);
 *              epoch_retire(epoch, &old->retired, thing_free);
 *
 * Invariants:
 * - What is retired is freed when all readers that were in at that moment have left, and those
 *   that entered while these were in; at once, if there were none. Readers that take turns hold
 *   nothing back for ever.
 * - While nobody is in, nothing waits: the last reader that stands in the way frees.
 * - Readers never wait. epoch_enter() begins anew only if the epoch advanced under it, which it
 *   does twice at most for what was retired. Writers wait for one another, for a few
 *   instructions.
 *
 * Any number of threads may be in, and one thread several times. They are spread by thread over
 * EPOCH_STRIPES counters; those that share one share a cache line and nothing worse.
 *
 * To be in holds back all that is retired meanwhile: be brief. Who stays long (an iterator, a
 * snapshot) takes a reference on what it reads, and leaves.
 */
#ifndef ESTREAT_BASE_EPOCH_H
#define ESTREAT_BASE_EPOCH_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/sync.h"

/* A power of 2; more than the processors of most machines that this runs on. */
#define EPOCH_STRIPES 16
/* Two cache lines: processors fetch them in pairs. */
#define EPOCH_STRIPE_BYTES 128

/* Embedded in what is retired. */
struct epoch_item {
    struct epoch_item *next;
    void (*free_item)(struct epoch_item *item);
};

struct epoch_stripe {
    /* Who is in, by the lowest bit of the epoch in which he entered. */
    _Atomic uint64_t inside[2];
    uint8_t gap[EPOCH_STRIPE_BYTES - 2 * sizeof(uint64_t)];
};

struct epoch {
    _Atomic uint64_t now;
    _Atomic uint64_t asked;        /* how often readers left an epoch that had passed */
    struct mutex mutex;            /* who advances the epoch; the list */
    struct epoch_item *waiting[2]; /* retired in this epoch, and in the one before */
    uint8_t gap[EPOCH_STRIPE_BYTES];
    struct epoch_stripe stripes[EPOCH_STRIPES];
};

struct epoch_guard {
    uint64_t epoch;
    unsigned stripe;
};

void epoch_init(struct epoch *epoch);

/* Requires that nobody is in; so nothing waits. */
void epoch_release(struct epoch *epoch);

/* From here to epoch_leave() nothing that can be found is freed. Any thread. */
struct epoch_guard epoch_enter(struct epoch *epoch);

/* Any thread, not only the one that entered. May free what was retired. */
void epoch_leave(struct epoch *epoch, struct epoch_guard guard);

/* Takes `item`, which nobody can find any more. `free_item` is called once, when nobody can hold
 * it: in this call, or on the thread of a reader that leaves, or of another who retires. It may
 * retire other items. Any thread. */
void epoch_retire(struct epoch *epoch, struct epoch_item *item,
                  void (*free_item)(struct epoch_item *item));

#endif
