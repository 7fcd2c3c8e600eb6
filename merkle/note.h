/* SPDX-License-Identifier: Apache-2.0
 *
 * Note: C2SP signed notes with Ed25519 (c2sp.org/signed-note).
 *
 *     text, one or more lines
 *     <empty line>
 *     — key-name base64(32-bit key id || signature)
 *
 * A key is named by (name, id). Several keys may share a name: the nodes of a
 * log sign with keys of their own, all under the log's origin as their name.
 * Signatures of unknown keys are ignored; one of a known key that does not fit
 * spoils the note. Notes come from strangers: every length is bounded and
 * nothing is believed before its signature holds.
 *
 * libsodium signs; sodium_init is called where it is needed. No other state;
 * any thread.
 */
#ifndef ESTREAT_MERKLE_NOTE_H
#define ESTREAT_MERKLE_NOTE_H

#include "base/buf.h"
#include "merkle/hash.h"

#define NOTE_BYTES_MAX (128UL * 1024UL) /* text and 16 post-quantum signatures of others */
#define NOTE_SIGNATURES_MAX 100U
#define NOTE_KEY_NAME_BYTES_MAX 255UL
#define NOTE_SEED_BYTES 32UL
#define NOTE_PUBLIC_KEY_BYTES 32UL
/* name + "+01234567+" + base64(33 bytes) + NUL */
#define NOTE_VERIFIER_TEXT_BYTES_MAX (NOTE_KEY_NAME_BYTES_MAX + 10 + 44 + 1)
/* "PRIVATE+KEY+" before the same */
#define NOTE_SIGNER_TEXT_BYTES_MAX (NOTE_VERIFIER_TEXT_BYTES_MAX + 12)

/* A public key under a name. A plain value. */
struct note_verifier {
    char name[NOTE_KEY_NAME_BYTES_MAX + 1];
    uint32_t id;
    uint8_t public_key[NOTE_PUBLIC_KEY_BYTES];
};

/* A secret key under a name. Release it, so that the secret does not stay in memory. */
struct note_signer {
    struct note_verifier verifier; /* what others check its signatures with */
    uint8_t secret[64];
};

/* The keys that the reader trusts; borrowed. */
struct note_trust {
    const struct note_verifier *verifiers;
    size_t count;
};

/* A note whose signatures hold. */
struct note {
    struct slice text; /* with its last newline; points into the note */
    unsigned signed_count;
    uint16_t signed_by[NOTE_SIGNATURES_MAX]; /* indices into the trusted keys, no repeats */
};

/* True if `name` may name a key: not empty, UTF-8, at most NOTE_KEY_NAME_BYTES_MAX bytes, no
 * Unicode space, control character or plus. */
bool note_key_name_valid(struct slice name);

/* The verifier for a public key. INVALID_ARGUMENT for a bad name. */
MUST_USE enum status note_verifier_init(struct note_verifier *verifier, struct slice name,
                                        const uint8_t public_key[NOTE_PUBLIC_KEY_BYTES],
                                        struct error *err);

/* "name+hash+base64(0x01 || key)" on one line, without a newline. INVALID_ARGUMENT if it is
 * anything else, or the hash does not fit. */
MUST_USE enum status note_verifier_parse(struct slice text, struct note_verifier *out,
                                         struct error *err);

/* Writes that line and a NUL; returns its length. */
size_t note_verifier_format(const struct note_verifier *verifier,
                            char out[NOTE_VERIFIER_TEXT_BYTES_MAX]);

/* The signer that follows from 32 secret random bytes. INVALID_ARGUMENT for a bad name. */
MUST_USE enum status note_signer_init(struct note_signer *signer, struct slice name,
                                      const uint8_t seed[NOTE_SEED_BYTES], struct error *err);

/* "PRIVATE+KEY+name+hash+base64(0x01 || seed)", the form that Go's sumdb/note writes too. */
MUST_USE enum status note_signer_parse(struct slice text, struct note_signer *out,
                                       struct error *err);

/* Writes that line and a NUL; returns its length. The text is as secret as the key. */
size_t note_signer_format(const struct note_signer *signer, char out[NOTE_SIGNER_TEXT_BYTES_MAX]);

/* Wipes the secret. */
void note_signer_release(struct note_signer *signer);

/* Appends the note of `text` signed by each of `signers` (at least one) to `out`.
 * INVALID_ARGUMENT if the text is not UTF-8 lines ending in a newline, RESOURCE_EXHAUSTED if it
 * does not fit. */
MUST_USE enum status note_sign(struct slice text, const struct note_signer *signers, size_t count,
                               struct buf *out, struct error *err);

/* Checks a note. INVALID_ARGUMENT if it is malformed, UNAUTHENTICATED if a trusted key's
 * signature does not fit or there is none of a trusted key. */
MUST_USE enum status note_open(struct slice bytes, struct note_trust trust, struct note *out,
                               struct error *err);

#endif
