/* SPDX-License-Identifier: Apache-2.0
 *
 * Applier: the thread that turns committed entries into state: events, latest,
 * versions, tiles and sessions in the engine, in the order of the log. It is the
 * engine's one writer and owns the session table and the growing log tree.
 *
 * Applying is a pure function of (state, entry). Several entries share one
 * engine batch; only after that batch was written and the tree published are the
 * waiting calls answered and the new size published.
 *
 * When the memtables are full it seals: state that lives in memory goes into the
 * engine or into the seal's blob (struct seal), and the engine flushes both. If
 * the disk has no room for that, nothing more is applied until it has.
 *
 * An entry of an unknown type, and any error of the engine but a full disk, is
 * fatal: on_fatal is called once, and the applier applies no more.
 */
#ifndef ESTREAT_NODE_APPLIER_H
#define ESTREAT_NODE_APPLIER_H

#include "node/applied.h"
#include "node/apply_batch.h"
#include "node/pending.h"
#include "node/seal.h"
#include "node/tile_store.h"
#include "storage/engine.h"
#include "storage/wal/wal.h"

/* Memory that one group may take past a full memtable before its seal: a megabyte of rows, one
 * more request, and what the skip lists add to each. */
#define APPLIER_OVERSHOOT_BYTES (16 * MIB)

struct applier;
struct rpc_loop;

struct applier_options {
    struct alloc *alloc;
    struct clock *clock;
    struct engine *engine; /* borrowed, as all that follows */
    struct wal *wal;       /* for entries that are no longer in memory */
    struct tile_store *tiles;
    struct pending *pending;
    struct applied *applied;
    struct rpc_loop *clients;  /* answers the calls in `pending`; NULL where nobody calls */
    struct intake_queue *done; /* the driver's intake: batches go back there */
    const struct seal *start;  /* state to begin with; copied */
    void (*on_fatal)(void *context, const struct error *err); /* the applier's thread */
    void *context;
};

/* Loads the sessions and starts the thread. Returns owned. */
enum status applier_start(const struct applier_options *options, struct applier **out,
                          struct error *err) MUST_USE;

/* Takes the batch. Driver only. */
void applier_submit(struct applier *applier, struct apply_batch *batch);

/* Seals what is applied now; `done` is called once that is durable in tables, or with the error,
 * on the applier's, the engine's or the caller's thread: it only hands on. Any thread. Borrows
 * `request` until then. Appending goes on meanwhile. CANCELLED: the applier was stopped. */
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

/* Applies what was submitted, then flushes and ends the thread; batches go back to the driver.
 * The driver has been stopped. NULL is allowed. */
void applier_stop(struct applier *applier);

/* After applier_stop, when nobody calls applier_flushed() any more. NULL is allowed. */
void applier_free(struct applier *applier);

#endif
