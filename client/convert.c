/* SPDX-License-Identifier: Apache-2.0 */
#include "client/convert.h"

#include "base/status.h"

_Static_assert((int)ESTREAT_KIND_SYSTEM == (int)ESTREAT__V1__KIND__KIND_SYSTEM, "equal numbers");
_Static_assert((int)ESTREAT_SEVERITY_FATAL == (int)ESTREAT__V1__SEVERITY__SEVERITY_FATAL,
               "equal numbers");
_Static_assert((int)ESTREAT_LOCAL == (int)ESTREAT__V1__CONSISTENCY_LEVEL__LOCAL, "equal numbers");

const char *estreat_kind_name(enum estreat_kind kind)
{
    static const char *const names[] = {"auto", "create", "update", "delete", "system"};
    return (unsigned)kind < sizeof names / sizeof names[0] ? names[kind] : "unknown";
}

const char *estreat_severity_name(enum estreat_severity severity)
{
    static const char *const names[] = {"none", "trace", "debug", "info", "warn", "error", "fatal"};
    return (unsigned)severity < sizeof names / sizeof names[0] ? names[severity] : "unknown";
}

ProtobufCBinaryData convert_bytes(struct estreat_bytes bytes)
{
    return (ProtobufCBinaryData){.len = bytes.length, .data = (uint8_t *)(uintptr_t)bytes.data};
}

static struct estreat_bytes bytes_of(ProtobufCBinaryData binary)
{
    return estreat_bytes(binary.data, binary.len);
}

struct estreat_event convert_event(const Estreat__V1__Event *message)
{
    return (struct estreat_event){
        .position = message->position,
        .time_ns = message->time_ns,
        .key = bytes_of(message->key),
        .version = message->version,
        .kind = (enum estreat_kind)message->kind,
        .severity = (enum estreat_severity)message->severity,
        .type = message->type,
        .event_id = bytes_of(message->event_id),
        .payload = bytes_of(message->payload),
        .salt = bytes_of(message->salt),
    };
}

Estreat__V1__Bound *convert_bound(struct estreat_bound bound, Estreat__V1__Bound *out)
{
    estreat__v1__bound__init(out);
    switch (bound.kind) {
    case ESTREAT_BOUND_NONE:
        return NULL;
    case ESTREAT_BOUND_POSITION:
        out->at_case = ESTREAT__V1__BOUND__AT_POSITION;
        out->position = bound.value;
        break;
    case ESTREAT_BOUND_TIME:
        out->at_case = ESTREAT__V1__BOUND__AT_TIME_NS;
        out->time_ns = bound.value;
        break;
    }
    return out;
}

void convert_consistency(struct estreat_consistency consistency, Estreat__V1__ReadConsistency *out)
{
    estreat__v1__read_consistency__init(out);
    out->level = (Estreat__V1__ConsistencyLevel)consistency.level;
    out->size = consistency.size;
}

void convert_filter(const struct estreat_filter *filter, Estreat__V1__Filter *out)
{
    estreat__v1__filter__init(out);
    out->key = convert_bytes(filter->key);
    out->key_prefix = convert_bytes(filter->key_prefix);
    out->severity_min = (Estreat__V1__Severity)filter->severity_min;
}
