/* SPDX-License-Identifier: Apache-2.0
 *
 * Model: the tree as RFC 9162 defines it, word for word, by recursion over all
 * leaves: too slow to use, too simple to be wrong. And a store of tiles in
 * memory, filled by a log tree, as the source that the real proofs read.
 */
#ifndef ESTREAT_TESTS_MERKLE_MODEL_H
#define ESTREAT_TESTS_MERKLE_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/rng.h"
#include "merkle/log_tree.h"
#include "merkle/proof.h"
#include "merkle/verify.h"
#include "testlib/test.h"

#define UNUSED_HERE __attribute__((unused))

struct model {
    struct hasher hasher;
    const struct hash *leaves;
};

/* RFC 9162, section 2.1.1: the largest power of two smaller than n. */
UNUSED_HERE static uint64_t model_split(uint64_t n)
{
    uint64_t k = 1;
    while (k < n - k) {
        k *= 2;
    }
    return k;
}

/* MTH(D[begin:end]). */
UNUSED_HERE static struct hash model_mth(struct model *model, uint64_t begin, uint64_t end)
{
    if (begin == end) {
        return hash_bytes(&model->hasher, slice_of("", 0));
    }
    if (end - begin == 1) {
        return model->leaves[begin];
    }
    uint64_t k = model_split(end - begin);
    struct hash left = model_mth(model, begin, begin + k);
    struct hash right = model_mth(model, begin + k, end);
    return hash_node(&model->hasher, &left, &right);
}

/* PATH(m, D[begin:end]), section 2.1.3.1; m counts from `begin`. */
UNUSED_HERE static void model_path(struct model *model, uint64_t m, uint64_t begin, uint64_t end,
                                   struct proof *out)
{
    if (end - begin == 1) {
        return;
    }
    uint64_t k = model_split(end - begin);
    if (m < k) {
        model_path(model, m, begin, begin + k, out);
        out->hashes[out->count++] = model_mth(model, begin + k, end);
    } else {
        model_path(model, m - k, begin + k, end, out);
        out->hashes[out->count++] = model_mth(model, begin, begin + k);
    }
}

/* SUBPROOF(m, D[begin:end], b), section 2.1.4.1. */
UNUSED_HERE static void model_subproof(struct model *model, uint64_t m, uint64_t begin,
                                       uint64_t end, bool b, struct proof *out)
{
    if (m == end - begin) {
        if (!b) {
            out->hashes[out->count++] = model_mth(model, begin, end);
        }
        return;
    }
    uint64_t k = model_split(end - begin);
    if (m <= k) {
        model_subproof(model, m, begin, begin + k, b, out);
        out->hashes[out->count++] = model_mth(model, begin + k, end);
    } else {
        model_subproof(model, m - k, begin + k, end, false, out);
        out->hashes[out->count++] = model_mth(model, begin, begin + k);
    }
}

UNUSED_HERE static void model_assert_same_proof(const struct proof *a, const struct proof *b)
{
    assert_int_equal(a->count, b->count);
    for (unsigned i = 0; i < a->count; i++) {
        assert_memory_equal(a->hashes[i].bytes, b->hashes[i].bytes, HASH_BYTES);
    }
}

/* `count` leaves that differ; the caller frees them. */
UNUSED_HERE static struct hash *model_leaves(struct hasher *hasher, uint64_t count)
{
    struct hash *leaves = malloc(count * sizeof *leaves);
    CHECK(leaves != NULL);
    for (uint64_t i = 0; i < count; i++) {
        leaves[i] = hash_leaf(hasher, slice_of(&i, sizeof i));
    }
    return leaves;
}

#define STORE_TILES_MAX 512U

/* Full tiles as a sink received them, and the tree whose edge has the partial ones. */
struct store {
    struct log_tree tree;
    struct hash *full[TILE_LEVELS][STORE_TILES_MAX];
    unsigned reads;
};

UNUSED_HERE static enum status store_put(void *ctx, unsigned level, uint64_t index,
                                         const struct hash *hashes, struct error *err)
{
    struct store *store = ctx;
    (void)err;
    assert_true(level < TILE_LEVELS && index < STORE_TILES_MAX);
    assert_null(store->full[level][index]); /* each tile comes once */
    store->full[level][index] = malloc(TILE_BYTES_MAX);
    CHECK(store->full[level][index] != NULL);
    memcpy(store->full[level][index], hashes, TILE_BYTES_MAX);
    return STATUS_OK;
}

UNUSED_HERE static enum status store_read(void *ctx, unsigned level, uint64_t index, unsigned width,
                                          struct hash *out, struct error *err)
{
    struct store *store = ctx;
    store->reads++;
    if (index < STORE_TILES_MAX && store->full[level][index] != NULL) {
        memcpy(out, store->full[level][index], width * HASH_BYTES);
        return STATUS_OK;
    }
    if (log_tree_read_edge(&store->tree, level, index, width, out)) {
        return STATUS_OK;
    }
    return error_set(err, STATUS_OUT_OF_RANGE, "no such tile");
}

UNUSED_HERE static struct store *store_new(void)
{
    struct store *store = calloc(1, sizeof *store);
    CHECK(store != NULL);
    log_tree_init(&store->tree);
    return store;
}

UNUSED_HERE static void store_append(struct store *store, struct hasher *hasher,
                                     const struct hash *leaf)
{
    const struct tile_sink sink = {.put = store_put, .ctx = store};
    assert_ok(log_tree_append(&store->tree, hasher, leaf, &sink, NULL), NULL);
}

UNUSED_HERE static struct hash_source store_source(struct store *store)
{
    return (struct hash_source){.read_tile = store_read, .ctx = store};
}

UNUSED_HERE static void store_free(struct store *store)
{
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        for (unsigned i = 0; i < STORE_TILES_MAX; i++) {
            free(store->full[level][i]);
        }
    }
    free(store);
}

/* Lower-case hex of a hash. */
UNUSED_HERE static const char *hex_of(const struct hash *hash, char out[2 * HASH_BYTES + 1])
{
    for (size_t i = 0; i < HASH_BYTES; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", hash->bytes[i]);
    }
    return out;
}

#define assert_hash(value, hex)                                                                    \
    do {                                                                                           \
        char text_[2 * HASH_BYTES + 1];                                                            \
        struct hash hash_ = (value);                                                               \
        assert_string_equal(hex_of(&hash_, text_), hex);                                           \
    } while (0)

/* The leaves of the Certificate Transparency reference tests. */
#define CT_LEAVES 8
UNUSED_HERE static struct slice ct_leaf(unsigned index)
{
    static const struct {
        size_t length;
        const char *bytes;
    } leaves[CT_LEAVES] = {
        {0, ""},
        {1, "\x00"},
        {1, "\x10"},
        {2, "\x20\x21"},
        {2, "\x30\x31"},
        {4, "\x40\x41\x42\x43"},
        {8, "\x50\x51\x52\x53\x54\x55\x56\x57"},
        {16, "\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f"}};
    return slice_of(leaves[index].bytes, leaves[index].length);
}

#endif
