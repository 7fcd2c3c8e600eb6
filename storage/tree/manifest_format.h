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
    MANIFEST_SEAL = 7, /* varint count of seals, prefixed owner's state */
};

/* What a manifest says in the end. */
struct manifest_state {
    struct edit tables; /* the live tables as additions, by number */
    struct buf owner_state;
    uint64_t seal_count;
    uint64_t next_file;
    uint64_t last_sequence;
    size_t keyspace_count; /* that the store knows; may be fewer than the engine's */
};

void manifest_state_init(struct manifest_state *state, struct alloc *alloc);
void manifest_state_release(struct manifest_state *state);

/* Appends the payload that says `edit`; keyspaces are told if it is a full one. */
void manifest_encode(struct buf *out, uint64_t synced_through, const struct edit *edit,
                     const struct keyspace_options *keyspaces, size_t keyspace_count);

/* Applies an untrusted payload to `state`. CORRUPT if it makes no sense;
 * FAILED_PRECONDITION if its keyspaces are others. */
enum status manifest_decode(struct slice payload, bool first,
                            const struct keyspace_options *keyspaces, size_t keyspace_count,
                            struct manifest_state *state, struct error *err) MUST_USE;

#endif
