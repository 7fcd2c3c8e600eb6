/* SPDX-License-Identifier: Apache-2.0
 *
 * Request: the events of an append in their wire form, made in one pass without
 * an allocation for each event. protobuf-c would walk its descriptors for every
 * field of every event, on every attempt; here the bytes are made once and a
 * retry merely copies them.
 */
#ifndef ESTREAT_CLIENT_REQUEST_H
#define ESTREAT_CLIENT_REQUEST_H

#include "base/limits.h"
#include "base/slice.h"
#include "base/status.h"
#include "client/estreat.h"
#include "schema/log.pb-c.h"

/* Room for the frame's head, the call's header and the session's fields. */
#define REQUEST_ENVELOPE_BYTES (4UL * KIB)
#define REQUEST_BYTES_MAX (CLIENT_FRAME_BYTES_MAX - REQUEST_ENVELOPE_BYTES)

_Static_assert(ESTREAT_KEY_BYTES_MAX == KEY_BYTES_MAX, "the header tells the limit");
_Static_assert(ESTREAT_PAYLOAD_BYTES_MAX == PAYLOAD_BYTES_MAX, "the header tells the limit");
_Static_assert(ESTREAT_TYPE_BYTES_MAX == TYPE_BYTES_MAX, "the header tells the limit");
_Static_assert(ESTREAT_EVENTS_PER_REQUEST_MAX == EVENTS_PER_REQUEST_MAX,
               "the header tells the limit");
_Static_assert(ESTREAT_IN_FLIGHT_MAX == SESSION_WINDOW_MAX, "the header tells the limit");
/* 40 bytes an event: tags, lengths, kind, severity, condition. */
_Static_assert(ESTREAT_REQUEST_BYTES_MAX + 40 * EVENTS_PER_REQUEST_MAX <= REQUEST_BYTES_MAX,
               "what the header allows fits a frame");

/* Checks the events against the limits and measures their packed bytes. INVALID_ARGUMENT names
 * the event and the field. */
enum status request_measure(const struct estreat_new_event *events, size_t count, size_t *bytes,
                            struct error *err) MUST_USE;

/* Writes exactly the measured bytes: field 5 of AppendRequest, once an event. */
void request_pack(const struct estreat_new_event *events, size_t count, uint8_t *out, size_t bytes);

/* Makes `request` carry the packed events through protobuf-c as they are. `field` and `packed`
 * are borrowed as long as the request is used. */
void request_attach(Estreat__V1__AppendRequest *request, ProtobufCMessageUnknownField *field,
                    struct slice packed);

#endif
