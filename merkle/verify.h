/* SPDX-License-Identifier: Apache-2.0
 *
 * Verify: checks inclusion and consistency proofs (RFC 9162, sections 2.1.3.2
 * and 2.1.4.2). All of a claim is untrusted, whatever it holds; a proof that is
 * a hash too long or too short is refused. Sizes go up to 2^64 - 1.
 *
 * OK means proved. Anything else is DATA_LOSS with the reason in `err`: there is
 * no third outcome.
 */
#ifndef ESTREAT_MERKLE_VERIFY_H
#define ESTREAT_MERKLE_VERIFY_H

#include "merkle/hash.h"

struct inclusion_claim {
    uint64_t position;
    uint64_t size;
    struct hash leaf; /* the leaf's hash */
    struct hash root; /* of the first `size` leaves */
    const struct hash *path;
    size_t path_count;
};

struct consistency_claim {
    uint64_t old_size;
    uint64_t new_size;
    struct hash old_root;
    struct hash new_root;
    const struct hash *path;
    size_t path_count;
};

MUST_USE enum status verify_inclusion(struct hasher *hasher, const struct inclusion_claim *claim,
                                      struct error *err);

/* Equal sizes need equal roots and an empty path. An old_size of 0 is refused, as the RFC leaves
 * it undefined: such a proof would prove nothing, and would bind no root. */
MUST_USE enum status verify_consistency(struct hasher *hasher,
                                        const struct consistency_claim *claim, struct error *err);

#endif
