/* SPDX-License-Identifier: Apache-2.0
 *
 * Block: a run of sorted entries, keys prefix-compressed against the key before, with a
 * restart point (a whole key) every few entries. Here are raw blocks; compression and
 * checksums are around them (table/block_io.h).
 *
 * Layout, in storage/FORMAT.md: entries {varint shared, varint unshared, varint value length,
 * key bytes, value}, then le32 offsets of the restart points, then their le32 count.
 */
#ifndef ESTREAT_STORAGE_TABLE_BLOCK_H
#define ESTREAT_STORAGE_TABLE_BLOCK_H

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"
#include "storage/table/key.h"

/* --- building ---------------------------------------------------------------------------- */

struct block_builder {
    struct buf entries;
    struct buf restarts; /* le32 offsets */
    struct buf last_key;
    uint32_t restart_interval;
    uint32_t since_restart;
    uint32_t count;
};

/* Borrows `alloc`. `restart_interval` > 0. */
void block_builder_init(struct block_builder *builder, struct alloc *alloc,
                        uint32_t restart_interval);
void block_builder_release(struct block_builder *builder);
/* Empty again; keeps its memory. */
void block_builder_reset(struct block_builder *builder);

/* Copies one entry; keys rise strictly, which the caller has checked. Returns false if
 * there is no memory: the builder must then be reset. */
bool block_builder_add(struct block_builder *builder, struct slice internal_key,
                       struct slice value) MUST_USE;

/* Length of the block if it were finished now. */
size_t block_builder_bytes(const struct block_builder *builder);

/* Appends the restart points. The block is valid until the next reset or release; an empty
 * slice: no memory. */
struct slice block_builder_finish(struct block_builder *builder);

/* --- reading ----------------------------------------------------------------------------- */

/* What a step back keeps of the entries that it passed on its way from the restart point: the next
 * ones need not decode them again. Enough for runs and keys of the usual size; of longer ones the
 * last part is kept. */
enum { BLOCK_KEPT_MAX = 16, BLOCK_KEPT_KEY_BYTES = 1024 };

struct block_kept {
    uint32_t offset;
    uint32_t next_offset;
    struct slice key; /* into the block or into kept_keys */
    struct slice value;
};

/* Walks an untrusted block, which the caller keeps alive. `damage` names what was found
 * wrong, or is NULL; it is sticky until the next seek, and the iterator is then invalid. */
struct block_iter {
    struct slice block;
    uint32_t restarts_offset; /* where entries end */
    uint32_t restarts_count;
    uint32_t restart_index; /* of the run that holds the current entry */
    uint32_t offset;        /* of the current entry; restarts_offset: none */
    uint32_t next_offset;
    struct slice key; /* into the block or into key_bytes */
    struct slice value;
    const char *damage;
    uint32_t kept_count; /* entries right before the current one, in order */
    uint32_t kept_key_bytes;
    struct block_kept kept[BLOCK_KEPT_MAX];
    uint8_t kept_keys[BLOCK_KEPT_KEY_BYTES];
    uint8_t key_bytes[INTERNAL_KEY_BYTES_MAX];
};

/* False, and `damage` set, if the block has not the shape of one. Invalid until a seek. */
bool block_iter_init(struct block_iter *iter, struct slice block) MUST_USE;

void block_iter_seek(struct block_iter *iter, struct slice target);
void block_iter_seek_to_first(struct block_iter *iter);
void block_iter_seek_to_last(struct block_iter *iter);
void block_iter_next(struct block_iter *iter);
void block_iter_prev(struct block_iter *iter);

/* True if restart point `index` is at the current entry; requires valid. */
bool block_iter_at_restart(const struct block_iter *iter, uint32_t index);

/* True if the current entry shares nothing with the one before; requires valid. */
bool block_iter_key_is_whole(const struct block_iter *iter);

static inline bool block_iter_valid(const struct block_iter *iter)
{
    return iter->offset < iter->restarts_offset;
}

#endif
