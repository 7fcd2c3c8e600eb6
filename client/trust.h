/* SPDX-License-Identifier: Apache-2.0
 *
 * Trust: the verifier keys that a user believes.
 */
#ifndef ESTREAT_CLIENT_TRUST_H
#define ESTREAT_CLIENT_TRUST_H

#include "base/alloc.h"
#include "client/estreat.h"
#include "merkle/note.h"

/* A log has some nodes and a few witnesses. */
#define TRUST_KEYS_MAX 64U

struct estreat_trust {
    struct alloc *alloc;
    size_t count;
    struct note_verifier verifiers[TRUST_KEYS_MAX];
};

/* What merkle's functions take; empty for NULL. Borrows. */
static inline struct note_trust trust_keys(const struct estreat_trust *trust)
{
    if (trust == NULL) {
        return (struct note_trust){.verifiers = NULL, .count = 0};
    }
    return (struct note_trust){.verifiers = trust->verifiers, .count = trust->count};
}

#endif
