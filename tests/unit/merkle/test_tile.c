/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include "merkle/tile.h"

static struct model model;

static int set_up(void **state)
{
    (void)state;
    return hasher_init(&model.hasher, NULL) == STATUS_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    hasher_release(&model.hasher);
    return 0;
}

/* The examples of the tlog-tiles specification: which tiles trees of 70,000 and 256 have. */
static void trees_have_the_tiles_of_the_specification(void **state)
{
    (void)state;
    assert_int_equal(tile_count(0, 70000), 274);
    assert_int_equal(tile_width(0, 272, 70000), 256);
    assert_int_equal(tile_width(0, 273, 70000), 112);
    assert_int_equal(tile_width(0, 274, 70000), 0);
    assert_int_equal(tile_count(1, 70000), 2);
    assert_int_equal(tile_width(1, 0, 70000), 256);
    assert_int_equal(tile_width(1, 1, 70000), 17);
    assert_int_equal(tile_count(2, 70000), 1);
    assert_int_equal(tile_width(2, 0, 70000), 1);
    assert_int_equal(tile_count(3, 70000), 0);
    assert_int_equal(tile_count(0, 256), 1);
    assert_int_equal(tile_width(0, 0, 256), 256);
    assert_int_equal(tile_width(1, 0, 256), 1);
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        assert_int_equal(tile_count(level, 0), 0);
        assert_int_equal(tile_width(level, tile_count(level, UINT64_MAX) - 1, UINT64_MAX), 255);
    }
}

/* Paths are C2SP's, and read back. */
static void paths_round_trip(void **state)
{
    (void)state;
    static const struct {
        struct tile tile;
        const char *path;
    } cases[] = {
        {{0, 0, 256}, "tile/0/000"},
        {{0, 0, 1}, "tile/0/000.p/1"},
        {{1, 999, 255}, "tile/1/999.p/255"},
        {{1, 1000, 256}, "tile/1/x001/000"},
        {{0, 1234067, 256}, "tile/0/x001/x234/067"},
        {{7, 0, 255}, "tile/7/000.p/255"},
        {{0, UINT64_MAX / 256, 255}, "tile/0/x072/x057/x594/x037/x927/935.p/255"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[TILE_PATH_BYTES_MAX];
        struct tile back;
        assert_int_equal(tile_path_format(cases[i].tile, path), strlen(cases[i].path));
        assert_string_equal(path, cases[i].path);
        assert_ok(tile_path_parse(slice_of_string(path), &back, NULL), NULL);
        assert_true(back.level == cases[i].tile.level && back.index == cases[i].tile.index &&
                    back.width == cases[i].tile.width);
    }
}

/* Anything but the one canonical path of a possible tile is refused. */
static void other_paths_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/000/",
        "tile/0/x000/000",
        "tile/0/x001",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/8/000",
        "tile/00/000",
        "tile/-1/000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/1/",
        "tile/0/000.q/1",
        "Tile/0/000",
        "/tile/0/000",
        "tile/0/ 000",
        "tile/0/x018/x446/x744/x073/x709/x551/x616/000",
        "tile/0/x072/x057/x594/x037/x927/936",
        "tile/0/x072/x057/x594/x037/x927/935",
        "tile/7/001",
        "tile/7/000",
        "tile/entries/000",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct tile tile;
        struct error err = ERROR_INIT;
        assert_status(tile_path_parse(slice_of_string(bad[i]), &tile, &err),
                      STATUS_INVALID_ARGUMENT, &err);
    }
    assert_status(tile_path_parse(slice_of("tile/0/000\0", 11), NULL, NULL),
                  STATUS_INVALID_ARGUMENT, NULL);
}

/* Every subtree of a full tile comes out of it as the definition says. */
static void tiles_give_their_subtrees(void **state)
{
    (void)state;
    struct hash *leaves = model_leaves(&model.hasher, 512);
    model.leaves = leaves;
    for (unsigned level = 0; level < TILE_HEIGHT; level++) {
        for (uint64_t index = 0; index < 512U >> level; index++) {
            struct node_id id = node_id_of(level, index);
            struct tile tile = tile_of_node(id);
            uint64_t begin = node_id_begin(id);
            assert_int_equal(tile.level, 0);
            assert_int_equal(tile.index, begin / 256);
            assert_int_equal(tile.width, begin % 256 + (1U << level));
            struct hash hash = tile_node_hash(&model.hasher, leaves + 256 * tile.index, id);
            struct hash wanted = model_mth(&model, begin, begin + (1U << level));
            assert_true(hash_equal(&hash, &wanted));
        }
    }
    /* The root of a full tile stands in the tile above. */
    struct tile above = tile_of_node(node_id_of(8, 300));
    assert_true(above.level == 1 && above.index == 1 && above.width == 45);
    free(leaves);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_have_the_tiles_of_the_specification),
        cmocka_unit_test(paths_round_trip),
        cmocka_unit_test(other_paths_are_refused),
        cmocka_unit_test(tiles_give_their_subtrees),
    };
    return cmocka_run_group_tests_name("merkle.tile", tests, set_up, tear_down);
}
