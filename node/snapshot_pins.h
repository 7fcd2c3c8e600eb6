/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshot_pins: the checkpoints that a source holds for others, and the hashes of their
 * files, which are made in steps of a megabyte. Tables are hashed, and checked whole, once:
 * the next checkpoint has most of them, too. One owner.
 */
#ifndef ESTREAT_NODE_SNAPSHOT_PINS_H
#define ESTREAT_NODE_SNAPSHOT_PINS_H

#include "base/clock.h"
#include "merkle/hash.h"
#include "storage/checkpoint.h"

/* Two members that are behind at once, one of them with a newer one. */
#define SNAPSHOT_PINS_MAX 2U

struct snapshot_sum {
    char name[CHECKPOINT_NAME_BYTES];
    struct hash sum;
};

struct snapshot_pin {
    uint64_t id; /* 0: free */
    struct checkpoint *checkpoint;
    uint64_t index; /* of its seal, as the next two */
    uint64_t term;
    uint64_t size;
    uint64_t total_bytes;
    uint64_t used_ns;
    /* Files [0, summed) have their hash; of the next one `offset` bytes were read. */
    struct snapshot_sum *sums;
    size_t file_count;
    size_t summed;
    uint64_t offset;
};

struct snapshot_pins {
    struct alloc *alloc;
    struct clock *clock;
    struct engine *engine;
    struct hasher hasher;
    struct snapshot_pin *hashing; /* the one whose file the hasher is at; NULL: none */
    struct snapshot_pin of[SNAPSHOT_PINS_MAX];
    uint64_t last_id;
    /* Of the tables of the checkpoint that was hashed last, sorted by name. */
    struct snapshot_sum *known;
    size_t known_count;
    uint8_t *piece; /* SNAPSHOT_PIECE_BYTES_MAX to read into, while something is pinned */
};

/* Borrows all. */
enum status snapshot_pins_init(struct snapshot_pins *pins, struct alloc *alloc, struct clock *clock,
                               struct engine *engine, struct error *err) MUST_USE;

/* All were let go. */
void snapshot_pins_release(struct snapshot_pins *pins);

/* NULL if it is not pinned (any more). Found ones count as used now. */
struct snapshot_pin *snapshot_pins_find(struct snapshot_pins *pins, uint64_t id);

/* The newest one that reaches this log index, or NULL. */
struct snapshot_pin *snapshot_pins_reaching(struct snapshot_pins *pins, uint64_t least_index);

/* Pins what the engine has now, in the place of the one that was used the longest ago. OK with
 * NULL: its newest flushed seal does not reach so far. */
enum status snapshot_pins_take(struct snapshot_pins *pins, uint64_t least_index,
                               struct snapshot_pin **out, struct error *err) MUST_USE;

static inline bool snapshot_pin_is_hashed(const struct snapshot_pin *pin)
{
    return pin->summed == pin->file_count;
}

/* Hashes on by one step, which at the end of a table reads it once more to check it. *more: there
 * is more to do. A pin whose files cannot be read, or are damaged (CORRUPT), is let go. */
enum status snapshot_pins_hash(struct snapshot_pins *pins, bool *more, struct error *err) MUST_USE;

/* The lowest log index of those that were used within so long; UINT64_MAX: none was. */
uint64_t snapshot_pins_least_index(const struct snapshot_pins *pins, uint64_t within_ns);

/* Lets go of those that were not used for so long. True if some are left. */
bool snapshot_pins_let_go(struct snapshot_pins *pins, uint64_t idle_ns);

#endif
