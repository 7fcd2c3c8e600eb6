/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshot_plan: what is to be pulled: a description as one list, checked, in the order of
 * the files' names. A plain value of its owner.
 */
#ifndef ESTREAT_NODE_SNAPSHOT_PLAN_H
#define ESTREAT_NODE_SNAPSHOT_PLAN_H

#include "merkle/note.h"
#include "merkle/proof.h"
#include "node/snapshot.h"
#include "schema/snapshot.pb-c.h"

#define SNAPSHOT_NAME_BYTES 32

struct snapshot_plan_file {
    char name[SNAPSHOT_NAME_BYTES];
    uint64_t number; /* at the source */
    uint64_t bytes;
    struct hash sum;
    bool fetched;  /* it is staged with this hash, and synced */
    bool verified; /* and is a table without fault */
};

struct snapshot_plan {
    struct alloc *alloc;
    uint64_t checkpoint; /* 0: nothing was added yet */
    uint64_t index;
    uint64_t term;
    uint64_t size;
    struct snapshot_plan_file *files; /* ascending by name once complete */
    size_t count;
    size_t expected;
    uint64_t total_bytes;
    struct buf head;
    char verifier_key[NOTE_VERIFIER_TEXT_BYTES_MAX];
    struct hash path[PROOF_HASHES_MAX];
    unsigned path_count;
};

void snapshot_plan_init(struct snapshot_plan *plan, struct alloc *alloc);
void snapshot_plan_release(struct snapshot_plan *plan); /* may be initialised again */
void snapshot_plan_clear(struct snapshot_plan *plan);

/* Adds a page of the list; the first one says the rest, too. INVALID_ARGUMENT: it makes no sense,
 * and the plan is to be cleared. */
enum status snapshot_plan_add(struct snapshot_plan *plan,
                              const Estreat__V1__SnapshotDescription *page,
                              struct error *err) MUST_USE;

static inline bool snapshot_plan_is_complete(const struct snapshot_plan *plan)
{
    return plan->checkpoint != 0 && plan->count == plan->expected;
}

/* The file of a complete plan with this name, or NULL. */
struct snapshot_plan_file *snapshot_plan_find(struct snapshot_plan *plan, const char *name);

/* What is known of the files of an earlier plan holds for the same files of this one. Both are
 * complete. */
void snapshot_plan_carry(struct snapshot_plan *plan, struct snapshot_plan *earlier);

#endif
