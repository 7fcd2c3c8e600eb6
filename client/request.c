/* SPDX-License-Identifier: Apache-2.0 */
#include "client/request.h"

#include "base/check.h"
#include "base/coding.h"

/* Field numbers of schema/log.proto and schema/event.proto; a test holds them against
 * protobuf-c's descriptors. */
enum {
    APPEND_EVENTS = 5,
    EVENT_KEY = 1,
    EVENT_PAYLOAD = 2,
    EVENT_TYPE = 3,
    EVENT_SEVERITY = 4,
    EVENT_KIND = 5,
    EVENT_EXPECTED_NONE = 7,
    EVENT_EXPECTED_VERSION = 8,
};

enum { WIRE_VARINT = 0, WIRE_BYTES = 2 };

static size_t type_length(const struct estreat_new_event *event)
{
    return event->type == NULL ? 0 : strnlen(event->type, TYPE_BYTES_MAX + 1);
}

static enum status check_event(const struct estreat_new_event *event, size_t index,
                               struct error *err)
{
    if (event->key.length == 0 || event->key.length > KEY_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "event %zu: a key of %zu bytes; keys have 1 to %lu", index,
                         event->key.length, KEY_BYTES_MAX);
    }
    if (event->payload.length > PAYLOAD_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "event %zu: a payload of %zu bytes; the most is %lu", index,
                         event->payload.length, PAYLOAD_BYTES_MAX);
    }
    if (type_length(event) > TYPE_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "event %zu: the type is longer than %lu bytes", index, TYPE_BYTES_MAX);
    }
    if ((unsigned)event->kind > ESTREAT_KIND_DELETE) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "event %zu: kind %u cannot be appended",
                         index, (unsigned)event->kind);
    }
    if ((unsigned)event->severity > ESTREAT_SEVERITY_FATAL) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "event %zu: there is no severity %u", index,
                         (unsigned)event->severity);
    }
    if ((unsigned)event->expect > ESTREAT_EXPECT_VERSION) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "event %zu: there is no condition %u", index,
                         (unsigned)event->expect);
    }
    return STATUS_OK;
}

static size_t bytes_field(size_t length)
{
    return length == 0 ? 0 : 1 + varint_length(length) + length;
}

static size_t event_bytes(const struct estreat_new_event *event)
{
    size_t bytes = bytes_field(event->key.length) + bytes_field(event->payload.length) +
                   bytes_field(type_length(event));
    bytes += event->severity != ESTREAT_SEVERITY_NONE ? 2 : 0;
    bytes += event->kind != ESTREAT_KIND_AUTO ? 2 : 0;
    bytes += event->expect == ESTREAT_EXPECT_NONE ? 2 : 0;
    bytes +=
        event->expect == ESTREAT_EXPECT_VERSION ? 1 + varint_length(event->expected_version) : 0;
    return bytes;
}

enum status request_measure(const struct estreat_new_event *events, size_t count, size_t *bytes,
                            struct error *err)
{
    if (count == 0 || count > EVENTS_PER_REQUEST_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "%zu events; a request has 1 to %lu", count,
                         EVENTS_PER_REQUEST_MAX);
    }
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        enum status status = check_event(&events[i], i, err);
        if (status != STATUS_OK) {
            return status;
        }
        size_t length = event_bytes(&events[i]);
        total += 1 + varint_length(length) + length;
    }
    if (total > REQUEST_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "a request of %zu bytes; the most is %lu: append fewer events at a time",
                         total, REQUEST_BYTES_MAX);
    }
    *bytes = total;
    return STATUS_OK;
}

static uint8_t *put_tag(uint8_t *at, unsigned field, unsigned wire)
{
    *at = (uint8_t)(field << 3 | wire);
    return at + 1;
}

static uint8_t *put_bytes_field(uint8_t *at, unsigned field, const void *data, size_t length)
{
    if (length == 0) {
        return at;
    }
    at = put_tag(at, field, WIRE_BYTES);
    at += put_varint(at, length);
    memcpy(at, data, length);
    return at + length;
}

static uint8_t *put_number_field(uint8_t *at, unsigned field, uint64_t value)
{
    at = put_tag(at, field, WIRE_VARINT);
    return at + put_varint(at, value);
}

static uint8_t *put_event(uint8_t *at, const struct estreat_new_event *event)
{
    at = put_tag(at, APPEND_EVENTS, WIRE_BYTES);
    at += put_varint(at, event_bytes(event));
    at = put_bytes_field(at, EVENT_KEY, event->key.data, event->key.length);
    at = put_bytes_field(at, EVENT_PAYLOAD, event->payload.data, event->payload.length);
    at = put_bytes_field(at, EVENT_TYPE, event->type, type_length(event));
    if (event->severity != ESTREAT_SEVERITY_NONE) {
        at = put_number_field(at, EVENT_SEVERITY, (uint64_t)event->severity);
    }
    if (event->kind != ESTREAT_KIND_AUTO) {
        at = put_number_field(at, EVENT_KIND, (uint64_t)event->kind);
    }
    if (event->expect == ESTREAT_EXPECT_NONE) {
        at = put_number_field(at, EVENT_EXPECTED_NONE, 1);
    } else if (event->expect == ESTREAT_EXPECT_VERSION) {
        at = put_number_field(at, EVENT_EXPECTED_VERSION, event->expected_version);
    }
    return at;
}

void request_pack(const struct estreat_new_event *events, size_t count, uint8_t *out, size_t bytes)
{
    uint8_t *at = out;
    for (size_t i = 0; i < count; i++) {
        at = put_event(at, &events[i]);
    }
    CHECK(at == out + bytes);
}

/* protobuf-c writes an unknown field as its tag and then `data` as it is. So one "unknown"
 * field that holds all but the first tag gives all the events. */
void request_attach(Estreat__V1__AppendRequest *request, ProtobufCMessageUnknownField *field,
                    struct slice packed)
{
    CHECK(packed.length > 1);
    CHECK(packed.data[0] == (APPEND_EVENTS << 3 | WIRE_BYTES));
    *field = (ProtobufCMessageUnknownField){
        .tag = APPEND_EVENTS,
        .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
        .len = packed.length - 1,
        .data = (uint8_t *)(uintptr_t)(packed.data + 1),
    };
    request->base.n_unknown_fields = 1;
    request->base.unknown_fields = field;
}
