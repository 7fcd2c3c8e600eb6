/* SPDX-License-Identifier: Apache-2.0
 *
 * Policy: when a backup is due, of which kind, and which backups are kept. Pure functions
 * of figures; who calls them has a clock and the figures. Any thread.
 */
#ifndef ESTREAT_STORAGE_BACKUP_POLICY_H
#define ESTREAT_STORAGE_BACKUP_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero: that figure decides nothing. */
struct backup_policy {
    uint64_t entries;    /* due after so many writes to the store */
    uint64_t age_ns;     /* due when the last one is so old, if there was a write since */
    uint64_t full_every; /* of so many backups one is full; 0: the first alone, 1: each */
    uint64_t keep;       /* so many of the newest stay */
    uint64_t keep_ns;    /* and what is younger than this stays as well */
};

enum backup_kind { BACKUP_NONE, BACKUP_INCREMENT, BACKUP_FULL };

/* What is there. */
struct backup_figures {
    bool has_last;
    uint64_t last_ns;       /* when the last backup was made */
    uint64_t last_sequence; /* of the store's writes, in the last backup */
    uint64_t increments;    /* since the last full one */
    uint64_t now_ns;        /* a clock that went back makes no backup due by age */
    uint64_t sequence;      /* of the store's writes, durable now */
};

/* Whether a backup is due. Without one there always is, a full one. */
enum backup_kind backup_due(const struct backup_policy *policy,
                            const struct backup_figures *figures);

/* How many of the oldest go; made_at_ns[count] by rising numbers of the backups. The newest never
 * goes; without keep and keep_ns none does. What is made in the future is young. */
size_t backup_expired(const struct backup_policy *policy, const uint64_t *made_at_ns, size_t count,
                      uint64_t now_ns);

#endif
