/* SPDX-License-Identifier: Apache-2.0
 *
 * Index: where the durable entries of the log are. A segment has one point for
 * about 64 KiB of records; a reader goes to the point at or before the entry that
 * it wants and walks from there. What lies between a point and the next one is
 * consecutive on disk, so that removed entries are never walked into: wherever the
 * log does not go on where the bytes do, there is a point.
 *
 * Ten million entries of 300 bytes take some 50,000 points, 1.2 MB.
 *
 * Not thread-safe: the WAL keeps it under its lock.
 */
#ifndef ESTREAT_STORAGE_WAL_INDEX_H
#define ESTREAT_STORAGE_WAL_INDEX_H

#include "storage/wal/format.h"

#define WAL_POINT_BYTES (64UL * KIB)

struct wal_point {
    uint64_t index; /* of the entry */
    uint64_t term;
    uint64_t offset;    /* of its record in the file */
    uint64_t group_end; /* where the records of its group end */
    uint64_t chain;     /* that its records belong to; 0: none */
};

struct wal_segment {
    uint64_t file_id;
    uint32_t version;  /* of its format */
    uint64_t bytes;    /* of the file */
    struct file *file; /* the writer's, owned; NULL when it is not written any more, and synced */
    struct wal_point *points;
    size_t point_count;
    size_t point_capacity;
    struct wal_segment *next; /* in a list of files to remove */
};

struct wal_index {
    struct alloc *alloc;
    struct wal_segment **segments; /* owned; rising file ids */
    size_t count;
    size_t capacity;
    uint64_t first_index;
    uint64_t last_index; /* of the durable entries; first_index - 1 if none */
    uint64_t cuts;       /* how often entries were removed at the end */
};

/* Returns owned, or NULL without memory. Takes `file` then. */
struct wal_segment *wal_segment_new(struct alloc *alloc, uint64_t file_id, uint64_t bytes,
                                    struct file *file);
/* Closes the file. NULL is allowed. */
void wal_segment_free(struct alloc *alloc, struct wal_segment *segment);

/* Room for that many more points. False without memory. */
bool wal_segment_reserve(struct alloc *alloc, struct wal_segment *segment, size_t more) MUST_USE;

/* Notes where an entry is, if a point is due: at the segment's first one, when `fresh` (the entry
 * before it is elsewhere), and every WAL_POINT_BYTES. Uses reserved room. */
void wal_segment_note(struct wal_segment *segment, struct wal_point point, bool fresh);

/* Borrows `alloc`. Empty, first_index 1. */
void wal_index_init(struct wal_index *index, struct alloc *alloc);
void wal_index_release(struct wal_index *index);

/* Room for that many more segments. False without memory. */
bool wal_index_reserve(struct wal_index *index, size_t more) MUST_USE;

/* Takes the segment, whose id is above all others'. Uses reserved room. */
void wal_index_add(struct wal_index *index, struct wal_segment *segment);

/* The newest; NULL if there is none. */
struct wal_segment *wal_index_newest(const struct wal_index *index);

/* Entries above `last_index` are gone, if there are any; it is at least first_index - 1. */
void wal_index_truncate(struct wal_index *index, uint64_t last_index);

/* All entries are gone; the log is empty after `last_index`. */
void wal_index_reset(struct wal_index *index, uint64_t last_index);

/* Entries up to `upto` are not needed: takes segments that hold no others out, oldest first, but
 * none from `keep_file` on. Raises first_index. Returns them as a list, owned; or NULL. */
struct wal_segment *wal_index_purge(struct wal_index *index, uint64_t upto, uint64_t keep_file);

/* A stretch of entries that are consecutive on disk. */
struct wal_stretch {
    uint64_t file_id;
    uint64_t file_bytes;
    struct wal_point point; /* where it begins */
    uint64_t end_index;     /* walk no further than the entry before this */
};

/* The stretch that holds entry `at`, which is in [first_index, last_index]. */
void wal_index_find(const struct wal_index *index, uint64_t at, struct wal_stretch *out);

/* The oldest segment below `file_id` that is not synced; NULL if all are. */
struct wal_segment *wal_index_unsynced(const struct wal_index *index, uint64_t file_id);

bool wal_index_has_file(const struct wal_index *index, uint64_t file_id);

#endif
