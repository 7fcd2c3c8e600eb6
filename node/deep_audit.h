/* SPDX-License-Identifier: Apache-2.0
 *
 * Deep_audit: reads the events of [0, size) from disk, past the caches, hashes
 * payload and header of each again, and compares with the leaf hashes of the
 * node's tree, which it reads from disk too; makes the tiles above them again and
 * compares those; and computes the root of what it read. In pieces, so that it can
 * take turns with others.
 *
 * What does not fit, or cannot be read from the disk, is damage: a range of positions
 * with a cause. The audit goes on behind it. Want of memory or of file handles is none.
 * One user at a time; any thread.
 */
#ifndef ESTREAT_NODE_DEEP_AUDIT_H
#define ESTREAT_NODE_DEEP_AUDIT_H

#include "node/tile_store.h"

/* A piece has so many events at most, and ends with the tile that brings it to so many bytes. */
#define DEEP_PIECE_EVENTS 1024U
#define DEEP_PIECE_BYTES (16 * MIB)
#define DEEP_DAMAGED_MAX 64U /* ranges reported in one piece */

struct damaged_range {
    uint64_t begin;
    uint64_t end; /* exclusive */
};

struct deep_audit {
    struct engine *engine;
    struct tile_store *tiles;
    struct hasher hasher;
    uint64_t size;
    uint64_t position;    /* checked up to here */
    uint64_t bytes_read;  /* of stored events */
    struct log_tree tree; /* of the leaves as they were read */
    bool unreadable;      /* some event could not be read: there is no root */
    uint64_t edited_end;  /* of the last event that is not its leaf */
    bool upper_due;       /* tiles above the leaves became full and are to be compared */
    /* of the last piece */
    struct damaged_range damaged[DEEP_DAMAGED_MAX];
    unsigned damaged_count;
    char cause[256]; /* of the first damage of the piece */
};

/* The events up to `size` must be in tables (flushed), else memory is what gets audited. */
enum status deep_audit_init(struct deep_audit *audit, struct engine *engine,
                            struct tile_store *tiles, uint64_t size, struct error *err) MUST_USE;
void deep_audit_release(struct deep_audit *audit);

/* Checks the next piece. `more`: false when all is checked. RESOURCE_EXHAUSTED: nothing is known
 * of what comes next; it can be called again. */
enum status deep_audit_step(struct deep_audit *audit, bool *more, struct error *err) MUST_USE;

/* After the last step: the root of what was read; false if something was unreadable. */
bool deep_audit_root(struct deep_audit *audit, struct hash *root);

#endif
