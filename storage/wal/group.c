/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/wal/group.h"

#include "base/check.h"
#include "base/plant.h"
#include "storage/wal/index.h"

enum {
    STATE_RECORDS_BYTES = 2 * WAL_PAIR_RECORD_BYTES,
    FRONT_BYTES = WAL_CHAIN_HEADER_BYTES + STATE_RECORDS_BYTES,
    /* A buffer that one burst made larger is given back. */
    CAPACITY_KEPT = 2 * MIB,
    CAPACITY_FIRST = 128 * KIB,
};

void wal_group_init(struct wal_group *group, struct alloc *alloc)
{
    *group = (struct wal_group){.alloc = alloc, .length = FRONT_BYTES};
}

void wal_group_release(struct wal_group *group)
{
    alloc_free(group->alloc, group->data);
    alloc_free(group->alloc, group->points);
    group->data = NULL;
    group->points = NULL;
    group->capacity = 0;
    group->point_capacity = 0;
}

void wal_group_clear(struct wal_group *group, struct wal_state begin)
{
    if (group->capacity > CAPACITY_KEPT) {
        wal_group_release(group);
    }
    group->length = FRONT_BYTES;
    group->records = 0;
    group->entries = 0;
    group->synced_only = false;
    group->cuts = false;
    group->point_count = 0;
    group->readable_last = 0;
    group->begin = begin;
    group->end = begin;
}

static bool reserve_bytes(struct wal_group *group, size_t needed)
{
    if (group->capacity >= needed) {
        return true;
    }
    size_t capacity = group->capacity == 0 ? CAPACITY_FIRST : group->capacity;
    while (capacity < needed) {
        capacity *= 2;
    }
    uint8_t *data = alloc_resize(group->alloc, group->data, capacity);
    if (data == NULL) {
        return false;
    }
    group->data = data;
    group->capacity = capacity;
    return true;
}

static bool reserve_points(struct wal_group *group, size_t more)
{
    if (group->point_capacity - group->point_count >= more) {
        return true;
    }
    size_t capacity = group->point_capacity * 2;
    capacity = capacity > group->point_count + more ? capacity : group->point_count + more;
    struct wal_group_point *points =
        alloc_resize(group->alloc, group->points, capacity * sizeof *group->points);
    if (points == NULL) {
        return false;
    }
    group->points = points;
    group->point_capacity = capacity;
    return true;
}

enum status wal_group_reserve(struct wal_group *group, size_t bytes, size_t entries,
                              struct error *err)
{
    if (bytes > WAL_GROUP_BYTES_MAX - FRONT_BYTES ||
        group->length - FRONT_BYTES > WAL_GROUP_BYTES_MAX - FRONT_BYTES - bytes) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "log: more than %lu bytes unwritten",
                         WAL_GROUP_BYTES_MAX);
    }
    size_t points = bytes / WAL_POINT_BYTES + 2;
    points = points < entries ? points : entries;
    if (!reserve_bytes(group, group->length + bytes + WAL_BLOCK_BYTES) ||
        !reserve_points(group, points)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "log: no memory for %zu bytes", bytes);
    }
    return STATUS_OK;
}

static void put(struct wal_group *group, size_t bytes)
{
    group->length += bytes;
    group->records++;
    CHECK(group->length + WAL_BLOCK_BYTES <= group->capacity);
}

bool wal_group_reserve_zeros(struct wal_group *group, size_t zeros)
{
    return reserve_bytes(group, group->length + WAL_BLOCK_BYTES + zeros);
}

/* Points are taken as often as the index may want them, whatever the segment holds already. */
static void note(struct wal_group *group, const struct wal_entry *entry, bool fresh)
{
    if (group->point_count > 0 && !fresh) {
        const struct wal_group_point *last = &group->points[group->point_count - 1];
        if (group->length - last->offset < WAL_POINT_BYTES) {
            return;
        }
    }
    CHECK(group->point_count < group->point_capacity);
    group->points[group->point_count++] = (struct wal_group_point){
        .index = entry->index, .term = entry->term, .offset = group->length, .fresh = fresh};
}

void wal_group_entry(struct wal_group *group, const struct wal_entry *entry, bool fresh, bool next)
{
    CHECK(group->length + WAL_ENTRY_OVERHEAD_BYTES + entry->data.length <= group->capacity);
    uint8_t *to = group->data + group->length;
    note(group, entry, fresh);
    put(group,
        next && wal_is_brief(entry->type) ? wal_next_put(to, entry) : wal_entry_put(to, entry));
    group->entries++;
}

void wal_group_pair(struct wal_group *group, enum wal_record_type type, uint64_t first,
                    uint64_t second)
{
    CHECK(group->length + WAL_PAIR_RECORD_BYTES <= group->capacity);
    group->cuts = group->cuts || type != WAL_RECORD_HARD_STATE;
    put(group, wal_pair_put(group->data + group->length, type, first, second));
}

void wal_group_synced(struct wal_group *group)
{
    CHECK(group->records == 0);
    CHECK(group->length + WAL_RECORD_HEADER_BYTES <= group->capacity);
    group->synced_only = true;
    put(group, wal_synced_put(group->data + group->length));
}

void wal_group_forget_above(struct wal_group *group, uint64_t last_index)
{
    while (group->point_count > 0 && group->points[group->point_count - 1].index > last_index) {
        group->point_count--;
    }
    if (group->readable_last > last_index) {
        group->readable_last = last_index;
    }
}

/* Where in the buffer its bytes on disk begin. */
static size_t begin_of(enum wal_group_form form)
{
    switch (form) {
    case GROUP_FORM_GROUP:
        return FRONT_BYTES - STATE_RECORDS_BYTES - WAL_GROUP_HEADER_BYTES;
    case GROUP_FORM_CHAIN:
        return FRONT_BYTES - STATE_RECORDS_BYTES - WAL_CHAIN_HEADER_BYTES;
    default:
        CHECK(form == GROUP_FORM_LINKS);
        return FRONT_BYTES;
    }
}

size_t wal_group_disk_bytes(const struct wal_group *group, enum wal_group_form form)
{
    size_t bytes = group->length - begin_of(form);
    return form == GROUP_FORM_GROUP ? (size_t)wal_block_up(bytes) : bytes;
}

/* The first record's checksum, if it is a header, is none of the chain's. */
static void finish_checksums(struct wal_group *group, const struct wal_group_place *to)
{
    size_t begin = begin_of(to->form);
    size_t at = begin;
    uint32_t records = 0;
    while (at < group->length) {
        struct wal_position here = {.file = to->place.file,
                                    .offset = to->place.offset + (at - begin)};
        bool is_header = at == begin && to->form != GROUP_FORM_LINKS;
        uint64_t salt = is_header ? to->salt : wal_chain_salt(to->salt, to->chain);
        at += wal_record_finish(group->data + at, here, salt);
        records += is_header ? 0 : 1;
    }
    CHECK(at == group->length);
    CHECK(records == group->records);
}

static void put_front(struct wal_group *group, const struct wal_group_place *to)
{
    uint8_t *at = group->data + begin_of(to->form);
    uint8_t *state = group->data + FRONT_BYTES - STATE_RECORDS_BYTES;
    CHECK(to->place.offset % WAL_BLOCK_BYTES == 0);
    state += wal_pair_put(state, WAL_RECORD_HARD_STATE, group->begin.term,
                          PLANTED(PURGE_VOTE) ? 0 : group->begin.vote);
    (void)wal_pair_put(state, WAL_RECORD_TRUNCATE, group->begin.last_index, group->begin.last_term);
    group->records += 2;
    const struct wal_group_content content = {
        .synced_through = to->synced_through,
        .bytes = (uint32_t)(group->length - (FRONT_BYTES - STATE_RECORDS_BYTES)),
        .records = group->records,
        .chain = to->chain,
        .follows = to->follows,
    };
    (void)wal_group_put(at, &content);
}

struct slice wal_group_seal(struct wal_group *group, const struct wal_group_place *to)
{
    CHECK(group->records > 0);
    CHECK((to->form == GROUP_FORM_GROUP) == (to->chain == 0));
    if (to->form != GROUP_FORM_LINKS) {
        put_front(group, to);
    }
    finish_checksums(group, to);
    size_t begin = begin_of(to->form);
    size_t bytes = wal_group_disk_bytes(group, to->form) + to->zeros;
    CHECK(begin + bytes <= group->capacity);
    memset(group->data + group->length, 0, begin + bytes - group->length);
    return slice_of(group->data + begin, bytes);
}
