/* SPDX-License-Identifier: Apache-2.0 */
#include "node/pending.h"

#include "base/check.h"

_Static_assert((PENDING_MAX & (PENDING_MAX - 1)) == 0, "the ring is masked");

static struct pending_call *place(struct pending *pending, uint64_t index)
{
    return &pending->ring[index & (PENDING_MAX - 1)];
}

void pending_init(struct pending *pending)
{
    memset(pending, 0, sizeof *pending);
    mutex_init(&pending->mutex);
}

void pending_release(struct pending *pending)
{
    CHECK(pending->count == 0);
    mutex_release(&pending->mutex);
}

bool pending_has_room(struct pending *pending, uint64_t index)
{
    mutex_lock(&pending->mutex);
    bool room = place(pending, index)->index == 0;
    mutex_unlock(&pending->mutex);
    return room;
}

void pending_add(struct pending *pending, struct pending_call call)
{
    CHECK(call.index > 0);
    mutex_lock(&pending->mutex);
    struct pending_call *slot = place(pending, call.index);
    CHECK(slot->index == 0);
    *slot = call;
    pending->count++;
    mutex_unlock(&pending->mutex);
}

bool pending_take(struct pending *pending, uint64_t index, struct pending_call *out)
{
    mutex_lock(&pending->mutex);
    struct pending_call *slot = place(pending, index);
    bool found = slot->index == index;
    if (found) {
        *out = *slot;
        *slot = (struct pending_call){0};
        CHECK(pending->count > 0);
        pending->count--;
    }
    mutex_unlock(&pending->mutex);
    return found;
}

void pending_drain(struct pending *pending, void (*each)(void *context, struct append_call *call),
                   void *context)
{
    bool any = true;
    for (size_t i = 0; i < PENDING_MAX && any; i++) {
        mutex_lock(&pending->mutex);
        struct pending_call call = pending->ring[i];
        if (call.index != 0) {
            pending->ring[i] = (struct pending_call){0};
            pending->count--;
        }
        any = pending->count > 0 || call.index != 0;
        mutex_unlock(&pending->mutex);
        if (call.index != 0) {
            each(context, call.call);
        }
    }
}
