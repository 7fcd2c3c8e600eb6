/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#define LEAVES 70000U

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

/* The root is the definition's at each small size and at the sizes around full tiles. */
static void roots_follow_the_definition(void **state)
{
    (void)state;
    struct store *store = store_new();
    for (uint64_t size = 0; size < LEAVES; size++) {
        if (size <= 600 || size % 8192 < 2 || size % 9973 == 0) {
            struct hash root = log_tree_root(&store->tree, &model.hasher);
            struct hash wanted = model_mth(&model, 0, size);
            assert_true(hash_equal(&root, &wanted));
        }
        assert_int_equal(log_tree_size(&store->tree), size);
        store_append(store, &model.hasher, &leaves[size]);
    }
    store_free(store);
}

/* The sink gets each full tile of the specification's tree of 70,000, with the right hashes, and
 * the edge has the partial ones. */
static void tiles_are_complete_and_right(void **state)
{
    (void)state;
    struct store *store = store_new();
    struct hash hashes[TILE_HASHES];
    for (uint64_t i = 0; i < LEAVES; i++) {
        store_append(store, &model.hasher, &leaves[i]);
    }
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        for (uint64_t index = 0; index < tile_count(level, LEAVES) + 1; index++) {
            unsigned width = tile_width(level, index, LEAVES);
            bool edge = width > 0 && width < TILE_HASHES;
            assert_int_equal(store->full[level][index] != NULL, width == TILE_HASHES);
            assert_int_equal(
                log_tree_read_edge(&store->tree, level, index, width > 0 ? width : 1, hashes),
                edge);
            if (width == 0) {
                continue;
            }
            assert_false(log_tree_read_edge(&store->tree, level, index, TILE_HASHES, hashes));
            const struct hash *tile = edge ? hashes : store->full[level][index];
            for (unsigned i = 0; i < width; i += level == 0 ? 37 : 1) {
                uint64_t leaves_each = UINT64_C(1) << (8 * level);
                uint64_t begin = (index * 256 + i) * leaves_each;
                struct hash wanted = model_mth(&model, begin, begin + leaves_each);
                assert_true(hash_equal(&tile[i], &wanted));
            }
        }
    }
    store_free(store);
}

/* A tree that was saved and loaded goes on as if nothing had been; so does a copy. */
static void states_survive_a_round_trip(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0,   1,   2,     3,     255,   256,   257,  511,
                                     512, 513, 65535, 65536, 65537, 65793, 69000};
    struct store *store = store_new();
    static struct log_tree loaded;
    static struct log_tree copy;
    struct buf bytes;
    struct buf again;
    buf_init(&bytes, alloc_default(), LOG_TREE_STATE_BYTES_MAX);
    buf_init(&again, alloc_default(), LOG_TREE_STATE_BYTES_MAX);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        while (log_tree_size(&store->tree) < sizes[i]) {
            store_append(store, &model.hasher, &leaves[log_tree_size(&store->tree)]);
        }
        buf_clear(&bytes);
        log_tree_encode(&store->tree, &model.hasher, &bytes);
        assert_false(buf_failed(&bytes));
        memset(&loaded, 0xaa, sizeof loaded);
        memset(&copy, 0xaa, sizeof copy);
        struct error err = ERROR_INIT;
        assert_ok(log_tree_decode(&loaded, &model.hasher, buf_slice(&bytes), &err), &err);
        log_tree_copy(&copy, &store->tree);
        for (uint64_t next = sizes[i]; next < sizes[i] + 300; next++) {
            assert_ok(log_tree_append(&loaded, &model.hasher, &leaves[next], NULL, NULL), NULL);
            assert_ok(log_tree_append(&copy, &model.hasher, &leaves[next], NULL, NULL), NULL);
        }
        struct hash wanted = model_mth(&model, 0, sizes[i] + 300);
        struct hash root = log_tree_root(&loaded, &model.hasher);
        assert_true(hash_equal(&root, &wanted));
        root = log_tree_root(&copy, &model.hasher);
        assert_true(hash_equal(&root, &wanted));
        buf_clear(&bytes);
        buf_clear(&again);
        log_tree_encode(&loaded, &model.hasher, &bytes);
        log_tree_encode(&copy, &model.hasher, &again);
        assert_true(slice_equal(buf_slice(&bytes), buf_slice(&again)));
    }
    buf_release(&bytes);
    buf_release(&again);
    store_free(store);
}

/* Cut, longer and changed states are refused, whichever bit it is. */
static void damaged_states_are_refused(void **state)
{
    (void)state;
    static struct log_tree tree;
    struct buf bytes;
    buf_init(&bytes, alloc_default(), LOG_TREE_STATE_BYTES_MAX + 1);
    log_tree_init(&tree);
    for (uint64_t i = 0; i < 256 + 3; i++) {
        assert_ok(log_tree_append(&tree, &model.hasher, &leaves[i], NULL, NULL), NULL);
    }
    log_tree_encode(&tree, &model.hasher, &bytes);
    for (size_t cut = 0; cut < bytes.length; cut++) {
        assert_status(log_tree_decode(&tree, &model.hasher, slice_of(bytes.data, cut), NULL),
                      STATUS_CORRUPT, NULL);
    }
    for (size_t bit = 0; bit < 8 * bytes.length; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum status status = log_tree_decode(&tree, &model.hasher, buf_slice(&bytes), NULL);
        assert_status(status, STATUS_CORRUPT, NULL);
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_ok(log_tree_decode(&tree, &model.hasher, buf_slice(&bytes), NULL), NULL);
    buf_put_u8(&bytes, 0);
    assert_status(log_tree_decode(&tree, &model.hasher, buf_slice(&bytes), NULL), STATUS_CORRUPT,
                  NULL);
    buf_release(&bytes);
}

static enum status failing_put(void *ctx, unsigned level, uint64_t index, const struct hash *hashes,
                               struct error *err)
{
    (void)ctx;
    (void)level;
    (void)index;
    (void)hashes;
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "sink is full");
}

/* What the sink says comes back from the append that completed the tile. */
static void sink_errors_come_back(void **state)
{
    (void)state;
    static struct log_tree tree;
    const struct tile_sink sink = {.put = failing_put};
    struct error err = ERROR_INIT;
    log_tree_init(&tree);
    for (unsigned i = 0; i < 255; i++) {
        assert_ok(log_tree_append(&tree, &model.hasher, &leaves[i], &sink, &err), &err);
    }
    assert_status(log_tree_append(&tree, &model.hasher, &leaves[255], &sink, &err),
                  STATUS_RESOURCE_EXHAUSTED, &err);
    assert_string_equal(err.text, "sink is full");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_follow_the_definition),
        cmocka_unit_test(tiles_are_complete_and_right),
        cmocka_unit_test(states_survive_a_round_trip),
        cmocka_unit_test(damaged_states_are_refused),
        cmocka_unit_test(sink_errors_come_back),
    };
    return cmocka_run_group_tests_name("merkle.log_tree", tests, set_up, tear_down);
}
