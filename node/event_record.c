/* SPDX-License-Identifier: Apache-2.0 */
#include "node/event_record.h"

#include "base/check.h"

enum { LAYOUT = 1, FIXED_BYTES = 11 };

size_t event_record_length(const struct event_record *record)
{
    return FIXED_BYTES + varint_length(record->version) + varint_length(record->key.length) +
           record->key.length + varint_length(record->type.length) + record->type.length +
           varint_length(record->event_id.length) + record->event_id.length +
           varint_length(record->salt.length) + record->salt.length + record->payload.length;
}

static uint8_t *put_slice(uint8_t *to, struct slice slice)
{
    if (slice.length > 0) {
        memcpy(to, slice.data, slice.length);
    }
    return to + slice.length;
}

static uint8_t *put_prefixed(uint8_t *to, struct slice slice)
{
    return put_slice(to + put_varint(to, slice.length), slice);
}

void event_record_encode(const struct event_record *record, uint8_t *out)
{
    uint8_t *to = out;
    *to++ = LAYOUT;
    put_le64(to, record->time_ns);
    to[8] = record->kind;
    to[9] = record->severity;
    to += 10;
    to += put_varint(to, record->version);
    to = put_prefixed(to, record->key);
    to = put_prefixed(to, record->type);
    to = put_prefixed(to, record->event_id);
    to = put_prefixed(to, record->salt);
    to = put_slice(to, record->payload);
    CHECK((size_t)(to - out) == event_record_length(record));
}

enum status event_record_decode(uint64_t position, struct slice bytes, struct event_record *out,
                                struct error *err)
{
    struct cursor cursor = cursor_of(bytes);
    struct event_record record = {.position = position};
    uint8_t layout = cursor_u8(&cursor);
    record.time_ns = cursor_le64(&cursor);
    record.kind = cursor_u8(&cursor);
    record.severity = cursor_u8(&cursor);
    record.version = cursor_varint(&cursor);
    record.key = cursor_prefixed(&cursor);
    record.type = cursor_prefixed(&cursor);
    record.event_id = cursor_prefixed(&cursor);
    record.salt = cursor_prefixed(&cursor);
    record.payload = slice_of(cursor.at, cursor_left(&cursor));
    bool in_bounds =
        record.key.length > 0 && record.key.length <= KEY_BYTES_MAX &&
        record.type.length <= TYPE_BYTES_MAX && record.event_id.length <= EVENT_ID_BYTES_MAX &&
        (record.salt.length == 0 || record.salt.length == SALT_BYTES) &&
        record.payload.length <= PAYLOAD_BYTES_MAX && record.kind >= EVENT_KIND_CREATE &&
        record.kind <= EVENT_KIND_SYSTEM && record.severity <= EVENT_SEVERITY_MAX;
    if (cursor.failed || layout != LAYOUT || !in_bounds) {
        return error_set(err, STATUS_CORRUPT, "the stored event at position %lu is malformed",
                         (unsigned long)position);
    }
    *out = record;
    return STATUS_OK;
}

void event_record_header(struct hasher *hasher, const struct event_record *record,
                         struct event_header *out)
{
    *out = (struct event_header){
        .position = record->position,
        .time_ns = record->time_ns,
        .version = record->version,
        .kind = record->kind,
        .severity = record->severity,
        .payload_length = (uint32_t)record->payload.length,
        .payload_hash = hash_payload(hasher, record->salt, record->payload),
        .key = record->key,
        .type = record->type,
        .event_id = record->event_id,
    };
}

struct hash event_record_leaf(struct hasher *hasher, const struct event_record *record)
{
    struct event_header header;
    event_record_header(hasher, record, &header);
    return event_leaf_hash(hasher, &header);
}
