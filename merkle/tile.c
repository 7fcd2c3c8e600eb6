/* SPDX-License-Identifier: Apache-2.0 */
#include "merkle/tile.h"

#include <inttypes.h>

#include "base/check.h"

_Static_assert(TILE_LEVELS *TILE_HEIGHT == NODE_LEVELS, "tiles cover all levels of a tree");

/* How many hashes the tiles of a level hold in all. */
static uint64_t hashes_at(unsigned level, uint64_t size)
{
    CHECK(level < TILE_LEVELS);
    return size >> (TILE_HEIGHT * level);
}

unsigned tile_width(unsigned level, uint64_t index, uint64_t size)
{
    uint64_t hashes = hashes_at(level, size);
    uint64_t full = hashes / TILE_HASHES;
    if (index < full) {
        return TILE_HASHES;
    }
    return index == full ? (unsigned)(hashes % TILE_HASHES) : 0;
}

uint64_t tile_count(unsigned level, uint64_t size)
{
    uint64_t hashes = hashes_at(level, size);
    return hashes / TILE_HASHES + (hashes % TILE_HASHES != 0);
}

struct tile tile_of_node(struct node_id id)
{
    CHECK(id.level < NODE_LEVELS);
    unsigned above = id.level % TILE_HEIGHT; /* levels above the tile's own hashes */
    uint64_t first = id.index << above;      /* the node's first hash, counted in its level */
    CHECK(first >> above == id.index);
    return (struct tile){
        .level = id.level / TILE_HEIGHT,
        .index = first / TILE_HASHES,
        .width = (unsigned)(first % TILE_HASHES) + (1U << above),
    };
}

struct hash tile_node_hash(struct hasher *hasher, const struct hash *hashes, struct node_id id)
{
    struct hash nodes[TILE_HASHES / 2];
    unsigned count = 1U << (id.level % TILE_HEIGHT);
    CHECK(count <= TILE_HASHES / 2);
    const struct hash *first = hashes + (tile_of_node(id).width - count);
    if (count == 1) {
        return *first;
    }
    for (size_t i = 0; i < count / 2; i++) {
        nodes[i] = hash_node(hasher, &first[2 * i], &first[2 * i + 1]);
    }
    for (count /= 2; count > 1; count /= 2) {
        for (size_t i = 0; i < count / 2; i++) {
            nodes[i] = hash_node(hasher, &nodes[2 * i], &nodes[2 * i + 1]);
        }
    }
    return nodes[0];
}

size_t tile_path_format(struct tile tile, char out[TILE_PATH_BYTES_MAX])
{
    CHECK(tile.level < TILE_LEVELS);
    CHECK(tile.width >= 1 && tile.width <= TILE_HASHES);
    int length = snprintf(out, TILE_PATH_BYTES_MAX, "tile/%u/", tile.level);
    uint64_t divisor = 1;
    while (tile.index / divisor >= 1000) {
        divisor *= 1000;
    }
    for (; divisor > 0; divisor /= 1000) {
        length += snprintf(out + length, TILE_PATH_BYTES_MAX - (size_t)length, "%s%03u%s",
                           divisor > 1 ? "x" : "", (unsigned)(tile.index / divisor % 1000),
                           divisor > 1 ? "/" : "");
    }
    if (tile.width < TILE_HASHES) {
        length += snprintf(out + length, TILE_PATH_BYTES_MAX - (size_t)length, ".p/%u", tile.width);
    }
    CHECK((size_t)length < TILE_PATH_BYTES_MAX);
    return (size_t)length;
}

/* Reads digits and 'x' elements loosely; the caller compares with the canonical path. */
static bool path_read(struct slice path, struct tile *tile)
{
    struct slice head = slice_of_string("tile/");
    if (path.length >= TILE_PATH_BYTES_MAX || !slice_starts_with(path, head)) {
        return false;
    }
    const uint8_t *at = path.data + head.length;
    const uint8_t *end = path.data + path.length;
    if (at == end || *at < '0' || *at >= '0' + (int)TILE_LEVELS) {
        return false;
    }
    *tile = (struct tile){.level = (unsigned)(*at++ - '0'), .width = TILE_HASHES};
    for (; at < end && *at != '.'; at++) {
        if (*at < '0' || *at > '9') {
            continue;
        }
        unsigned digit = (unsigned)(*at - '0');
        if (tile->index > (UINT64_MAX - digit) / 10) {
            return false;
        }
        tile->index = tile->index * 10 + digit;
    }
    if (at == end) {
        return true;
    }
    for (tile->width = 0; at < end && tile->width < TILE_HASHES; at++) {
        if (*at >= '0' && *at <= '9') {
            tile->width = tile->width * 10 + (unsigned)(*at - '0');
        }
    }
    return tile->width >= 1 && tile->width < TILE_HASHES;
}

enum status tile_path_parse(struct slice path, struct tile *out, struct error *err)
{
    char canonical[TILE_PATH_BYTES_MAX];
    struct tile tile;
    /* A tile has one path: what reads as a tile must also be written just so. */
    if (!path_read(path, &tile) ||
        !slice_equal(path, slice_of(canonical, tile_path_format(tile, canonical)))) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "not the path of a tile");
    }
    /* The last hash of the tile must be one of a tree of at most 2^64 - 1 leaves. */
    if (tile.index > tile_count(tile.level, UINT64_MAX) - 1 ||
        tile.width > tile_width(tile.level, tile.index, UINT64_MAX)) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "no tree has such a tile");
    }
    *out = tile;
    return STATUS_OK;
}
