/* SPDX-License-Identifier: Apache-2.0
 *
 * Pick: the policy of compaction, apart from doing it (tree/compact.h). Level 0 goes whole into
 * level 1. It is due when it has `l0_trigger` tables and as many bytes as what they would be merged
 * with: then no more is written for it than twice its own; with `l0_latest` tables it is due
 * whatever that costs. A level below is due when it is larger than its target, and of its tables
 * the one goes down that is merged with the least for its own size, or one that has waited for
 * long. (Overwriting 10,000,000 keys at random writes 4.24 bytes for one so, instead of 4.80 by
 * turns, and 4.00 with tables that end where those below do.) The most urgent level of all
 * keyspaces comes first. A compaction of the whole makes each level due that is not empty and has
 * entries below it, so that in the end all of a keyspace is in one level.
 *
 * Of a KEYSPACE_APPEND nothing overlaps; its fresh tables are gathered into partitions when there
 * are `l0_trigger` of them, together with the partitions before them, as long as those are no
 * larger than what follows them, far below their bound in bytes, and within that in time. Before
 * anything else, tables below the floor are dropped, whether damaged or not; after all else, the
 * partition that the floor divides is rewritten, if enough of it is dead.
 *
 * Tables that are damaged (table_file_is_damaged) are never picked, nor are those that
 * would have to be merged with them: what can be merged apart from them is. Nor are those that
 * other compactions have taken (table_file_is_taken), so several can be under way:
 *
 * - The tables of a pick below level 0 all touch the one that is picked, and whatever touches that
 *   is part of it. So two picks of the same levels that share no table share no key.
 * - Of level 0 there is one pick at a time, since it is all of it that was there; while it waits
 *   for tables of level 1, none of those is taken for another merge.
 * - Of the fresh tables of a KEYSPACE_APPEND there is one pick at a time.
 *
 * Pure functions of a version; any thread.
 */
#ifndef ESTREAT_STORAGE_TREE_PICK_H
#define ESTREAT_STORAGE_TREE_PICK_H

#include "storage/keyspace.h"
#include "storage/tree/catalog.h"

struct pick_options {
    const struct keyspace_options *keyspaces;
    size_t keyspace_count;
    size_t l0_trigger;
    size_t l0_latest;
    uint64_t level_base_bytes; /* target of level 1 */
    uint64_t level_multiplier;
    uint64_t table_bytes;       /* bound of partitions that have no other; 0: none */
    const struct floor *floors; /* one a keyspace: nobody needs what is below; NULL: none */
    bool rewrite;               /* partitions that are partly below */
    bool whole;                 /* whatever the sizes are */
    bool only_level0;           /* the rest has time, but for what is only dropped */
};

/* What to compact: the tables [begin, end) of `level` with those at [below_begin, below_end) of
 * level + 1 that overlap them. */
struct pick {
    unsigned keyspace;
    unsigned level;
    size_t begin;
    size_t end;
    size_t below_begin;
    size_t below_end;
    bool move; /* nothing overlaps: the one table goes down as it is */
    bool drop; /* the tables go, and nothing is written; else, if begin is end: those below alone */
    struct floor floor; /* what is below is not written */
};

/* The tables of a pick, those of its level first. */
static inline size_t pick_table_count(const struct pick *pick)
{
    return pick->end - pick->begin + pick->below_end - pick->below_begin;
}

static inline struct table_file *pick_table_at(const struct version *version,
                                               const struct pick *pick, size_t index)
{
    size_t above = pick->end - pick->begin;
    return index < above ? version_at(version, pick->keyspace, pick->level, pick->begin + index)
                         : version_at(version, pick->keyspace, pick->level + 1,
                                      pick->below_begin + index - above);
}

/* False: nothing is due, or nothing of what is can be merged. */
bool pick_compaction(const struct version *version, const struct pick_options *options,
                     struct pick *out);

/* Bytes that are to be merged until nothing is due: of level 0 if it is, and what the levels below
 * hold above their targets. */
uint64_t pick_debt(const struct version *version, const struct pick_options *options);

/* True if level 0 of any keyspace is due, and no damage keeps it from being merged. */
bool pick_level0_is_due(const struct version *version, const struct pick_options *options);

/* Bytes of a KEYSPACE_APPEND's tables that are below the floor: of the table that it divides, the
 * share that lies below in the space of its keys. */
uint64_t pick_dead_bytes(const struct version *version, unsigned keyspace,
                         const struct floor *floor);

/* What stalls look at: the most level-0 tables that a leveled keyspace has, of the keyspaces whose
 * level 0 can be merged, and of those in which damage is in the way. */
struct pick_level0 {
    size_t mergeable;
    size_t stuck;
};

struct pick_level0 pick_level0(const struct version *version,
                               const struct keyspace_options *keyspaces, size_t keyspace_count);

#endif
