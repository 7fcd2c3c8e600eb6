/* SPDX-License-Identifier: Apache-2.0
 *
 * Memtable: the entries of one keyspace that are not in a table yet.
 *
 * One thread adds; any number of threads look up and iterate meanwhile, without locks. An
 * entry is visible to whoever learns of its sequence after memtable_add() returned (the
 * engine publishes sequences with release and readers take theirs with acquire).
 * Reference counted: the memory goes with the last reference.
 *
 * The first lookup makes the writer keep a hash index of user keys from then on, so that later
 * ones (the append path looks up each event's key) cost two cache misses instead of a search;
 * a keyspace that nobody looks up pays nothing for it.
 */
#ifndef ESTREAT_STORAGE_MEM_MEMTABLE_H
#define ESTREAT_STORAGE_MEM_MEMTABLE_H

#include "base/status.h"
#include "storage/table/iter.h"
#include "storage/table/key.h"

struct memtable;

/* Returns owned, with one reference; NULL if there is no memory. Borrows `alloc`. */
struct memtable *memtable_new(struct alloc *alloc);

/* Any thread. */
void memtable_ref(struct memtable *memtable);
void memtable_unref(struct memtable *memtable);

/* Copies key and value. `sequence` <= SEQUENCE_MAX; no entry of the same user key, sequence
 * and type may be present. A KEY_DELETE has an empty value. One thread at a time.
 * RESOURCE_EXHAUSTED: no memory, nothing was added. INVALID_ARGUMENT: key or value is
 * longer than USER_KEY_BYTES_MAX or VALUE_BYTES_MAX. */
enum status memtable_add(struct memtable *memtable, uint64_t sequence, enum key_type type,
                         struct slice user_key, struct slice value, struct error *err) MUST_USE;

/* The newest entry of `user_key` with a sequence <= `sequence`. If LOOKUP_FOUND, sets `*value`,
 * valid as long as the memtable is referenced; else `*value` is untouched. Any thread. */
enum lookup memtable_get(struct memtable *memtable, struct slice user_key, uint64_t sequence,
                         struct slice *value) MUST_USE;

/* Returns an owned iterator that holds a reference; NULL if there is no memory. Its status()
 * is always OK, and its slices stay valid as long as the memtable is referenced. It sees
 * entries that are added while it runs: the caller skips those above its sequence. */
struct iter *memtable_iter_new(struct memtable *memtable);

/* Bytes taken from the allocator. Any thread. */
size_t memtable_bytes(const struct memtable *memtable);

/* Entries. Any thread. */
uint64_t memtable_count(const struct memtable *memtable);

#endif
