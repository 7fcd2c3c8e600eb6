/* SPDX-License-Identifier: Apache-2.0
 *
 * Keyspaces: what the node keeps in the engine, and the bytes of its keys and
 * values. Keys sort as bytes; numbers in them are big-endian.
 *
 *   events    position (8)                          → stored event, see event_record.h
 *   latest    key                                   → version, position (varints), kind (1)
 *   versions  key, escaped ‖ 00 01 ‖ version (8)    → position (varint), time (8), kind (1)
 *   sessions  client id (16)                        → session, see session.h
 *   tiles     end position (8) ‖ level (1)          → 256 hashes of 32 bytes
 *   meta      name                                  → replicated settings
 *   local     name                                  → this node's own
 *
 * In `versions`, a byte 00 of the key becomes 00 ff: so no key's rows lie
 * within another's. In `tiles`, "end position" is the first leaf after those
 * that the tile covers: tiles are completed, and so written, in ascending order.
 * Tables of `events` know the times of what they hold (storage/table/times.h).
 */
#ifndef ESTREAT_NODE_KEYSPACES_H
#define ESTREAT_NODE_KEYSPACES_H

#include "base/buf.h"
#include "base/limits.h"
#include "base/status.h"
#include "storage/keyspace.h"

enum keyspace {
    KEYSPACE_EVENTS,
    KEYSPACE_LATEST,
    KEYSPACE_VERSIONS,
    KEYSPACE_SESSIONS,
    KEYSPACE_TILES,
    KEYSPACE_META,
    KEYSPACE_LOCAL,
    KEYSPACE_COUNT,
};

/* How each is laid out: KEYSPACE_COUNT of them, for engine_open(). */
const struct keyspace_options *keyspaces_layout(void);

#define POSITION_KEY_BYTES 8
#define TILE_KEY_BYTES 9
#define VERSION_KEY_BYTES_MAX (2 * KEY_BYTES_MAX + 10)

struct latest_row {
    uint64_t version;
    uint64_t position;
    uint8_t kind;
};

struct version_row {
    uint64_t position;
    uint64_t time_ns;
    uint8_t kind;
};

#define LATEST_ROW_BYTES_MAX (2 * VARINT_BYTES_MAX + 1)
#define VERSION_ROW_BYTES_MAX (VARINT_BYTES_MAX + 9)

void position_key(uint64_t position, uint8_t out[POSITION_KEY_BYTES]);
void tile_key(uint8_t level, uint64_t index, uint8_t out[TILE_KEY_BYTES]);

/* Returns the length. `key` has 1 to KEY_BYTES_MAX bytes. */
size_t version_key(struct slice key, uint64_t version, uint8_t out[VERSION_KEY_BYTES_MAX]);

size_t latest_row_encode(const struct latest_row *row, uint8_t out[LATEST_ROW_BYTES_MAX]);
enum status latest_row_decode(struct slice bytes, struct latest_row *out,
                              struct error *err) MUST_USE;
size_t version_row_encode(const struct version_row *row, uint8_t out[VERSION_ROW_BYTES_MAX]);
enum status version_row_decode(struct slice bytes, struct version_row *out,
                               struct error *err) MUST_USE;

#endif
