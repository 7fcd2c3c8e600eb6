/* SPDX-License-Identifier: Apache-2.0
 *
 * Tree head: (size, root) of a log, and its signed text, the C2SP checkpoint
 * (c2sp.org/tlog-checkpoint):
 *
 *     origin
 *     size in decimal
 *     base64 root
 *     [extension lines; never written by us]
 *
 *     — origin signature
 *
 * The origin is the name of the log and of the keys that may sign for it.
 */
#ifndef ESTREAT_MERKLE_TREE_HEAD_H
#define ESTREAT_MERKLE_TREE_HEAD_H

#include "merkle/note.h"

struct tree_head {
    struct slice origin; /* borrowed, as are the extensions */
    uint64_t size;
    struct hash root;
    struct slice extensions; /* whole lines with their newlines; empty for our heads */
};

/* Appends the unsigned text. The origin must be a valid key name. */
void tree_head_format(const struct tree_head *head, struct buf *out);

/* Reads the unsigned text; the slices of `out` point into it. INVALID_ARGUMENT if it is
 * anything but one canonical tree head. */
MUST_USE enum status tree_head_parse(struct slice text, struct tree_head *out, struct error *err);

/* Appends the checkpoint signed by each of `signers`. What may be signed, and when, is the
 * caller's business. Errors as note_sign. */
MUST_USE enum status tree_head_sign(const struct tree_head *head, const struct note_signer *signers,
                                    size_t count, struct buf *out, struct error *err);

/* Reads a checkpoint. At least one signature must be of a trusted key that is named as the
 * origin. The slices of `out` point into `bytes`; `note` may be NULL, else it says who signed.
 * INVALID_ARGUMENT if it is malformed, UNAUTHENTICATED if no trusted key of the log signed. */
MUST_USE enum status tree_head_open(struct slice bytes, struct note_trust trust,
                                    struct tree_head *out, struct note *note, struct error *err);

#endif
