/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/retain.h"

#include "storage/snapshot.h"
#include "storage/table/key.h"

void retain_init(struct retain *retain, struct alloc *alloc, const uint64_t *snapshots,
                 size_t snapshot_count, retain_below_fn below, void *context)
{
    *retain = (struct retain){.snapshots = snapshots,
                              .snapshot_count = snapshot_count,
                              .below = below,
                              .context = context};
    buf_init(&retain->user, alloc, USER_KEY_BYTES_MAX);
}

void retain_release(struct retain *retain)
{
    buf_release(&retain->user);
}

void retain_reset(struct retain *retain)
{
    retain->started = false;
}

bool retain_is_seen_by_all(const struct retain *retain, uint64_t sequence)
{
    return retain->snapshot_count == 0 || retain->snapshots[0] >= sequence;
}

/* A deletion says nothing any more if no snapshot is older than it (then every older version
 * in this run is dropped as well) and nothing lies below. */
static bool deletion_is_spent(const struct retain *retain, struct slice user, uint64_t sequence)
{
    if (retain->below == NULL || !retain_is_seen_by_all(retain, sequence)) {
        return false;
    }
    return !retain->below(retain->context, user);
}

enum status retain_next(struct retain *retain, struct slice internal_key, bool *keep,
                        struct error *err)
{
    struct slice user = internal_key_user(internal_key);
    uint64_t sequence = internal_key_sequence(internal_key);
    bool shadowed = false;
    if (retain->started && slice_equal(user, buf_slice(&retain->user))) {
        if (sequence >= retain->sequence) {
            return error_set(err, STATUS_CORRUPT, "versions of a key out of order");
        }
        shadowed = !snapshot_between(retain->snapshots, retain->snapshot_count, sequence,
                                     retain->sequence);
    } else {
        buf_clear(&retain->user);
        buf_append_slice(&retain->user, user);
        if (buf_failed(&retain->user)) {
            retain->started = false;
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a key");
        }
        retain->started = true;
    }
    retain->sequence = sequence;
    if (shadowed) {
        *keep = false;
    } else if (internal_key_type(internal_key) == KEY_DELETE) {
        *keep = !deletion_is_spent(retain, user, sequence);
    } else {
        *keep = true;
    }
    return STATUS_OK;
}
