/* SPDX-License-Identifier: Apache-2.0 */
#include "merkle/verify.h"

#include <inttypes.h>

#include "base/check.h"

static enum status refuse(struct error *err, const char *reason)
{
    return error_set(err, STATUS_DATA_LOSS, "%s", reason);
}

/* RFC 9162, section 2.1.3.2; the names fn and sn are the RFC's. */
enum status verify_inclusion(struct hasher *hasher, const struct inclusion_claim *claim,
                             struct error *err)
{
    CHECK(claim->path != NULL || claim->path_count == 0);
    if (claim->position >= claim->size) {
        return error_set(err, STATUS_DATA_LOSS,
                         "position %" PRIu64 " is not in a log of size %" PRIu64, claim->position,
                         claim->size);
    }
    uint64_t fn = claim->position;
    uint64_t sn = claim->size - 1;
    struct hash root = claim->leaf;
    for (size_t i = 0; i < claim->path_count; i++) {
        if (sn == 0) {
            return refuse(err, "the inclusion path is too long");
        }
        if ((fn & 1) == 1 || fn == sn) {
            root = hash_node(hasher, &claim->path[i], &root);
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            root = hash_node(hasher, &root, &claim->path[i]);
        }
        fn >>= 1;
        sn >>= 1;
    }
    if (sn != 0) {
        return refuse(err, "the inclusion path is too short");
    }
    if (!hash_equal(&root, &claim->root)) {
        return refuse(err, "the inclusion path does not lead to the root");
    }
    return STATUS_OK;
}

/* RFC 9162, section 2.1.4.2, for 0 < old_size < new_size and a path that is not empty. */
static enum status verify_growth(struct hasher *hasher, const struct consistency_claim *claim,
                                 struct error *err)
{
    uint64_t fn = claim->old_size - 1;
    uint64_t sn = claim->new_size - 1;
    while ((fn & 1) == 1) {
        fn >>= 1;
        sn >>= 1;
    }
    /* An old tree of a power of two leaves is itself a subtree: its root starts the path. */
    bool starts_with_old = (claim->old_size & (claim->old_size - 1)) == 0;
    size_t next = starts_with_old ? 0 : 1;
    struct hash old_root = starts_with_old ? claim->old_root : claim->path[0];
    struct hash new_root = old_root;
    for (; next < claim->path_count; next++) {
        const struct hash *step = &claim->path[next];
        if (sn == 0) {
            return refuse(err, "the consistency path is too long");
        }
        if ((fn & 1) == 1 || fn == sn) {
            old_root = hash_node(hasher, step, &old_root);
            new_root = hash_node(hasher, step, &new_root);
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            new_root = hash_node(hasher, &new_root, step);
        }
        fn >>= 1;
        sn >>= 1;
    }
    if (sn != 0) {
        return refuse(err, "the consistency path is too short");
    }
    if (!hash_equal(&old_root, &claim->old_root)) {
        return refuse(err, "the consistency path does not lead to the old root");
    }
    if (!hash_equal(&new_root, &claim->new_root)) {
        return refuse(err, "the consistency path does not lead to the new root");
    }
    return STATUS_OK;
}

enum status verify_consistency(struct hasher *hasher, const struct consistency_claim *claim,
                               struct error *err)
{
    CHECK(claim->path != NULL || claim->path_count == 0);
    if (claim->old_size > claim->new_size) {
        return error_set(err, STATUS_DATA_LOSS, "size %" PRIu64 " is not before size %" PRIu64,
                         claim->old_size, claim->new_size);
    }
    if (claim->old_size == 0) {
        return refuse(err, "a consistency proof from the empty log proves nothing");
    }
    if (claim->old_size == claim->new_size) {
        if (claim->path_count != 0) {
            return refuse(err, "the consistency path is too long");
        }
        return hash_equal(&claim->old_root, &claim->new_root)
                   ? STATUS_OK
                   : refuse(err, "two roots differ at one size");
    }
    if (claim->path_count == 0) {
        return refuse(err, "the consistency path is too short");
    }
    return verify_growth(hasher, claim, err);
}
