/* SPDX-License-Identifier: Apache-2.0 */
#include "node/keyspaces.h"

#include "base/check.h"
#include "node/event_record.h"

enum { TILE_HEIGHT = 8 };

static const struct keyspace_options layout[KEYSPACE_COUNT] = {
    /* Incompressible payloads cost LZ4 little; scans of events read block after block. */
    [KEYSPACE_EVENTS] = {.name = "events",
                         .layout = KEYSPACE_APPEND,
                         .block_bytes = 16 * KIB,
                         .codec_new = CODEC_LZ4,
                         .codec_old = CODEC_ZSTD,
                         .zstd_level_old = 1,
                         .block_bytes_old = 48 * KIB,
                         .columns_old = true,
                         .timed = true,
                         .number_place = EVENT_RECORD_TIME_PLACE},
    /* Each append looks its key up, and mostly in vain at first: the filter says so. */
    [KEYSPACE_LATEST] = {.name = "latest",
                         .layout = KEYSPACE_LEVELED,
                         .bloom_bits = 10,
                         .codec_new = CODEC_LZ4,
                         .codec_old = CODEC_LZ4},
    [KEYSPACE_VERSIONS] = {.name = "versions",
                           .layout = KEYSPACE_LEVELED,
                           .block_bytes = 8 * KIB,
                           .codec_new = CODEC_LZ4,
                           .codec_old = CODEC_LZ4},
    [KEYSPACE_SESSIONS] = {.name = "sessions",
                           .layout = KEYSPACE_LEVELED,
                           .codec_new = CODEC_LZ4,
                           .codec_old = CODEC_LZ4},
    /* Hashes do not compress. */
    [KEYSPACE_TILES] = {.name = "tiles",
                        .layout = KEYSPACE_APPEND,
                        .block_bytes = 8 * KIB,
                        .codec_new = CODEC_NONE,
                        .codec_old = CODEC_NONE},
    [KEYSPACE_META] = {.name = "meta",
                       .layout = KEYSPACE_LEVELED,
                       .codec_new = CODEC_NONE,
                       .codec_old = CODEC_NONE},
    [KEYSPACE_LOCAL] = {.name = "local",
                        .layout = KEYSPACE_LEVELED,
                        .codec_new = CODEC_NONE,
                        .codec_old = CODEC_NONE},
};

const struct keyspace_options *keyspaces_layout(void)
{
    return layout;
}

void position_key(uint64_t position, uint8_t out[POSITION_KEY_BYTES])
{
    put_be64(out, position);
}

void tile_key(uint8_t level, uint64_t index, uint8_t out[TILE_KEY_BYTES])
{
    unsigned shift = TILE_HEIGHT * (level + 1U);
    CHECK(shift < 64);
    CHECK(index < UINT64_MAX >> shift);
    put_be64(out, (index + 1) << shift);
    out[8] = level;
}

size_t version_key(struct slice key, uint64_t version, uint8_t out[VERSION_KEY_BYTES_MAX])
{
    CHECK(key.length > 0);
    CHECK(key.length <= KEY_BYTES_MAX);
    uint8_t *to = out;
    for (size_t i = 0; i < key.length; i++) {
        *to++ = key.data[i];
        if (key.data[i] == 0) {
            *to++ = 0xff;
        }
    }
    *to++ = 0;
    *to++ = 1;
    put_be64(to, version);
    return (size_t)(to - out) + 8;
}

size_t latest_row_encode(const struct latest_row *row, uint8_t out[LATEST_ROW_BYTES_MAX])
{
    size_t length = put_varint(out, row->version);
    length += put_varint(out + length, row->position);
    out[length] = row->kind;
    return length + 1;
}

enum status latest_row_decode(struct slice bytes, struct latest_row *out, struct error *err)
{
    struct cursor cursor = cursor_of(bytes);
    struct latest_row row;
    row.version = cursor_varint(&cursor);
    row.position = cursor_varint(&cursor);
    row.kind = cursor_u8(&cursor);
    if (!cursor_done(&cursor)) {
        return error_set(err, STATUS_CORRUPT, "a row of keyspace latest is malformed");
    }
    *out = row;
    return STATUS_OK;
}

size_t version_row_encode(const struct version_row *row, uint8_t out[VERSION_ROW_BYTES_MAX])
{
    size_t length = put_varint(out, row->position);
    put_le64(out + length, row->time_ns);
    out[length + 8] = row->kind;
    return length + 9;
}

enum status version_row_decode(struct slice bytes, struct version_row *out, struct error *err)
{
    struct cursor cursor = cursor_of(bytes);
    struct version_row row;
    row.position = cursor_varint(&cursor);
    row.time_ns = cursor_le64(&cursor);
    row.kind = cursor_u8(&cursor);
    if (!cursor_done(&cursor)) {
        return error_set(err, STATUS_CORRUPT, "a row of keyspace versions is malformed");
    }
    *out = row;
    return STATUS_OK;
}
