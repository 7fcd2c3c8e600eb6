/* SPDX-License-Identifier: Apache-2.0
 *
 * Applied: how far this node has applied the log, and who waits for it to get
 * further. The applier publishes; any thread asks or waits.
 *
 * A wait's `ready` is called once, with OK when its target is reached, with
 * DEADLINE_EXCEEDED when its time is over, or with CANCELLED at shutdown, on the
 * applier's or the driver's thread: it only hands the work on. After that the
 * wait is the caller's again.
 */
#ifndef ESTREAT_NODE_APPLIED_H
#define ESTREAT_NODE_APPLIED_H

#include "base/status.h"
#include "base/sync.h"

struct applied_point {
    uint64_t index;     /* of the last applied entry */
    uint64_t term;      /* of that entry */
    uint64_t size;      /* events in the log */
    uint64_t time_ns;   /* of the last event, 0 if there is none */
    uint64_t log_bytes; /* of all entries so far */
};

enum applied_target { APPLIED_INDEX, APPLIED_SIZE };

struct applied_wait {
    enum applied_target kind;
    uint64_t target;      /* at least this */
    uint64_t deadline_ns; /* monotonic; UINT64_MAX: none */
    void (*ready)(struct applied_wait *wait, enum status status);
    struct applied_wait *next; /* ours */
};

struct applied {
    struct mutex mutex;
    struct applied_point point;
    struct applied_wait *waits; /* unsorted: few at a time, each looked at once a publication */
    bool closed;
};

void applied_init(struct applied *applied, struct applied_point start);
void applied_release(struct applied *applied); /* nobody may wait any more */

struct applied_point applied_get(struct applied *applied);

/* Applier only. The index never falls. */
void applied_publish(struct applied *applied, struct applied_point point);

/* Borrows `wait` until `ready` was called. If the target is reached already, or after
 * applied_close(), `ready` is called before this returns. */
void applied_wait(struct applied *applied, struct applied_wait *wait);

/* Ends the waits whose deadline is past. Called now and then by the driver. */
void applied_expire(struct applied *applied, uint64_t now_ns);

/* Ends all waits with CANCELLED, and all later ones at once. */
void applied_close(struct applied *applied);

#endif
