/* SPDX-License-Identifier: Apache-2.0
 *
 * Held blocks: the first data blocks of a table, kept raw until it is clear whether the table gets
 * a dictionary: they are what it is trained on, and a part of them is what it must prove itself on.
 *
 * One owner, the table writer.
 */
#ifndef ESTREAT_STORAGE_TABLE_HELD_BLOCKS_H
#define ESTREAT_STORAGE_TABLE_HELD_BLOCKS_H

#include "storage/table/codec.h"

/* Three quarters of it are enough samples for the largest dictionary. */
#define HELD_BYTES_MAX (CODEC_DICTIONARY_PART * CODEC_DICTIONARY_BYTES_MAX / 3 * 4)

struct held_block {
    struct slice contents; /* before the codec */
    struct slice last_key; /* internal */
    uint8_t form;          /* 0 or TABLE_BLOCK_COLUMNS */
};

struct held_blocks {
    struct buf bytes;  /* all contents, one after the other */
    struct buf keys;   /* likewise */
    struct buf places; /* of each, in these */
    size_t count;
};

/* Borrows `alloc`. */
void held_blocks_init(struct held_blocks *held, struct alloc *alloc);
/* Lets go of the memory; may be used again. */
void held_blocks_release(struct held_blocks *held);

/* Copies a block. False: no memory, and it must be released. */
bool held_blocks_add(struct held_blocks *held, struct slice contents, struct slice last_key,
                     uint8_t form) MUST_USE;

/* Valid until the next add or release. `index` < count. */
struct held_block held_blocks_at(const struct held_blocks *held, size_t index);

/* Replaces `bytes` by a dictionary of at most `bytes_max` bytes, and `*out` by what compresses with
 * it, owned; NULL and nothing if it does not pay. It is trained on the first three quarters of the
 * blocks and tried on the last one, which it has not seen: it pays if all blocks, estimated from
 * those, shrink by more than it takes itself in the file and a thirty-second part besides.
 * `scratch` is of no use afterwards. RESOURCE_EXHAUSTED. */
enum status held_blocks_train(const struct held_blocks *held, struct codec_context *context,
                              size_t bytes_max, int zstd_level, struct buf *scratch,
                              struct buf *bytes, struct codec_dictionary **out,
                              struct error *err) MUST_USE;

#endif
