/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a trusted key stands behind a node's root: the node shows a signed head
 * and proves that the log of that head begins with the log of the root.
 */
#include "client/audit.h"

#include "merkle/proof.h"
#include "merkle/tree_head.h"
#include "merkle/verify.h"
#include "schema/proof.pb-c.h"

enum { PROOF_CONSISTENCY = 2 };

static bool holds(struct audit_node *node, const Estreat__V1__ConsistencyResponse *response)
{
    struct error err = ERROR_INIT;
    struct hasher hasher;
    struct tree_head head;
    struct hash path[PROOF_HASHES_MAX];
    struct slice checkpoint = slice_of(response->checkpoint.data, response->checkpoint.len);
    if (response->n_hashes > PROOF_HASHES_MAX ||
        tree_head_open(checkpoint, trust_keys(node->audit->options->trust), &head, NULL, &err) !=
            STATUS_OK) {
        return false;
    }
    for (size_t i = 0; i < response->n_hashes; i++) {
        if (!hash_from_slice(slice_of(response->hashes[i].data, response->hashes[i].len),
                             &path[i])) {
            return false;
        }
    }
    if (hasher_init(&hasher, &err) != STATUS_OK) {
        return false;
    }
    const struct consistency_claim claim = {
        .old_size = node->audit->size,
        .new_size = head.size,
        .old_root = node->root,
        .new_root = head.root,
        .path = path,
        .path_count = response->n_hashes,
    };
    bool verified = verify_consistency(&hasher, &claim, &err) == STATUS_OK;
    hasher_release(&hasher);
    return verified;
}

void *audit_attest(void *context)
{
    struct audit_node *node = context;
    struct error ignored = ERROR_INIT;
    Estreat__V1__ConsistencyRequest request = ESTREAT__V1__CONSISTENCY_REQUEST__INIT;
    Estreat__V1__ReadConsistency local = ESTREAT__V1__READ_CONSISTENCY__INIT;
    local.level = ESTREAT__V1__CONSISTENCY_LEVEL__LOCAL;
    request.old_size = node->audit->size;
    request.consistency = &local;
    const struct client_query query = {
        .service = &estreat__v1__proof__descriptor,
        .method = PROOF_CONSISTENCY,
        .request = &request.base,
        .timeout_ms = node->audit->options->timeout_ms,
    };
    struct rpc_reply reply;
    /* A node that cannot show it is merely not attested: it may be the damaged one. */
    if (node->row.root_known && client_ask_endpoint(node->audit->client, node->route, &query, 3,
                                                    &reply, &ignored) == STATUS_OK) {
        node->attested = holds(node, (const Estreat__V1__ConsistencyResponse *)reply.message);
    }
    if (node->row.root_known) {
        rpc_reply_release(&reply);
    }
    return NULL;
}
