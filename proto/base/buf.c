/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include "base/check.h"

enum { CAPACITY_MIN = 64 };

void buf_init(struct buf *buf, struct alloc *alloc, size_t length_max)
{
    CHECK(length_max > 0);
    *buf = (struct buf){.alloc = alloc, .length_max = length_max};
}

void buf_release(struct buf *buf)
{
    alloc_free(buf->alloc, buf->data);
    buf->data = NULL;
    buf->capacity = 0;
    buf_clear(buf);
}

void buf_clear(struct buf *buf)
{
    buf->length = 0;
    buf->failed = false;
}

uint8_t *buf_reserve(struct buf *buf, size_t bytes)
{
    CHECK(buf->length <= buf->length_max);
    if (buf->failed || bytes > buf->length_max - buf->length) {
        buf->failed = true;
        return NULL;
    }
    size_t needed = buf->length + bytes;
    if (needed > buf->capacity || buf->data == NULL) {
        size_t capacity = buf->capacity < CAPACITY_MIN ? CAPACITY_MIN : buf->capacity;
        while (capacity < needed) {
            capacity = capacity > buf->length_max / 2 ? buf->length_max : capacity * 2;
        }
        uint8_t *data = alloc_resize(buf->alloc, buf->data, capacity);
        if (data == NULL) {
            buf->failed = true;
            return NULL;
        }
        buf->data = data;
        buf->capacity = capacity;
    }
    return buf->data + buf->length;
}

uint8_t *buf_extend(struct buf *buf, size_t bytes)
{
    uint8_t *place = buf_reserve(buf, bytes);
    if (place != NULL) {
        buf->length += bytes;
    }
    return place;
}

void buf_append(struct buf *buf, const void *data, size_t length)
{
    if (length == 0) {
        return;
    }
    uint8_t *place = buf_extend(buf, length);
    if (place != NULL) {
        memcpy(place, data, length);
    }
}
