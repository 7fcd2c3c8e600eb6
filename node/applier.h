/* SPDX-License-Identifier: Apache-2.0
 *
 * Applier: turns committed entries into state: events, latest, versions, tiles and
 * sessions in the engine, in the order of the log. It is the engine's one writer and
 * owns the session table and the growing log tree. It has no thread: somebody
 * (apply_thread.h, a simulator) gives it its turns, one at a time.
 *
 * Applying is a pure function of (state, entry). Several entries share one
 * engine batch; only after that batch was written and the tree published are the
 * waiting calls answered and the new size published.
 *
 * When the memtables are full it seals: state that lives in memory goes into the
 * engine or into the seal's blob (struct seal), and the engine flushes both. If
 * the disk has no room for that, nothing more is applied until it has.
 *
 * An entry of an unknown type, and any error of the engine but a full disk and damage to
 * a table, is fatal: on_fatal is called once, and the applier applies no more.
 *
 * What needs a table that is damaged cannot be applied, nor what follows it: the applier
 * then stands. on_damage is called once; what was not written yet is dropped; nothing
 * is sealed; batches stay here until the end, so the driver does not take them for
 * applied. It stands until the node is started anew, which applies from the log what
 * is lacking, once the table is mended. The sessions, which are read at the start, and
 * a level 0 that damage keeps from being merged (engine_is_stuck) are met the same way.
 */
#ifndef ESTREAT_NODE_APPLIER_H
#define ESTREAT_NODE_APPLIER_H

#include "node/applied.h"
#include "node/apply.h"
#include "node/apply_batch.h"
#include "node/pending.h"
#include "node/replier.h"
#include "node/seal.h"
#include "node/tile_store.h"
#include "storage/engine.h"
#include "storage/wal/wal.h"

/* Memory that one group may take past a full memtable before its seal: a megabyte of rows, one
 * more request, what the skip lists add to each, and the rows of sessions that changed. */
#define APPLIER_OVERSHOOT_BYTES (16 * MIB)

struct applier;

struct applier_options {
    struct alloc *alloc;
    struct clock *clock;
    struct engine *engine; /* borrowed, as all that follows */
    struct wal *wal;       /* for entries that are no longer in memory */
    struct tile_store *tiles;
    struct pending *pending;
    struct applied *applied;
    struct replier *replier;   /* ends the calls in `pending` */
    struct intake_queue *done; /* the driver's intake: batches go back there */
    const struct seal *start;  /* state to begin with; copied */
    bool from_snapshot;        /* which came from another node */
    void (*on_fatal)(void *context, const struct error *err);  /* in a turn */
    void (*on_damage)(void *context, const struct error *err); /* likewise, or in applier_new() */
    /* If given, called instead of sleeping while the disk is full. */
    void (*on_wait)(void *context);
    void *context; /* of all three */
};

/* Loads the sessions; if those are damaged it stands from the start. Returns owned. */
enum status applier_new(const struct applier_options *options, struct applier **out,
                        struct error *err) MUST_USE;

/* True if a turn would find nothing. Whoever gives the turns. */
bool applier_is_idle(struct applier *applier);

/* Sleeps until there is something to do, or a while. Whoever gives the turns. */
void applier_wait(struct applier *applier);

/* Applies, publishes and answers all that waits. False: it was asked to stop, and this was the last
 * turn. May wait for the disk. */
bool applier_turn(struct applier *applier);

/* True: it applies nothing any more, since it met damage. Any thread. */
bool applier_stands(const struct applier *applier);

/* What the entries so far have made; NULL after a failure, when that is undefined. For checks,
 * between two turns. */
const struct apply_state *applier_state(const struct applier *applier);

/* Any thread, once: after what was submitted before, there shall be no more turns. The driver has
 * ended. */
void applier_ask_to_stop(struct applier *applier);

/* After the last turn: flushes, and refuses flushes that still come. */
void applier_end(struct applier *applier);

/* Takes the batch. Driver only. */
void applier_submit(struct applier *applier, struct apply_batch *batch);

/* Seals what is applied now; `done` is called once that is durable in tables, or with the error,
 * on the applier's, the engine's or the caller's thread: it only hands on. Any thread. Borrows
 * `request` until then. Appending goes on meanwhile. CANCELLED: the applier was stopped;
 * DATA_LOSS: it stands. */
struct flush_request {
    struct applier_item item; /* first */
    void (*done)(struct flush_request *request, enum status status);
    /* the applier's */
    uint64_t index;
    struct flush_request *next;
};
void applier_flush(struct applier *applier, struct flush_request *request);

/* The engine made a seal durable. Any thread. */
void applier_flushed(struct applier *applier, uint64_t index);

/* The log index up to which tables are durable: the log below is not needed here. Any thread. */
uint64_t applier_flushed_index(struct applier *applier);

/* After applier_end, when nobody calls applier_flushed() any more. NULL is allowed. */
void applier_free(struct applier *applier);

#endif
