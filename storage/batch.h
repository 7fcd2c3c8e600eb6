/* SPDX-License-Identifier: Apache-2.0
 *
 * Batch: puts, deletes and floors that become visible together (engine_write). The
 * operations lie one after another in one growing buffer that keeps its memory
 * over batch_clear(), so that a batch in use allocates nothing for an operation.
 *
 * Within a batch the later operation on a key wins. A failure (no memory, batch
 * too large) is sticky, as in a buf; engine_write() refuses a failed batch.
 * One owner; not thread-safe.
 */
#ifndef ESTREAT_STORAGE_BATCH_H
#define ESTREAT_STORAGE_BATCH_H

#include "base/buf.h"
#include "base/limits.h"

/* One entry's events and what derives from them, many times over. */
#define BATCH_BYTES_MAX (64 * MIB)

struct batch {
    struct buf bytes; /* each: keyspace u8, type u8, key le32 length, value le32 length, both */
    size_t count;
};

/* Borrows `alloc`. */
void batch_init(struct batch *batch, struct alloc *alloc);
void batch_release(struct batch *batch);

/* Empty again; keeps the memory. */
void batch_clear(struct batch *batch);

/* Copies key (1 to KEYSPACE_KEY_BYTES_MAX bytes) and value (up to KEYSPACE_VALUE_BYTES_MAX;
 * programmer's errors beyond). `keyspace` is an index of the engine's array. */
void batch_put(struct batch *batch, unsigned keyspace, struct slice key, struct slice value);

/* As batch_put, for a value that the caller fills: returns where its `value_length` bytes go
 * (valid until the next operation), or NULL if the batch failed. */
uint8_t *batch_put_space(struct batch *batch, unsigned keyspace, struct slice key,
                         size_t value_length);

void batch_delete(struct batch *batch, unsigned keyspace, struct slice key);

/* Sets the floor of a KEYSPACE_APPEND that is timed: with the batch, whatever has a key below `key`
 * (1 to FLOOR_BYTES_MAX bytes of tree/floor.h) is gone, and nothing may be put there. A floor never
 * falls. */
void batch_set_floor(struct batch *batch, unsigned keyspace, struct slice key);

/* True if nothing was put. A batch whose first put failed is not empty: it must be refused. */
static inline bool batch_is_empty(const struct batch *batch)
{
    return batch->count == 0 && !buf_failed(&batch->bytes);
}

#define BATCH_OP_HEADER_BYTES 10U

static inline size_t batch_bytes(const struct batch *batch)
{
    return batch->bytes.length;
}

/* --- reading, for engine_write and tests ------------------------------------------------- */

/* A type beside those of table/key.h. */
#define BATCH_SET_FLOOR 2U

struct batch_op {
    unsigned keyspace;
    unsigned type; /* KEY_PUT or KEY_DELETE of table/key.h, or BATCH_SET_FLOOR */
    struct slice key;
    struct slice value;
};

/* Starts at *offset 0; false at the end. The slices are valid until the batch changes. */
bool batch_next(const struct batch *batch, size_t *offset, struct batch_op *op);

#endif
