/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/store_entry.h"

#include "storage/keyspace.h"

_Static_assert(KEYSPACES_MAX <= 128 && KEY_DELETE == 0 && KEY_PUT == 1, "both fit a byte");

void store_entry_encode(const struct batch *batch, struct buf *out)
{
    struct batch_op op;
    size_t offset = 0;
    while (batch_next(batch, &offset, &op)) {
        buf_put_u8(out, (uint8_t)(op.keyspace << 1 | op.type));
        buf_put_prefixed(out, op.key);
        if (op.type == KEY_PUT) {
            buf_put_prefixed(out, op.value);
        }
    }
}

bool store_entry_decode(struct slice bytes, size_t keyspaces, struct batch *batch)
{
    struct cursor cursor = cursor_of(bytes);
    while (!cursor.failed && cursor_left(&cursor) > 0) {
        uint8_t what = cursor_u8(&cursor);
        struct slice key = cursor_prefixed(&cursor);
        struct slice value = {.length = 0};
        if ((what & 1) == KEY_PUT) {
            value = cursor_prefixed(&cursor);
        }
        if (cursor.failed || (size_t)(what >> 1) >= keyspaces || key.length == 0 ||
            key.length > KEYSPACE_KEY_BYTES_MAX || value.length > KEYSPACE_VALUE_BYTES_MAX) {
            return false;
        }
        if ((what & 1) == KEY_PUT) {
            batch_put(batch, what >> 1, key, value);
        } else {
            batch_delete(batch, what >> 1, key);
        }
    }
    return cursor_done(&cursor);
}
