/* SPDX-License-Identifier: Apache-2.0
 *
 * Coding: explicit little-endian integers, big-endian ones for keys that must
 * sort by number, varints (LEB128, shortest form only), and a cursor that reads
 * them from untrusted bytes: it never reads past the end, and a failure is
 * sticky, so that a decoder checks once at its end.
 */
#ifndef ESTREAT_BASE_CODING_H
#define ESTREAT_BASE_CODING_H

#include <endian.h>

#include "base/slice.h"

#define VARINT_BYTES_MAX 10

static inline void put_le16(uint8_t *to, uint16_t value)
{
    value = htole16(value);
    memcpy(to, &value, sizeof value);
}

static inline void put_le32(uint8_t *to, uint32_t value)
{
    value = htole32(value);
    memcpy(to, &value, sizeof value);
}

static inline void put_le64(uint8_t *to, uint64_t value)
{
    value = htole64(value);
    memcpy(to, &value, sizeof value);
}

static inline void put_be32(uint8_t *to, uint32_t value)
{
    value = htobe32(value);
    memcpy(to, &value, sizeof value);
}

static inline void put_be64(uint8_t *to, uint64_t value)
{
    value = htobe64(value);
    memcpy(to, &value, sizeof value);
}

static inline uint16_t get_le16(const uint8_t *from)
{
    uint16_t value;
    memcpy(&value, from, sizeof value);
    return le16toh(value);
}

static inline uint32_t get_le32(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return le32toh(value);
}

static inline uint64_t get_le64(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return le64toh(value);
}

static inline uint32_t get_be32(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return be32toh(value);
}

static inline uint64_t get_be64(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return be64toh(value);
}

/* Writes 1 to VARINT_BYTES_MAX bytes; returns how many. */
static inline size_t put_varint(uint8_t *to, uint64_t value)
{
    size_t length = 0;
    while (value >= 0x80) {
        to[length++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    to[length++] = (uint8_t)value;
    return length;
}

static inline size_t varint_length(uint64_t value)
{
    size_t length = 1;
    while (value >= 0x80) {
        length++;
        value >>= 7;
    }
    return length;
}

/* Reads a varint from [from, end). Returns the bytes read, 0 if it is cut, longer than
 * 64 bits, or not in shortest form. */
static inline size_t get_varint(const uint8_t *from, const uint8_t *end, uint64_t *value)
{
    uint64_t result = 0;
    for (size_t i = 0; i < VARINT_BYTES_MAX && from + i < end; i++) {
        uint8_t byte = from[i];
        if (i == VARINT_BYTES_MAX - 1 && byte > 1) {
            return 0;
        }
        result |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            if (byte == 0 && i > 0) {
                return 0;
            }
            *value = result;
            return i + 1;
        }
    }
    return 0;
}

/* Cursor over untrusted bytes that it borrows. */
struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static inline struct cursor cursor_of(struct slice slice)
{
    return (struct cursor){.at = slice.data,
                           .end = slice.data == NULL ? NULL : slice.data + slice.length};
}

static inline size_t cursor_left(const struct cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

/* True if nothing failed and every byte was read. */
static inline bool cursor_done(const struct cursor *cursor)
{
    return !cursor->failed && cursor->at == cursor->end;
}

/* The next `length` bytes; an empty slice, and failed, if there are fewer. */
static inline struct slice cursor_bytes(struct cursor *cursor, size_t length)
{
    if (cursor->failed || length > cursor_left(cursor)) {
        cursor->failed = true;
        return slice_of(NULL, 0);
    }
    struct slice bytes = slice_of(cursor->at, length);
    cursor->at += length;
    return bytes;
}

static inline uint8_t cursor_u8(struct cursor *cursor)
{
    struct slice bytes = cursor_bytes(cursor, 1);
    return bytes.length == 0 ? 0 : bytes.data[0];
}

static inline uint16_t cursor_le16(struct cursor *cursor)
{
    struct slice bytes = cursor_bytes(cursor, 2);
    return bytes.length == 0 ? 0 : get_le16(bytes.data);
}

static inline uint32_t cursor_le32(struct cursor *cursor)
{
    struct slice bytes = cursor_bytes(cursor, 4);
    return bytes.length == 0 ? 0 : get_le32(bytes.data);
}

static inline uint64_t cursor_le64(struct cursor *cursor)
{
    struct slice bytes = cursor_bytes(cursor, 8);
    return bytes.length == 0 ? 0 : get_le64(bytes.data);
}

static inline uint64_t cursor_varint(struct cursor *cursor)
{
    uint64_t value = 0;
    size_t length = cursor->failed ? 0 : get_varint(cursor->at, cursor->end, &value);
    if (length == 0) {
        cursor->failed = true;
        return 0;
    }
    cursor->at += length;
    return value;
}

/* A varint length, then that many bytes. */
static inline struct slice cursor_prefixed(struct cursor *cursor)
{
    uint64_t length = cursor_varint(cursor);
    if (length > SIZE_MAX) {
        cursor->failed = true;
    }
    return cursor_bytes(cursor, (size_t)length);
}

#endif
