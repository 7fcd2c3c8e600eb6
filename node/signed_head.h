/* SPDX-License-Identifier: Apache-2.0
 *
 * Signed_head: this node's present tree head, signed.
 */
#ifndef ESTREAT_NODE_SIGNED_HEAD_H
#define ESTREAT_NODE_SIGNED_HEAD_H

#include "node/signer.h"
#include "node/tile_store.h"

/* Signs the published tree and replaces the content of `checkpoint`. UNAVAILABLE while the node has
 * not caught up with what it signed before. Waits for the disk. Any thread, with a hasher of its
 * own. */
enum status signed_head_make(struct tile_store *tiles, struct signer *signer, struct hasher *hasher,
                             uint64_t *size, struct hash *root, struct buf *checkpoint,
                             struct error *err) MUST_USE;

#endif
