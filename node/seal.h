/* SPDX-License-Identifier: Apache-2.0
 *
 * Seal: what the node records with each seal of the engine, and begins with
 * after a restart: where in the log its tables stand, and the state that lives
 * outside them.
 *
 *   layout 2 (1 byte), index, term, size, last time, session floor, log bytes (8 each,
 *   little-endian), length of the membership (4), the membership
 *   (raft/membership.h), the log tree's state (the rest)
 */
#ifndef ESTREAT_NODE_SEAL_H
#define ESTREAT_NODE_SEAL_H

#include "base/buf.h"
#include "base/status.h"

struct seal {
    uint64_t index; /* of the last applied entry */
    uint64_t term;
    uint64_t size;    /* events */
    uint64_t time_ns; /* of the last event */
    uint64_t session_floor_ns;
    uint64_t log_bytes;      /* of all entries so far */
    struct slice membership; /* in force at `index`; empty: of a node that was not added yet */
    struct slice tree;       /* tile_store_encode() */
};

/* Replaces the content of `out`; ask buf_failed(). */
void seal_encode(const struct seal *seal, struct buf *out);

/* Borrows from `bytes`; empty bytes are a new node's. CORRUPT if malformed. */
enum status seal_decode(struct slice bytes, struct seal *out, struct error *err) MUST_USE;

#endif
