/* SPDX-License-Identifier: Apache-2.0
 *
 * Backups: made of the engine while the node runs (storage/backup/backup.h), when an operator asks
 * and when the policy of [backup] says so. What is applied when one begins is in it: it seals and
 * flushes first. It reads and writes no faster than configured, so that appends hardly feel it.
 * Damage of the engine's tables that it meets is the node's fault (fault.h); with a fault none is
 * made. One at a time. A stop in the middle leaves what the next one removes.
 *
 * A thread of its own makes them, since the disk of the backups may be slow; the rest may be called
 * on any thread.
 */
#ifndef ESTREAT_NODE_BACKUPS_H
#define ESTREAT_NODE_BACKUPS_H

#include "node/applier.h"
#include "node/config.h"
#include "node/fault.h"
#include "storage/backup/backup.h"

/* How often the policy is asked; six times as long after a failure. */
#define BACKUPS_LOOK_NS (10 * NS_PER_S)

struct backups;

struct backups_options {
    struct alloc *alloc;
    struct clock *clock;
    const struct config_backup *config; /* borrowed, as all that follows; its dir is not empty */
    struct engine *engine;
    struct fault *fault;
    uint64_t look_ns; /* 0: BACKUPS_LOOK_NS */
    /* applier_flush() */
    void (*flush)(void *context, struct flush_request *request);
    void *context;
};

struct backups_state {
    uint64_t since_ns;  /* the start, by the realtime clock: with `runs` it names a run */
    uint64_t runs;      /* that have begun since */
    bool running;       /* the last of them has not ended */
    uint64_t bytes;     /* of the running one: of tables that are done, and of all */
    uint64_t bytes_all; /* 0: not known yet */
    enum status status; /* of the last one that ended */
    char text[ERROR_TEXT_BYTES];
    uint64_t made_at_ns; /* of the last one that was made; 0: none since the start */
    uint64_t events;     /* in it: positions [0, events) */
    struct backup_made made;
};

/* Returns owned. */
enum status backups_open(const struct backups_options *options, struct backups **out,
                         struct error *err) MUST_USE;

/* Begins one. FAILED_PRECONDITION: one is being made, or the node has a fault. */
enum status backups_begin(struct backups *backups, bool full, struct error *err) MUST_USE;

void backups_look(struct backups *backups, struct backups_state *out);

/* From now on no step is done: the one under way ends. NULL is allowed. */
void backups_stop(struct backups *backups);

/* After that, and when the flush that it may wait for was answered: ends the thread, lets go of the
 * engine. NULL is allowed. */
void backups_close(struct backups *backups);

#endif
