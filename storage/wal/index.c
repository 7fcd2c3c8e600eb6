/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/wal/index.h"

#include "base/check.h"

struct wal_segment *wal_segment_new(struct alloc *alloc, uint64_t file_id, uint64_t bytes,
                                    struct file *file)
{
    struct wal_segment *segment = alloc_zeroed(alloc, 1, sizeof *segment);
    if (segment != NULL) {
        segment->file_id = file_id;
        segment->bytes = bytes;
        segment->file = file;
    }
    return segment;
}

void wal_segment_free(struct alloc *alloc, struct wal_segment *segment)
{
    if (segment != NULL) {
        file_close(segment->file);
        alloc_free(alloc, segment->points);
        alloc_free(alloc, segment);
    }
}

bool wal_segment_reserve(struct alloc *alloc, struct wal_segment *segment, size_t more)
{
    if (segment->point_capacity - segment->point_count >= more) {
        return true;
    }
    size_t capacity = segment->point_capacity * 2;
    capacity = capacity > segment->point_count + more ? capacity : segment->point_count + more;
    struct wal_point *points =
        alloc_resize(alloc, segment->points, capacity * sizeof *segment->points);
    if (points == NULL) {
        return false;
    }
    segment->points = points;
    segment->point_capacity = capacity;
    return true;
}

void wal_segment_note(struct wal_segment *segment, struct wal_point point, bool fresh)
{
    if (segment->point_count > 0) {
        const struct wal_point *last = &segment->points[segment->point_count - 1];
        CHECK(last->index < point.index);
        CHECK(last->offset < point.offset);
        if (!fresh && point.offset - last->offset < WAL_POINT_BYTES) {
            return;
        }
    }
    CHECK(segment->point_count < segment->point_capacity);
    segment->points[segment->point_count++] = point;
}

void wal_index_init(struct wal_index *index, struct alloc *alloc)
{
    *index = (struct wal_index){.alloc = alloc, .first_index = 1};
}

void wal_index_release(struct wal_index *index)
{
    for (size_t i = 0; i < index->count; i++) {
        wal_segment_free(index->alloc, index->segments[i]);
    }
    alloc_free(index->alloc, index->segments);
    index->segments = NULL;
    index->count = 0;
    index->capacity = 0;
}

bool wal_index_reserve(struct wal_index *index, size_t more)
{
    if (index->capacity - index->count >= more) {
        return true;
    }
    size_t capacity = index->capacity * 2;
    capacity = capacity > index->count + more ? capacity : index->count + more;
    struct wal_segment **segments =
        alloc_resize(index->alloc, index->segments, capacity * sizeof *index->segments);
    if (segments == NULL) {
        return false;
    }
    index->segments = segments;
    index->capacity = capacity;
    return true;
}

struct wal_segment *wal_index_newest(const struct wal_index *index)
{
    return index->count == 0 ? NULL : index->segments[index->count - 1];
}

void wal_index_add(struct wal_index *index, struct wal_segment *segment)
{
    const struct wal_segment *newest = wal_index_newest(index);
    CHECK(newest == NULL || newest->file_id < segment->file_id);
    CHECK(index->count < index->capacity);
    index->segments[index->count++] = segment;
}

void wal_index_truncate(struct wal_index *index, uint64_t last_index)
{
    CHECK(last_index + 1 >= index->first_index);
    if (last_index >= index->last_index) {
        return;
    }
    for (size_t i = index->count; i-- > 0;) {
        struct wal_segment *segment = index->segments[i];
        while (segment->point_count > 0 &&
               segment->points[segment->point_count - 1].index > last_index) {
            segment->point_count--;
        }
        if (segment->point_count > 0) {
            break;
        }
    }
    index->last_index = last_index;
    index->cuts++;
}

void wal_index_reset(struct wal_index *index, uint64_t last_index)
{
    for (size_t i = 0; i < index->count; i++) {
        index->segments[i]->point_count = 0;
    }
    index->first_index = last_index + 1;
    index->last_index = last_index;
    index->cuts++;
}

/* The first entry that is in segments[from] or a later one. */
static uint64_t first_index_from(const struct wal_index *index, size_t from)
{
    for (size_t i = from; i < index->count; i++) {
        if (index->segments[i]->point_count > 0) {
            return index->segments[i]->points[0].index;
        }
    }
    return index->last_index + 1;
}

struct wal_segment *wal_index_purge(struct wal_index *index, uint64_t upto, uint64_t keep_file)
{
    struct wal_segment *removed = NULL;
    struct wal_segment **end = &removed;
    size_t gone = 0;
    while (gone < index->count && index->segments[gone]->file_id < keep_file) {
        uint64_t next = first_index_from(index, gone + 1);
        if (next > upto + 1) {
            break;
        }
        CHECK(next >= index->first_index);
        index->first_index = next;
        *end = index->segments[gone];
        (*end)->next = NULL;
        end = &(*end)->next;
        gone++;
    }
    index->count -= gone;
    if (gone > 0) {
        memmove(index->segments, index->segments + gone, index->count * sizeof *index->segments);
    }
    CHECK(index->first_index <= index->last_index + 1);
    return removed;
}

/* The last point of the segment that is not above `at`; the first one is not. */
static size_t point_before(const struct wal_segment *segment, uint64_t at)
{
    size_t low = 0;
    size_t high = segment->point_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (segment->points[middle].index <= at) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

void wal_index_find(const struct wal_index *index, uint64_t at, struct wal_stretch *out)
{
    CHECK(at >= index->first_index);
    CHECK(at <= index->last_index);
    size_t i = index->count;
    do {
        CHECK(i > 0);
        i--;
    } while (index->segments[i]->point_count == 0 || index->segments[i]->points[0].index > at);
    const struct wal_segment *segment = index->segments[i];
    size_t point = point_before(segment, at);
    CHECK(segment->points[point].index <= at);
    *out = (struct wal_stretch){
        .file_id = segment->file_id,
        .file_bytes = segment->bytes,
        .point = segment->points[point],
        .end_index = point + 1 < segment->point_count ? segment->points[point + 1].index
                                                      : first_index_from(index, i + 1),
    };
    CHECK(out->end_index > at);
}

struct wal_segment *wal_index_unsynced(const struct wal_index *index, uint64_t file_id)
{
    for (size_t i = 0; i < index->count && index->segments[i]->file_id < file_id; i++) {
        if (index->segments[i]->file != NULL) {
            return index->segments[i];
        }
    }
    return NULL;
}

bool wal_index_has_file(const struct wal_index *index, uint64_t file_id)
{
    for (size_t i = 0; i < index->count; i++) {
        if (index->segments[i]->file_id == file_id) {
            return true;
        }
    }
    return false;
}
