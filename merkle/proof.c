/* SPDX-License-Identifier: Apache-2.0
 *
 * A proof is a list of subtrees' hashes. First the walk from the root down
 * lists the leaves [begin, end) that each of them covers; then each such part
 * is cut into complete subtrees; then these are computed tile by tile, so that
 * no tile is read twice; then each part's hashes are folded into one.
 */
#include "merkle/proof.h"

#include <inttypes.h>

#include "base/check.h"

/* At most one part of a walk is incomplete (the one along the right edge), with fewer than 64
 * complete subtrees in it. */
#define PLAN_NODES_MAX (PROOF_HASHES_MAX + NODE_LEVELS)

struct part {
    uint64_t begin;
    uint64_t end;
};

struct plan {
    unsigned part_count;
    struct part parts[PROOF_HASHES_MAX]; /* from the root down */
    unsigned node_count;
    struct node_id nodes[PLAN_NODES_MAX];
    bool known[PLAN_NODES_MAX];
    struct hash hashes[PLAN_NODES_MAX];
};

static void plan_init(struct plan *plan)
{
    plan->part_count = 0;
    plan->node_count = 0;
}

static void plan_add(struct plan *plan, uint64_t begin, uint64_t end)
{
    CHECK(begin < end);
    CHECK(plan->part_count < PROOF_HASHES_MAX);
    plan->parts[plan->part_count++] = (struct part){.begin = begin, .end = end};
}

static void plan_cut(struct plan *plan)
{
    /* Backwards: a proof lists its hashes from the leaf up. */
    for (unsigned i = plan->part_count; i > 0; i--) {
        uint64_t begin = plan->parts[i - 1].begin;
        while (begin < plan->parts[i - 1].end) {
            struct node_id id = node_id_largest(begin, plan->parts[i - 1].end);
            CHECK(plan->node_count < PLAN_NODES_MAX);
            plan->known[plan->node_count] = false;
            plan->nodes[plan->node_count++] = id;
            begin += UINT64_C(1) << id.level;
        }
    }
}

static bool same_tile(struct tile a, struct tile b)
{
    return a.level == b.level && a.index == b.index;
}

/* Reads the tile of node `first` and computes every node that lies in it. */
static enum status plan_read_tile(struct plan *plan, unsigned first,
                                  const struct hash_source *source, struct hasher *hasher,
                                  struct error *err)
{
    struct hash hashes[TILE_HASHES];
    struct tile tile = tile_of_node(plan->nodes[first]);
    for (unsigned i = first + 1; i < plan->node_count; i++) {
        struct tile other = tile_of_node(plan->nodes[i]);
        if (same_tile(tile, other) && other.width > tile.width) {
            tile.width = other.width;
        }
    }
    enum status status =
        source->read_tile(source->ctx, tile.level, tile.index, tile.width, hashes, err);
    if (status != STATUS_OK) {
        return status;
    }
    for (unsigned i = first; i < plan->node_count; i++) {
        if (same_tile(tile, tile_of_node(plan->nodes[i]))) {
            plan->hashes[i] = tile_node_hash(hasher, hashes, plan->nodes[i]);
            plan->known[i] = true;
        }
    }
    return STATUS_OK;
}

/* Gives the hash of each part, the last added part first. */
static enum status plan_resolve(struct plan *plan, const struct hash_source *source,
                                struct hasher *hasher, struct hash *out, struct error *err)
{
    plan_cut(plan);
    for (unsigned i = 0; i < plan->node_count; i++) {
        if (!plan->known[i]) {
            enum status status = plan_read_tile(plan, i, source, hasher, err);
            if (status != STATUS_OK) {
                return status;
            }
        }
    }
    unsigned node = plan->node_count;
    for (unsigned i = 0; i < plan->part_count; i++) {
        /* Part i holds the nodes before those of part i - 1; fold them from the right. */
        CHECK(node > 0);
        struct hash hash = plan->hashes[--node];
        while (node_id_begin(plan->nodes[node]) != plan->parts[i].begin) {
            CHECK(node > 0);
            node--;
            hash = hash_node(hasher, &plan->hashes[node], &hash);
        }
        out[plan->part_count - 1 - i] = hash;
    }
    CHECK(node == 0);
    return STATUS_OK;
}

/* Where RFC 9162, section 2.1.1, splits the leaves [begin, end): at the largest power of two
 * below their number. */
static uint64_t split(uint64_t begin, uint64_t end)
{
    CHECK(end - begin > 1);
    return begin + (UINT64_C(1) << log2_floor(end - begin - 1));
}

enum status proof_root(const struct hash_source *source, struct hasher *hasher, uint64_t size,
                       struct hash *out, struct error *err)
{
    struct plan plan;
    if (size == 0) {
        *out = hash_empty(hasher);
        return STATUS_OK;
    }
    plan_init(&plan);
    plan_add(&plan, 0, size);
    struct hash root;
    enum status status = plan_resolve(&plan, source, hasher, &root, err);
    if (status == STATUS_OK) {
        *out = root;
    }
    return status;
}

enum status proof_subtree(const struct hash_source *source, struct hasher *hasher,
                          struct node_id id, struct hash *out, struct error *err)
{
    if (!node_id_complete_in(id, UINT64_MAX)) {
        return error_set(err, STATUS_OUT_OF_RANGE, "no tree has the subtree %u/%" PRIu64, id.level,
                         id.index);
    }
    struct plan plan;
    plan_init(&plan);
    plan_add(&plan, node_id_begin(id), node_id_begin(id) + (UINT64_C(1) << id.level));
    struct hash hash;
    enum status status = plan_resolve(&plan, source, hasher, &hash, err);
    if (status == STATUS_OK) {
        *out = hash;
    }
    return status;
}

enum status proof_inclusion(const struct hash_source *source, struct hasher *hasher,
                            uint64_t position, uint64_t size, struct proof *out, struct error *err)
{
    if (position >= size) {
        return error_set(err, STATUS_OUT_OF_RANGE,
                         "position %" PRIu64 " is not in a log of size %" PRIu64, position, size);
    }
    struct plan plan;
    plan_init(&plan);
    uint64_t begin = 0;
    uint64_t end = size;
    while (end - begin > 1) {
        uint64_t middle = split(begin, end);
        if (position < middle) {
            plan_add(&plan, middle, end);
            end = middle;
        } else {
            plan_add(&plan, begin, middle);
            begin = middle;
        }
    }
    CHECK(begin == position);
    enum status status = plan_resolve(&plan, source, hasher, out->hashes, err);
    out->count = status == STATUS_OK ? plan.part_count : 0;
    return status;
}

enum status proof_consistency(const struct hash_source *source, struct hasher *hasher,
                              uint64_t old_size, uint64_t new_size, struct proof *out,
                              struct error *err)
{
    if (old_size == 0) {
        return error_set(err, STATUS_OUT_OF_RANGE,
                         "every log continues the empty one: nothing to prove from size 0");
    }
    if (old_size > new_size) {
        return error_set(err, STATUS_OUT_OF_RANGE, "size %" PRIu64 " is not before size %" PRIu64,
                         old_size, new_size);
    }
    struct plan plan;
    plan_init(&plan);
    uint64_t begin = 0;
    uint64_t end = new_size;
    while (end != old_size) {
        uint64_t middle = split(begin, end);
        if (old_size <= middle) {
            plan_add(&plan, middle, end);
            end = middle;
        } else {
            plan_add(&plan, begin, middle);
            begin = middle;
        }
    }
    /* The subtree that ends the old tree; if it is all of it, the reader has its root. */
    if (begin > 0) {
        plan_add(&plan, begin, end);
    }
    enum status status = plan_resolve(&plan, source, hasher, out->hashes, err);
    out->count = status == STATUS_OK ? plan.part_count : 0;
    return status;
}
