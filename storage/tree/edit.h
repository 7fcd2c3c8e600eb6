/* SPDX-License-Identifier: Apache-2.0
 *
 * Edit: one atomic change of the store: tables that come and go, and what was
 * sealed. A flush or a compaction fills one; the manifest makes it durable; the
 * catalog turns it into a new version. A table that only changes its level is
 * removed and added under the same number. Floors that rise are part of it.
 *
 * One owner; not thread-safe. A failure (no memory) is sticky: edit_failed().
 */
#ifndef ESTREAT_STORAGE_TREE_EDIT_H
#define ESTREAT_STORAGE_TREE_EDIT_H

#include "base/buf.h"
#include "storage/table/table.h"
#include "storage/tree/floor.h"

#define TREE_LEVELS 7

struct edit_add {
    unsigned keyspace;
    unsigned level;
    uint64_t number;
    uint64_t bytes;
    uint64_t entries;
    size_t smallest_offset; /* internal keys, in edit.keys */
    size_t smallest_length;
    size_t largest_offset;
    size_t largest_length;
    struct time_bounds times; /* of the table's values */
};

struct edit_remove {
    unsigned keyspace;
    unsigned level;
    uint64_t number;
};

struct edit_floor {
    unsigned keyspace;
    struct floor floor;
};

struct edit {
    struct buf adds;    /* struct edit_add, one after another */
    struct buf removes; /* struct edit_remove */
    struct buf keys;
    struct buf floors; /* struct edit_floor, one a keyspace at most */
    bool full;         /* replaces everything before it */
    bool has_seal;     /* the next two count */
    uint64_t seal_count;
    struct slice owner_state; /* borrowed */
    uint64_t next_file;       /* 0: unchanged */
    uint64_t last_sequence;   /* 0: unchanged */
};

void edit_init(struct edit *edit, struct alloc *alloc);
void edit_release(struct edit *edit);
void edit_clear(struct edit *edit);

/* Copies the keys (internal ones). */
void edit_add_table(struct edit *edit, unsigned keyspace, unsigned level, uint64_t number,
                    uint64_t bytes, uint64_t entries, struct slice smallest, struct slice largest);
void edit_remove_table(struct edit *edit, unsigned keyspace, unsigned level, uint64_t number);

/* Says the times of the table that was added last. */
void edit_set_times(struct edit *edit, const struct time_bounds *times);

/* Sets the keyspace's floor, 1 to FLOOR_BYTES_MAX bytes, in place of one that the edit has set. */
void edit_set_floor(struct edit *edit, unsigned keyspace, struct slice key);

static inline bool edit_failed(const struct edit *edit)
{
    return buf_failed(&edit->adds) || buf_failed(&edit->removes) || buf_failed(&edit->keys) ||
           buf_failed(&edit->floors);
}

static inline size_t edit_add_count(const struct edit *edit)
{
    return edit->adds.length / sizeof(struct edit_add);
}

static inline size_t edit_remove_count(const struct edit *edit)
{
    return edit->removes.length / sizeof(struct edit_remove);
}

static inline size_t edit_floor_count(const struct edit *edit)
{
    return edit->floors.length / sizeof(struct edit_floor);
}

struct edit_add edit_add_at(const struct edit *edit, size_t index);
/* Of an edit whose additions ascend by number, as a manifest's whole state has them: true if it
 * adds that table; *index is where it is, or would be. */
bool edit_find_add(const struct edit *edit, uint64_t number, size_t *index);
struct edit_remove edit_remove_at(const struct edit *edit, size_t index);
struct edit_floor edit_floor_at(const struct edit *edit, size_t index);

/* The floor that the edit sets for the keyspace; empty: none. */
struct floor edit_floor_of(const struct edit *edit, unsigned keyspace);

/* Valid until the edit changes. */
static inline struct slice edit_smallest(const struct edit *edit, const struct edit_add *add)
{
    return slice_of(edit->keys.data + add->smallest_offset, add->smallest_length);
}

static inline struct slice edit_largest(const struct edit *edit, const struct edit_add *add)
{
    return slice_of(edit->keys.data + add->largest_offset, add->largest_length);
}

#endif
