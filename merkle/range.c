/* SPDX-License-Identifier: Apache-2.0 */
#include "merkle/range.h"

#include "base/check.h"

void range_init(struct range *range, uint64_t begin)
{
    range->begin = begin;
    range->end = begin;
    range->count = 0;
}

unsigned range_hash_count(uint64_t begin, uint64_t end)
{
    unsigned count = 0;
    while (begin < end) {
        begin += UINT64_C(1) << node_id_largest(begin, end).level;
        count++;
    }
    CHECK(count <= RANGE_HASHES_MAX);
    return count;
}

static void visit(const struct range_visitor *visitor, struct node_id id, const struct hash *hash)
{
    if (visitor != NULL) {
        visitor->node(visitor->ctx, id, hash);
    }
}

void range_append_node(struct range *range, struct hasher *hasher, unsigned level,
                       const struct hash *hash, const struct range_visitor *visitor)
{
    CHECK(level < NODE_LEVELS);
    uint64_t leaves = UINT64_C(1) << level;
    CHECK((range->end & (leaves - 1)) == 0);
    CHECK(leaves <= UINT64_MAX - range->end);

    struct node_id id = node_id_of(level, range->end >> level);
    struct hash merged = *hash;
    visit(visitor, id, &merged);
    /* A right child's sibling ends where it begins. If the sibling is within the range, it is
     * the last hash, since no larger subtree can end there. */
    while ((id.index & 1) == 1 && node_id_begin(node_id_sibling(id)) >= range->begin) {
        CHECK(range->count > 0);
        range->count--;
        merged = hash_node(hasher, &range->hashes[range->count], &merged);
        id = node_id_parent(id);
        visit(visitor, id, &merged);
    }
    CHECK(range->count < RANGE_HASHES_MAX);
    range->hashes[range->count++] = merged;
    range->end += leaves;
}

void range_append(struct range *range, struct hasher *hasher, const struct hash *leaf,
                  const struct range_visitor *visitor)
{
    range_append_node(range, hasher, 0, leaf, visitor);
}

void range_merge(struct range *range, struct hasher *hasher, const struct range *right)
{
    CHECK(range != right);
    CHECK(range->end == right->begin);
    for (unsigned i = 0; i < right->count; i++) {
        struct node_id id = node_id_largest(range->end, right->end);
        range_append_node(range, hasher, id.level, &right->hashes[i], NULL);
    }
    CHECK(range->end == right->end);
}

struct hash range_root(const struct range *range, struct hasher *hasher)
{
    if (range->count == 0) {
        return hash_empty(hasher);
    }
    struct hash root = range->hashes[range->count - 1];
    for (unsigned i = range->count - 1; i > 0; i--) {
        root = hash_node(hasher, &range->hashes[i - 1], &root);
    }
    return root;
}

void range_encode(const struct range *range, struct buf *out)
{
    CHECK(range->count == range_hash_count(range->begin, range->end));
    buf_put_le64(out, range->begin);
    buf_put_le64(out, range->end);
    buf_append(out, range->hashes, range->count * HASH_BYTES);
}

enum status range_decode(struct slice bytes, struct range *out, struct error *err)
{
    struct cursor cursor = cursor_of(bytes);
    uint64_t begin = cursor_le64(&cursor);
    uint64_t end = cursor_le64(&cursor);
    if (cursor.failed || begin > end) {
        return error_set(err, STATUS_CORRUPT, "compact range: bad bounds");
    }
    unsigned count = range_hash_count(begin, end);
    struct slice hashes = cursor_bytes(&cursor, count * HASH_BYTES);
    if (!cursor_done(&cursor)) {
        return error_set(err, STATUS_CORRUPT, "compact range: %zu bytes do not hold %u hashes",
                         bytes.length, count);
    }
    range_init(out, begin);
    out->end = end;
    out->count = count;
    if (count > 0) {
        memcpy(out->hashes, hashes.data, hashes.length);
    }
    return STATUS_OK;
}
