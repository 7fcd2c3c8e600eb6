/* SPDX-License-Identifier: Apache-2.0
 *
 * Tile: 256 consecutive hashes of one tree level, as C2SP tlog-tiles stores
 * and serves them. Tile level t holds the hashes of the complete subtrees of
 * level 8t; tile (t, i) covers those with index [256 i, 256 (i + 1)). A partial
 * tile is a prefix of the full one. The levels between come from hashing.
 */
#ifndef ESTREAT_MERKLE_TILE_H
#define ESTREAT_MERKLE_TILE_H

#include "merkle/hash.h"
#include "merkle/node_id.h"

#define TILE_HEIGHT 8U
#define TILE_HASHES 256U
#define TILE_LEVELS 8U                                    /* 2^64 leaves */
#define TILE_BYTES_MAX ((size_t)TILE_HASHES * HASH_BYTES) /* stored: the hashes, nothing else */
/* "tile/7/" + 6 elements of "x123/" + 3 digits + ".p/255" */
#define TILE_PATH_BYTES_MAX 48U

struct tile {
    unsigned level;
    uint64_t index;
    unsigned width; /* 1 to TILE_HASHES */
};

/* The width of tile (level, index) in a tree of `size` leaves; 0 if it has no such tile. */
unsigned tile_width(unsigned level, uint64_t index, uint64_t size);

/* How many tiles, the partial one counted, a tree of `size` leaves has at `level`: their
 * indices are [0, count). */
uint64_t tile_count(unsigned level, uint64_t size);

/* The smallest tile that gives the hash of a complete subtree: its width ends with that
 * subtree. */
struct tile tile_of_node(struct node_id id);

/* The hash of a complete subtree from its tile, whose hashes it borrows. The tile, of at least
 * tile_of_node(id).width hashes, must be the one that the node lies in. */
struct hash tile_node_hash(struct hasher *hasher, const struct hash *hashes, struct node_id id);

/* Writes C2SP's path, "tile/1/x001/234" or "tile/0/000.p/17", and a NUL; returns its length. */
size_t tile_path_format(struct tile tile, char out[TILE_PATH_BYTES_MAX]);

/* INVALID_ARGUMENT unless the whole of `path` is the path of a tile that a tree can have. */
MUST_USE enum status tile_path_parse(struct slice path, struct tile *out, struct error *err);

#endif
