/* SPDX-License-Identifier: Apache-2.0
 *
 * Times: what a table knows of the times of its values, an 8-byte little-endian number at one place
 * in each: the smallest and the largest of all, whether they ever fall from an entry to the next,
 * and the same bounds of runs of its entries, so that a query finds where in the table to read.
 * They need not follow the order of the keys. A table of which one value has no time knows nothing,
 * and then hides nothing from a query.
 *
 * A run is as many whole data blocks as make TIME_RUN_BYTES. Runs are known by their last key and
 * not by their blocks, so that they do not depend on how a table's index is made.
 *
 * Bytes, in storage/FORMAT.md, section "Table". Pure functions but for the memory of their owner;
 * one thread at a time, and any number once it is only read.
 */
#ifndef ESTREAT_STORAGE_TABLE_TIMES_H
#define ESTREAT_STORAGE_TABLE_TIMES_H

#include "base/buf.h"
#include "base/coding.h"
#include "base/limits.h"
#include "base/slice.h"
#include "base/status.h"

#define TIME_BYTES 8UL

/* Bytes of keys and values in a run: the bounds of all runs are held in memory, some 40 bytes
 * each. */
#define TIME_RUN_BYTES (128UL * KIB)

/* Of a table, a run, a partition: both included. Zeroed: not known, or of no entry yet. */
struct time_bounds {
    bool known;
    uint64_t smallest;
    uint64_t largest;
};

/* What a query asks for: [begin, end). */
struct time_range {
    uint64_t begin;
    uint64_t end;
};

/* False: the value is too short to have a time there. */
static inline bool value_time(struct slice value, uint32_t place, uint64_t *out)
{
    if (value.length < place + TIME_BYTES) {
        return false;
    }
    *out = get_le64(value.data + place);
    return true;
}

static inline bool time_range_has(const struct time_range *range, uint64_t time)
{
    return time >= range->begin && time < range->end;
}

/* False: nothing within these bounds is in the range. */
static inline bool time_bounds_meet(const struct time_bounds *bounds,
                                    const struct time_range *range)
{
    return !bounds->known || (bounds->smallest < range->end && bounds->largest >= range->begin);
}

static inline void time_bounds_add(struct time_bounds *bounds, uint64_t time)
{
    bounds->smallest = !bounds->known || time < bounds->smallest ? time : bounds->smallest;
    bounds->largest = !bounds->known || time > bounds->largest ? time : bounds->largest;
    bounds->known = true;
}

/* --- making ------------------------------------------------------------------------------ */

struct times_builder {
    uint32_t place;
    bool missing; /* some value has no time: nothing is known of the table */
    bool fall;    /* some time is below the one before */
    uint64_t last;
    struct time_bounds all;
    struct time_bounds run; /* under way */
    uint64_t run_bytes;
    uint64_t smallest_before; /* of the last run that ended */
    struct buf key_before;    /* its last key */
    struct buf runs;          /* encoded */
};

/* Borrows `alloc`. */
void times_builder_init(struct times_builder *builder, struct alloc *alloc, uint32_t place);
void times_builder_release(struct times_builder *builder);

/* The next entry, of `bytes` bytes of key and value. */
void times_builder_add(struct times_builder *builder, struct slice value, size_t bytes);

/* A block ends with `last_key` (internal); `final`: so does the table, and the run with it. False
 * if there is no memory. */
bool times_builder_end_block(struct times_builder *builder, struct slice last_key,
                             bool final) MUST_USE;

/* --- reading ----------------------------------------------------------------------------- */

struct time_run {
    struct slice last_key; /* internal; owned by the runs */
    struct time_bounds bounds;
};

struct time_runs {
    struct alloc *alloc;
    struct time_run *runs;
    size_t count;
    bool rise; /* times never fall within the table */
    uint8_t *keys;
    size_t keys_bytes;
};

/* Decodes untrusted bytes. CORRUPT: not runs that rise to the key `largest` and have, taken
 * together, the bounds `all`. RESOURCE_EXHAUSTED: no memory. `out` is owned. */
enum status time_runs_decode(struct slice bytes, struct alloc *alloc, struct slice largest,
                             const struct time_bounds *all, bool rise, struct time_runs *out,
                             struct error *err) MUST_USE;

/* Zeroed memory is allowed. */
void time_runs_release(struct time_runs *runs);

size_t time_runs_bytes(const struct time_runs *runs);

/* The first run at or behind `index` that meets the range; count: none. By binary search if times
 * rise. */
size_t time_runs_next(const struct time_runs *runs, const struct time_range *range, size_t index);

/* The last run before `index` that meets the range; SIZE_MAX: none. */
size_t time_runs_prev(const struct time_runs *runs, const struct time_range *range, size_t index);

/* The run that the internal key belongs to; count if it is behind all. */
size_t time_runs_find(const struct time_runs *runs, struct slice internal_key);

/* --- checking ---------------------------------------------------------------------------- */

/* Entries of a table, in their order, against what it says of their times. */
struct times_check {
    const struct time_runs *runs;
    uint32_t place;
    size_t run;
    struct time_bounds seen; /* in this run */
    bool started;
    bool wide; /* a run that ended has not all of its bounds: wrong, if no entry was passed over */
    uint64_t last;
};

/* NULL: right; else what is wrong with the entry. */
const char *times_check_add(struct times_check *check, struct slice internal_key,
                            struct slice value);

/* All entries were added: true if the bounds are no wider than they must be. */
bool times_check_ends(struct times_check *check);

#endif
