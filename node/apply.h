/* SPDX-License-Identifier: Apache-2.0
 *
 * Apply: one entry onto the state: a pure function of (state, entry), without
 * clock, random, I/O of its own or local configuration, so that equal logs give
 * equal states on all nodes. Its writes collect in `batch`; nothing is visible
 * until the applier writes that.
 *
 * Entry types are the log's vocabulary; an unknown one stops the node.
 */
#ifndef ESTREAT_NODE_APPLY_H
#define ESTREAT_NODE_APPLY_H

#include "node/latest_cache.h"
#include "node/session.h"
#include "node/tile_store.h"
#include "node/version_rows.h"
#include "storage/engine.h"

enum entry_type {
    ENTRY_NOOP = 0,           /* the Raft core's own */
    ENTRY_APPEND = 1,         /* append_entry.h */
    ENTRY_EXPIRE_SESSIONS = 2 /* 8 bytes: sessions last used before this time are forgotten */
    /* and RAFT_ENTRY_MEMBERSHIP: raft/membership.h */
};

struct apply_state {
    struct alloc *alloc;
    struct engine *engine; /* for lookups; the writer's thread */
    struct tile_store *tiles;
    struct session_table *sessions;
    struct latest_cache *latest;
    struct batch batch;               /* writes of the entries since the last engine_write */
    struct version_rows version_rows; /* as `batch`; put into it at the end of the group */
    struct buf value;                 /* of lookups */
    struct buf membership;            /* in force: for seals */
    uint64_t size;                    /* events applied */
    uint64_t time_ns;                 /* of the last event */
    uint64_t log_bytes;               /* of all entries so far */
    bool damaged;                     /* a lookup met damage in a table: why an entry failed */
};

/* What the caller of an append is told. */
struct apply_result {
    enum status status; /* of the request: OK, ABORTED, ... */
    uint64_t position;  /* of the first event */
    uint64_t time_ns;
    uint32_t count;
    bool repeated;
    size_t versions_begin; /* in the versions buf: `count` numbers, none if repeated */
    struct error error;    /* text when not OK */
};

struct apply_input {
    uint64_t index;
    uint64_t term;
    uint32_t type;
    struct slice data;
};

/* Applies an entry. After an error the state is undefined, so nothing more may be applied, nor what
 * was not written yet be written; unless it was `damaged`, that is fatal to the node. The outcome
 * of the request itself is in `result`; `versions` grows by one uint64_t for each event. */
enum status apply_entry(struct apply_state *state, const struct apply_input *entry,
                        struct apply_result *result, struct buf *versions,
                        struct error *err) MUST_USE;

#endif
