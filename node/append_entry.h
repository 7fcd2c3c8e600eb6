/* SPDX-License-Identifier: Apache-2.0
 *
 * Append_entry: the bytes of an APPEND log entry: one client request, as the
 * leader admitted it. Everything that is not deterministic (the time, the
 * salts) is decided here, so that applying it is a pure function.
 *
 *   offset size
 *    0     1    layout, 1
 *    1     1    flags: bit 0, the events are salted
 *    2     2    count of events, little-endian, 1 to 1,024
 *    4     8    time of the first event; event i has time + i
 *   12     8    log time of the request's first attempt, 0 if this is it
 *   20     1    length of the client id, 0 or 16
 *   21     n    client id
 *    .          sequence, acknowledged-below (varints), only with a client id
 *    .          the events, one after another:
 *                 kind (1), severity (1), expectation (1: 0 any, 1 none, 2 version),
 *                 version (varint, only for 2), key, type, event id (each with a varint
 *                 length), salt (16, only if salted), payload (with a varint length)
 *
 * The time stands at a fixed place because the thread that owns the log sets it
 * last, when the entry's place in the order is known.
 */
#ifndef ESTREAT_NODE_APPEND_ENTRY_H
#define ESTREAT_NODE_APPEND_ENTRY_H

#include "base/buf.h"
#include "base/limits.h"
#include "base/rng.h"
#include "base/status.h"
#include "schema/log.pb-c.h"

enum expectation { EXPECT_ANY = 0, EXPECT_NONE = 1, EXPECT_VERSION = 2 };

struct append_entry {
    uint64_t time_ns; /* of the first event */
    uint64_t first_attempt_ns;
    struct slice client_id; /* empty: no session */
    uint64_t sequence;
    uint64_t acknowledged_below;
    uint32_t count;
    bool salted;
    struct slice events; /* borrowed from the entry's bytes */
};

struct append_event {
    uint8_t kind; /* schema numbers; 0 is AUTO */
    uint8_t severity;
    enum expectation expectation;
    uint64_t expected_version;
    struct slice key;
    struct slice type;
    struct slice event_id;
    struct slice salt;
    struct slice payload;
};

/* Checks a request against the limits. INVALID_ARGUMENT names what is wrong with which event. */
enum status append_request_check(const Estreat__V1__AppendRequest *request,
                                 struct error *err) MUST_USE;

/* The exact length of the entry for a checked request. */
size_t append_entry_length(const Estreat__V1__AppendRequest *request, bool salted);

/* Writes append_entry_length() bytes to `out`, with time 0. Salts come from `rng` if `salted`. */
void append_entry_encode(const Estreat__V1__AppendRequest *request, bool salted, struct rng *rng,
                         uint8_t *out);

/* Sets the time of the first event in an encoded entry. */
void append_entry_set_time(uint8_t *entry, uint64_t time_ns);

/* How many events an encoded entry has; 0 if it is not one. */
uint32_t append_entry_count(struct slice entry);

/* The time of the last event of an encoded entry; 0 if it is not one. */
uint64_t append_entry_last_time(struct slice entry);

/* CORRUPT if the bytes are not an entry of a layout that this version knows. */
enum status append_entry_decode(struct slice bytes, struct append_entry *out,
                                struct error *err) MUST_USE;

/* The next event; `cursor` begins as cursor_of(entry.events). Call it `count` times, then ask
 * cursor_done(). CORRUPT if the bytes are not an event. */
enum status append_event_next(const struct append_entry *entry, struct cursor *cursor,
                              struct append_event *out, struct error *err) MUST_USE;

#endif
