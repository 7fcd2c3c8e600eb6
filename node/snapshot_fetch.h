/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshot_fetch: brings the files of a plan into the staging directory, one after
 * another. What is there of a file already is hashed, and the rest is asked for behind it,
 * so that what broke off goes on; a file counts when it is synced and its hash fits. Files
 * that the plan does not name are removed. In steps of about a megabyte. One owner.
 */
#ifndef ESTREAT_NODE_SNAPSHOT_FETCH_H
#define ESTREAT_NODE_SNAPSHOT_FETCH_H

#include "base/fs.h"
#include "merkle/hash.h"
#include "node/snapshot_plan.h"
#include "node/snapshot_questions.h"

struct snapshot_fetch {
    struct alloc *alloc;
    struct fs *fs;
    const char *dir;
    uint64_t reserve_bytes; /* of the disk, which stay free */
    struct snapshot_questions *questions;
    struct hasher hasher;
    uint8_t *buffer; /* to read what is there; while fetching */
    struct snapshot_plan *plan;
    uint64_t source;
    size_t next;       /* file */
    struct file *file; /* of `next`, if it is open */
    bool anew;         /* what is there of it is not to be believed */
    uint64_t kept;     /* so many bytes of it were there */
    uint64_t offset;   /* so many are hashed, and so are in the file */
    uint64_t asked;
    uint64_t done_bytes; /* of the files before */
    uint64_t kept_bytes; /* of them, what was there already */
};

enum snapshot_fetch_result {
    SNAPSHOT_FETCH_AGAIN,
    SNAPSHOT_FETCH_WAIT, /* for an answer */
    SNAPSHOT_FETCH_DONE,
    SNAPSHOT_FETCH_SOURCE, /* the source is gone or its files do not hold: err says why */
    SNAPSHOT_FETCH_DISK,   /* this node's disk fails */
};

/* Borrows all. */
enum status snapshot_fetch_init(struct snapshot_fetch *fetch, struct alloc *alloc, struct fs *fs,
                                const char *dir, uint64_t reserve_bytes,
                                struct snapshot_questions *questions, struct error *err) MUST_USE;
void snapshot_fetch_release(struct snapshot_fetch *fetch);

/* Borrows the plan until the end, and notes in it what has been fetched. The directory is there. */
enum status snapshot_fetch_begin(struct snapshot_fetch *fetch, struct snapshot_plan *plan,
                                 uint64_t source, struct error *err) MUST_USE;

enum snapshot_fetch_result snapshot_fetch_step(struct snapshot_fetch *fetch,
                                               struct error *err) MUST_USE;

uint64_t snapshot_fetch_done_bytes(const struct snapshot_fetch *fetch);

/* What is staged stays. Questions that are open stay open. Also if it did not begin. */
void snapshot_fetch_end(struct snapshot_fetch *fetch);

#endif
