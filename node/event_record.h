/* SPDX-License-Identifier: Apache-2.0
 *
 * Event_record: an event as keyspace `events` stores it, under its position:
 *
 *   layout 1 (1 byte), time (8, little-endian), kind (1), severity (1), version (varint),
 *   key, type, event id, salt (each with a varint length), payload (the rest)
 *
 * The payload's hash is not stored: whoever needs it computes it from what was
 * read, so that a changed payload cannot hide behind an old hash.
 */
#ifndef ESTREAT_NODE_EVENT_RECORD_H
#define ESTREAT_NODE_EVENT_RECORD_H

#include "base/buf.h"
#include "base/status.h"
#include "merkle/event_header.h"
#include "merkle/hash.h"

/* Where the time is in the bytes. */
#define EVENT_RECORD_TIME_PLACE 1U

struct event_record {
    uint64_t position; /* from the row's key */
    uint64_t time_ns;
    uint64_t version;
    uint8_t kind;
    uint8_t severity;
    struct slice key;
    struct slice type;
    struct slice event_id;
    struct slice salt;
    struct slice payload;
};

size_t event_record_length(const struct event_record *record);

/* Writes event_record_length() bytes. */
void event_record_encode(const struct event_record *record, uint8_t *out);

/* Borrows from `bytes`. CORRUPT names the position. */
enum status event_record_decode(uint64_t position, struct slice bytes, struct event_record *out,
                                struct error *err) MUST_USE;

/* Hashes the payload and gives the header that the leaf covers; it borrows from `record`. */
void event_record_header(struct hasher *hasher, const struct event_record *record,
                         struct event_header *out);

/* Hash of payload, header and leaf in one. */
struct hash event_record_leaf(struct hasher *hasher, const struct event_record *record);

#endif
