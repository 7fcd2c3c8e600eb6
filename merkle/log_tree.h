/* SPDX-License-Identifier: Apache-2.0
 *
 * Log tree: the appendable RFC 9162 tree over the leaf hashes. It holds what
 * the right edge needs and no more: the partial tile of each tile level (at
 * most 255 hashes) and the compact range of all leaves. Each tile that becomes
 * full goes to a sink, once, and is forgotten here with the next leaf; proofs
 * (proof.h) read the full tiles from wherever the sink put them, and the partial
 * ones from here.
 *
 * One append costs one inner hash on average; the root costs one hash for each
 * set bit of the size. The thread that applies entries owns the tree. It is a
 * plain value (64 KiB, no memory behind it): readers on other threads work on a
 * copy made with log_tree_copy.
 */
#ifndef ESTREAT_MERKLE_LOG_TREE_H
#define ESTREAT_MERKLE_LOG_TREE_H

#include "merkle/range.h"
#include "merkle/tile.h"

/* Bytes of the largest state: head, eight partial tiles, root. */
#define LOG_TREE_STATE_BYTES_MAX (9 + HASH_BYTES * TILE_LEVELS * (TILE_HASHES - 1) + HASH_BYTES)

struct log_tree {
    struct range range; /* [0, size) */
    struct hash edge[TILE_LEVELS][TILE_HASHES];
};

/* Receives each full tile: 256 hashes, borrowed during the call. */
struct tile_sink {
    enum status (*put)(void *ctx, unsigned level, uint64_t index, const struct hash *hashes,
                       struct error *err);
    void *ctx;
};

/* The empty tree. */
void log_tree_init(struct log_tree *tree);

static inline uint64_t log_tree_size(const struct log_tree *tree)
{
    return tree->range.end;
}

/* Appends a leaf. `sink` may be NULL: then full tiles are dropped. An error is the sink's; the
 * tree must then be thrown away and loaded again. The size must be below 2^64 - 1. */
MUST_USE enum status log_tree_append(struct log_tree *tree, struct hasher *hasher,
                                     const struct hash *leaf, const struct tile_sink *sink,
                                     struct error *err);

/* The root at the present size; SHA-256("") when empty. */
struct hash log_tree_root(const struct log_tree *tree, struct hasher *hasher);

/* Gives the first `width` hashes of tile (level, index) if the edge holds them: it is the
 * partial tile of its level and at least that wide. False, and `out` untouched, if not: then
 * the tile is full and with the sink, or beyond the tree. */
bool log_tree_read_edge(const struct log_tree *tree, unsigned level, uint64_t index, unsigned width,
                        struct hash *out);

/* Copies the tree, touching only what is in use. `to` needs no initialising. */
void log_tree_copy(struct log_tree *to, const struct log_tree *from);

/* Appends the state: at most LOG_TREE_STATE_BYTES_MAX bytes. */
void log_tree_encode(const struct log_tree *tree, struct hasher *hasher, struct buf *out);

/* CORRUPT, and `tree` undefined, unless the whole of `bytes` is one state whose hashes give
 * the root that it carries. */
MUST_USE enum status log_tree_decode(struct log_tree *tree, struct hasher *hasher,
                                     struct slice bytes, struct error *err);

#endif
