/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/wal/terms.h"

#include "base/check.h"

void wal_terms_init(struct wal_terms *terms, struct alloc *alloc)
{
    *terms = (struct wal_terms){.alloc = alloc};
}

void wal_terms_release(struct wal_terms *terms)
{
    alloc_free(terms->alloc, terms->runs);
    terms->runs = NULL;
    terms->count = 0;
    terms->capacity = 0;
}

bool wal_terms_reserve(struct wal_terms *terms, size_t more)
{
    if (terms->capacity - terms->count >= more) {
        return true;
    }
    size_t capacity =
        terms->capacity * 2 > terms->count + more ? terms->capacity * 2 : terms->count + more;
    struct wal_term_run *runs =
        alloc_resize(terms->alloc, terms->runs, capacity * sizeof *terms->runs);
    if (runs == NULL) {
        return false;
    }
    terms->runs = runs;
    terms->capacity = capacity;
    return true;
}

uint64_t wal_terms_last(const struct wal_terms *terms)
{
    return terms->count == 0 ? terms->base_term : terms->runs[terms->count - 1].term;
}

void wal_terms_append(struct wal_terms *terms, uint64_t term)
{
    CHECK(term >= wal_terms_last(terms));
    terms->last_index++;
    if (terms->count > 0 && terms->runs[terms->count - 1].term == term) {
        return;
    }
    CHECK(terms->count < terms->capacity);
    terms->runs[terms->count++] =
        (struct wal_term_run){.first_index = terms->last_index, .term = term};
}

void wal_terms_truncate(struct wal_terms *terms, uint64_t last_index)
{
    CHECK(last_index >= terms->base_index);
    CHECK(last_index <= terms->last_index);
    while (terms->count > 0 && terms->runs[terms->count - 1].first_index > last_index) {
        terms->count--;
    }
    terms->last_index = last_index;
}

void wal_terms_reset(struct wal_terms *terms, uint64_t index, uint64_t term)
{
    terms->count = 0;
    terms->base_index = index;
    terms->base_term = term;
    terms->last_index = index;
}

void wal_terms_purge(struct wal_terms *terms, uint64_t index)
{
    uint64_t term = 0;
    CHECK(wal_terms_at(terms, index, &term));
    size_t gone = 0;
    while (gone < terms->count && terms->runs[gone].first_index <= index) {
        gone++;
    }
    /* The run that holds `index` goes on behind it, unless the next one begins there. */
    if (gone > 0) {
        uint64_t end = gone < terms->count ? terms->runs[gone].first_index : terms->last_index + 1;
        if (index + 1 < end) {
            gone--;
            terms->runs[gone].first_index = index + 1;
        }
        terms->count -= gone;
        memmove(terms->runs, terms->runs + gone, terms->count * sizeof *terms->runs);
    }
    terms->base_index = index;
    terms->base_term = term;
    CHECK(terms->count == 0 || terms->runs[0].first_index == index + 1);
}

bool wal_terms_at(const struct wal_terms *terms, uint64_t index, uint64_t *term)
{
    if (index < terms->base_index || index > terms->last_index) {
        return false;
    }
    if (index == terms->base_index) {
        *term = terms->base_term;
        return true;
    }
    size_t low = 0;
    size_t high = terms->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (terms->runs[middle].first_index <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    CHECK(low < terms->count);
    CHECK(terms->runs[low].first_index <= index);
    *term = terms->runs[low].term;
    return true;
}
