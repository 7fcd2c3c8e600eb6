/* SPDX-License-Identifier: Apache-2.0
 *
 * Pending: the append calls whose entries are in the log and not yet applied.
 * The driver adds them as it proposes; the applier takes each as it applies the
 * entry; when leadership is lost the driver fails all that are left, since
 * nobody can tell whether they will be committed.
 *
 * A ring by index, which grows up to PENDING_MAX: the entries of one leadership
 * follow each other. Places outside [low, high) have no meaning.
 */
#ifndef ESTREAT_NODE_PENDING_H
#define ESTREAT_NODE_PENDING_H

#include "base/alloc.h"
#include "base/status.h"
#include "base/sync.h"

#define PENDING_MAX 16384U

struct append_call; /* replier.h */

struct pending_call {
    uint64_t index; /* 0: empty */
    uint64_t term;
    struct append_call *call;
};

struct pending {
    struct mutex mutex;
    struct alloc *alloc;
    unsigned count;
    uint64_t low; /* of the first that waits, if any */
    uint64_t high;
    struct pending_call *ring;
    uint64_t capacity; /* a power of two */
};

void pending_init(struct pending *pending, struct alloc *alloc);
void pending_release(struct pending *pending);

/* Makes a place. False if there are too many, or there is no memory: the caller refuses the request
 * before it proposes. */
bool pending_reserve(struct pending *pending, uint64_t index);

/* Takes the call until it is taken or failed. Its place was reserved. */
void pending_add(struct pending *pending, struct pending_call call);

/* Takes out the call that waits for the entry at `index`; its term may differ from the applied
 * entry's, then the call's own entry was lost. False if nobody waits. */
bool pending_take(struct pending *pending, uint64_t index, struct pending_call *out);

/* Takes out all and gives each to `each`. */
void pending_drain(struct pending *pending, void (*each)(void *context, struct append_call *call),
                   void *context);

#endif
