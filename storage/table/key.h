/* SPDX-License-Identifier: Apache-2.0
 *
 * Key: the internal key, by which memtables and tables are sorted.
 *
 *     internal key = user key ‖ trailer        trailer = be64(~((sequence << 8) | type))
 *
 * Internal keys order by user key (as bytes, a prefix first), then by trailer bytes, so
 * that of one user key the newest sequence comes first. Because user keys vary in length,
 * comparing whole internal keys as bytes would be wrong: use internal_key_compare().
 *
 * To find what a reader at sequence S sees of a key, seek to (key, S, KEY_SEEK): the first
 * entry at or after it is the newest one with a sequence <= S, if the user key is equal.
 *
 * Pure functions; any thread.
 */
#ifndef ESTREAT_STORAGE_TABLE_KEY_H
#define ESTREAT_STORAGE_TABLE_KEY_H

#include "base/buf.h"
#include "base/coding.h"
#include "base/limits.h"
#include "base/slice.h"

enum key_type {
    KEY_DELETE = 0, /* a tombstone; its value is empty */
    KEY_PUT = 1,
};

/* The type that sorts first within one sequence: for targets of a seek. */
#define KEY_SEEK KEY_PUT

#define SEQUENCE_MAX ((UINT64_C(1) << 56) - 1)
#define KEY_TRAILER_BYTES 8UL

/* An event's key with every byte escaped to two, and room for a prefix and a version. */
#define USER_KEY_BYTES_MAX (4UL * KIB)
#define INTERNAL_KEY_BYTES_MAX (USER_KEY_BYTES_MAX + KEY_TRAILER_BYTES)

/* The largest value: an event of the largest size, or a whole request's worth of rows. */
#define VALUE_BYTES_MAX (4UL * MIB)

_Static_assert(USER_KEY_BYTES_MAX >= 2 * KEY_BYTES_MAX + 64, "an escaped event key fits");
_Static_assert(VALUE_BYTES_MAX >= PAYLOAD_BYTES_MAX + 4 * KIB, "the largest event fits");

/* What a lookup of one key at one sequence says. */
enum lookup {
    LOOKUP_ABSENT,  /* no entry here: ask an older source */
    LOOKUP_FOUND,   /* a value */
    LOOKUP_DELETED, /* a tombstone: no older source counts */
};

struct internal_key {
    struct slice user;
    uint64_t sequence;
    enum key_type type;
};

static inline uint64_t key_trailer(uint64_t sequence, enum key_type type)
{
    return ~((sequence << 8) | (uint64_t)type);
}

static inline uint64_t key_trailer_sequence(uint64_t trailer)
{
    return ~trailer >> 8;
}

static inline uint8_t key_trailer_type(uint64_t trailer)
{
    return (uint8_t)~trailer;
}

/* The parts of an internal key that is known to be well formed (KEY_TRAILER_BYTES or more). */
static inline struct slice internal_key_user(struct slice internal)
{
    return slice_of(internal.data, internal.length - KEY_TRAILER_BYTES);
}

static inline uint64_t internal_key_trailer(struct slice internal)
{
    return get_be64(internal.data + internal.length - KEY_TRAILER_BYTES);
}

static inline uint64_t internal_key_sequence(struct slice internal)
{
    return key_trailer_sequence(internal_key_trailer(internal));
}

static inline enum key_type internal_key_type(struct slice internal)
{
    return (enum key_type)key_trailer_type(internal_key_trailer(internal));
}

/* Both must be KEY_TRAILER_BYTES or longer. Returns <0, 0 or >0. */
static inline int internal_key_compare(struct slice a, struct slice b)
{
    int order = slice_compare(internal_key_user(a), internal_key_user(b));
    if (order != 0) {
        return order;
    }
    uint64_t trailer_a = internal_key_trailer(a);
    uint64_t trailer_b = internal_key_trailer(b);
    return trailer_a < trailer_b ? -1 : trailer_a > trailer_b;
}

/* Parses untrusted bytes. False if they are too short, too long, or of an unknown type; `out`
 * is then untouched. `out` borrows `internal`. */
bool internal_key_parse(struct slice internal, struct internal_key *out);

/* Writes user key and trailer to `to`, which has room for both. Returns the length.
 * `sequence` <= SEQUENCE_MAX. */
size_t internal_key_put(uint8_t *to, struct slice user, uint64_t sequence, enum key_type type);

/* Appends the internal key; a failure is the buf's. */
void internal_key_encode(struct buf *out, struct slice user, uint64_t sequence, enum key_type type);

#endif
