/* SPDX-License-Identifier: Apache-2.0
 *
 * Base64 as C2SP wants it: RFC 4648 section 4, padded, and only the one
 * canonical text of some bytes is accepted. No state; any thread.
 */
#ifndef ESTREAT_MERKLE_BASE64_H
#define ESTREAT_MERKLE_BASE64_H

#include "base/buf.h"
#include "merkle/hash.h"

/* The text's length for `bytes` bytes, without a NUL. */
static inline size_t base64_length(size_t bytes)
{
    return (bytes + 2) / 3 * 4;
}

/* Appends the text of `bytes`. Fails the buf if it does not fit. */
void base64_append(struct buf *out, struct slice bytes);

/* Decodes `text` into `out` (room for `capacity`). False, with `out` undefined, if the text
 * is not canonical base64 or does not fit. */
MUST_USE bool base64_decode(struct slice text, uint8_t *out, size_t capacity, size_t *length);

/* Writes HASH_BASE64_BYTES characters and a NUL. */
void hash_to_base64(const struct hash *hash, char out[HASH_BASE64_BYTES + 1]);

/* False, and `out` untouched, unless `text` is exactly one hash. */
MUST_USE bool hash_from_base64(struct slice text, struct hash *out);

#endif
