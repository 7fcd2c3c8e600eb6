/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifest: the durable record of which tables are live and what was sealed. A
 * log of edits, each synced before anything relies on it; CURRENT names the file.
 * Now and then the whole state is written anew into a new file.
 *
 * Torn or rotten: each record tells how far the file was synced when it was
 * written. After an edit was synced, a short attestation follows it. A bad record
 * is damage if and only if a later valid one attests past it; else it is the torn
 * tail of a write that nobody relied on, and is cut.
 *
 * One thread at a time.
 */
#ifndef ESTREAT_STORAGE_TREE_MANIFEST_H
#define ESTREAT_STORAGE_TREE_MANIFEST_H

#include "base/fs.h"
#include "storage/tree/manifest_format.h"

struct manifest;

#define MANIFEST_NAME_BYTES 32

struct manifest_options {
    struct fs *fs; /* borrowed, as all below */
    struct alloc *alloc;
    const char *dir;
    const struct keyspace_options *keyspaces;
    size_t keyspace_count;
};

/* Reads what CURRENT names into `state` (initialised by the caller), or makes a new store whose
 * first manifest is number 1. A torn tail is cut. Returns owned.
 * CORRUPT names file and offset; FAILED_PRECONDITION: other keyspaces. */
enum status manifest_open(const struct manifest_options *options, struct manifest_state *state,
                          struct manifest **out, struct error *err) MUST_USE;
void manifest_close(struct manifest *manifest); /* NULL is allowed */

/* The number of the file in use. */
uint64_t manifest_number(const struct manifest *manifest);

/* Makes the edit durable. RESOURCE_EXHAUSTED: it is not there, and the call may be repeated.
 * Any other error is final: whether the edit is on disk is not known, and every later call
 * fails too (a failed sync says nothing about the data). */
enum status manifest_append(struct manifest *manifest, const struct edit *edit,
                            struct error *err) MUST_USE;

/* True if the file in use is of an older version than what the keyspaces may need: no such edit may
 * be appended before it was written anew. */
bool manifest_is_too_old(const struct manifest *manifest);

/* True if so much was appended that the state should be written anew. */
bool manifest_wants_rewrite(const struct manifest *manifest);

/* Writes `full` into the new file `number` and makes it the current one; removes the old file.
 * Errors as manifest_append; after RESOURCE_EXHAUSTED the old one goes on. */
enum status manifest_rewrite(struct manifest *manifest, uint64_t number, const struct edit *full,
                             struct error *err) MUST_USE;

/* --- a manifest without a store ------------------------------------------------------------- */

/* "MANIFEST-000012". Returns out. */
const char *manifest_file_name(char out[MANIFEST_NAME_BYTES], uint64_t number);

/* Replaces the content of `out` by that of the file with this number that says `full` and nothing
 * else, as manifest_rewrite() begins one. False without memory. Any thread. */
bool manifest_image(const struct manifest_options *options, uint64_t number,
                    const struct edit *full, struct buf *out) MUST_USE;

#endif
