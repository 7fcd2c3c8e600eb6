/* SPDX-License-Identifier: Apache-2.0
 *
 * Convert: between the public header's structs and the messages of the schema.
 * Nothing is copied: results borrow from their source.
 */
#ifndef ESTREAT_CLIENT_CONVERT_H
#define ESTREAT_CLIENT_CONVERT_H

#include "client/estreat.h"
#include "rpc/channel.h"
#include "schema/log.pb-c.h"

ProtobufCBinaryData convert_bytes(struct estreat_bytes bytes);

/* An event that a stranger sent. Valid as long as the message. */
struct estreat_event convert_event(const Estreat__V1__Event *message);

/* Returns `out`, filled, or NULL for no bound. */
Estreat__V1__Bound *convert_bound(struct estreat_bound bound, Estreat__V1__Bound *out);

void convert_consistency(struct estreat_consistency consistency, Estreat__V1__ReadConsistency *out);

void convert_filter(const struct estreat_filter *filter, Estreat__V1__Filter *out);

#endif
