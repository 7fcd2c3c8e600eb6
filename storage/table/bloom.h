/* SPDX-License-Identifier: Apache-2.0
 *
 * Bloom: a table's filter on user keys. It answers "certainly not here" or "perhaps".
 *
 * With 10 bits a key fewer than 1 % of absent keys get "perhaps" (B. Bloom, 1970; probes by
 * double hashing after A. Kirsch and M. Mitzenmacher, 2006). Hash, probes and layout are
 * part of the table format and never change for a version of it: storage/FORMAT.md.
 */
#ifndef ESTREAT_STORAGE_TABLE_BLOOM_H
#define ESTREAT_STORAGE_TABLE_BLOOM_H

#include "base/buf.h"
#include "base/metrics.h"
#include "base/slice.h"

#define BLOOM_BITS_PER_KEY_DEFAULT 10
#define BLOOM_BITS_PER_KEY_MAX 32

/* What filters were worth to lookups. Any thread bumps them. */
struct bloom_counters {
    struct counter asked;
    struct counter absent; /* no block was read */
    struct counter wrong;  /* "perhaps", and the key was not there */
};

/* The hash of a user key. Also good for hash tables; not for secrets. */
uint64_t bloom_hash(struct slice key);

/* Appends the filter of `count` hashes to `out`; a failure (no memory) is the buf's. */
void bloom_build(struct buf *out, const uint64_t *hashes, size_t count, unsigned bits_per_key);

/* True if untrusted `filter` bytes have the shape of a filter. */
bool bloom_is_well_formed(struct slice filter);

/* `filter` is well formed. False: no such key is in the table. */
bool bloom_may_contain(struct slice filter, uint64_t hash);

#endif
