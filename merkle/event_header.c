/* SPDX-License-Identifier: Apache-2.0 */
#include "merkle/event_header.h"

#include "base/check.h"
#include "base/coding.h"

/* Where the fixed fields stand; FORMAT.md has the same table. */
enum {
    AT_FORMAT = 0,
    AT_KIND = 1,
    AT_SEVERITY = 2,
    AT_POSITION = 3,
    AT_TIME_NS = 11,
    AT_VERSION = 19,
    AT_PAYLOAD_LENGTH = 27,
    AT_PAYLOAD_HASH = 31,
    AT_KEY_LENGTH = 63,
    AT_TYPE_LENGTH = 65,
    AT_EVENT_ID_LENGTH = 67,
    AT_NAMES = 69,
};

_Static_assert(AT_NAMES == EVENT_HEADER_BYTES_FIXED, "the table and the header agree");
_Static_assert(KEY_BYTES_MAX <= UINT16_MAX, "a key's length fits its field");

enum status event_header_check(const struct event_header *header, struct error *err)
{
    if (header->kind < EVENT_KIND_CREATE || header->kind > EVENT_KIND_SYSTEM) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "event kind %u is unknown",
                         (unsigned)header->kind);
    }
    if (header->severity > EVENT_SEVERITY_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "event severity %u is unknown",
                         (unsigned)header->severity);
    }
    if (header->key.length < 1 || header->key.length > KEY_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "event key has %zu bytes, not 1 to %lu",
                         header->key.length, KEY_BYTES_MAX);
    }
    if (header->type.length > TYPE_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "event type has %zu bytes, not up to %lu",
                         header->type.length, TYPE_BYTES_MAX);
    }
    if (header->event_id.length > EVENT_ID_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "event id has %zu bytes, not up to %lu",
                         header->event_id.length, EVENT_ID_BYTES_MAX);
    }
    return STATUS_OK;
}

static size_t put_slice(uint8_t *out, size_t at, struct slice slice)
{
    if (slice.length > 0) {
        memcpy(out + at, slice.data, slice.length);
    }
    return at + slice.length;
}

size_t event_header_encode(const struct event_header *header, uint8_t out[EVENT_HEADER_BYTES_MAX])
{
    CHECK(event_header_check(header, NULL) == STATUS_OK);
    out[AT_FORMAT] = EVENT_HEADER_FORMAT;
    out[AT_KIND] = header->kind;
    out[AT_SEVERITY] = header->severity;
    put_le64(out + AT_POSITION, header->position);
    put_le64(out + AT_TIME_NS, header->time_ns);
    put_le64(out + AT_VERSION, header->version);
    put_le32(out + AT_PAYLOAD_LENGTH, header->payload_length);
    memcpy(out + AT_PAYLOAD_HASH, header->payload_hash.bytes, HASH_BYTES);
    put_le16(out + AT_KEY_LENGTH, (uint16_t)header->key.length);
    put_le16(out + AT_TYPE_LENGTH, (uint16_t)header->type.length);
    put_le16(out + AT_EVENT_ID_LENGTH, (uint16_t)header->event_id.length);
    size_t at = put_slice(out, AT_NAMES, header->key);
    at = put_slice(out, at, header->type);
    at = put_slice(out, at, header->event_id);
    CHECK(at <= EVENT_HEADER_BYTES_MAX);
    return at;
}

enum status event_header_decode(struct slice bytes, struct event_header *out, struct error *err)
{
    struct cursor cursor = cursor_of(bytes);
    struct event_header header = {0};
    uint8_t format = cursor_u8(&cursor);
    if (!cursor.failed && format != EVENT_HEADER_FORMAT) {
        return error_set(err, STATUS_CORRUPT, "event header has unknown format %u",
                         (unsigned)format);
    }
    header.kind = cursor_u8(&cursor);
    header.severity = cursor_u8(&cursor);
    header.position = cursor_le64(&cursor);
    header.time_ns = cursor_le64(&cursor);
    header.version = cursor_le64(&cursor);
    header.payload_length = cursor_le32(&cursor);
    struct slice payload_hash = cursor_bytes(&cursor, HASH_BYTES);
    size_t key_length = cursor_le16(&cursor);
    size_t type_length = cursor_le16(&cursor);
    size_t event_id_length = cursor_le16(&cursor);
    header.key = cursor_bytes(&cursor, key_length);
    header.type = cursor_bytes(&cursor, type_length);
    header.event_id = cursor_bytes(&cursor, event_id_length);
    if (!cursor_done(&cursor) || !hash_from_slice(payload_hash, &header.payload_hash)) {
        return error_set(err, STATUS_CORRUPT, "event header of %zu bytes is cut or too long",
                         bytes.length);
    }
    if (event_header_check(&header, err) != STATUS_OK) {
        /* The fields were read, not given: they are the data's fault. */
        if (err != NULL) {
            err->status = STATUS_CORRUPT;
        }
        return STATUS_CORRUPT;
    }
    *out = header;
    return STATUS_OK;
}

struct hash event_leaf_hash(struct hasher *hasher, const struct event_header *header)
{
    uint8_t bytes[EVENT_HEADER_BYTES_MAX];
    size_t length = event_header_encode(header, bytes);
    return hash_leaf(hasher, slice_of(bytes, length));
}

bool event_payload_matches(struct hasher *hasher, const struct event_header *header,
                           struct slice salt, struct slice payload)
{
    if (payload.length != header->payload_length ||
        (salt.length != 0 && salt.length != SALT_BYTES)) {
        return false;
    }
    struct hash hash = hash_payload(hasher, salt, payload);
    return hash_equal(&hash, &header->payload_hash);
}
