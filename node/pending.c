/* SPDX-License-Identifier: Apache-2.0 */
#include "node/pending.h"

#include "base/check.h"

#define CAPACITY_MIN 64U

_Static_assert((PENDING_MAX & (PENDING_MAX - 1)) == 0, "the ring is masked");

static struct pending_call *place(struct pending *pending, uint64_t index)
{
    return &pending->ring[index & (pending->capacity - 1)];
}

void pending_init(struct pending *pending, struct alloc *alloc)
{
    *pending = (struct pending){.alloc = alloc};
    mutex_init(&pending->mutex);
}

void pending_release(struct pending *pending)
{
    CHECK(pending->count == 0);
    alloc_free(pending->alloc, pending->ring);
    mutex_release(&pending->mutex);
}

static bool grow(struct pending *pending, uint64_t places)
{
    uint64_t capacity = pending->capacity == 0 ? CAPACITY_MIN : pending->capacity;
    while (capacity < places) {
        capacity *= 2;
    }
    struct pending_call *ring = alloc_new(pending->alloc, capacity * sizeof *ring);
    if (ring == NULL) {
        return false;
    }
    for (uint64_t index = pending->low; index < pending->high; index++) {
        ring[index & (capacity - 1)] = *place(pending, index);
    }
    alloc_free(pending->alloc, pending->ring);
    pending->ring = ring;
    pending->capacity = capacity;
    return true;
}

bool pending_reserve(struct pending *pending, uint64_t index)
{
    mutex_lock(&pending->mutex);
    uint64_t places = pending->count == 0 ? 1 : index - pending->low + 1;
    bool room = places <= PENDING_MAX && (places <= pending->capacity || grow(pending, places));
    mutex_unlock(&pending->mutex);
    return room;
}

void pending_add(struct pending *pending, struct pending_call call)
{
    CHECK(call.index > 0);
    mutex_lock(&pending->mutex);
    if (pending->count == 0) {
        pending->low = call.index;
        pending->high = call.index;
    }
    CHECK(call.index >= pending->high && call.index - pending->low < pending->capacity);
    /* Entries that are nobody's, as a new leader's first, have empty places. */
    while (pending->high < call.index) {
        place(pending, pending->high++)->index = 0;
    }
    *place(pending, pending->high++) = call;
    pending->count++;
    mutex_unlock(&pending->mutex);
}

/* Empties the place; with the mutex. */
static void take_out(struct pending *pending, struct pending_call *slot)
{
    slot->index = 0;
    CHECK(pending->count > 0);
    pending->count--;
    while (pending->count > 0 && place(pending, pending->low)->index == 0) {
        pending->low++;
    }
}

bool pending_take(struct pending *pending, uint64_t index, struct pending_call *out)
{
    mutex_lock(&pending->mutex);
    struct pending_call *slot = place(pending, index);
    bool found = pending->count > 0 && index >= pending->low && index < pending->high &&
                 slot->index == index;
    if (found) {
        *out = *slot;
        take_out(pending, slot);
    }
    mutex_unlock(&pending->mutex);
    return found;
}

void pending_drain(struct pending *pending, void (*each)(void *context, struct append_call *call),
                   void *context)
{
    for (;;) {
        mutex_lock(&pending->mutex);
        bool any = pending->count > 0;
        struct append_call *call = NULL;
        if (any) {
            struct pending_call *slot = place(pending, pending->low);
            call = slot->call;
            take_out(pending, slot);
        }
        mutex_unlock(&pending->mutex);
        if (!any) {
            return;
        }
        each(context, call);
    }
}
