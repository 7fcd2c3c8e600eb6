/* SPDX-License-Identifier: Apache-2.0
 *
 * Key filter: a memtable's Bloom filter on the hashes of user keys. All probes of a key fall
 * into one cache line (F. Putze, P. Sanders, J. Singler, "Cache-, hash- and space-efficient
 * Bloom filters", 2007).
 *
 * One thread adds, any number ask meanwhile. A filter is made for a number of keys; the
 * memtable makes a larger one when it is full.
 */
#ifndef ESTREAT_STORAGE_MEM_KEY_FILTER_H
#define ESTREAT_STORAGE_MEM_KEY_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/alloc.h"

struct key_filter;

/* For `keys_max` keys, 16 bits each; below 1 % "perhaps" for absent ones. Returns owned, or NULL
 * if there is no memory. Keeps `older` (may be NULL), which readers may still be in, and
 * frees it when it is freed itself. */
struct key_filter *key_filter_new(struct alloc *alloc, uint64_t keys_max, struct key_filter *older);
void key_filter_free(struct alloc *alloc, struct key_filter *filter);

uint64_t key_filter_keys_max(const struct key_filter *filter);
/* Bytes of this filter, without older ones. */
size_t key_filter_bytes(const struct key_filter *filter);

/* One thread at a time. */
void key_filter_add(struct key_filter *filter, uint64_t hash);

/* False: certainly not added before what this thread has synchronised with. Any thread. */
bool key_filter_may_contain(const struct key_filter *filter, uint64_t hash);

#endif
