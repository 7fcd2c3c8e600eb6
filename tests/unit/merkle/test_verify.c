/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#define LEAVES 33U

static struct model model;
static struct hash *leaves;

static int set_up(void **state)
{
    (void)state;
    if (hasher_init(&model.hasher, NULL) != STATUS_OK) {
        return -1;
    }
    leaves = model_leaves(&model.hasher, LEAVES);
    model.leaves = leaves;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(leaves);
    hasher_release(&model.hasher);
    return 0;
}

/* Refused, and with a reason in one line. */
static void refused_inclusion(const struct inclusion_claim *claim)
{
    struct error err = ERROR_INIT;
    assert_status(verify_inclusion(&model.hasher, claim, &err), STATUS_DATA_LOSS, &err);
    assert_true(err.text[0] != '\0' && strchr(err.text, '\n') == NULL);
}

static void refused_consistency(const struct consistency_claim *claim)
{
    struct error err = ERROR_INIT;
    assert_status(verify_consistency(&model.hasher, claim, &err), STATUS_DATA_LOSS, &err);
    assert_true(err.text[0] != '\0' && strchr(err.text, '\n') == NULL);
}

static struct inclusion_claim inclusion_of(uint64_t position, uint64_t size, struct proof *path)
{
    path->count = 0;
    model_path(&model, position, 0, size, path);
    return (struct inclusion_claim){.position = position,
                                    .size = size,
                                    .leaf = leaves[position],
                                    .root = model_mth(&model, 0, size),
                                    .path = path->hashes,
                                    .path_count = path->count};
}

static struct consistency_claim consistency_of(uint64_t old_size, uint64_t new_size,
                                               struct proof *path)
{
    path->count = 0;
    model_subproof(&model, old_size, 0, new_size, true, path);
    return (struct consistency_claim){.old_size = old_size,
                                      .new_size = new_size,
                                      .old_root = model_mth(&model, 0, old_size),
                                      .new_root = model_mth(&model, 0, new_size),
                                      .path = path->hashes,
                                      .path_count = path->count};
}

/* Each flipped bit of leaf, root and path is refused. */
static void flipped_bits_of_inclusion_are_refused(void **state)
{
    (void)state;
    for (uint64_t size = 1; size <= 9; size++) {
        for (uint64_t position = 0; position < size; position++) {
            struct proof path;
            struct inclusion_claim claim = inclusion_of(position, size, &path);
            assert_ok(verify_inclusion(&model.hasher, &claim, NULL), NULL);
            for (unsigned bit = 0; bit < 256; bit++) {
                uint8_t mask = (uint8_t)(1 << bit % 8);
                claim.leaf.bytes[bit / 8] ^= mask;
                refused_inclusion(&claim);
                claim.leaf.bytes[bit / 8] ^= mask;
                claim.root.bytes[bit / 8] ^= mask;
                refused_inclusion(&claim);
                claim.root.bytes[bit / 8] ^= mask;
                for (unsigned i = 0; i < path.count; i++) {
                    path.hashes[i].bytes[bit / 8] ^= mask;
                    refused_inclusion(&claim);
                    path.hashes[i].bytes[bit / 8] ^= mask;
                }
            }
        }
    }
}

/* Another position, the empty tree, and a path with a hash more or less at either end are refused.
 */
static void other_claims_of_inclusion_are_refused(void **state)
{
    (void)state;
    for (uint64_t size = 1; size <= LEAVES; size++) {
        for (uint64_t position = 0; position < size; position++) {
            struct proof path;
            struct inclusion_claim claim = inclusion_of(position, size, &path);
            struct inclusion_claim other = claim;
            for (other.position = 0; other.position < size + 2; other.position++) {
                if (other.position != position) {
                    refused_inclusion(&other);
                }
            }
            other.position = UINT64_MAX;
            refused_inclusion(&other);
            other = claim;
            other.size = 0;
            refused_inclusion(&other);
            other = claim;
            path.hashes[path.count] = claim.root;
            other.path_count = path.count + 1;
            refused_inclusion(&other);
            if (path.count > 0) {
                other.path_count = path.count - 1;
                refused_inclusion(&other);
                other.path++;
                refused_inclusion(&other);
            }
            other = claim;
            other.path_count = 0;
            for (other.size = UINT64_MAX - 2; other.size != 0; other.size++) {
                refused_inclusion(&other);
            }
        }
    }
}

/* Each flipped bit of the roots and the path is refused. */
static void flipped_bits_of_consistency_are_refused(void **state)
{
    (void)state;
    for (uint64_t new_size = 1; new_size <= 9; new_size++) {
        for (uint64_t old_size = 1; old_size <= new_size; old_size++) {
            struct proof path;
            struct consistency_claim claim = consistency_of(old_size, new_size, &path);
            assert_ok(verify_consistency(&model.hasher, &claim, NULL), NULL);
            for (unsigned bit = 0; bit < 256; bit++) {
                uint8_t mask = (uint8_t)(1 << bit % 8);
                claim.old_root.bytes[bit / 8] ^= mask;
                refused_consistency(&claim);
                claim.old_root.bytes[bit / 8] ^= mask;
                claim.new_root.bytes[bit / 8] ^= mask;
                refused_consistency(&claim);
                claim.new_root.bytes[bit / 8] ^= mask;
                for (unsigned i = 0; i < path.count; i++) {
                    path.hashes[i].bytes[bit / 8] ^= mask;
                    refused_consistency(&claim);
                    path.hashes[i].bytes[bit / 8] ^= mask;
                }
            }
        }
    }
}

/* Other sizes, swapped roots, a missing or additional hash at either end, are refused. */
static void other_claims_of_consistency_are_refused(void **state)
{
    (void)state;
    for (uint64_t new_size = 1; new_size <= LEAVES; new_size++) {
        for (uint64_t old_size = 1; old_size <= new_size; old_size++) {
            struct proof path;
            struct consistency_claim claim = consistency_of(old_size, new_size, &path);
            struct consistency_claim other = claim;
            other.old_size = 0;
            refused_consistency(&other);
            other = claim;
            other.new_size = old_size - 1;
            refused_consistency(&other);
            other = claim;
            path.hashes[path.count] = claim.new_root;
            other.path_count = path.count + 1;
            struct error err = ERROR_INIT;
            assert_status(verify_consistency(&model.hasher, &other, &err), STATUS_DATA_LOSS, &err);
            assert_non_null(strstr(err.text, "too long"));
            if (old_size == new_size) {
                continue;
            }
            other.path_count = 0;
            refused_consistency(&other);
            other.path_count = path.count - 1;
            refused_consistency(&other);
            other.path++;
            refused_consistency(&other);
            other = claim;
            other.old_root = claim.new_root;
            other.new_root = claim.old_root;
            refused_consistency(&other);
            other = claim;
            other.old_size = new_size;
            refused_consistency(&other);
        }
    }
}

/* No tree continues, or is, the empty one by proof; sizes at the top of the range do not wrap. */
static void edge_sizes_are_exact(void **state)
{
    (void)state;
    struct hash empty = hash_empty(&model.hasher);
    struct consistency_claim claim = {.old_root = empty, .new_root = empty};
    refused_consistency(&claim);
    claim.new_size = 1;
    refused_consistency(&claim);
    claim.path = &empty;
    claim.path_count = 1;
    refused_consistency(&claim);
    claim = (struct consistency_claim){.old_size = UINT64_MAX, .new_size = UINT64_MAX};
    assert_ok(verify_consistency(&model.hasher, &claim, NULL), NULL);
    claim.path = &empty;
    claim.path_count = 1;
    claim.old_size = UINT64_MAX - 1;
    refused_consistency(&claim);
    static struct hash path[200];
    claim.path = path;
    for (claim.path_count = 0; claim.path_count < 200; claim.path_count++) {
        refused_consistency(&claim);
    }
    struct inclusion_claim inclusion = {.position = UINT64_MAX, .size = UINT64_MAX, .path = path};
    refused_inclusion(&inclusion);
    inclusion.position = UINT64_MAX - 1;
    for (inclusion.path_count = 0; inclusion.path_count < 200; inclusion.path_count++) {
        refused_inclusion(&inclusion);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flipped_bits_of_inclusion_are_refused),
        cmocka_unit_test(other_claims_of_inclusion_are_refused),
        cmocka_unit_test(flipped_bits_of_consistency_are_refused),
        cmocka_unit_test(other_claims_of_consistency_are_refused),
        cmocka_unit_test(edge_sizes_are_exact),
    };
    return cmocka_run_group_tests_name("merkle.verify", tests, set_up, tear_down);
}
