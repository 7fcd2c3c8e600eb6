/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include "merkle/range.h"

#define LEAVES 130U

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

static void fill(struct range *range, uint64_t begin, uint64_t end)
{
    range_init(range, begin);
    for (uint64_t i = begin; i < end; i++) {
        range_append(range, &model.hasher, &leaves[i], NULL);
    }
    assert_int_equal(range->count, range_hash_count(begin, end));
}

static void assert_same_range(const struct range *a, const struct range *b)
{
    assert_true(a->begin == b->begin && a->end == b->end && a->count == b->count);
    assert_memory_equal(a->hashes, b->hashes, a->count * HASH_BYTES);
}

/* Appending leaf after leaf gives the model's root at every size. */
static void roots_follow_the_definition(void **state)
{
    (void)state;
    struct range range;
    range_init(&range, 0);
    for (uint64_t size = 0; size < LEAVES; size++) {
        struct hash root = range_root(&range, &model.hasher);
        struct hash wanted = model_mth(&model, 0, size);
        assert_true(hash_equal(&root, &wanted));
        range_append(&range, &model.hasher, &leaves[size], NULL);
    }
}

/* The known roots of the Certificate Transparency reference tests. */
static void known_roots_come_out(void **state)
{
    (void)state;
    static const char *const roots[CT_LEAVES + 1] = {
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
    struct range range;
    range_init(&range, 0);
    assert_hash(range_root(&range, &model.hasher), roots[0]);
    for (unsigned i = 0; i < CT_LEAVES; i++) {
        struct hash leaf = hash_leaf(&model.hasher, ct_leaf(i));
        range_append(&range, &model.hasher, &leaf, NULL);
        assert_hash(range_root(&range, &model.hasher), roots[i + 1]);
    }
}

/* Two adjacent ranges merge to what one pass over both gives, for all bounds. */
static void ranges_merge_anywhere(void **state)
{
    (void)state;
    enum { END = 40 };
    static struct range ranges[END + 1][END + 1];
    for (uint64_t begin = 0; begin <= END; begin++) {
        for (uint64_t end = begin; end <= END; end++) {
            fill(&ranges[begin][end], begin, end);
        }
    }
    for (uint64_t begin = 0; begin <= END; begin++) {
        for (uint64_t middle = begin; middle <= END; middle++) {
            for (uint64_t end = middle; end <= END; end++) {
                struct range range = ranges[begin][middle];
                range_merge(&range, &model.hasher, &ranges[middle][end]);
                assert_same_range(&range, &ranges[begin][end]);
            }
        }
    }
}

/* The visitor sees each complete subtree exactly when its last leaf comes. */
struct seen {
    uint64_t size;
    unsigned count;
};

static void see(void *ctx, struct node_id id, const struct hash *hash)
{
    struct seen *seen = ctx;
    uint64_t begin = node_id_begin(id);
    uint64_t end = begin + (UINT64_C(1) << id.level);
    assert_int_equal(end, seen->size + 1);
    struct hash wanted = model_mth(&model, begin, end);
    assert_true(hash_equal(hash, &wanted));
    seen->count++;
}

static void visitors_see_all_subtrees(void **state)
{
    (void)state;
    struct range range;
    struct seen seen = {0};
    const struct range_visitor visitor = {.node = see, .ctx = &seen};
    range_init(&range, 0);
    for (; seen.size < 128; seen.size++) {
        range_append(&range, &model.hasher, &leaves[seen.size], &visitor);
    }
    assert_int_equal(seen.count, 2 * 128 - 1);
}

/* Encoded ranges read back; cut, longer and contradictory bytes are refused. */
static void encoding_round_trips(void **state)
{
    (void)state;
    struct buf bytes;
    buf_init(&bytes, alloc_default(), 1 << 16);
    for (uint64_t begin = 0; begin < 20; begin++) {
        for (uint64_t end = begin; end < 60; end += 7) {
            struct range range;
            struct range back;
            fill(&range, begin, end);
            buf_clear(&bytes);
            range_encode(&range, &bytes);
            assert_ok(range_decode(buf_slice(&bytes), &back, NULL), NULL);
            assert_same_range(&range, &back);
            for (size_t cut = 0; cut < bytes.length; cut++) {
                assert_status(range_decode(slice_of(bytes.data, cut), &back, NULL), STATUS_CORRUPT,
                              NULL);
            }
            buf_put_u8(&bytes, 0);
            assert_status(range_decode(buf_slice(&bytes), &back, NULL), STATUS_CORRUPT, NULL);
        }
    }
    buf_clear(&bytes);
    buf_put_le64(&bytes, 2);
    buf_put_le64(&bytes, 1);
    struct range back;
    assert_status(range_decode(buf_slice(&bytes), &back, NULL), STATUS_CORRUPT, NULL);
    buf_release(&bytes);
}

/* The bounds of the largest tree do not overflow. */
static void largest_bounds_hold(void **state)
{
    (void)state;
    assert_int_equal(range_hash_count(0, UINT64_MAX), 64);
    assert_int_equal(range_hash_count(1, UINT64_MAX), 126);
    struct range range;
    struct hash hash = leaves[0];
    range_init(&range, 0);
    for (unsigned level = 63; level > 0; level--) {
        range_append_node(&range, &model.hasher, level, &hash, NULL);
    }
    assert_true(range.end == UINT64_MAX - 1);
    range_append(&range, &model.hasher, &hash, NULL);
    assert_true(range.end == UINT64_MAX);
    assert_int_equal(range.count, 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_follow_the_definition), cmocka_unit_test(known_roots_come_out),
        cmocka_unit_test(ranges_merge_anywhere),       cmocka_unit_test(visitors_see_all_subtrees),
        cmocka_unit_test(encoding_round_trips),        cmocka_unit_test(largest_bounds_hold),
    };
    return cmocka_run_group_tests_name("merkle.range", tests, set_up, tear_down);
}
