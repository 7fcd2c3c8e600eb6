/* SPDX-License-Identifier: Apache-2.0
 *
 * Proof file: a proof as text that stands alone. `estreat prove` writes it,
 * `estreat verify` checks it with no cluster at hand; FORMAT.md has the layout.
 * The inclusion form is C2SP's tlog-proof, whose extra data holds the event;
 * the consistency form is ours.
 */
#ifndef ESTREAT_MERKLE_PROOF_FILE_H
#define ESTREAT_MERKLE_PROOF_FILE_H

#include "merkle/event_header.h"
#include "merkle/proof.h"
#include "merkle/tree_head.h"

/* The largest event in base64, its path and its checkpoint. */
#define PROOF_FILE_BYTES_MAX (1UL * MIB)

/* That an event is in the log. Everything is borrowed. */
struct inclusion_file {
    struct event_header event; /* its position is the leaf's */
    bool has_payload;          /* false for a redacted event: then neither salt nor payload */
    struct slice salt;         /* empty or SALT_BYTES */
    struct slice payload;
    struct proof path;       /* of event.position in the checkpoint's size */
    struct slice checkpoint; /* signed text */
};

/* That the log at new_size continues the log at old_size. */
struct consistency_file {
    uint64_t old_size;
    uint64_t new_size;
    struct hash old_root;
    struct hash new_root;
    struct proof path;         /* old to new */
    bool has_head_path;        /* true if and only if the checkpoint's size is not new_size */
    struct proof path_to_head; /* new to the checkpoint's size */
    struct slice checkpoint;   /* signed text */
};

enum proof_file_kind {
    PROOF_FILE_INCLUSION = 1,
    PROOF_FILE_CONSISTENCY = 2,
};

/* A proof file taken apart. Nothing of it is believed yet. */
struct proof_file {
    enum proof_file_kind kind;
    union {
        struct inclusion_file inclusion;
        struct consistency_file consistency;
    };
    struct buf event_bytes; /* owned: what the slices of the event point into */
};

/* Appends the text to `out`. Its parts are not verified; RESOURCE_EXHAUSTED if it does not
 * fit, INVALID_ARGUMENT if the event has a field out of bounds. */
MUST_USE enum status proof_file_format_inclusion(const struct inclusion_file *file, struct buf *out,
                                                 struct error *err);
MUST_USE enum status proof_file_format_consistency(const struct consistency_file *file,
                                                   struct buf *out, struct error *err);

/* Takes a text apart. The result points into `text`, and owns the decoded event: release it.
 * INVALID_ARGUMENT if it is no proof file at all, DATA_LOSS if it begins as one and is damaged,
 * RESOURCE_EXHAUSTED without memory. On an error there is nothing to release. */
MUST_USE enum status proof_file_parse(struct slice text, struct alloc *alloc,
                                      struct proof_file *out, struct error *err);

void proof_file_release(struct proof_file *file);

/* What a verified file proves. */
struct proof_verdict {
    struct proof_file file; /* owned: release it with proof_verdict_release */
    struct tree_head head;  /* signed by a trusted key; points into the text */
};

/* Checks a file against the trusted keys, completely: payload, header, leaf, path, signature.
 * OK: proved, and `out` holds what. Else `out` is untouched and `err` has a reason in one line:
 *   DATA_LOSS, UNAUTHENTICATED   refused: it is damaged, or nobody trusted signed it
 *   INVALID_ARGUMENT             not a proof file
 *   UNKNOWN                      no keys are trusted, so nothing can be told
 *   RESOURCE_EXHAUSTED           no memory */
MUST_USE enum status proof_file_verify(struct slice text, struct note_trust trust,
                                       struct hasher *hasher, struct alloc *alloc,
                                       struct proof_verdict *out, struct error *err);

void proof_verdict_release(struct proof_verdict *verdict);

#endif
