/* SPDX-License-Identifier: Apache-2.0
 *
 * Output: a sorted run of entries on its way into tables of one keyspace and
 * level, split by size (partitions also by time, all where the caller has a good end), all versions
 * of a user key in one table. Finished tables are synced and recorded as additions of an edit. One
 * owner.
 */
#ifndef ESTREAT_STORAGE_TREE_OUTPUT_H
#define ESTREAT_STORAGE_TREE_OUTPUT_H

#include <stdatomic.h>

#include "base/fs.h"
#include "storage/keyspace.h"
#include "storage/table/table_writer.h"
#include "storage/tree/codec_memory.h"
#include "storage/tree/edit.h"

/* Where jobs write; borrowed, the same for all of an engine's jobs. */
struct output_place {
    struct fs *fs;
    struct alloc *alloc;
    const char *dir;
    _Atomic uint64_t *next_file; /* numbers of files; never used twice */
    struct codec_counters *counters;
    struct codec_memory *codecs;
    uint64_t table_bytes;
};

struct output {
    const struct output_place *place;
    const struct keyspace_options *keyspace;
    unsigned keyspace_index;
    unsigned level;
    bool old;                       /* not fresh from a memtable */
    uint64_t table_bytes;           /* split at; UINT64_MAX: never */
    bool partition;                 /* of a timed keyspace: split also by time */
    struct time_bounds times;       /* then: of the table under way */
    struct edit *edit;              /* borrowed */
    struct codec_adaptive adaptive; /* what CODEC_ADAPTIVE remembers from block to block */
    struct table_writer *writer;
    uint64_t number;  /* of the table under way */
    struct buf last;  /* its last user key */
    uint64_t written; /* bytes of finished tables */
};

/* Borrows all; `edit` gets the additions. */
void output_init(struct output *output, const struct output_place *place,
                 const struct keyspace_options *keyspace, unsigned keyspace_index, unsigned level,
                 struct edit *edit);

/* Adds the next entry; may finish (and sync) a table before: one that is full, or from half of that
 * on if here is a good end, since a table that ends where one of the next level does is merged with
 * less of it later. After an error only release. */
enum status output_add(struct output *output, struct slice internal_key, struct slice value,
                       bool good_end, struct error *err) MUST_USE;

/* Finishes the table under way, if there is one. */
enum status output_finish(struct output *output, struct error *err) MUST_USE;

/* Bytes written so far, the table under way included. */
uint64_t output_bytes(const struct output *output);

/* Removes a table that is not finished. Finished ones are the edit's: output_discard. */
void output_release(struct output *output);

/* Unlinks the tables that `edit` would have added; for an edit that will never be.
 * Tables that it only moves stay. */
void output_discard(const struct output_place *place, const struct edit *edit);

#endif
