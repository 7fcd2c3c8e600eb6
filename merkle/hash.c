/* SPDX-License-Identifier: Apache-2.0 */
#include "merkle/hash.h"

#include <openssl/evp.h>

#include "base/check.h"
#include "base/limits.h"

enum { PREFIX_LEAF = 0x00, PREFIX_NODE = 0x01, PREFIX_PAYLOAD = 0x02 };

/* What is hashed with one call: calls cost more than copying some bytes together. */
enum { JOINED_BYTES_MAX = 1024 };

enum status hasher_init(struct hasher *hasher, struct error *err)
{
    EVP_MD *algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (algorithm == NULL) {
        return error_set(err, STATUS_UNIMPLEMENTED, "libcrypto has no SHA-256");
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    /* The first start allocates the algorithm's state; later ones reuse it and cannot fail. */
    if (context == NULL || EVP_DigestInit_ex2(context, algorithm, NULL) != 1) {
        EVP_MD_CTX_free(context);
        EVP_MD_free(algorithm);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for SHA-256");
    }
    hasher->algorithm = algorithm;
    hasher->context = context;
    return STATUS_OK;
}

void hasher_release(struct hasher *hasher)
{
    EVP_MD_CTX_free(hasher->context);
    EVP_MD_free(hasher->algorithm);
    hasher->context = NULL;
    hasher->algorithm = NULL;
}

static void start(struct hasher *hasher)
{
    CHECK(hasher->context != NULL);
    /* Without an algorithm the context keeps the one that it has. */
    CHECK(EVP_DigestInit_ex2(hasher->context, NULL, NULL) == 1);
}

static void add(struct hasher *hasher, const void *data, size_t length)
{
    CHECK(EVP_DigestUpdate(hasher->context, data, length) == 1);
}

static struct hash finish(struct hasher *hasher)
{
    struct hash hash;
    unsigned length = 0;
    CHECK(EVP_DigestFinal_ex(hasher->context, hash.bytes, &length) == 1);
    CHECK(length == HASH_BYTES);
    return hash;
}

struct hash hash_bytes(struct hasher *hasher, struct slice data)
{
    start(hasher);
    if (data.length > 0) {
        add(hasher, data.data, data.length);
    }
    return finish(hasher);
}

struct hash hash_empty(struct hasher *hasher)
{
    return hash_bytes(hasher, slice_of(NULL, 0));
}

void hash_begin(struct hasher *hasher)
{
    start(hasher);
}

void hash_more(struct hasher *hasher, struct slice piece)
{
    if (piece.length > 0) {
        add(hasher, piece.data, piece.length);
    }
}

struct hash hash_end(struct hasher *hasher)
{
    return finish(hasher);
}

/* SHA-256(head || tail), `head_length` being small. */
static struct hash hash_joined(struct hasher *hasher, const uint8_t *head, size_t head_length,
                               struct slice tail)
{
    start(hasher);
    if (head_length + tail.length <= JOINED_BYTES_MAX) {
        uint8_t joined[JOINED_BYTES_MAX];
        memcpy(joined, head, head_length);
        if (tail.length > 0) {
            memcpy(joined + head_length, tail.data, tail.length);
        }
        add(hasher, joined, head_length + tail.length);
    } else {
        add(hasher, head, head_length);
        add(hasher, tail.data, tail.length);
    }
    return finish(hasher);
}

struct hash hash_leaf(struct hasher *hasher, struct slice data)
{
    const uint8_t prefix = PREFIX_LEAF;
    return hash_joined(hasher, &prefix, 1, data);
}

struct hash hash_node(struct hasher *hasher, const struct hash *left, const struct hash *right)
{
    uint8_t bytes[1 + 2 * HASH_BYTES];
    bytes[0] = PREFIX_NODE;
    memcpy(bytes + 1, left->bytes, HASH_BYTES);
    memcpy(bytes + 1 + HASH_BYTES, right->bytes, HASH_BYTES);
    start(hasher);
    add(hasher, bytes, sizeof bytes);
    return finish(hasher);
}

struct hash hash_payload(struct hasher *hasher, struct slice salt, struct slice payload)
{
    CHECK(salt.length == 0 || salt.length == SALT_BYTES);
    uint8_t head[1 + SALT_BYTES];
    head[0] = PREFIX_PAYLOAD;
    if (salt.length > 0) {
        memcpy(head + 1, salt.data, salt.length);
    }
    return hash_joined(hasher, head, 1 + salt.length, payload);
}
