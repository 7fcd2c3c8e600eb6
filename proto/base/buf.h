/* SPDX-License-Identifier: Apache-2.0
 *
 * Buf: growing bytes with a maximum. Encoders write into it without looking;
 * a failure (no memory, or past the maximum) is sticky and is asked for once,
 * at the end, with buf_failed(). After a failure the content is meaningless.
 * One owner; not thread-safe.
 */
#ifndef ESTREAT_BASE_BUF_H
#define ESTREAT_BASE_BUF_H

#include "base/alloc.h"
#include "base/coding.h"
#include "base/slice.h"

struct buf {
    struct alloc *alloc;
    uint8_t *data; /* owned; NULL until the first byte */
    size_t length;
    size_t capacity;
    size_t length_max;
    bool failed;
};

/* Borrows `alloc`. Nothing is allocated yet. */
void buf_init(struct buf *buf, struct alloc *alloc, size_t length_max);

/* Frees the bytes. The buf may be initialised again. */
void buf_release(struct buf *buf);

/* Length 0, not failed; keeps the memory. */
void buf_clear(struct buf *buf);

/* Ensures room for `bytes` more. Returns where they go, or NULL (and fails the buf). */
uint8_t *buf_reserve(struct buf *buf, size_t bytes);

/* As buf_reserve, and counts the bytes as written: the caller fills them. */
uint8_t *buf_extend(struct buf *buf, size_t bytes);

void buf_append(struct buf *buf, const void *data, size_t length);

static inline bool buf_failed(const struct buf *buf)
{
    return buf->failed;
}

/* Valid until the next write or release. */
static inline struct slice buf_slice(const struct buf *buf)
{
    return slice_of(buf->data, buf->length);
}

static inline void buf_append_slice(struct buf *buf, struct slice slice)
{
    buf_append(buf, slice.data, slice.length);
}

static inline void buf_put_u8(struct buf *buf, uint8_t value)
{
    buf_append(buf, &value, 1);
}

static inline void buf_put_le16(struct buf *buf, uint16_t value)
{
    uint8_t bytes[2];
    put_le16(bytes, value);
    buf_append(buf, bytes, sizeof bytes);
}

static inline void buf_put_le32(struct buf *buf, uint32_t value)
{
    uint8_t bytes[4];
    put_le32(bytes, value);
    buf_append(buf, bytes, sizeof bytes);
}

static inline void buf_put_le64(struct buf *buf, uint64_t value)
{
    uint8_t bytes[8];
    put_le64(bytes, value);
    buf_append(buf, bytes, sizeof bytes);
}

static inline void buf_put_be64(struct buf *buf, uint64_t value)
{
    uint8_t bytes[8];
    put_be64(bytes, value);
    buf_append(buf, bytes, sizeof bytes);
}

static inline void buf_put_varint(struct buf *buf, uint64_t value)
{
    uint8_t bytes[VARINT_BYTES_MAX];
    buf_append(buf, bytes, put_varint(bytes, value));
}

/* Length as a varint, then the bytes. */
static inline void buf_put_prefixed(struct buf *buf, struct slice slice)
{
    buf_put_varint(buf, slice.length);
    buf_append_slice(buf, slice);
}

#endif
