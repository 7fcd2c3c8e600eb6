/* SPDX-License-Identifier: Apache-2.0
 *
 * Tile_store: the log tree of this node: full tiles in keyspace `tiles`, the
 * right edge in memory.
 *
 * The applier appends to a tree of its own and publishes it after the batch
 * with the full tiles was written; readers see the published one. So each tile
 * of the published size is either in the edge or in the engine.
 */
#ifndef ESTREAT_NODE_TILE_STORE_H
#define ESTREAT_NODE_TILE_STORE_H

#include "base/sync.h"
#include "merkle/log_tree.h"
#include "merkle/proof.h"
#include "storage/engine.h"

struct tile_store;

/* Borrows `engine`. `state` as tile_store_encode() gave it, empty for a new log. Returns owned.
 * CORRUPT if it is damaged. */
enum status tile_store_open(struct alloc *alloc, struct engine *engine, struct slice state,
                            struct tile_store **out, struct error *err) MUST_USE;
void tile_store_close(struct tile_store *store);

/* --- the applier --- */

/* The hasher of the applier's thread, for what it hashes besides. */
struct hasher *tile_store_hasher(struct tile_store *store);

/* Appends a leaf; a tile that becomes full goes into `batch`. */
enum status tile_store_append(struct tile_store *store, const struct hash *leaf,
                              struct batch *batch, struct error *err) MUST_USE;

/* Makes what was appended visible to readers. */
void tile_store_publish(struct tile_store *store);

/* Size of the applier's own tree. */
uint64_t tile_store_appended(const struct tile_store *store);

/* Appends the state of the applier's tree. */
void tile_store_encode(struct tile_store *store, struct buf *out);

/* --- readers, any thread --- */

uint64_t tile_store_size(struct tile_store *store);

/* Valid as long as the store. Serves every size up to the published one. */
struct hash_source tile_store_source(struct tile_store *store);

/* The published size and its root. */
void tile_store_head(struct tile_store *store, struct hasher *hasher, uint64_t *size,
                     struct hash *root);

/* The first `width` hashes of tile (level, index) as the *disk* has them, past the caches; those of
 * the edge come from memory. For audits. */
enum status tile_store_read_stored(struct tile_store *store, unsigned level, uint64_t index,
                                   unsigned width, struct hash *out, struct error *err) MUST_USE;

#endif
