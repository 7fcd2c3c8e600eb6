/* SPDX-License-Identifier: Apache-2.0
 *
 * Facts: what must hold in a cluster of Raft cores whatever happens to it (paper, figure 3): one
 * leader a term, and what is committed never changes. And the digests that make logs comparable
 * with those of the other program. One thread.
 */
#ifndef ESTREAT_TESTS_ORACLE_FACTS_H
#define ESTREAT_TESTS_ORACLE_FACTS_H

#include "raft/raft.h"

struct facts {
    uint64_t *leaders; /* by term, 0: none seen */
    size_t term_capacity;
    uint64_t
        *committed; /* digest of the log up to and with the entry, by index; 0: not committed */
    size_t index_capacity;
};

void facts_release(struct facts *facts);

/* FNV-1a over index, term, whether it is empty or a change of the members, and the bytes, but not
 * those of a change, which are others in the other program: the members are compared as such.
 * Begins with FACTS_DIGEST_EMPTY, goes on with the digest of what is before. */
#define FACTS_DIGEST_EMPTY 0xcbf29ce484222325ULL
uint64_t facts_digest(uint64_t before, const struct raft_entry *entry);

/* `id` leads `term`. Prints "unsafe ..." if another one does. */
void facts_lead(struct facts *facts, uint64_t term, uint64_t id);

/* `id` has committed up to `index`, and `digest` is that of its log so far. Prints "unsafe ..."
 * if another log was committed. */
void facts_commit(struct facts *facts, uint64_t id, uint64_t index, uint64_t digest);

#endif
