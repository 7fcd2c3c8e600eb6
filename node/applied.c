/* SPDX-License-Identifier: Apache-2.0 */
#include "node/applied.h"

#include "base/check.h"

void applied_init(struct applied *applied, struct applied_point start)
{
    *applied = (struct applied){.point = start};
    mutex_init(&applied->mutex);
}

void applied_release(struct applied *applied)
{
    CHECK(applied->waits == NULL);
    mutex_release(&applied->mutex);
}

struct applied_point applied_get(struct applied *applied)
{
    mutex_lock(&applied->mutex);
    struct applied_point point = applied->point;
    mutex_unlock(&applied->mutex);
    return point;
}

static bool is_reached(const struct applied_wait *wait, const struct applied_point *point)
{
    return wait->target <= (wait->kind == APPLIED_INDEX ? point->index : point->size);
}

/* Calls `ready` outside the lock: it may take others. */
static void call_ready(struct applied_wait *wait, enum status status)
{
    while (wait != NULL) {
        struct applied_wait *next = wait->next;
        wait->next = NULL;
        wait->ready(wait, status);
        wait = next;
    }
}

void applied_publish(struct applied *applied, struct applied_point point)
{
    struct applied_wait *reached = NULL;
    mutex_lock(&applied->mutex);
    CHECK(point.index >= applied->point.index);
    CHECK(point.size >= applied->point.size);
    applied->point = point;
    struct applied_wait **link = &applied->waits;
    while (*link != NULL) {
        struct applied_wait *wait = *link;
        if (is_reached(wait, &point)) {
            *link = wait->next;
            wait->next = reached;
            reached = wait;
        } else {
            link = &wait->next;
        }
    }
    mutex_unlock(&applied->mutex);
    call_ready(reached, STATUS_OK);
}

void applied_wait(struct applied *applied, struct applied_wait *wait)
{
    wait->next = NULL;
    mutex_lock(&applied->mutex);
    bool closed = applied->closed;
    bool reached = is_reached(wait, &applied->point);
    if (!closed && !reached) {
        wait->next = applied->waits;
        applied->waits = wait;
    }
    mutex_unlock(&applied->mutex);
    if (closed) {
        wait->ready(wait, STATUS_CANCELLED);
    } else if (reached) {
        wait->ready(wait, STATUS_OK);
    }
}

void applied_expire(struct applied *applied, uint64_t now_ns)
{
    struct applied_wait *late = NULL;
    mutex_lock(&applied->mutex);
    struct applied_wait **link = &applied->waits;
    while (*link != NULL) {
        struct applied_wait *wait = *link;
        if (wait->deadline_ns <= now_ns) {
            *link = wait->next;
            wait->next = late;
            late = wait;
        } else {
            link = &wait->next;
        }
    }
    mutex_unlock(&applied->mutex);
    call_ready(late, STATUS_DEADLINE_EXCEEDED);
}

void applied_close(struct applied *applied)
{
    mutex_lock(&applied->mutex);
    applied->closed = true;
    struct applied_wait *all = applied->waits;
    applied->waits = NULL;
    mutex_unlock(&applied->mutex);
    call_ready(all, STATUS_CANCELLED);
}
