/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/edit.h"

#include "base/check.h"
#include "base/limits.h"
#include "storage/keyspace.h"

/* A full state of a million tables with long keys stays below. */
#define EDIT_BYTES_MAX (1024 * MIB)

void edit_init(struct edit *edit, struct alloc *alloc)
{
    *edit = (struct edit){.full = false};
    buf_init(&edit->adds, alloc, EDIT_BYTES_MAX);
    buf_init(&edit->removes, alloc, EDIT_BYTES_MAX);
    buf_init(&edit->keys, alloc, EDIT_BYTES_MAX);
    buf_init(&edit->floors, alloc, KEYSPACES_MAX * sizeof(struct edit_floor));
}

void edit_release(struct edit *edit)
{
    buf_release(&edit->adds);
    buf_release(&edit->removes);
    buf_release(&edit->keys);
    buf_release(&edit->floors);
}

void edit_clear(struct edit *edit)
{
    buf_clear(&edit->adds);
    buf_clear(&edit->removes);
    buf_clear(&edit->keys);
    buf_clear(&edit->floors);
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

void edit_set_times(struct edit *edit, const struct time_bounds *times)
{
    if (edit_failed(edit)) {
        return;
    }
    CHECK(edit_add_count(edit) > 0);
    size_t last = edit_add_count(edit) - 1;
    struct edit_add add = edit_add_at(edit, last);
    add.times = *times;
    memcpy(edit->adds.data + last * sizeof add, &add, sizeof add);
}

struct edit_floor edit_floor_at(const struct edit *edit, size_t index)
{
    CHECK(index < edit_floor_count(edit));
    struct edit_floor floor;
    memcpy(&floor, edit->floors.data + index * sizeof floor, sizeof floor);
    return floor;
}

struct floor edit_floor_of(const struct edit *edit, unsigned keyspace)
{
    for (size_t i = 0; i < edit_floor_count(edit); i++) {
        struct edit_floor floor = edit_floor_at(edit, i);
        if (floor.keyspace == keyspace) {
            return floor.floor;
        }
    }
    return (struct floor){.length = 0};
}

void edit_set_floor(struct edit *edit, unsigned keyspace, struct slice key)
{
    CHECK(keyspace < KEYSPACES_MAX);
    CHECK(key.length > 0);
    struct edit_floor floor = {.keyspace = keyspace};
    floor_set(&floor.floor, key);
    for (size_t i = 0; i < edit_floor_count(edit); i++) {
        if (edit_floor_at(edit, i).keyspace == keyspace) {
            memcpy(edit->floors.data + i * sizeof floor, &floor, sizeof floor);
            return;
        }
    }
    buf_append(&edit->floors, &floor, sizeof floor);
}

bool edit_find_add(const struct edit *edit, uint64_t number, size_t *index)
{
    size_t low = 0;
    size_t high = edit_add_count(edit);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (edit_add_at(edit, middle).number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *index = low;
    return low < edit_add_count(edit) && edit_add_at(edit, low).number == number;
}

struct edit_remove edit_remove_at(const struct edit *edit, size_t index)
{
    CHECK(index < edit_remove_count(edit));
    struct edit_remove removal;
    memcpy(&removal, edit->removes.data + index * sizeof removal, sizeof removal);
    return removal;
}
