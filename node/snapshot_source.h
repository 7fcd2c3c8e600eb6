/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshot_source: serves this node's tables to a node that is behind the log. A
 * description pins a checkpoint of the engine (storage/checkpoint.h), once, for whoever asks,
 * and hashes and checks its files before it lists them; pieces are then read from it. What
 * nobody has asked about for a minute is let go. A node that is damaged serves nothing, from
 * the moment that it knows: FAILED_PRECONDITION.
 *
 * All work is one job on the executor, one question at a time, so what is held in
 * memory is one piece. Any thread asks.
 */
#ifndef ESTREAT_NODE_SNAPSHOT_SOURCE_H
#define ESTREAT_NODE_SNAPSHOT_SOURCE_H

#include "base/clock.h"
#include "base/job.h"
#include "node/applier.h"
#include "node/fault.h"
#include "node/signer.h"
#include "node/snapshot.h"
#include "node/tile_store.h"

#define SNAPSHOT_PIN_IDLE_NS (60 * NS_PER_S)

struct snapshot_source;

struct snapshot_source_options {
    struct alloc *alloc;
    struct clock *clock;
    struct executor *executor; /* borrowed, as all that follows */
    struct engine *engine;
    struct applier *applier;
    struct applied *applied;
    struct tile_store *tiles;
    struct signer *signer;
    struct fault *fault;
};

/* Returns owned. */
enum status snapshot_source_open(const struct snapshot_source_options *options,
                                 struct snapshot_source **out, struct error *err) MUST_USE;

/* Any thread. `request` is of the method's type and borrowed until `done`, which is called once, on
 * the executor's thread or, without memory, in this call. */
void snapshot_source_ask(struct snapshot_source *source, enum snapshot_method method,
                         const ProtobufCMessage *request, snapshot_answer_fn done, void *context);

/* Any thread, now and then: lets go of what nobody asks about. */
void snapshot_source_poll(struct snapshot_source *source);

/* Any thread. Who pulls goes on by the log from here: it is kept past this index, as long as the
 * pull goes on and a while longer. UINT64_MAX: nobody pulls. */
uint64_t snapshot_source_held_index(struct snapshot_source *source);

/* The executor is closed, and nobody asks any more: answers what waits with CANCELLED, lets go of
 * the engine. The engine's executor still runs. NULL is allowed. */
void snapshot_source_end(struct snapshot_source *source);

/* After snapshot_source_end() and applier_end(). NULL is allowed. */
void snapshot_source_close(struct snapshot_source *source);

#endif
