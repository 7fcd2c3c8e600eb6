/* SPDX-License-Identifier: Apache-2.0
 *
 * Latest_cache: the newest row of `latest` for the keys that were used lately.
 *
 * Only the applier looks rows of `latest` up, once for each event, and many
 * events change the same keys. So the rows that changed stay here, unsorted, and
 * go into the engine with each seal, sorted: one cheap ascending insert for a
 * key and seal instead of one expensive random insert for an event. A row that
 * is not here is in the engine, as of the last seal.
 *
 * One owner (the applier).
 */
#ifndef ESTREAT_NODE_LATEST_CACHE_H
#define ESTREAT_NODE_LATEST_CACHE_H

#include "base/alloc.h"
#include "node/keyspaces.h"

struct latest_cache;

/* NULL without memory. `bytes_max` bounds what is kept after a flush. */
struct latest_cache *latest_cache_new(struct alloc *alloc, size_t bytes_max);
void latest_cache_free(struct latest_cache *cache);

/* NULL if it is not known here. Valid until the next put or flush. A row with position
 * LATEST_ABSENT says that the key has no events. */
#define LATEST_ABSENT UINT64_MAX
const struct latest_row *latest_cache_get(const struct latest_cache *cache, struct slice key);

/* Copies the key; the row counts as changed. False without memory. */
bool latest_cache_put(struct latest_cache *cache, struct slice key, const struct latest_row *row);

/* Called for each row that changed since the last flush, in ascending order of the keys. */
typedef enum status (*latest_row_fn)(void *context, struct slice key, const struct latest_row *row,
                                     struct error *err);

/* Gives out the changed rows, which then count as unchanged; and forgets all of them if the cache
 * has outgrown its bound. */
enum status latest_cache_flush(struct latest_cache *cache, latest_row_fn each, void *context,
                               struct error *err) MUST_USE;

#endif
