/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifest format: the byte table is in storage/FORMAT.md, section "Manifest".
 * Here are its numbers and the coding of one record's payload.
 */
#ifndef ESTREAT_STORAGE_TREE_MANIFEST_FORMAT_H
#define ESTREAT_STORAGE_TREE_MANIFEST_FORMAT_H

#include "base/buf.h"
#include "base/limits.h"
#include "storage/keyspace.h"
#include "storage/tree/edit.h"

#define MANIFEST_MAGIC "ESTRMANI"
#define MANIFEST_VERSION 1
#define MANIFEST_VERSION_TIMES 2 /* there may be tables with times, and floors */
#define MANIFEST_HEADER_BYTES 16 /* magic, le32 version, le32 CRC of both */
#define MANIFEST_RECORD_HEADER_BYTES 8
/* A full state of a million tables; what is longer is damage. */
#define MANIFEST_RECORD_BYTES_MAX (256 * MIB)

enum manifest_tag {
    MANIFEST_FULL = 1,     /* the state is whole: only at the start of the first record */
    MANIFEST_KEYSPACE = 2, /* varint index, u8 layout, prefixed name */
    MANIFEST_ADD = 3,      /* varint keyspace, level, number, bytes, entries; prefixed keys */
    MANIFEST_REMOVE = 4,   /* varint keyspace, level, number */
    MANIFEST_NEXT_FILE = 5,
    MANIFEST_LAST_SEQUENCE = 6,
    MANIFEST_SEAL = 7,      /* varint count of seals, prefixed owner's state */
    MANIFEST_ADD_TIMED = 8, /* as ADD, then varint smallest time, largest less smallest */
    MANIFEST_FLOOR = 9,     /* varint keyspace, prefixed key */
};

/* A keyspace as the store knows it. */
struct manifest_keyspace {
    enum keyspace_layout layout;
    char name[KEYSPACE_NAME_BYTES_MAX + 1];
};

/* What a manifest says in the end. */
struct manifest_state {
    struct edit tables; /* the live tables as additions, by number, and the floors */
    struct buf owner_state;
    uint64_t seal_count;
    uint64_t next_file;
    uint64_t last_sequence;
    struct manifest_keyspace keyspaces[KEYSPACES_MAX];
    size_t keyspace_count; /* that the store knows; may be fewer than the engine's */
};

void manifest_state_init(struct manifest_state *state, struct alloc *alloc);
void manifest_state_release(struct manifest_state *state);

/* Appends the payload that says `edit`; keyspaces are told if it is a full one. */
void manifest_encode(struct buf *out, uint64_t synced_through, const struct edit *edit,
                     const struct keyspace_options *keyspaces, size_t keyspace_count);

/* One field of a payload; what does not belong to its tag is zero. */
struct manifest_field {
    enum manifest_tag tag;
    uint64_t keyspace; /* KEYSPACE, ADD, REMOVE, FLOOR: its index; ADD: ADD_TIMED as well */
    uint8_t layout;    /* KEYSPACE */
    struct slice name;
    uint64_t level; /* ADD, REMOVE */
    uint64_t number;
    uint64_t bytes; /* ADD */
    uint64_t entries;
    struct slice smallest;
    struct slice largest;
    struct time_bounds times; /* ADD_TIMED */
    struct slice floor;
    uint64_t value; /* NEXT_FILE, LAST_SEQUENCE; of SEAL: the number of seals so far */
    struct slice owner_state;
};

/* Takes the next field of an untrusted payload, of which `cursor` has read synced_through and what
 * came before. Its slices borrow the payload. CORRUPT: unknown, or cut. */
enum status manifest_field_next(struct cursor *cursor, struct manifest_field *out,
                                struct error *err) MUST_USE;

/* Applies an untrusted payload to `state`. CORRUPT if it makes no sense;
 * FAILED_PRECONDITION if its keyspaces are others than `keyspaces`; NULL takes any, for tools. */
enum status manifest_decode(struct slice payload, bool first,
                            const struct keyspace_options *keyspaces, size_t keyspace_count,
                            struct manifest_state *state, struct error *err) MUST_USE;

#endif
