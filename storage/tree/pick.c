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

/* 1 or more: due. */
static double urgency(const struct version *version, const struct pick_options *options,
                      unsigned keyspace, unsigned level)
{
    if (level == 0) {
        return (double)version_count(version, keyspace, 0) / (double)options->l0_trigger;
    }
    return (double)version_bytes(version, keyspace, level) / (double)level_target(options, level);
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

static void pick_tables(const struct version *version, struct pick *pick)
{
    size_t count = version_count(version, pick->keyspace, pick->level);
    CHECK(count > 0);
    pick->begin = 0;
    pick->end = count;
    if (pick->level > 0) {
        for (size_t i = 1; i < count; i++) {
            if (version_at(version, pick->keyspace, pick->level, i)->number <
                version_at(version, pick->keyspace, pick->level, pick->begin)->number) {
                pick->begin = i;
            }
        }
        pick->end = pick->begin + 1;
    }
    struct table_file *first = version_at(version, pick->keyspace, pick->level, pick->begin);
    struct slice smallest = internal_key_user(first->smallest);
    struct slice largest = internal_key_user(first->largest);
    for (size_t i = pick->begin + 1; i < pick->end; i++) {
        const struct table_file *file = version_at(version, pick->keyspace, pick->level, i);
        if (slice_compare(internal_key_user(file->smallest), smallest) < 0) {
            smallest = internal_key_user(file->smallest);
        }
        if (slice_compare(internal_key_user(file->largest), largest) > 0) {
            largest = internal_key_user(file->largest);
        }
    }
    find_below(version, pick, smallest, largest);
    pick->move = pick->end - pick->begin == 1 && pick->below_begin == pick->below_end;
}

bool pick_compaction(const struct version *version, const struct pick_options *options,
                     struct pick *out)
{
    CHECK(options->l0_trigger > 0);
    CHECK(options->level_base_bytes > 0 && options->level_multiplier > 0);
    double most = 1.0;
    bool found = false;
    for (unsigned keyspace = 0; keyspace < options->keyspace_count; keyspace++) {
        if (options->keyspaces[keyspace].layout != KEYSPACE_LEVELED) {
            continue;
        }
        for (unsigned level = 0; level + 1 < TREE_LEVELS; level++) {
            double present = urgency(version, options, keyspace, level);
            if (present < most || (found && present <= most)) {
                continue;
            }
            most = present;
            found = true;
            *out = (struct pick){.keyspace = keyspace, .level = level};
        }
    }
    if (found) {
        pick_tables(version, out);
    }
    return found;
}

size_t pick_level0_count(const struct version *version, const struct keyspace_options *keyspaces,
                         size_t keyspace_count)
{
    size_t most = 0;
    for (unsigned keyspace = 0; keyspace < keyspace_count; keyspace++) {
        size_t count = version_count(version, keyspace, 0);
        if (keyspaces[keyspace].layout == KEYSPACE_LEVELED && count > most) {
            most = count;
        }
    }
    return most;
}
