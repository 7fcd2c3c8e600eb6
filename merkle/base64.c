/* SPDX-License-Identifier: Apache-2.0 */
#include "merkle/base64.h"

#include <sodium.h>

#include "base/check.h"

_Static_assert(HASH_BASE64_BYTES == (HASH_BYTES + 2) / 3 * 4, "a hash has one text length");

void base64_append(struct buf *out, struct slice bytes)
{
    /* libsodium ends its text with a NUL, which is written but not counted. */
    size_t length = base64_length(bytes.length);
    uint8_t *place = buf_reserve(out, length + 1);
    if (place == NULL) {
        return;
    }
    CHECK(sodium_base64_ENCODED_LEN(bytes.length, sodium_base64_VARIANT_ORIGINAL) == length + 1);
    (void)sodium_bin2base64((char *)place, length + 1, bytes.data, bytes.length,
                            sodium_base64_VARIANT_ORIGINAL);
    out->length += length;
}

/* libsodium 1.0.18 takes some bytes above 0x7f for characters of the alphabet, which would give
 * one hash several texts; so we look first. */
static bool has_only_base64(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        uint8_t c = text.data[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!letter && !(c >= '0' && c <= '9') && c != '+' && c != '/' && c != '=') {
            return false;
        }
    }
    return true;
}

bool base64_decode(struct slice text, uint8_t *out, size_t capacity, size_t *length)
{
    *length = 0;
    if (text.length == 0) {
        return true;
    }
    if (!has_only_base64(text)) {
        return false;
    }
    /* Without an end pointer libsodium wants all of the text to be base64; it refuses bits
     * behind the last byte and wrong padding. */
    return sodium_base642bin(out, capacity, (const char *)text.data, text.length, NULL, length,
                             NULL, sodium_base64_VARIANT_ORIGINAL) == 0;
}

void hash_to_base64(const struct hash *hash, char out[HASH_BASE64_BYTES + 1])
{
    (void)sodium_bin2base64(out, HASH_BASE64_BYTES + 1, hash->bytes, HASH_BYTES,
                            sodium_base64_VARIANT_ORIGINAL);
}

bool hash_from_base64(struct slice text, struct hash *out)
{
    struct hash hash;
    size_t length = 0;
    if (text.length != HASH_BASE64_BYTES ||
        !base64_decode(text, hash.bytes, sizeof hash.bytes, &length) || length != HASH_BYTES) {
        return false;
    }
    *out = hash;
    return true;
}
