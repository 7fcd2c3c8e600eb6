/* SPDX-License-Identifier: Apache-2.0 */
#include "facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

#define FNV_PRIME 0x100000001b3ULL

void facts_release(struct facts *facts)
{
    free(facts->leaders);
    free(facts->committed);
    *facts = (struct facts){0};
}

static uint64_t *slot(uint64_t **items, size_t *capacity, uint64_t at)
{
    if (at >= *capacity) {
        size_t grown = (size_t)at * 2 + 64;
        *items = realloc(*items, grown * sizeof **items);
        CHECK(*items != NULL);
        for (size_t i = *capacity; i < grown; i++) {
            (*items)[i] = 0;
        }
        *capacity = grown;
    }
    return *items + at;
}

static uint64_t add_byte(uint64_t digest, uint8_t byte)
{
    return (digest ^ byte) * FNV_PRIME;
}

static uint64_t add_number(uint64_t digest, uint64_t number)
{
    for (unsigned shift = 0; shift < 64; shift += 8) {
        digest = add_byte(digest, (uint8_t)(number >> shift));
    }
    return digest;
}

uint64_t facts_digest(uint64_t before, const struct raft_entry *entry)
{
    uint64_t digest = add_number(add_number(before, entry->index), entry->term);
    if (entry->type == RAFT_ENTRY_MEMBERSHIP) {
        return add_byte(digest, 2);
    }
    digest = add_byte(digest, entry->length == 0 ? 1 : 0);
    for (uint32_t i = 0; i < entry->length; i++) {
        digest = add_byte(digest, entry->data[i]);
    }
    return digest;
}

void facts_lead(struct facts *facts, uint64_t term, uint64_t id)
{
    uint64_t *leader = slot(&facts->leaders, &facts->term_capacity, term);
    if (*leader != 0 && *leader != id) {
        printf("unsafe nodes %" PRIu64 " and %" PRIu64 " lead term %" PRIu64 "\n", *leader, id,
               term);
    }
    *leader = id;
}

void facts_commit(struct facts *facts, uint64_t id, uint64_t index, uint64_t digest)
{
    uint64_t *committed = slot(&facts->committed, &facts->index_capacity, index);
    if (*committed != 0 && *committed != digest) {
        printf("unsafe node %" PRIu64 " commits another entry %" PRIu64 "\n", id, index);
    }
    *committed = digest;
}
