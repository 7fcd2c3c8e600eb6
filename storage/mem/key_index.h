/* SPDX-License-Identifier: Apache-2.0
 *
 * Key index: a hash table from user keys to their newest entries in a skip list, so that a
 * lookup costs two cache misses instead of a search, whether the key is there or not.
 *
 * One thread puts, any number look up meanwhile. A slot is one word (node and some bits of
 * the hash), written with release and read with acquire; slots are never emptied. An index
 * has room for a number of keys; who owns it makes a larger one when it is full, and keeps the
 * older ones, which readers may still be in.
 */
#ifndef ESTREAT_STORAGE_MEM_KEY_INDEX_H
#define ESTREAT_STORAGE_MEM_KEY_INDEX_H

#include "storage/mem/skiplist.h"

struct key_index;

uint64_t key_index_hash(struct slice user_key);

/* Returns owned, with all of the list's entries in it and room for as many more keys; NULL if
 * there is no memory. Keeps `older` (may be NULL), which is freed with it. Writer only. */
struct key_index *key_index_new(struct alloc *alloc, const struct skiplist *list,
                                struct key_index *older);
void key_index_free(struct alloc *alloc, struct key_index *index);

/* Bytes of this index, without older ones. */
size_t key_index_bytes(const struct key_index *index);

/* True if there is no room for another key. Writer only. */
bool key_index_is_full(const struct key_index *index);

/* Adds an entry that is linked in the list; not full. Writer only. */
void key_index_put(struct key_index *index, uint64_t hash, const struct skiplist_node *node);

/* The newest entry of `user_key`, or NULL. Any thread. */
const struct skiplist_node *key_index_find(const struct key_index *index, struct slice user_key,
                                           uint64_t hash);

#endif
