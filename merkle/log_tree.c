/* SPDX-License-Identifier: Apache-2.0 */
#include "merkle/log_tree.h"

#include "base/check.h"

enum { STATE_FORMAT = 1 };

/* The width of the partial tile at a level, 0 to 255. */
static unsigned edge_width(const struct log_tree *tree, unsigned level)
{
    return (unsigned)((log_tree_size(tree) >> (TILE_HEIGHT * level)) % TILE_HASHES);
}

/* The index of the partial tile at a level, also while it is empty. */
static uint64_t edge_index(const struct log_tree *tree, unsigned level)
{
    uint64_t hashes = log_tree_size(tree) >> (TILE_HEIGHT * level);
    return hashes / TILE_HASHES;
}

void log_tree_init(struct log_tree *tree)
{
    range_init(&tree->range, 0);
}

struct append {
    struct log_tree *tree;
    const struct tile_sink *sink;
    struct error *err;
    enum status status;
};

/* Each complete subtree whose level a tile holds takes its place there. */
static void append_visit(void *ctx, struct node_id id, const struct hash *hash)
{
    struct append *append = ctx;
    if (id.level % TILE_HEIGHT != 0) {
        return;
    }
    unsigned level = id.level / TILE_HEIGHT;
    unsigned place = (unsigned)(id.index % TILE_HASHES);
    CHECK(level < TILE_LEVELS);
    CHECK(place == edge_width(append->tree, level));
    append->tree->edge[level][place] = *hash;
    if (place == TILE_HASHES - 1 && append->sink != NULL && append->status == STATUS_OK) {
        append->status = append->sink->put(append->sink->ctx, level, id.index / TILE_HASHES,
                                           append->tree->edge[level], append->err);
    }
}

enum status log_tree_append(struct log_tree *tree, struct hasher *hasher, const struct hash *leaf,
                            const struct tile_sink *sink, struct error *err)
{
    CHECK(tree->range.begin == 0);
    struct append append = {.tree = tree, .sink = sink, .err = err, .status = STATUS_OK};
    const struct range_visitor visitor = {.node = append_visit, .ctx = &append};
    range_append(&tree->range, hasher, leaf, &visitor);
    return append.status;
}

struct hash log_tree_root(const struct log_tree *tree, struct hasher *hasher)
{
    return range_root(&tree->range, hasher);
}

bool log_tree_read_edge(const struct log_tree *tree, unsigned level, uint64_t index, unsigned width,
                        struct hash *out)
{
    CHECK(level < TILE_LEVELS);
    CHECK(width >= 1 && width <= TILE_HASHES);
    if (index != edge_index(tree, level) || width > edge_width(tree, level)) {
        return false;
    }
    memcpy(out, tree->edge[level], width * HASH_BYTES);
    return true;
}

void log_tree_copy(struct log_tree *to, const struct log_tree *from)
{
    CHECK(to != from);
    range_init(&to->range, from->range.begin);
    to->range.end = from->range.end;
    to->range.count = from->range.count;
    memcpy(to->range.hashes, from->range.hashes, from->range.count * HASH_BYTES);
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        memcpy(to->edge[level], from->edge[level], edge_width(from, level) * HASH_BYTES);
    }
}

void log_tree_encode(const struct log_tree *tree, struct hasher *hasher, struct buf *out)
{
    struct hash root = log_tree_root(tree, hasher);
    buf_put_u8(out, STATE_FORMAT);
    buf_put_le64(out, log_tree_size(tree));
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        buf_append(out, tree->edge[level], edge_width(tree, level) * HASH_BYTES);
    }
    buf_append_slice(out, hash_slice(&root));
}

/* The compact range follows from the partial tiles: each of its nodes is complete in one. */
static void range_from_edge(struct log_tree *tree, struct hasher *hasher, uint64_t size)
{
    range_init(&tree->range, 0);
    while (tree->range.end < size) {
        struct node_id id = node_id_largest(tree->range.end, size);
        struct hash hash = tile_node_hash(hasher, tree->edge[id.level / TILE_HEIGHT], id);
        range_append_node(&tree->range, hasher, id.level, &hash, NULL);
    }
    CHECK(tree->range.count == range_hash_count(0, size));
}

enum status log_tree_decode(struct log_tree *tree, struct hasher *hasher, struct slice bytes,
                            struct error *err)
{
    struct cursor cursor = cursor_of(bytes);
    uint8_t format = cursor_u8(&cursor);
    uint64_t size = cursor_le64(&cursor);
    if (cursor.failed || format != STATE_FORMAT) {
        return error_set(err, STATUS_CORRUPT, "log tree state is cut or of an unknown format");
    }
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        size_t width = (size_t)(size >> (TILE_HEIGHT * level)) % TILE_HASHES;
        struct slice hashes = cursor_bytes(&cursor, width * HASH_BYTES);
        if (hashes.length > 0) {
            memcpy(tree->edge[level], hashes.data, hashes.length);
        }
    }
    struct hash promised;
    struct slice root_bytes = cursor_bytes(&cursor, HASH_BYTES);
    if (!cursor_done(&cursor) || !hash_from_slice(root_bytes, &promised)) {
        return error_set(err, STATUS_CORRUPT, "log tree state of %zu bytes does not fit its size",
                         bytes.length);
    }
    range_from_edge(tree, hasher, size);
    struct hash root = log_tree_root(tree, hasher);
    if (!hash_equal(&root, &promised)) {
        return error_set(err, STATUS_CORRUPT, "log tree state does not give its root");
    }
    return STATUS_OK;
}
