/* SPDX-License-Identifier: Apache-2.0
 *
 * Latest_cache: the newest row of keyspace `latest` for keys that were used
 * lately, so that most appends need no lookup in the engine; and, while a batch
 * is being collected, the only place that knows the rows in it.
 *
 * Only a cache: losing it changes nothing. It is emptied whole, between
 * batches, when it has outgrown its bound. One owner (the applier).
 */
#ifndef ESTREAT_NODE_LATEST_CACHE_H
#define ESTREAT_NODE_LATEST_CACHE_H

#include "base/alloc.h"
#include "node/keyspaces.h"

struct latest_cache;

/* NULL without memory. `bytes_max` bounds keys and rows between batches. */
struct latest_cache *latest_cache_new(struct alloc *alloc, size_t bytes_max);
void latest_cache_free(struct latest_cache *cache);

/* NULL if it is not known here. Valid until the next put or trim. A row with position
 * LATEST_ABSENT says that the key has no events. */
#define LATEST_ABSENT UINT64_MAX
const struct latest_row *latest_cache_get(const struct latest_cache *cache, struct slice key);

/* Copies the key. False without memory. */
bool latest_cache_put(struct latest_cache *cache, struct slice key, const struct latest_row *row);

/* Call between batches: empties the cache if it is past its bound. */
void latest_cache_trim(struct latest_cache *cache);

#endif
