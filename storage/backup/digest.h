/* SPDX-License-Identifier: Apache-2.0
 *
 * Digest: BLAKE2b of 32 bytes over a file's content, so that a copy is known to be the one
 * that was made, and `b2sum -l 256` tells the same. Pure; one thread a digester.
 */
#ifndef ESTREAT_STORAGE_BACKUP_DIGEST_H
#define ESTREAT_STORAGE_BACKUP_DIGEST_H

#include "base/slice.h"

#define DIGEST_BYTES 32

struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

#define DIGESTER_BYTES 448 /* the library's state, wherever in it that is aligned */

struct digester {
    uint8_t room[DIGESTER_BYTES];
};

void digester_init(struct digester *digester);
void digester_update(struct digester *digester, struct slice bytes);
struct digest digester_final(struct digester *digester);

static inline bool digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_BYTES) == 0;
}

#endif
