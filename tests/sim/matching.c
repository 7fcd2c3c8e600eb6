/* SPDX-License-Identifier: Apache-2.0
 *
 * Log matching (Raft paper 5.3): entries of one index and term follow entries of one term, in
 * whichever log they are, committed or not. So if two logs have such an entry they are equal up to
 * it, for one leader made it once. A table of what was seen, by index and term.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "sim.h"

#define PLACES_MIN 4096U

static struct sim_followed *place(const struct sim_matching *matching, uint64_t index,
                                  uint64_t term)
{
    uint64_t at = (index * 0x9e3779b97f4a7c15U) ^ (term * 0xbf58476d1ce4e5b9U);
    at ^= at >> 29;
    for (;; at++) {
        struct sim_followed *found = &matching->places[at & (matching->capacity - 1)];
        if (found->index == 0 || (found->index == index && found->term == term)) {
            return found;
        }
    }
}

static void grow(struct sim_matching *matching)
{
    struct sim_matching larger = {.capacity =
                                      matching->capacity == 0 ? PLACES_MIN : 2 * matching->capacity,
                                  .count = matching->count};
    larger.places = calloc(larger.capacity, sizeof *larger.places);
    CHECK(larger.places != NULL);
    for (size_t i = 0; i < matching->capacity; i++) {
        const struct sim_followed *old = &matching->places[i];
        if (old->index != 0) {
            *place(&larger, old->index, old->term) = *old;
        }
    }
    free(matching->places);
    *matching = larger;
}

static void see(struct sim_node *node, uint64_t index, uint64_t term, uint64_t before)
{
    struct sim_matching *matching = &node->sim->checks.matching;
    if (2 * matching->count >= matching->capacity) {
        grow(matching);
    }
    struct sim_followed *known = place(matching, index, term);
    if (known->index == 0) {
        *known = (struct sim_followed){.index = index, .term = term, .before = before};
        matching->count++;
    } else if (known->before != before) {
        world_break(&node->sim->world, "log matching",
                    "n%u: entry %" PRIu64 " of term %" PRIu64 " follows term %" PRIu64
                    "; elsewhere term %" PRIu64,
                    node->number + 1, index, term, before, known->before);
    }
}

void matching_check(struct sim_node *node)
{
    const struct wal *wal = node->replica->wal;
    uint64_t last = wal_last_index(wal);
    uint64_t term = 0;
    uint64_t before = 0;
    /* All that was seen of this log is in it still, unless a tail was cut: then from what cannot
     * have been on. */
    if (node->matched_index > last ||
        (wal_term_at(wal, node->matched_index, &term) && term != node->matched_term)) {
        node->matched_index = node->commit < last ? node->commit : last;
    }
    for (uint64_t index = node->matched_index + 1; index <= last; index++) {
        if (wal_term_at(wal, index - 1, &before) && wal_term_at(wal, index, &term)) {
            see(node, index, term, before);
        }
    }
    node->matched_index = last;
    node->matched_term = wal_term_at(wal, last, &term) ? term : 0;
}

void matching_release(struct sim_matching *matching)
{
    free(matching->places);
}
