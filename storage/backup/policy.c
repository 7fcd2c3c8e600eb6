/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/backup/policy.h"

enum backup_kind backup_due(const struct backup_policy *policy,
                            const struct backup_figures *figures)
{
    if (!figures->has_last) {
        return BACKUP_FULL;
    }
    /* A store that has fewer writes than its backup is not the one that it was. */
    bool changed = figures->sequence != figures->last_sequence;
    uint64_t entries = figures->sequence > figures->last_sequence
                           ? figures->sequence - figures->last_sequence
                           : UINT64_MAX;
    uint64_t age_ns = figures->now_ns > figures->last_ns ? figures->now_ns - figures->last_ns : 0;
    bool due = changed && ((policy->entries != 0 && entries >= policy->entries) ||
                           (policy->age_ns != 0 && age_ns >= policy->age_ns));
    if (!due) {
        return BACKUP_NONE;
    }
    bool full = policy->full_every != 0 && figures->increments + 1 >= policy->full_every;
    return full ? BACKUP_FULL : BACKUP_INCREMENT;
}

size_t backup_expired(const struct backup_policy *policy, const uint64_t *made_at_ns, size_t count,
                      uint64_t now_ns)
{
    size_t expired = 0;
    if (policy->keep == 0 && policy->keep_ns == 0) {
        return 0;
    }
    while (expired + 1 < count) {
        uint64_t made = made_at_ns[expired];
        bool counted = policy->keep != 0 && count - expired <= policy->keep;
        bool young = policy->keep_ns != 0 && (made >= now_ns || now_ns - made < policy->keep_ns);
        if (counted || young) {
            break;
        }
        expired++;
    }
    return expired;
}
