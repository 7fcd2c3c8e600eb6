/* SPDX-License-Identifier: Apache-2.0 */
#include "node/append_entry.h"

#include "base/check.h"
#include "merkle/utf8.h"

enum {
    LAYOUT = 1,
    FLAG_SALTED = 1,
    OFFSET_COUNT = 2,
    OFFSET_TIME = 4,
    OFFSET_CLIENT_ID = 20,
    FIXED_BYTES = 21,
};

static enum status check_event(const Estreat__V1__NewEvent *event, size_t i, struct error *err)
{
    if (event->key.len == 0 || event->key.len > KEY_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "event %zu: the key has %zu bytes; 1 to %lu are allowed", i,
                         event->key.len, KEY_BYTES_MAX);
    }
    if (event->payload.len > PAYLOAD_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "event %zu: the payload has %zu bytes; at most %lu are allowed", i,
                         event->payload.len, PAYLOAD_BYTES_MAX);
    }
    if (!utf8_valid(slice_of_string(event->type))) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "event %zu: the type is not UTF-8", i);
    }
    if (strlen(event->type) > TYPE_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "event %zu: the type has %zu bytes; at most %lu are allowed", i,
                         strlen(event->type), TYPE_BYTES_MAX);
    }
    if (event->event_id.len > EVENT_ID_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "event %zu: the event id has %zu bytes; at most %lu are allowed", i,
                         event->event_id.len, EVENT_ID_BYTES_MAX);
    }
    if (event->kind < ESTREAT__V1__KIND__KIND_AUTO ||
        event->kind > ESTREAT__V1__KIND__KIND_DELETE) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "event %zu: kind %d cannot be appended", i,
                         (int)event->kind);
    }
    if (event->severity < ESTREAT__V1__SEVERITY__SEVERITY_NONE ||
        event->severity > ESTREAT__V1__SEVERITY__SEVERITY_FATAL) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "event %zu: there is no severity %d", i,
                         (int)event->severity);
    }
    return STATUS_OK;
}

enum status append_request_check(const Estreat__V1__AppendRequest *request, struct error *err)
{
    if (request->n_events == 0 || request->n_events > EVENTS_PER_REQUEST_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "the request has %zu events; 1 to %lu are allowed", request->n_events,
                         EVENTS_PER_REQUEST_MAX);
    }
    if (request->client_id.len != 0 && request->client_id.len != CLIENT_ID_BYTES) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "the client id has %zu bytes; 0 or %lu are allowed",
                         request->client_id.len, CLIENT_ID_BYTES);
    }
    if (request->client_id.len != 0 &&
        (request->sequence == 0 || request->sequence < request->acknowledged_below)) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "sequence %lu is not one that the client still waits for",
                         (unsigned long)request->sequence);
    }
    for (size_t i = 0; i < request->n_events; i++) {
        enum status status = check_event(request->events[i], i, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static size_t prefixed_length(size_t length)
{
    return varint_length(length) + length;
}

static size_t event_length(const Estreat__V1__NewEvent *event, bool salted)
{
    size_t length = 3 + prefixed_length(event->key.len) + prefixed_length(strlen(event->type)) +
                    prefixed_length(event->event_id.len) + prefixed_length(event->payload.len);
    if (event->expected_case == ESTREAT__V1__NEW_EVENT__EXPECTED_EXPECTED_VERSION) {
        length += varint_length(event->expected_version);
    }
    return length + (salted ? SALT_BYTES : 0);
}

size_t append_entry_length(const Estreat__V1__AppendRequest *request, bool salted)
{
    size_t length = FIXED_BYTES;
    if (request->client_id.len != 0) {
        length += request->client_id.len + varint_length(request->sequence) +
                  varint_length(request->acknowledged_below);
    }
    for (size_t i = 0; i < request->n_events; i++) {
        length += event_length(request->events[i], salted);
    }
    return length;
}

static uint8_t *put_bytes(uint8_t *to, const void *data, size_t length)
{
    if (length > 0) {
        memcpy(to, data, length);
    }
    return to + length;
}

static uint8_t *put_prefixed(uint8_t *to, const void *data, size_t length)
{
    to += put_varint(to, length);
    return put_bytes(to, data, length);
}

static uint8_t *put_event(uint8_t *to, const Estreat__V1__NewEvent *event, const uint8_t *salt)
{
    *to++ = (uint8_t)event->kind;
    *to++ = (uint8_t)event->severity;
    switch (event->expected_case) {
    case ESTREAT__V1__NEW_EVENT__EXPECTED_EXPECTED_NONE:
        /* "expected_none: false" asks for nothing. */
        *to++ = event->expected_none ? EXPECT_NONE : EXPECT_ANY;
        break;
    case ESTREAT__V1__NEW_EVENT__EXPECTED_EXPECTED_VERSION:
        *to++ = EXPECT_VERSION;
        to += put_varint(to, event->expected_version);
        break;
    default:
        *to++ = EXPECT_ANY;
    }
    to = put_prefixed(to, event->key.data, event->key.len);
    to = put_prefixed(to, event->type, strlen(event->type));
    to = put_prefixed(to, event->event_id.data, event->event_id.len);
    if (salt != NULL) {
        to = put_bytes(to, salt, SALT_BYTES);
    }
    return put_prefixed(to, event->payload.data, event->payload.len);
}

void append_entry_encode(const Estreat__V1__AppendRequest *request, bool salted, struct rng *rng,
                         uint8_t *out)
{
    uint8_t salts[EVENTS_PER_REQUEST_MAX * SALT_BYTES];
    CHECK(request->n_events <= EVENTS_PER_REQUEST_MAX);
    if (salted) {
        rng_fill(rng, salts, request->n_events * SALT_BYTES);
    }
    uint8_t *to = out;
    *to++ = LAYOUT;
    *to++ = salted ? FLAG_SALTED : 0;
    put_le16(to, (uint16_t)request->n_events);
    put_le64(to + 2, 0);
    put_le64(to + 10, request->first_attempt_ns);
    to += 18;
    *to++ = (uint8_t)request->client_id.len;
    if (request->client_id.len != 0) {
        to = put_bytes(to, request->client_id.data, request->client_id.len);
        to += put_varint(to, request->sequence);
        to += put_varint(to, request->acknowledged_below);
    }
    for (size_t i = 0; i < request->n_events; i++) {
        to = put_event(to, request->events[i], salted ? salts + i * SALT_BYTES : NULL);
    }
    CHECK((size_t)(to - out) == append_entry_length(request, salted));
}

void append_entry_set_time(uint8_t *entry, uint64_t time_ns)
{
    CHECK(entry[0] == LAYOUT);
    put_le64(entry + OFFSET_TIME, time_ns);
}

uint32_t append_entry_count(struct slice entry)
{
    bool known = entry.length >= FIXED_BYTES && entry.data[0] == LAYOUT;
    return known ? get_le16(entry.data + OFFSET_COUNT) : 0;
}

uint64_t append_entry_last_time(struct slice entry)
{
    uint32_t count = append_entry_count(entry);
    return count == 0 ? 0 : get_le64(entry.data + OFFSET_TIME) + count - 1;
}

enum status append_entry_decode(struct slice bytes, struct append_entry *out, struct error *err)
{
    struct cursor cursor = cursor_of(bytes);
    struct append_entry entry = {0};
    uint8_t layout = cursor_u8(&cursor);
    uint8_t flags = cursor_u8(&cursor);
    entry.count = cursor_le16(&cursor);
    entry.time_ns = cursor_le64(&cursor);
    entry.first_attempt_ns = cursor_le64(&cursor);
    size_t client_id_length = cursor_u8(&cursor);
    entry.client_id = cursor_bytes(&cursor, client_id_length);
    if (client_id_length != 0) {
        entry.sequence = cursor_varint(&cursor);
        entry.acknowledged_below = cursor_varint(&cursor);
    }
    if (cursor.failed || layout != LAYOUT || (flags & ~FLAG_SALTED) != 0 || entry.count == 0 ||
        entry.count > EVENTS_PER_REQUEST_MAX ||
        (client_id_length != 0 && client_id_length != CLIENT_ID_BYTES)) {
        return error_set(err, STATUS_CORRUPT, "an APPEND entry of layout %u, flags %u is unknown",
                         layout, flags);
    }
    entry.salted = (flags & FLAG_SALTED) != 0;
    entry.events = slice_of(cursor.at, cursor_left(&cursor));
    *out = entry;
    return STATUS_OK;
}

enum status append_event_next(const struct append_entry *entry, struct cursor *cursor,
                              struct append_event *out, struct error *err)
{
    struct append_event event = {0};
    event.kind = cursor_u8(cursor);
    event.severity = cursor_u8(cursor);
    uint8_t expectation = cursor_u8(cursor);
    if (expectation == EXPECT_VERSION) {
        event.expected_version = cursor_varint(cursor);
    }
    event.key = cursor_prefixed(cursor);
    event.type = cursor_prefixed(cursor);
    event.event_id = cursor_prefixed(cursor);
    if (entry->salted) {
        event.salt = cursor_bytes(cursor, SALT_BYTES);
    }
    event.payload = cursor_prefixed(cursor);
    if (cursor->failed || expectation > EXPECT_VERSION || event.key.length == 0 ||
        event.key.length > KEY_BYTES_MAX || event.type.length > TYPE_BYTES_MAX ||
        event.event_id.length > EVENT_ID_BYTES_MAX) {
        return error_set(err, STATUS_CORRUPT, "an event of an APPEND entry is malformed");
    }
    event.expectation = (enum expectation)expectation;
    *out = event;
    return STATUS_OK;
}
