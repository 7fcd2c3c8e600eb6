/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#define LEAVES 70000U
#define SMALL 260U

static struct model model;
static struct hash *leaves;
static struct store *store; /* of LEAVES leaves */
static struct hash_source source;

static int set_up(void **state)
{
    (void)state;
    if (hasher_init(&model.hasher, NULL) != STATUS_OK) {
        return -1;
    }
    leaves = model_leaves(&model.hasher, LEAVES);
    model.leaves = leaves;
    store = store_new();
    for (uint64_t i = 0; i < LEAVES; i++) {
        store_append(store, &model.hasher, &leaves[i]);
    }
    source = store_source(store);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_free(store);
    free(leaves);
    hasher_release(&model.hasher);
    return 0;
}

static void check_inclusion(uint64_t position, uint64_t size, const struct hash *root)
{
    struct proof proof;
    struct proof wanted = {.count = 0};
    struct error err = ERROR_INIT;
    assert_ok(proof_inclusion(&source, &model.hasher, position, size, &proof, &err), &err);
    model_path(&model, position, 0, size, &wanted);
    model_assert_same_proof(&proof, &wanted);
    struct inclusion_claim claim = {.position = position,
                                    .size = size,
                                    .leaf = leaves[position],
                                    .root = *root,
                                    .path = proof.hashes,
                                    .path_count = proof.count};
    assert_ok(verify_inclusion(&model.hasher, &claim, &err), &err);
}

static void check_consistency(uint64_t old_size, uint64_t new_size, const struct hash *old_root,
                              const struct hash *new_root)
{
    struct proof proof;
    struct proof wanted = {.count = 0};
    struct error err = ERROR_INIT;
    assert_ok(proof_consistency(&source, &model.hasher, old_size, new_size, &proof, &err), &err);
    model_subproof(&model, old_size, 0, new_size, true, &wanted);
    model_assert_same_proof(&proof, &wanted);
    struct consistency_claim claim = {.old_size = old_size,
                                      .new_size = new_size,
                                      .old_root = *old_root,
                                      .new_root = *new_root,
                                      .path = proof.hashes,
                                      .path_count = proof.count};
    assert_ok(verify_consistency(&model.hasher, &claim, &err), &err);
}

/* All proofs of all small sizes, made from the tiles of a far larger tree, are the definition's
 * and verify. The sizes beyond 64 are sampled by position; each position occurs. */
static void small_trees_follow_the_definition(void **state)
{
    (void)state;
    struct hash roots[SMALL + 1];
    for (uint64_t size = 0; size <= SMALL; size++) {
        struct hash wanted = model_mth(&model, 0, size);
        assert_ok(proof_root(&source, &model.hasher, size, &roots[size], NULL), NULL);
        assert_true(hash_equal(&roots[size], &wanted));
    }
    for (uint64_t size = 1; size <= SMALL; size++) {
        for (uint64_t i = 0; i < size; i++) {
            if (size <= 64 || size >= 254 || (i + size) % 11 == 0) {
                check_inclusion(i, size, &roots[size]);
                check_consistency(i + 1, size, &roots[i + 1], &roots[size]);
            }
        }
    }
}

/* The same for random sizes and positions of a tree with three levels of tiles. */
static void large_trees_follow_the_definition(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    for (unsigned round = 0; round < 6; round++) {
        uint64_t size = 1 + rng_below(&seeded.rng, LEAVES);
        uint64_t old_size = 1 + rng_below(&seeded.rng, size);
        struct hash root;
        struct hash old_root;
        assert_ok(proof_root(&source, &model.hasher, size, &root, NULL), NULL);
        assert_ok(proof_root(&source, &model.hasher, old_size, &old_root, NULL), NULL);
        struct hash wanted = model_mth(&model, 0, size);
        assert_true(hash_equal(&root, &wanted));
        check_inclusion(rng_below(&seeded.rng, size), size, &root);
        check_consistency(old_size, size, &old_root, &root);
    }
}

/* Complete subtrees come out as defined, and those that the tree has not are out of range. */
static void subtrees_come_from_tiles(void **state)
{
    (void)state;
    for (unsigned level = 0; level <= 16; level++) {
        uint64_t count = LEAVES >> level;
        for (uint64_t index = 0; index < count; index += 1 + count / 7) {
            struct hash hash;
            struct node_id id = node_id_of(level, index);
            assert_ok(proof_subtree(&source, &model.hasher, id, &hash, NULL), NULL);
            struct hash wanted = model_mth(&model, index << level, (index + 1) << level);
            assert_true(hash_equal(&hash, &wanted));
        }
        struct hash hash;
        assert_status(proof_subtree(&source, &model.hasher, node_id_of(level, count), &hash, NULL),
                      STATUS_OUT_OF_RANGE, NULL);
    }
    struct hash hash;
    assert_status(proof_subtree(&source, &model.hasher, node_id_of(63, 2), &hash, NULL),
                  STATUS_OUT_OF_RANGE, NULL);
    assert_status(proof_subtree(&source, &model.hasher, node_id_of(64, 0), &hash, NULL),
                  STATUS_OUT_OF_RANGE, NULL);
}

/* What cannot be proved is out of range, also beyond the source's size. */
static void impossible_proofs_are_out_of_range(void **state)
{
    (void)state;
    struct proof proof;
    struct hash root;
    struct hasher *hasher = &model.hasher;
    assert_status(proof_inclusion(&source, hasher, 0, 0, &proof, NULL), STATUS_OUT_OF_RANGE, NULL);
    assert_status(proof_inclusion(&source, hasher, 5, 5, &proof, NULL), STATUS_OUT_OF_RANGE, NULL);
    assert_status(proof_consistency(&source, hasher, 6, 5, &proof, NULL), STATUS_OUT_OF_RANGE,
                  NULL);
    assert_status(proof_consistency(&source, hasher, 0, 5, &proof, NULL), STATUS_OUT_OF_RANGE,
                  NULL);
    assert_status(proof_inclusion(&source, hasher, 0, LEAVES + 1, &proof, NULL),
                  STATUS_OUT_OF_RANGE, NULL);
    assert_int_equal(proof.count, 0);
    assert_status(proof_root(&source, hasher, LEAVES + 1, &root, NULL), STATUS_OUT_OF_RANGE, NULL);
}

/* A log whose leaves are all equal: its tiles of each level are equal too, so that trees of any
 * size have a source. */
struct uniform {
    struct hash level[NODE_LEVELS];
    unsigned reads;
};

static enum status uniform_read(void *ctx, unsigned level, uint64_t index, unsigned width,
                                struct hash *out, struct error *err)
{
    struct uniform *uniform = ctx;
    (void)index;
    (void)err;
    assert_true(width >= 1 && width <= TILE_HASHES);
    for (unsigned i = 0; i < width; i++) {
        out[i] = uniform->level[(size_t)8 * level];
    }
    uniform->reads++;
    return STATUS_OK;
}

/* Proofs of trees of up to 2^64 - 1 leaves verify, and at 10^9 leaves read at most 8 tiles. */
static void largest_trees_have_proofs(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1000000000,
                                     999999999,
                                     UINT64_C(1) << 32,
                                     (UINT64_C(1) << 32) + 1,
                                     (UINT64_C(1) << 63) - 1,
                                     UINT64_C(1) << 63,
                                     (UINT64_C(1) << 63) + 1,
                                     UINT64_MAX - 1,
                                     UINT64_MAX};
    struct hasher *hasher = &model.hasher;
    struct uniform uniform = {.level = {leaves[0]}};
    const struct hash_source huge = {.read_tile = uniform_read, .ctx = &uniform};
    for (unsigned level = 1; level < NODE_LEVELS; level++) {
        uniform.level[level] =
            hash_node(hasher, &uniform.level[level - 1], &uniform.level[level - 1]);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t size = sizes[i];
        const uint64_t positions[] = {0, 1, size / 3, size / 2, size - 2, size - 1};
        struct hash root;
        assert_ok(proof_root(&huge, hasher, size, &root, NULL), NULL);
        for (size_t j = 0; j < sizeof positions / sizeof positions[0]; j++) {
            struct proof proof;
            struct hash old_root;
            struct error err = ERROR_INIT;
            uniform.reads = 0;
            assert_ok(proof_inclusion(&huge, hasher, positions[j], size, &proof, NULL), NULL);
            assert_true(uniform.reads <= (size <= 1000000000 ? 8 : 16));
            struct inclusion_claim inclusion = {.position = positions[j],
                                                .size = size,
                                                .leaf = leaves[0],
                                                .root = root,
                                                .path = proof.hashes,
                                                .path_count = proof.count};
            assert_ok(verify_inclusion(hasher, &inclusion, &err), &err);
            uint64_t old_size = positions[j] + 1;
            uniform.reads = 0;
            assert_ok(proof_consistency(&huge, hasher, old_size, size, &proof, NULL), NULL);
            assert_true(uniform.reads <= (size <= 1000000000 ? 8 : 16));
            assert_ok(proof_root(&huge, hasher, old_size, &old_root, NULL), NULL);
            struct consistency_claim consistency = {.old_size = old_size,
                                                    .new_size = size,
                                                    .old_root = old_root,
                                                    .new_root = root,
                                                    .path = proof.hashes,
                                                    .path_count = proof.count};
            assert_ok(verify_consistency(hasher, &consistency, &err), &err);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_trees_follow_the_definition),
        cmocka_unit_test(large_trees_follow_the_definition),
        cmocka_unit_test(subtrees_come_from_tiles),
        cmocka_unit_test(impossible_proofs_are_out_of_range),
        cmocka_unit_test(largest_trees_have_proofs),
    };
    return cmocka_run_group_tests_name("merkle.proof", tests, set_up, tear_down);
}
