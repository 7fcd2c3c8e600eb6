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
    for (size_t i = 0; i < pick_table_count(pick); i++) {
        if (!is(pick_table_at(version, pick, i))) {
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

static uint64_t bytes_below(const struct version *version, const struct pick *pick)
{
    uint64_t bytes = 0;
    for (size_t i = pick->below_begin; i < pick->below_end; i++) {
        bytes += version_at(version, pick->keyspace, pick->level + 1, i)->bytes;
    }
    return bytes;
}

/* True if so many tables of level 0 should go down: from the trigger on once they are no less than
 * what they would be merged with, since all of that is written again; in the end whatever it is. */
static bool level0_is_due(const struct version *version, const struct pick_options *options,
                          unsigned keyspace, size_t count)
{
    if (count < options->l0_trigger || count >= options->l0_latest) {
        return count >= options->l0_trigger;
    }
    struct pick pick = {.keyspace = keyspace};
    pick_level0_tables(version, &pick);
    return version_bytes(version, keyspace, 0) >= bytes_below(version, &pick);
}

/* Of all its tables, whoever has taken them, unless damage keeps them from being merged. */
static bool all_level0_is_due(const struct version *version, const struct pick_options *options,
                              unsigned keyspace)
{
    size_t count = version_count(version, keyspace, 0);
    if (count == 0 || !level0_is_due(version, options, keyspace, count)) {
        return false;
    }
    struct pick pick = {.keyspace = keyspace};
    pick_level0_tables(version, &pick);
    return are_all(version, &pick, is_sound);
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
        size_t count = count_free(version, keyspace, 0);
        return level0_is_due(version, options, keyspace, count)
                   ? (double)count / (double)options->l0_trigger
                   : 0.0;
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

/* A table goes down whatever that costs once so many tables were made since for each that its level
 * has: some three times as long as all of the level take to go down by turns. Else what is dear, as
 * a few deletions over much that they delete, might wait for ever. */
#define TABLES_MADE_MAX 64U

/* What it costs to merge the one table of a pick: bytes of the level below for each of its own. */
static double cost_of(const struct version *version, const struct pick *pick, uint64_t newest)
{
    const struct table_file *file = pick_table_at(version, pick, 0);
    uint64_t count = version_count(version, pick->keyspace, pick->level);
    bool has_waited = newest - file->number > TABLES_MADE_MAX * count;
    return has_waited ? -1.0 : (double)bytes_below(version, pick) / (double)file->bytes;
}

static uint64_t newest_number(const struct version *version, unsigned keyspace, unsigned level)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < version_count(version, keyspace, level); i++) {
        uint64_t number = version_at(version, keyspace, level, i)->number;
        newest = number > newest ? number : newest;
    }
    return newest;
}

/* The table of a level below that can be merged at the least cost. False: there is none. */
static bool pick_cheapest_table(const struct version *version, struct pick *pick)
{
    size_t count = version_count(version, pick->keyspace, pick->level);
    uint64_t newest = newest_number(version, pick->keyspace, pick->level);
    struct pick cheapest = *pick;
    double least_cost = 0.0;
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        const struct table_file *file = version_at(version, pick->keyspace, pick->level, i);
        struct pick one = {.keyspace = pick->keyspace, .level = pick->level, .begin = i};
        one.end = i + 1;
        find_below(version, &one, internal_key_user(file->smallest),
                   internal_key_user(file->largest));
        if (!are_all(version, &one, is_free)) {
            continue;
        }
        double cost = cost_of(version, &one, newest);
        if (!found || cost < least_cost) {
            cheapest = one;
            least_cost = cost;
            found = true;
        }
    }
    *pick = cheapest;
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

/* Tables taken together; the times of those that do not know theirs do not count. */
struct gathered {
    uint64_t bytes;
    struct time_bounds times;
};

static void gather(struct gathered *to, const struct table_file *file)
{
    to->bytes += file->bytes;
    if (file->times.known) {
        time_bounds_add(&to->times, file->times.smallest);
        time_bounds_add(&to->times, file->times.largest);
    }
}

/* True if the partition may grow by what follows it. */
static bool may_grow(const struct pick_options *options, const struct keyspace_options *keyspace,
                     const struct table_file *last, const struct gathered *following)
{
    uint64_t bytes_max = keyspace_partition_bytes(keyspace, options->table_bytes);
    struct gathered both = *following;
    gather(&both, last);
    if (!is_free(last) || last->bytes > following->bytes ||
        (bytes_max > 0 && last->bytes >= bytes_max / 2 + 1)) {
        return false;
    }
    return !keyspace->timed || last->bytes < keyspace_partition_bytes_min(keyspace) ||
           both.times.largest - both.times.smallest <= keyspace_partition_span(keyspace);
}

/* The partitions that end right before what is picked grow, as long as they are not the larger
 * part: so they come to their size with few rewrites. */
static void pick_last_partitions(const struct version *version, const struct pick_options *options,
                                 struct pick *pick)
{
    struct gathered following = {.bytes = 0};
    for (size_t i = pick->begin; i < pick->end; i++) {
        gather(&following, version_at(version, pick->keyspace, pick->level, i));
    }
    while (pick->below_begin > 0) {
        const struct table_file *last =
            version_at(version, pick->keyspace, pick->level + 1, pick->below_begin - 1);
        if (!may_grow(options, &options->keyspaces[pick->keyspace], last, &following)) {
            return;
        }
        gather(&following, last);
        pick->below_begin--;
    }
}

/* Fresh tables of a KEYSPACE_APPEND, the oldest ones that are sound and lie between the same two
 * partitions. False: there are fewer than two of them, or than one for the whole; or some are being
 * gathered: what comes of them may lie between these and the partition that would grow. */
static bool pick_fresh_tables(const struct version *version, const struct pick_options *options,
                              struct pick *pick)
{
    size_t count = version_count(version, pick->keyspace, pick->level);
    if (count_free(version, pick->keyspace, pick->level) < count) {
        return false;
    }
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
            pick_last_partitions(version, options, pick);
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
        found = pick_cheapest_table(version, pick);
    }
    pick->move = pick->end - pick->begin == 1 && pick->below_begin == pick->below_end;
    return found;
}

/* --- below the floor ------------------------------------------------------------------------- */

/* The first 8 bytes of a key behind `skip`, as a number; zeros behind its end. */
static uint64_t number_at(struct slice key, size_t skip)
{
    uint8_t bytes[8] = {0};
    for (size_t i = 0; i < sizeof bytes && skip + i < key.length; i++) {
        bytes[i] = key.data[skip + i];
    }
    return get_be64(bytes);
}

/* Positions are dense, and their sizes alike. */
static uint64_t dead_bytes_of(const struct table_file *file, const struct floor *floor)
{
    struct slice smallest = internal_key_user(file->smallest);
    struct slice largest = internal_key_user(file->largest);
    if (!floor_hides(floor, smallest)) {
        return 0;
    }
    if (floor_hides(floor, largest)) {
        return file->bytes;
    }
    size_t shared = 0;
    while (shared < smallest.length && shared < largest.length &&
           smallest.data[shared] == largest.data[shared]) {
        shared++;
    }
    double begin = (double)number_at(smallest, shared);
    double width = (double)(number_at(largest, shared) - number_at(smallest, shared)) + 1;
    double dead = (double)number_at(floor_key(floor), shared) - begin;
    return dead < 0 ? 0 : (uint64_t)((double)file->bytes * (dead / width));
}

uint64_t pick_dead_bytes(const struct version *version, unsigned keyspace,
                         const struct floor *floor)
{
    uint64_t bytes = 0;
    if (floor->length == 0) {
        return 0;
    }
    for (unsigned level = KEYSPACE_FRESH_LEVEL; level <= KEYSPACE_PARTITION_LEVEL; level++) {
        size_t end = version_lower_bound(version, keyspace, level, floor_key(floor));
        for (size_t i = 0; i < end; i++) {
            bytes += version_at(version, keyspace, level, i)->bytes;
        }
        if (end < version_count(version, keyspace, level)) {
            bytes += dead_bytes_of(version_at(version, keyspace, level, end), floor);
        }
    }
    return bytes;
}

static const struct floor *floor_of(const struct pick_options *options, unsigned keyspace)
{
    static const struct floor none = {.length = 0};
    return options->floors == NULL || options->keyspaces[keyspace].layout != KEYSPACE_APPEND
               ? &none
               : &options->floors[keyspace];
}

static bool is_taken(const struct version *version, const struct pick *pick, size_t index)
{
    return table_file_is_taken(version_at(version, pick->keyspace, pick->level, index));
}

/* Tables of a level that are below a floor: the first ones in a row that nobody merges. */
static bool pick_dead(const struct version *version, const struct pick_options *options,
                      struct pick *out)
{
    for (unsigned keyspace = 0; keyspace < options->keyspace_count; keyspace++) {
        const struct floor *floor = floor_of(options, keyspace);
        if (floor->length == 0) {
            continue;
        }
        for (unsigned level = KEYSPACE_FRESH_LEVEL; level <= KEYSPACE_PARTITION_LEVEL; level++) {
            struct pick pick = {.keyspace = keyspace, .level = level, .drop = true};
            size_t end = version_lower_bound(version, keyspace, level, floor_key(floor));
            while (pick.begin < end && is_taken(version, &pick, pick.begin)) {
                pick.begin++;
            }
            pick.end = pick.begin;
            while (pick.end < end && !is_taken(version, &pick, pick.end)) {
                pick.end++;
            }
            if (pick.end > pick.begin) {
                *out = pick;
                return true;
            }
        }
    }
    return false;
}

/* The partition of which the most is dead, among those that a floor divides. */
static bool pick_divided(const struct version *version, const struct pick_options *options,
                         struct pick *out)
{
    uint64_t most = 0;
    for (unsigned keyspace = 0; keyspace < options->keyspace_count; keyspace++) {
        const struct keyspace_options *of = &options->keyspaces[keyspace];
        const struct floor *floor = floor_of(options, keyspace);
        if (floor->length == 0) {
            continue;
        }
        size_t index =
            version_lower_bound(version, keyspace, KEYSPACE_PARTITION_LEVEL, floor_key(floor));
        if (index == version_count(version, keyspace, KEYSPACE_PARTITION_LEVEL)) {
            continue;
        }
        const struct table_file *file =
            version_at(version, keyspace, KEYSPACE_PARTITION_LEVEL, index);
        uint64_t dead = dead_bytes_of(file, floor);
        uint64_t percent = of->rewrite_percent == 0 ? 50 : of->rewrite_percent;
        uint64_t bytes_min = of->rewrite_bytes_min == 0 ? 1 * MIB : of->rewrite_bytes_min;
        bool due = options->whole || (file->bytes >= bytes_min &&
                                      (double)dead * 100 >= (double)file->bytes * (double)percent);
        if (due && dead > most && is_free(file)) {
            most = dead;
            *out = (struct pick){.keyspace = keyspace,
                                 .level = KEYSPACE_FRESH_LEVEL,
                                 .below_begin = index,
                                 .below_end = index + 1,
                                 .floor = *floor};
        }
    }
    return most > 0;
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
        struct pick pick = {
            .keyspace = keyspace, .level = level, .floor = *floor_of(options, keyspace)};
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
    CHECK(options->l0_trigger > 0 && options->l0_latest >= options->l0_trigger);
    CHECK(options->level_base_bytes > 0 && options->level_multiplier > 0);
    if (pick_dead(version, options, out)) {
        return true;
    }
    double most = 0.0;
    bool found = false;
    for (unsigned keyspace = 0; keyspace < options->keyspace_count; keyspace++) {
        found = pick_of_keyspace(version, options, keyspace, &most, out) || found;
    }
    if (!found && !options->only_level0 && (options->rewrite || options->whole)) {
        found = pick_divided(version, options, out);
    }
    return found;
}

uint64_t pick_debt(const struct version *version, const struct pick_options *options)
{
    uint64_t debt = 0;
    for (unsigned keyspace = 0; keyspace < options->keyspace_count; keyspace++) {
        bool appends = options->keyspaces[keyspace].layout == KEYSPACE_APPEND;
        unsigned top = appends ? KEYSPACE_FRESH_LEVEL : 0;
        if (appends ? version_count(version, keyspace, top) >= options->l0_trigger
                    : all_level0_is_due(version, options, keyspace)) {
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

bool pick_level0_is_due(const struct version *version, const struct pick_options *options)
{
    bool due = false;
    for (unsigned keyspace = 0; keyspace < options->keyspace_count && !due; keyspace++) {
        due = options->keyspaces[keyspace].layout == KEYSPACE_LEVELED &&
              all_level0_is_due(version, options, keyspace);
    }
    return due;
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
