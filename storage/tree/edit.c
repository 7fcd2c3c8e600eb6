/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/edit.h"

#include "base/check.h"
#include "base/limits.h"

/* A full state of a million tables with long keys stays below. */
#define EDIT_BYTES_MAX (1024 * MIB)

void edit_init(struct edit *edit, struct alloc *alloc)
{
    *edit = (struct edit){.full = false};
    buf_init(&edit->adds, alloc, EDIT_BYTES_MAX);
    buf_init(&edit->removes, alloc, EDIT_BYTES_MAX);
    buf_init(&edit->keys, alloc, EDIT_BYTES_MAX);
}

void edit_release(struct edit *edit)
{
    buf_release(&edit->adds);
    buf_release(&edit->removes);
    buf_release(&edit->keys);
}

void edit_clear(struct edit *edit)
{
    buf_clear(&edit->adds);
    buf_clear(&edit->removes);
    buf_clear(&edit->keys);
    edit->full = false;
    edit->has_seal = false;
    edit->seal_count = 0;
    edit->owner_state = slice_of(NULL, 0);
    edit->next_file = 0;
    edit->last_sequence = 0;
}

void edit_add_table(struct edit *edit, unsigned keyspace, unsigned level, uint64_t number,
                    uint64_t bytes, uint64_t entries, struct slice smallest, struct slice largest)
{
    CHECK(level < TREE_LEVELS);
    CHECK(number > 0);
    struct edit_add add = {.keyspace = keyspace,
                           .level = level,
                           .number = number,
                           .bytes = bytes,
                           .entries = entries,
                           .smallest_offset = edit->keys.length,
                           .smallest_length = smallest.length,
                           .largest_offset = edit->keys.length + smallest.length,
                           .largest_length = largest.length};
    buf_append_slice(&edit->keys, smallest);
    buf_append_slice(&edit->keys, largest);
    buf_append(&edit->adds, &add, sizeof add);
}

void edit_remove_table(struct edit *edit, unsigned keyspace, unsigned level, uint64_t number)
{
    CHECK(level < TREE_LEVELS);
    struct edit_remove removal = {.keyspace = keyspace, .level = level, .number = number};
    buf_append(&edit->removes, &removal, sizeof removal);
}

struct edit_add edit_add_at(const struct edit *edit, size_t index)
{
    CHECK(index < edit_add_count(edit));
    struct edit_add add;
    memcpy(&add, edit->adds.data + index * sizeof add, sizeof add);
    return add;
}

struct edit_remove edit_remove_at(const struct edit *edit, size_t index)
{
    CHECK(index < edit_remove_count(edit));
    struct edit_remove removal;
    memcpy(&removal, edit->removes.data + index * sizeof removal, sizeof removal);
    return removal;
}
