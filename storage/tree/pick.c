/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/pick.h"

#include "base/check.h"
#include "storage/table/key.h"

/* Grows without overflow: past it no level is ever due. */
static uint64_t level_target(const struct pick_options *options, unsigned level)
{
    uint64_t target = options->level_base_bytes;
    for (unsigned i = 1; i < level; i++) {
        if (target > UINT64_MAX / options->level_multiplier) {
            return UINT64_MAX;
        }
        target *= options->level_multiplier;
    }
    return target;
}

/* Where a compaction of the whole takes everything: level 1 or below. */
static unsigned lowest_level(const struct version *version, unsigned keyspace)
{
    unsigned level = TREE_LEVELS - 1;
    while (level > 1 && version_count(version, keyspace, level) == 0) {
        level--;
    }
    return level;
}

/* Tables that no compaction has taken yet. For levels of few tables. */
static size_t count_free(const struct version *version, unsigned keyspace, unsigned level)
{
    size_t count = 0;
    for (size_t i = 0; i < version_count(version, keyspace, level); i++) {
        count += table_file_is_taken(version_at(version, keyspace, level, i)) ? 0 : 1;
    }
    return count;
}

/* 1 or more: due. */
static double urgency(const struct version *version, const struct pick_options *options,
                      unsigned keyspace, unsigned level)
{
    if (options->whole) {
        bool due =
            level < lowest_level(version, keyspace) && version_count(version, keyspace, level) > 0;
        return due ? (double)(TREE_LEVELS - level) : 0.0;
    }
    if (level == 0) {
        return (double)count_free(version, keyspace, 0) / (double)options->l0_trigger;
    }
    return (double)version_bytes(version, keyspace, level) / (double)level_target(options, level);
}

/* As above, of the fresh tables of a KEYSPACE_APPEND. */
static double urgency_of_fresh(const struct version *version, const struct pick_options *options,
                               unsigned keyspace)
{
    size_t count = count_free(version, keyspace, KEYSPACE_FRESH_LEVEL);
    return options->whole ? (double)(count > 0) : (double)count / (double)options->l0_trigger;
}

/* The tables of the level below that overlap user keys [smallest, largest]. */
static void find_below(const struct version *version, struct pick *pick, struct slice smallest,
                       struct slice largest)
{
    unsigned below = pick->level + 1;
    pick->below_begin = version_lower_bound(version, pick->keyspace, below, smallest);
    pick->below_end = pick->below_begin;
    while (pick->below_end < version_count(version, pick->keyspace, below)) {
        const struct table_file *file = version_at(version, pick->keyspace, below, pick->below_end);
        if (slice_compare(internal_key_user(file->smallest), largest) > 0) {
            break;
        }
        pick->below_end++;
    }
}

static bool is_free(const struct table_file *file)
{
    return !table_file_is_damaged(file) && !table_file_is_taken(file);
}

static bool is_sound(const struct table_file *file)
{
    return !table_file_is_damaged(file);
}

/* True if all of the tables of the pick are so. */
static bool are_all(const struct version *version, const struct pick *pick,
                    bool (*is)(const struct table_file *file))
{
    for (size_t i = pick->begin; i < pick->end; i++) {
        if (!is(version_at(version, pick->keyspace, pick->level, i))) {
            return false;
        }
    }
    for (size_t i = pick->below_begin; i < pick->below_end; i++) {
        if (!is(version_at(version, pick->keyspace, pick->level + 1, i))) {
            return false;
        }
    }
    return true;
}

/* All of level 0, which must not be empty, whoever has taken it and whatever is damaged. */
static void pick_level0_tables(const struct version *version, struct pick *pick)
{
    pick->begin = 0;
    pick->end = version_count(version, pick->keyspace, 0);
    CHECK(pick->end > 0);
    struct table_file *first = version_at(version, pick->keyspace, 0, 0);
    struct slice smallest = internal_key_user(first->smallest);
    struct slice largest = internal_key_user(first->largest);
    for (size_t i = 1; i < pick->end; i++) {
        const struct table_file *file = version_at(version, pick->keyspace, 0, i);
        if (slice_compare(internal_key_user(file->smallest), smallest) < 0) {
            smallest = internal_key_user(file->smallest);
        }
        if (slice_compare(internal_key_user(file->largest), largest) > 0) {
            largest = internal_key_user(file->largest);
        }
    }
    find_below(version, pick, smallest, largest);
}

/* The oldest table of a level below that can be merged. False: there is none. */
static bool pick_oldest_table(const struct version *version, struct pick *pick)
{
    size_t count = version_count(version, pick->keyspace, pick->level);
    struct pick oldest = *pick;
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        const struct table_file *file = version_at(version, pick->keyspace, pick->level, i);
        if (found &&
            file->number > version_at(version, pick->keyspace, pick->level, oldest.begin)->number) {
            continue;
        }
        struct pick one = {.keyspace = pick->keyspace, .level = pick->level, .begin = i};
        one.end = i + 1;
        find_below(version, &one, internal_key_user(file->smallest),
                   internal_key_user(file->largest));
        if (are_all(version, &one, is_free)) {
            oldest = one;
            found = true;
        }
    }
    *pick = oldest;
    return found;
}

static struct slice smallest_of(const struct version *version, const struct pick *pick, size_t i)
{
    return internal_key_user(version_at(version, pick->keyspace, pick->level, i)->smallest);
}

/* Where among the partitions the table at `i` would be. */
static size_t place_below(const struct version *version, const struct pick *pick, size_t i)
{
    return version_lower_bound(version, pick->keyspace, pick->level + 1,
                               smallest_of(version, pick, i));
}

/* The partition that ends right before what is picked grows, if it is not the larger part: so it
 * comes to its size with few rewrites. */
static void pick_last_partition(const struct version *version, struct pick *pick)
{
    size_t place = pick->below_begin;
    uint64_t bytes = 0;
    for (size_t i = pick->begin; i < pick->end; i++) {
        bytes += version_at(version, pick->keyspace, pick->level, i)->bytes;
    }
    if (place > 0) {
        const struct table_file *last =
            version_at(version, pick->keyspace, pick->level + 1, place - 1);
        pick->below_begin -= last->bytes <= bytes && is_free(last) ? 1 : 0;
    }
}

/* Fresh tables of a KEYSPACE_APPEND, the oldest ones that are free and lie between the same two
 * partitions. False: there are fewer than two of them, or than one for the whole. */
static bool pick_fresh_tables(const struct version *version, const struct pick_options *options,
                              struct pick *pick)
{
    size_t count = version_count(version, pick->keyspace, pick->level);
    for (size_t begin = 0; begin<count; begin = pick->end> begin ? pick->end : begin + 1) {
        pick->begin = begin;
        pick->end = begin;
        pick->below_begin = place_below(version, pick, begin);
        pick->below_end = pick->below_begin;
        while (pick->end < count &&
               is_free(version_at(version, pick->keyspace, pick->level, pick->end)) &&
               place_below(version, pick, pick->end) == pick->below_begin) {
            pick->end++;
        }
        if (pick->end - begin >= (options->whole ? 1 : 2)) {
            pick_last_partition(version, pick);
            return true;
        }
    }
    return false;
}

/* *level0_waits: only other compactions keep level 0 from being merged. */
static bool pick_leveled(const struct version *version, struct pick *pick, bool *level0_waits)
{
    bool found = false;
    if (pick->level == 0) {
        pick_level0_tables(version, pick);
        found = are_all(version, pick, is_free);
        *level0_waits = !found && are_all(version, pick, is_sound);
    } else {
        found = pick_oldest_table(version, pick);
    }
    pick->move = pick->end - pick->begin == 1 && pick->below_begin == pick->below_end;
    return found;
}

/* The most urgent level of one keyspace, if it is more urgent than *most. */
static bool pick_of_keyspace(const struct version *version, const struct pick_options *options,
                             unsigned keyspace, double *most, struct pick *out)
{
    bool appends = options->keyspaces[keyspace].layout == KEYSPACE_APPEND;
    unsigned level = appends ? KEYSPACE_FRESH_LEVEL : 0;
    unsigned end = appends ? KEYSPACE_PARTITION_LEVEL : TREE_LEVELS - 1;
    end = options->only_level0 ? 1 - level : end;
    bool level0_waits = false;
    bool found = false;
    for (; level < end; level++) {
        double present = appends ? urgency_of_fresh(version, options, keyspace)
                                 : urgency(version, options, keyspace, level);
        /* Level 0 waits for tables of level 1: whoever took more of them would starve it. */
        bool starves = !appends && level == 1 && level0_waits;
        if (present < 1.0 || present <= *most || starves) {
            continue;
        }
        struct pick pick = {.keyspace = keyspace, .level = level};
        if (appends ? pick_fresh_tables(version, options, &pick)
                    : pick_leveled(version, &pick, &level0_waits)) {
            *most = present;
            found = true;
            *out = pick;
        }
    }
    return found;
}

bool pick_compaction(const struct version *version, const struct pick_options *options,
                     struct pick *out)
{
    CHECK(options->l0_trigger > 0);
    CHECK(options->level_base_bytes > 0 && options->level_multiplier > 0);
    double most = 0.0;
    bool found = false;
    for (unsigned keyspace = 0; keyspace < options->keyspace_count; keyspace++) {
        found = pick_of_keyspace(version, options, keyspace, &most, out) || found;
    }
    return found;
}

uint64_t pick_debt(const struct version *version, const struct pick_options *options)
{
    uint64_t debt = 0;
    for (unsigned keyspace = 0; keyspace < options->keyspace_count; keyspace++) {
        bool appends = options->keyspaces[keyspace].layout == KEYSPACE_APPEND;
        unsigned top = appends ? KEYSPACE_FRESH_LEVEL : 0;
        if (version_count(version, keyspace, top) >= options->l0_trigger) {
            debt += version_bytes(version, keyspace, top);
        }
        for (unsigned level = 1; !appends && level < TREE_LEVELS - 1; level++) {
            uint64_t bytes = version_bytes(version, keyspace, level);
            uint64_t target = level_target(options, level);
            debt += bytes > target ? bytes - target : 0;
        }
    }
    return debt;
}

struct pick_level0 pick_level0(const struct version *version,
                               const struct keyspace_options *keyspaces, size_t keyspace_count)
{
    struct pick_level0 most = {.mergeable = 0};
    for (unsigned keyspace = 0; keyspace < keyspace_count; keyspace++) {
        size_t count = version_count(version, keyspace, 0);
        if (keyspaces[keyspace].layout != KEYSPACE_LEVELED || count == 0) {
            continue;
        }
        struct pick pick = {.keyspace = keyspace};
        pick_level0_tables(version, &pick);
        size_t *of = are_all(version, &pick, is_sound) ? &most.mergeable : &most.stuck;
        *of = count > *of ? count : *of;
    }
    return most;
}
