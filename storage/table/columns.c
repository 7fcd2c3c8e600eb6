/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/columns.h"

#include "base/check.h"
#include "storage/table/block.h"
#include "storage/table/codec.h"

enum { NUMBER_BYTES = 8, KEY_BYTES = NUMBER_BYTES + KEY_TRAILER_BYTES };

static uint64_t zigzag(uint64_t difference)
{
    return (difference << 1) ^ (0 - (difference >> 63));
}

static uint64_t unzigzag(uint64_t number)
{
    return (number >> 1) ^ (0 - (number & 1));
}

/* --- packing --------------------------------------------------------------------------------- */

enum column { COLUMN_KEYS, COLUMN_TRAILERS, COLUMN_NUMBERS, COLUMN_LENGTHS, COLUMNS };

/* What the entry has in this column. */
static uint64_t field(const struct block_iter *iter, enum column column, uint32_t place)
{
    switch (column) {
    case COLUMN_KEYS:
        return get_be64(iter->key.data);
    case COLUMN_TRAILERS:
        return get_be64(iter->key.data + NUMBER_BYTES);
    case COLUMN_NUMBERS:
        return get_le64(iter->value.data + place);
    case COLUMN_LENGTHS:
    case COLUMNS:
        break;
    }
    return iter->value.length;
}

/* The bytes that the columns will take, and the number of entries. False: not of that shape. */
static bool measure(struct slice raw, uint32_t place, uint64_t bytes[COLUMNS], uint64_t *count)
{
    struct block_iter iter;
    uint64_t before[COLUMNS] = {0};
    *count = 0;
    if (!block_iter_init(&iter, raw)) {
        return false;
    }
    for (block_iter_seek_to_first(&iter); block_iter_valid(&iter); block_iter_next(&iter)) {
        if (iter.key.length != KEY_BYTES || iter.value.length < place + NUMBER_BYTES) {
            return false;
        }
        for (enum column column = 0; column < COLUMN_LENGTHS; column++) {
            uint64_t now = field(&iter, column, place);
            bytes[column] += varint_length(zigzag(now - before[column]));
            before[column] = now;
        }
        (*count)++;
    }
    return iter.damage == NULL;
}

bool columns_pack(struct slice raw, uint32_t restart_interval, uint32_t place, struct buf *out)
{
    CHECK(restart_interval > 0 && place <= COLUMNS_PLACE_MAX);
    uint64_t bytes[COLUMNS] = {0};
    uint64_t count = 0;
    struct block_iter iter;
    if (!measure(raw, place, bytes, &count) || !block_iter_init(&iter, raw)) {
        return false;
    }
    buf_put_varint(out, raw.length);
    buf_put_varint(out, restart_interval);
    buf_put_varint(out, place);
    buf_put_varint(out, count);
    for (enum column column = 0; column < COLUMN_LENGTHS; column++) {
        buf_put_varint(out, bytes[column]);
    }
    for (enum column column = 0; column < COLUMNS; column++) {
        uint64_t before = 0;
        for (block_iter_seek_to_first(&iter); block_iter_valid(&iter); block_iter_next(&iter)) {
            uint64_t now = field(&iter, column, place);
            buf_put_varint(out, column == COLUMN_LENGTHS ? now : zigzag(now - before));
            before = now;
        }
    }
    for (block_iter_seek_to_first(&iter); block_iter_valid(&iter); block_iter_next(&iter)) {
        buf_append(out, iter.value.data, place);
        buf_append_slice(out, slice_from(iter.value, place + NUMBER_BYTES));
    }
    return !buf_failed(out);
}

/* --- unpacking ------------------------------------------------------------------------------- */

struct unpacking {
    uint64_t interval;
    uint64_t place;
    uint64_t count;
    struct cursor columns[COLUMNS];
    uint64_t before[COLUMNS];
    struct cursor values;
    uint8_t *to;
    uint8_t *end;
    uint8_t key[KEY_BYTES]; /* of the entry before */
};

static bool begin(struct unpacking *unpacking, struct slice packed)
{
    struct cursor cursor = cursor_of(packed);
    uint64_t bytes[COLUMN_LENGTHS];
    (void)cursor_varint(&cursor);
    unpacking->interval = cursor_varint(&cursor);
    unpacking->place = cursor_varint(&cursor);
    unpacking->count = cursor_varint(&cursor);
    for (enum column column = 0; column < COLUMN_LENGTHS; column++) {
        bytes[column] = cursor_varint(&cursor);
    }
    for (enum column column = 0; column < COLUMN_LENGTHS; column++) {
        unpacking->columns[column] = cursor_of(cursor_bytes(&cursor, bytes[column]));
    }
    if (cursor.failed || unpacking->interval == 0 || unpacking->place > COLUMNS_PLACE_MAX ||
        unpacking->count == 0 || unpacking->count > cursor_left(&cursor)) {
        return false;
    }
    unpacking->columns[COLUMN_LENGTHS] = cursor;
    for (uint64_t i = 0; i < unpacking->count; i++) {
        (void)cursor_varint(&cursor);
    }
    unpacking->values = cursor;
    return !cursor.failed;
}

static uint64_t next_of(struct unpacking *unpacking, enum column column)
{
    unpacking->before[column] += unzigzag(cursor_varint(&unpacking->columns[column]));
    return unpacking->before[column];
}

static bool put_entry(struct unpacking *unpacking, bool restart)
{
    uint8_t key[KEY_BYTES];
    put_be64(key, next_of(unpacking, COLUMN_KEYS));
    put_be64(key + NUMBER_BYTES, next_of(unpacking, COLUMN_TRAILERS));
    uint64_t number = next_of(unpacking, COLUMN_NUMBERS);
    uint64_t length = cursor_varint(&unpacking->columns[COLUMN_LENGTHS]);
    size_t place = (size_t)unpacking->place;
    if (length < place + NUMBER_BYTES ||
        length > cursor_left(&unpacking->values) + (uint64_t)NUMBER_BYTES) {
        return false;
    }
    struct slice rest = cursor_bytes(&unpacking->values, (size_t)length - NUMBER_BYTES);
    size_t shared = 0;
    while (!restart && shared < KEY_BYTES && key[shared] == unpacking->key[shared]) {
        shared++;
    }
    size_t bytes = 2 + varint_length(length) + KEY_BYTES - shared + (size_t)length;
    if (unpacking->values.failed || shared == KEY_BYTES ||
        bytes > (size_t)(unpacking->end - unpacking->to)) {
        return false;
    }
    uint8_t *to = unpacking->to;
    *to++ = (uint8_t)shared;
    *to++ = (uint8_t)(KEY_BYTES - shared);
    to += put_varint(to, length);
    memcpy(to, key + shared, KEY_BYTES - shared);
    to += KEY_BYTES - shared;
    memcpy(to, rest.data, place);
    put_le64(to + place, number);
    memcpy(to + place + NUMBER_BYTES, rest.data + place, rest.length - place);
    unpacking->to = to + length;
    memcpy(unpacking->key, key, sizeof key);
    return true;
}

size_t columns_raw_length(struct slice packed)
{
    struct cursor cursor = cursor_of(packed);
    uint64_t length = cursor_varint(&cursor);
    return cursor.failed || length > CODEC_RAW_BYTES_MAX ? 0 : (size_t)length;
}

bool columns_unpack(struct slice packed, uint8_t *raw, size_t raw_length)
{
    struct unpacking unpacking = {.to = raw};
    if (columns_raw_length(packed) != raw_length || !begin(&unpacking, packed)) {
        return false;
    }
    uint64_t restarts = (unpacking.count + unpacking.interval - 1) / unpacking.interval;
    if (restarts > raw_length / 4 || raw_length - 4 * restarts < 4) {
        return false;
    }
    uint8_t *restart_to = raw + raw_length - 4 - 4 * restarts;
    unpacking.end = restart_to;
    put_le32(raw + raw_length - 4, (uint32_t)restarts);
    for (uint64_t i = 0; i < unpacking.count; i++) {
        bool restart = i % unpacking.interval == 0;
        if (restart) {
            put_le32(restart_to, (uint32_t)(unpacking.to - raw));
            restart_to += 4;
        }
        if (!put_entry(&unpacking, restart)) {
            return false;
        }
    }
    for (enum column column = 0; column < COLUMN_LENGTHS; column++) {
        if (!cursor_done(&unpacking.columns[column])) {
            return false;
        }
    }
    return unpacking.to == unpacking.end && cursor_done(&unpacking.values);
}
