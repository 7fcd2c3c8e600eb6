/* SPDX-License-Identifier: Apache-2.0
 *
 * Signer: this node's key for tree heads, and the memory of what it signed.
 *
 * The rule: never a head that is smaller than, or conflicts with, one that this
 * key has signed, across restarts too. So what will be signed is made durable
 * first, in DIR/signed-head; a crash between leaves a record of a head that was
 * never given out, which does no harm.
 *
 * Files in DIR: signing-key (the C2SP private key text, keep it secret),
 * verifier-key (what to hand to auditors), signed-head (origin, size, root).
 * Thread-safe; signing a new size waits for the disk, the same one again does not.
 */
#ifndef ESTREAT_NODE_SIGNER_H
#define ESTREAT_NODE_SIGNER_H

#include "base/buf.h"
#include "base/fs.h"
#include "base/rng.h"
#include "merkle/tree_head.h"

struct signer;

/* Loads the key, or makes one if there is none. Returns owned. CORRUPT if a file is damaged;
 * FAILED_PRECONDITION if the key signs for another origin; DATA_LOSS if it is gone from a
 * directory that was in use (DIR/started). */
enum status signer_open(struct alloc *alloc, struct fs *fs, struct rng *rng, const char *dir,
                        const char *origin, struct signer **out, struct error *err) MUST_USE;
void signer_close(struct signer *signer);

/* Appends the signed checkpoint of (size, root). FAILED_PRECONDITION if a larger head was signed
 * already (the caller has not caught up), DATA_LOSS if one of this size had another root. */
enum status signer_sign(struct signer *signer, uint64_t size, const struct hash *root,
                        struct buf *out, struct error *err) MUST_USE;

/* The size and root that were signed last; size 0 if none was. */
void signer_last(struct signer *signer, uint64_t *size, struct hash *root);

/* The C2SP verifier key. Valid until close. */
const char *signer_verifier_key(const struct signer *signer);

#endif
