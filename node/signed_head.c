/* SPDX-License-Identifier: Apache-2.0 */
#include "node/signed_head.h"

/* Others may sign a newer head between reading this node's head and signing it. */
#define SIGN_TRIES 16

enum status signed_head_make(struct tile_store *tiles, struct signer *signer, struct hasher *hasher,
                             uint64_t *size, struct hash *root, struct buf *checkpoint,
                             struct error *err)
{
    enum status status = STATUS_INTERNAL;
    for (int i = 0; i < SIGN_TRIES; i++) {
        tile_store_head(tiles, hasher, size, root);
        buf_clear(checkpoint);
        status = signer_sign(signer, *size, root, checkpoint, err);
        if (status != STATUS_FAILED_PRECONDITION) {
            return status;
        }
    }
    return error_set(err, STATUS_UNAVAILABLE,
                     "the node has not caught up with the tree head that it signed last");
}
