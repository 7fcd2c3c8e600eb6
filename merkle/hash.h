/* SPDX-License-Identifier: Apache-2.0
 *
 * Hash: SHA-256 with the prefixes that keep leaves, inner nodes and payloads
 * apart (RFC 9162, section 2.1.1; 0x02 is ours).
 *
 * A hasher holds the prefetched algorithm and one context that every hash
 * reuses: fetching or allocating for each hash would cost as much as hashing.
 * One hasher belongs to one thread. After hasher_init nothing here allocates
 * or fails.
 */
#ifndef ESTREAT_MERKLE_HASH_H
#define ESTREAT_MERKLE_HASH_H

#include "base/slice.h"
#include "base/status.h"

#define HASH_BYTES 32UL
#define HASH_BASE64_BYTES 44UL /* without a terminating NUL */

struct hash {
    uint8_t bytes[HASH_BYTES];
};

struct hasher {
    struct evp_md_st *algorithm;   /* owned */
    struct evp_md_ctx_st *context; /* owned */
};

/* Fetches SHA-256 from libcrypto. RESOURCE_EXHAUSTED or UNIMPLEMENTED if it cannot. */
MUST_USE enum status hasher_init(struct hasher *hasher, struct error *err);

void hasher_release(struct hasher *hasher);

/* SHA-256(data), without a prefix. */
struct hash hash_bytes(struct hasher *hasher, struct slice data);

/* SHA-256(""): the root of the empty tree. */
struct hash hash_empty(struct hasher *hasher);

/* SHA-256 of what comes in pieces, without a prefix: begin, any number of pieces, end. The hasher
 * must not be used for anything else in between. */
void hash_begin(struct hasher *hasher);
void hash_more(struct hasher *hasher, struct slice piece);
struct hash hash_end(struct hasher *hasher);

/* SHA-256(0x00 || data). */
struct hash hash_leaf(struct hasher *hasher, struct slice data);

/* SHA-256(0x01 || left || right). */
struct hash hash_node(struct hasher *hasher, const struct hash *left, const struct hash *right);

/* SHA-256(0x02 || salt || payload); `salt` is empty or 16 bytes. The event header holds the
 * payload's length, so salt and payload cannot be split elsewhere. */
struct hash hash_payload(struct hasher *hasher, struct slice salt, struct slice payload);

static inline bool hash_equal(const struct hash *a, const struct hash *b)
{
    return memcmp(a->bytes, b->bytes, HASH_BYTES) == 0;
}

static inline struct slice hash_slice(const struct hash *hash)
{
    return slice_of(hash->bytes, HASH_BYTES);
}

/* False, and `out` untouched, unless `bytes` is 32 long: for hashes from messages. */
static inline bool hash_from_slice(struct slice bytes, struct hash *out)
{
    if (bytes.length != HASH_BYTES) {
        return false;
    }
    memcpy(out->bytes, bytes.data, HASH_BYTES);
    return true;
}

#endif
