/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/batch.h"

#include "base/check.h"
#include "storage/keyspace.h"
#include "storage/tree/floor.h"

void batch_init(struct batch *batch, struct alloc *alloc)
{
    *batch = (struct batch){.count = 0};
    buf_init(&batch->bytes, alloc, BATCH_BYTES_MAX);
}

void batch_release(struct batch *batch)
{
    buf_release(&batch->bytes);
    batch->count = 0;
}

void batch_clear(struct batch *batch)
{
    buf_clear(&batch->bytes);
    batch->count = 0;
}

/* Writes header and key; returns where the value goes, or NULL if the batch failed. */
static uint8_t *add(struct batch *batch, unsigned keyspace, unsigned type, struct slice key,
                    size_t value_length)
{
    CHECK(keyspace < KEYSPACES_MAX);
    CHECK(key.length > 0 && key.length <= KEYSPACE_KEY_BYTES_MAX);
    CHECK(value_length <= KEYSPACE_VALUE_BYTES_MAX);
    uint8_t *at = buf_extend(&batch->bytes, BATCH_OP_HEADER_BYTES + key.length + value_length);
    if (at == NULL) {
        return NULL;
    }
    at[0] = (uint8_t)keyspace;
    at[1] = (uint8_t)type;
    put_le32(at + 2, (uint32_t)key.length);
    put_le32(at + 6, (uint32_t)value_length);
    memcpy(at + BATCH_OP_HEADER_BYTES, key.data, key.length);
    batch->count++;
    return at + BATCH_OP_HEADER_BYTES + key.length;
}

uint8_t *batch_put_space(struct batch *batch, unsigned keyspace, struct slice key,
                         size_t value_length)
{
    return add(batch, keyspace, KEY_PUT, key, value_length);
}

void batch_put(struct batch *batch, unsigned keyspace, struct slice key, struct slice value)
{
    uint8_t *at = add(batch, keyspace, KEY_PUT, key, value.length);
    if (at != NULL && value.length > 0) {
        memcpy(at, value.data, value.length);
    }
}

void batch_delete(struct batch *batch, unsigned keyspace, struct slice key)
{
    (void)add(batch, keyspace, KEY_DELETE, key, 0);
}

void batch_set_floor(struct batch *batch, unsigned keyspace, struct slice key)
{
    CHECK(key.length <= FLOOR_BYTES_MAX);
    (void)add(batch, keyspace, BATCH_SET_FLOOR, key, 0);
}

bool batch_next(const struct batch *batch, size_t *offset, struct batch_op *op)
{
    CHECK(!buf_failed(&batch->bytes));
    CHECK(*offset <= batch->bytes.length);
    if (*offset == batch->bytes.length) {
        return false;
    }
    const uint8_t *at = batch->bytes.data + *offset;
    op->keyspace = at[0];
    op->type = at[1];
    op->key = slice_of(at + BATCH_OP_HEADER_BYTES, get_le32(at + 2));
    op->value = slice_of(at + BATCH_OP_HEADER_BYTES + op->key.length, get_le32(at + 6));
    *offset += BATCH_OP_HEADER_BYTES + op->key.length + op->value.length;
    return true;
}
