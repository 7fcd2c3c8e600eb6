/* SPDX-License-Identifier: Apache-2.0
 *
 * Catalog: the set of live tables, and the floors, as versions that never change. A reader acquires
 * the current version and sees its tables, and keeps them on disk, until it lets go. One editor at
 * a time prepares the next version and publishes it.
 *
 * A version is two copy-on-write B-trees (tree/cow_btree.h), the tables by their place and by
 * their number, so an edit costs what it changes, however many tables there are.
 *
 * Invariants of a version
 * - Level 0 holds tables that may overlap, the newest first.
 * - Each level below holds tables whose user keys are disjoint, ascending; all versions of
 *   a user key lie in one table of a level.
 *
 * Readers take no lock: they enter an epoch, load the current version, take a reference and leave.
 * The reference is for those who stay (an iterator may be held for hours, and to stay in the epoch
 * would hold back all versions); the epoch is for the moment between load and reference. The
 * catalog's own reference on a version that was replaced goes when its epoch has passed.
 *
 * A table that no published version names any more is dead; when its last version goes it
 * is handed to catalog_remove_dead(), so that no reader waits for an unlink.
 *
 * Threads: everything but prepare and publish may be called by any thread.
 */
#ifndef ESTREAT_STORAGE_TREE_CATALOG_H
#define ESTREAT_STORAGE_TREE_CATALOG_H

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/epoch.h"
#include "base/fs.h"
#include "storage/table/block_cache.h"
#include "storage/table/table_reader.h"
#include "storage/tree/edit.h"

struct catalog;
struct version;

/* One table of the catalog. Plain to read; borrowed from a version that is held. */
struct table_file {
    uint64_t number;
    unsigned keyspace;
    uint64_t bytes;
    uint64_t entries;
    struct slice smallest; /* internal keys, both included */
    struct slice largest;
    struct time_bounds times; /* of its values */
    /* The catalog's. */
    struct catalog *catalog;
    _Atomic uint64_t references;
    _Atomic(struct table *) table; /* opened when first needed */
    atomic_bool dead;
    atomic_bool damaged;
    atomic_bool taken;
    struct table_file *next_dead;
    uint8_t newest_first[8]; /* its key in level 0 */
    uint8_t key_bytes[];
};

struct catalog_options {
    struct fs *fs; /* borrowed, as all below */
    struct alloc *alloc;
    struct epoch *epoch;
    const char *dir;
    struct block_cache *cache;
    struct codec_counters *counters;
    struct bloom_counters *bloom_counters;
    size_t keyspace_count;
    /* A dead table waits for catalog_remove_dead(). Any thread; must not call the catalog. */
    void (*on_dead)(void *context);
    void *context;
};

#define TABLE_FILE_NAME_BYTES 32

/* "000012.sst". Returns out. */
const char *table_file_name(char out[TABLE_FILE_NAME_BYTES], uint64_t number);

/* --- life -------------------------------------------------------------------------------- */

/* Starts with an empty version. Returns owned. */
enum status catalog_open(const struct catalog_options *options, struct catalog **out,
                         struct error *err) MUST_USE;

/* Requires that all versions were released. Removes what is dead. NULL is allowed. */
void catalog_close(struct catalog *catalog);

/* --- versions ------------------------------------------------------------------------------ */

/* Returns a reference; waits for nobody. */
struct version *catalog_acquire(struct catalog *catalog);
void version_ref(struct version *version);
/* NULL is allowed. */
void version_release(struct version *version);

size_t version_count(const struct version *version, unsigned keyspace, unsigned level);
uint64_t version_bytes(const struct version *version, unsigned keyspace, unsigned level);

/* The table at `index` of its level (see the invariants for the order). */
struct table_file *version_at(const struct version *version, unsigned keyspace, unsigned level,
                              size_t index);

/* Level 1 or below: the index of the first table whose largest user key is >= `user_key`. */
size_t version_lower_bound(const struct version *version, unsigned keyspace, unsigned level,
                           struct slice user_key);

/* Level 1 or below: the table whose key range holds `user_key`, or NULL. */
struct table_file *version_find(const struct version *version, unsigned keyspace, unsigned level,
                                struct slice user_key);

/* Of a KEYSPACE_APPEND; empty if none was set. Borrowed from the version. */
const struct floor *version_floor(const struct version *version, unsigned keyspace);

/* Writes all tables of the version into `edit` as additions, and its floors. */
void version_describe(const struct version *version, struct edit *edit);

/* The open table; opens it if need be. Borrowed as long as the version is held. */
enum status table_file_open(struct table_file *file, struct table **out,
                            struct error *err) MUST_USE;

/* Whether a merge has met damage in it. Known as long as the catalog is open; what is damaged is
 * not merged (tree/pick.h), so that it stays as it is for whoever mends it. Any thread. */
void table_file_note_damage(struct table_file *file);
bool table_file_is_damaged(const struct table_file *file);

/* Whether a compaction has taken it, or one that met damage looks whether it is this one: no other
 * compaction may. Of who picks (tree/pick.h). */
void table_file_take(struct table_file *file, bool taken);
bool table_file_is_taken(const struct table_file *file);

/* --- editing: one thread at a time --------------------------------------------------------- */

/* Makes the version that follows the current one by `edit`. Nothing has changed yet: publish it
 * or release it. CORRUPT if the edit does not fit (unknown or overlapping tables, a number that
 * is taken, a floor that falls). */
enum status catalog_prepare(struct catalog *catalog, const struct edit *edit, struct version **out,
                            struct error *err) MUST_USE;

/* Takes `next`, prepared from the current version. Tables that are gone become dead. */
void catalog_publish(struct catalog *catalog, struct version *next);

/* Unlinks dead tables that nobody reads any more, and drops them from the block cache. May wait
 * for the disk. A file that cannot be unlinked is left for the next open. */
void catalog_remove_dead(struct catalog *catalog);

#endif
