/* SPDX-License-Identifier: Apache-2.0
 *
 * Terms: the term of every index of a log, as runs, since terms change rarely.
 * The log is (base_index, last_index]; the base is the entry before the first one,
 * whose term is known too. The owner's thread only.
 */
#ifndef ESTREAT_STORAGE_WAL_TERMS_H
#define ESTREAT_STORAGE_WAL_TERMS_H

#include "storage/wal/wal.h"

struct wal_terms {
    struct alloc *alloc;
    struct wal_term_run *runs; /* rising indexes and terms; the first begins at base_index + 1 */
    size_t count;
    size_t capacity;
    uint64_t base_index;
    uint64_t base_term;
    uint64_t last_index;
};

/* An empty log after (0, 0). Borrows `alloc`. */
void wal_terms_init(struct wal_terms *terms, struct alloc *alloc);
void wal_terms_release(struct wal_terms *terms);

/* Room for that many more runs. False without memory. */
bool wal_terms_reserve(struct wal_terms *terms, size_t more) MUST_USE;

/* The next entry has this term, not below the last one's. Uses reserved room. */
void wal_terms_append(struct wal_terms *terms, uint64_t term);

/* Entries above `last_index`, which is in [base_index, last_index], are gone. */
void wal_terms_truncate(struct wal_terms *terms, uint64_t last_index);

/* All entries are gone; the log is empty after (index, term). */
void wal_terms_reset(struct wal_terms *terms, uint64_t index, uint64_t term);

/* Entries up to `index`, which is in [base_index, last_index], are gone. */
void wal_terms_purge(struct wal_terms *terms, uint64_t index);

/* False outside [base_index, last_index]. */
bool wal_terms_at(const struct wal_terms *terms, uint64_t index, uint64_t *term);

uint64_t wal_terms_last(const struct wal_terms *terms);

#endif
