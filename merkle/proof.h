/* SPDX-License-Identifier: Apache-2.0
 *
 * Proof: roots, inclusion and consistency proofs of a tree at any size, built
 * from tiles (RFC 9162, sections 2.1.3.1 and 2.1.4.1).
 *
 * Tiles come through a hash_source. Since a partial tile is a prefix of every
 * later form of it, a source that has the tiles of size S serves each size up
 * to S. A proof reads each tile that it needs once: at most two for each tile
 * level, so at most eight at 10^9 leaves. Nothing here allocates; about 20 KiB
 * of stack. Any thread, with a hasher of its own.
 */
#ifndef ESTREAT_MERKLE_PROOF_H
#define ESTREAT_MERKLE_PROOF_H

#include "merkle/node_id.h"
#include "merkle/tile.h"

/* Consistency takes one more than the 64 levels (RFC 9162, section 2.1.4.1). */
#define PROOF_HASHES_MAX 65U

struct hash_source {
    /* Gives the first `width` (1 to TILE_HASHES) hashes of tile (level, index). On an error
     * `out` may hold anything; OUT_OF_RANGE if the tree has no such hashes. */
    enum status (*read_tile)(void *ctx, unsigned level, uint64_t index, unsigned width,
                             struct hash *out, struct error *err);
    void *ctx;
};

struct proof {
    unsigned count;
    struct hash hashes[PROOF_HASHES_MAX]; /* in the order of the RFC, leaf to root */
};

/* The root of the first `size` leaves. */
MUST_USE enum status proof_root(const struct hash_source *source, struct hasher *hasher,
                                uint64_t size, struct hash *out, struct error *err);

/* The hash of one complete subtree. */
MUST_USE enum status proof_subtree(const struct hash_source *source, struct hasher *hasher,
                                   struct node_id id, struct hash *out, struct error *err);

/* That the leaf `position` is in the first `size` leaves. OUT_OF_RANGE unless
 * position < size. */
MUST_USE enum status proof_inclusion(const struct hash_source *source, struct hasher *hasher,
                                     uint64_t position, uint64_t size, struct proof *out,
                                     struct error *err);

/* That the first `new_size` leaves begin with the first `old_size`. Empty if the sizes are equal.
 * OUT_OF_RANGE unless 0 < old_size <= new_size: every log continues the empty one. */
MUST_USE enum status proof_consistency(const struct hash_source *source, struct hasher *hasher,
                                       uint64_t old_size, uint64_t new_size, struct proof *out,
                                       struct error *err);

#endif
