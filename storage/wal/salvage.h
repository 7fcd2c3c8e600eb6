/* SPDX-License-Identifier: Apache-2.0
 *
 * Salvage: what can be made of a log that wal_open refuses because of damage. Its owner
 * is a member of a cluster in which others have the entries: the log is made to end
 * before the damage, and the owner is told what it can have promised beyond.
 *
 * Each group begins with term and vote and the log's end as they were before it
 * (storage/FORMAT.md). So what the damage hides is known if any sound group comes after it,
 * and that is so unless the damage is to the very last ones. If none does, a later vote
 * may be hidden, and there is no salvage: a node that votes anew in a term in which it has voted
 * can elect a second leader.
 *
 * The owner's thread; the log is not open.
 */
#ifndef ESTREAT_STORAGE_WAL_SALVAGE_H
#define ESTREAT_STORAGE_WAL_SALVAGE_H

#include "storage/wal/wal.h"

struct wal_salvage {
    uint64_t file;       /* the log is to end in this file, */
    uint64_t offset;     /* at this group's place; what comes after is the damage, or behind it */
    uint64_t last_index; /* the last entry before; 0, 0 if there is none */
    uint64_t last_term;
    uint64_t term; /* the hard state as it was last */
    uint64_t vote;
    uint64_t lost_index; /* the last entry that the log had; 0: it has lost none. None above it was
                          * acknowledged. */
    uint64_t salt;       /* of the log's checksums */
};

/* Reads the whole log; changes nothing. CORRUPT if the state after the damage is not known, or if
 * there is no damage of that kind; the file system's errors. */
enum status wal_salvage_look(const struct wal_options *options, struct wal_salvage *out,
                             struct error *err) MUST_USE;

/* Makes the log end there, durably, with the hard state behind. What is cut is kept under names
 * that end in WAL_DAMAGED_SUFFIX. May be repeated after a crash or an error at any point, with the
 * same `salvage`, as long as nothing else is done with the log: it then ends what it began. */
#define WAL_DAMAGED_SUFFIX ".damaged" /* in place of ".wal" */
enum status wal_salvage_cut(const struct wal_options *options, const struct wal_salvage *salvage,
                            struct error *err) MUST_USE;

#endif
