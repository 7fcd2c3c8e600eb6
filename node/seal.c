/* SPDX-License-Identifier: Apache-2.0 */
#include "node/seal.h"

enum { LAYOUT = 2 };

void seal_encode(const struct seal *seal, struct buf *out)
{
    buf_clear(out);
    buf_put_u8(out, LAYOUT);
    buf_put_le64(out, seal->index);
    buf_put_le64(out, seal->term);
    buf_put_le64(out, seal->size);
    buf_put_le64(out, seal->time_ns);
    buf_put_le64(out, seal->session_floor_ns);
    buf_put_le64(out, seal->log_bytes);
    buf_put_le32(out, (uint32_t)seal->membership.length);
    buf_append_slice(out, seal->membership);
    buf_append_slice(out, seal->tree);
}

enum status seal_decode(struct slice bytes, struct seal *out, struct error *err)
{
    struct seal seal = {0};
    if (bytes.length > 0) {
        struct cursor cursor = cursor_of(bytes);
        uint8_t layout = cursor_u8(&cursor);
        seal.index = cursor_le64(&cursor);
        seal.term = cursor_le64(&cursor);
        seal.size = cursor_le64(&cursor);
        seal.time_ns = cursor_le64(&cursor);
        seal.session_floor_ns = cursor_le64(&cursor);
        seal.log_bytes = cursor_le64(&cursor);
        seal.membership = cursor_bytes(&cursor, cursor_le32(&cursor));
        seal.tree = slice_of(cursor.at, cursor_left(&cursor));
        if (cursor.failed || layout != LAYOUT) {
            return error_set(err, STATUS_CORRUPT, "the state of the last seal is malformed");
        }
    }
    *out = seal;
    return STATUS_OK;
}
