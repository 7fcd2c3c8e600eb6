/* SPDX-License-Identifier: Apache-2.0
 *
 * Compact range: the hashes of the fewest complete subtrees that cover the
 * leaves [begin, end). One that begins at 0 is the right edge of a tree: all
 * that is needed to append and to know the root. Adjacent ranges merge, so
 * parts of a log can be hashed apart (by threads, or by an auditor) and joined.
 *
 * A plain value of its caller: no memory behind it, may be copied.
 */
#ifndef ESTREAT_MERKLE_RANGE_H
#define ESTREAT_MERKLE_RANGE_H

#include "base/buf.h"
#include "merkle/hash.h"
#include "merkle/node_id.h"

/* At most 63 levels up and 63 down again. */
#define RANGE_HASHES_MAX 126U

struct range {
    uint64_t begin;
    uint64_t end;
    unsigned count;
    struct hash hashes[RANGE_HASHES_MAX]; /* left to right; their nodes follow from the bounds */
};

/* Told of each complete subtree that an append makes, from the appended node upwards. */
struct range_visitor {
    void (*node)(void *ctx, struct node_id id, const struct hash *hash);
    void *ctx;
};

/* The empty range [begin, begin). */
void range_init(struct range *range, uint64_t begin);

/* Appends the leaf `end`. `visitor` may be NULL. The range must end below 2^64 - 1. */
void range_append(struct range *range, struct hasher *hasher, const struct hash *leaf,
                  const struct range_visitor *visitor);

/* Appends the complete subtree of `level` that begins at `end`, which must be a multiple of
 * 2^level. */
void range_append_node(struct range *range, struct hasher *hasher, unsigned level,
                       const struct hash *hash, const struct range_visitor *visitor);

/* Appends all of `right`, which begins where `range` ends and is another object. */
void range_merge(struct range *range, struct hasher *hasher, const struct range *right);

/* MTH(D[begin:end]) where begin is 0, or the range lies within the subtree that begins there:
 * the nodes hashed together from the right (RFC 9162, section 2.1.1). */
struct hash range_root(const struct range *range, struct hasher *hasher);

/* How many hashes [begin, end) has. */
unsigned range_hash_count(uint64_t begin, uint64_t end);

/* begin, end (little-endian), then the hashes. */
void range_encode(const struct range *range, struct buf *out);

/* CORRUPT unless the whole of `bytes` is one range. */
MUST_USE enum status range_decode(struct slice bytes, struct range *out, struct error *err);

#endif
