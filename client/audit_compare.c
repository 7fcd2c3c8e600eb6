/* SPDX-License-Identifier: Apache-2.0
 *
 * Where two logs differ: their complete subtrees are compared from the largest
 * down, and only what differs is looked into. Each question fetches the hashes ten
 * levels below, so a log of 10^9 events needs three questions for a difference.
 */
#include "client/audit.h"

#include "merkle/node_id.h"
#include "schema/audit.pb-c.h"

enum {
    AUDIT_HASHES = 1,
    LEVELS_PER_QUESTION = 10,
    HASHES_MAX = 1 << LEVELS_PER_QUESTION,
    /* Of both nodes together. Past it the rest counts as different. */
    QUESTIONS_MAX = 4096,
};

struct comparison {
    const struct audit_node *reference;
    struct audit_node *node;
    unsigned questions;
    bool failed;
    uint64_t first; /* differing position */
    struct hash *left;
    struct hash *right;
};

static bool fetch(const struct audit_node *node, struct node_id begin, unsigned count,
                  struct hash *out)
{
    struct error ignored = ERROR_INIT;
    Estreat__V1__HashesRequest request = ESTREAT__V1__HASHES_REQUEST__INIT;
    request.level = begin.level;
    request.begin = begin.index;
    request.count = count;
    const struct client_query query = {
        .service = &estreat__v1__audit__descriptor,
        .method = AUDIT_HASHES,
        .request = &request.base,
        .timeout_ms = node->audit->options->timeout_ms,
    };
    struct rpc_reply reply;
    bool ok = client_ask_endpoint(node->audit->client, node->route, &query, 3, &reply, &ignored) ==
              STATUS_OK;
    if (ok) {
        const Estreat__V1__HashesResponse *response =
            (const Estreat__V1__HashesResponse *)reply.message;
        ok = response->n_hashes == count;
        for (unsigned i = 0; ok && i < count; i++) {
            ok = hash_from_slice(slice_of(response->hashes[i].data, response->hashes[i].len),
                                 &out[i]);
        }
    }
    rpc_reply_release(&reply);
    return ok;
}

static void differs(struct comparison *comparison, uint64_t begin, uint64_t end)
{
    if (begin < comparison->first) {
        comparison->first = begin;
    }
    audit_range(comparison->node, begin, end);
}

/* Looks into a subtree of which it is known that it differs. */
static void descend(struct comparison *comparison, struct node_id id)
{
    unsigned down = id.level < LEVELS_PER_QUESTION ? id.level : LEVELS_PER_QUESTION;
    unsigned count = 1U << down;
    struct node_id first = node_id_of(id.level - down, id.index << down);
    if (id.level == 0) {
        differs(comparison, id.index, id.index + 1);
        return;
    }
    /* Deeper levels reuse the arrays, so what differs is noted before going down. */
    uint8_t differing[HASHES_MAX];
    comparison->questions += 2;
    if (comparison->questions > QUESTIONS_MAX || comparison->failed ||
        !fetch(comparison->reference, first, count, comparison->left) ||
        !fetch(comparison->node, first, count, comparison->right)) {
        comparison->failed = true;
        differs(comparison, node_id_begin(id), node_id_begin(id) + (1ULL << id.level));
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        differing[i] = !hash_equal(&comparison->left[i], &comparison->right[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        if (differing[i]) {
            descend(comparison, node_id_of(first.level, first.index + i));
        }
    }
}

uint64_t audit_compare(const struct audit_node *reference, struct audit_node *node)
{
    struct alloc *alloc = node->audit->client->alloc;
    uint64_t size = node->audit->size;
    struct comparison comparison = {.reference = reference, .node = node, .first = size};
    comparison.left = alloc_zeroed(alloc, HASHES_MAX, sizeof(struct hash));
    comparison.right = alloc_zeroed(alloc, HASHES_MAX, sizeof(struct hash));
    for (uint64_t at = 0; at < size && comparison.left != NULL && comparison.right != NULL;) {
        struct node_id id = node_id_largest(at, size);
        struct hash left;
        struct hash right;
        if (!fetch(reference, id, 1, &left) || !fetch(node, id, 1, &right)) {
            differs(&comparison, at, size);
            break;
        }
        if (!hash_equal(&left, &right)) {
            descend(&comparison, id);
        }
        at += 1ULL << id.level;
    }
    alloc_free(alloc, comparison.left);
    alloc_free(alloc, comparison.right);
    return comparison.first;
}
