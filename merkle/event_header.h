/* SPDX-License-Identifier: Apache-2.0
 *
 * Event header: the canonical bytes of an event without its payload. They are
 * what the leaf hash covers, so their layout (FORMAT.md) is frozen: the first
 * byte names the format, and a different layout gets a different first byte.
 * Two headers have equal bytes only if all their fields are equal.
 */
#ifndef ESTREAT_MERKLE_EVENT_HEADER_H
#define ESTREAT_MERKLE_EVENT_HEADER_H

#include "base/limits.h"
#include "merkle/hash.h"

#define EVENT_HEADER_FORMAT 1U
#define EVENT_HEADER_BYTES_FIXED 69UL
#define EVENT_HEADER_BYTES_MAX                                                                     \
    (EVENT_HEADER_BYTES_FIXED + KEY_BYTES_MAX + TYPE_BYTES_MAX + EVENT_ID_BYTES_MAX)

/* The numbers are hashed; they equal the schema's. */
enum event_kind {
    EVENT_KIND_CREATE = 1,
    EVENT_KIND_UPDATE = 2,
    EVENT_KIND_DELETE = 3,
    EVENT_KIND_SYSTEM = 4,
};

#define EVENT_SEVERITY_MAX 6 /* 0 none, 1 TRACE, 2 DEBUG, 3 INFO, 4 WARN, 5 ERROR, 6 FATAL */

struct event_header {
    uint64_t position;
    uint64_t time_ns;
    uint64_t version;
    uint8_t kind;
    uint8_t severity;
    uint32_t payload_length;
    struct hash payload_hash; /* hash_payload(salt, payload) */
    struct slice key;         /* 1 to KEY_BYTES_MAX bytes; borrowed, as are the next two */
    struct slice type;        /* at most TYPE_BYTES_MAX */
    struct slice event_id;    /* at most EVENT_ID_BYTES_MAX */
};

/* INVALID_ARGUMENT, naming the field, if one is outside its bounds. */
MUST_USE enum status event_header_check(const struct event_header *header, struct error *err);

/* Writes the canonical bytes; returns their length. The header must pass event_header_check. */
size_t event_header_encode(const struct event_header *header, uint8_t out[EVENT_HEADER_BYTES_MAX]);

/* Reads untrusted bytes; the slices of `out` point into `bytes`. CORRUPT unless the whole of
 * `bytes` is one header of a known format with all fields in bounds. */
MUST_USE enum status event_header_decode(struct slice bytes, struct event_header *out,
                                         struct error *err);

/* hash_leaf of the canonical bytes. The header must pass event_header_check. */
struct hash event_leaf_hash(struct hasher *hasher, const struct event_header *header);

/* True if `payload` with `salt` is what the header promises, in length and hash. */
bool event_payload_matches(struct hasher *hasher, const struct event_header *header,
                           struct slice salt, struct slice payload);

#endif
