/* SPDX-License-Identifier: Apache-2.0
 *
 * Group: what one write brings, and one fdatasync if it is asked for: records one after
 * the other in one buffer, as they will be on disk but for their checksums' last part,
 * since the place is not known before the group is written. Room for the GROUP or CHAIN
 * record, and for the state records that such a group begins with, is kept in front.
 *
 * One thread at a time.
 */
#ifndef ESTREAT_STORAGE_WAL_GROUP_H
#define ESTREAT_STORAGE_WAL_GROUP_H

#include "storage/wal/format.h"

/* The log's end and the hard state, at some point of the log. */
struct wal_state {
    uint64_t last_index;
    uint64_t last_term;
    uint64_t term;
    uint64_t vote;
};

/* A record that a point may be made of. */
struct wal_group_point {
    uint64_t index;
    uint64_t term;
    size_t offset; /* in the buffer */
    bool fresh;    /* the entry before it is not right before it on disk */
};

/* What a group is on disk. */
enum wal_group_form {
    GROUP_FORM_GROUP, /* begins at a block, is padded to the next one */
    GROUP_FORM_CHAIN, /* begins at a block; links may follow it */
    GROUP_FORM_LINKS, /* its records alone, right behind those of the chain */
};

/* Where it goes, and what it says of the log before it. */
struct wal_group_place {
    enum wal_group_form form;
    struct wal_position place;
    struct wal_position synced_through;
    uint64_t salt;
    uint64_t chain;   /* 0 for a GROUP */
    uint64_t follows; /* a CHAIN's */
    size_t zeros;     /* to be written behind it; there is room for them in the buffer */
};

struct wal_group {
    struct alloc *alloc;
    uint8_t *data;
    size_t length; /* from the buffer's beginning */
    size_t capacity;
    uint32_t records;
    uint64_t entries;
    bool synced_only; /* nothing but a SYNCED record */
    bool cuts;        /* has a TRUNCATE or RESET record */
    struct wal_group_point *points;
    size_t point_count;
    size_t point_capacity;
    uint64_t readable_last; /* the last entry that is in the log still, once it is frozen */
    struct wal_state begin; /* before the group */
    struct wal_state end;   /* after it, once it is frozen */
};

void wal_group_init(struct wal_group *group, struct alloc *alloc);
void wal_group_release(struct wal_group *group);

/* Empty again, with memory kept unless it is much; what follows comes after `begin`. */
void wal_group_clear(struct wal_group *group, struct wal_state begin);

/* Makes room for records of `bytes` together, `entries` of them entries. RESOURCE_EXHAUSTED without
 * memory or past WAL_GROUP_BYTES_MAX. After it the puts below cannot fail. */
enum status wal_group_reserve(struct wal_group *group, size_t bytes, size_t entries,
                              struct error *err) MUST_USE;

/* `next`: it may be a NEXT record, and is if its type is brief. */
void wal_group_entry(struct wal_group *group, const struct wal_entry *entry, bool fresh, bool next);
void wal_group_pair(struct wal_group *group, enum wal_record_type type, uint64_t first,
                    uint64_t second);
void wal_group_synced(struct wal_group *group);

/* Entries above `last_index` are not to be found through this group. */
void wal_group_forget_above(struct wal_group *group, uint64_t last_index);

/* Bytes on disk, padding included, zeros behind it not. */
size_t wal_group_disk_bytes(const struct wal_group *group, enum wal_group_form form);

/* Room for that many zeros behind the group; false without memory. */
bool wal_group_reserve_zeros(struct wal_group *group, size_t zeros) MUST_USE;

/* Puts what the form wants in front (the GROUP or CHAIN record and the state before the group),
 * finishes all checksums, pads, and adds the zeros. Once. Returns what to write there; valid until
 * the group is changed. */
struct slice wal_group_seal(struct wal_group *group, const struct wal_group_place *to);

#endif
