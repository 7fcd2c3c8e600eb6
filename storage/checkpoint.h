/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoint: the engine's durable content at one moment, as the files of a store of
 * its own: the tables that a version of the catalog names, and a manifest and CURRENT
 * that are made in memory. A directory that holds exactly these files is a store
 * that engine_open() opens, with the blob of the seal that it stands for.
 *
 * It is a reference, not a copy: taking one costs memory for the manifest, and as long
 * as it is held the engine does not remove those tables. Nothing is written, so nothing
 * is left behind by a crash. Writing, flushing and compacting go on.
 *
 * Threads: a checkpoint may be read by many; one takes and releases it. Taking waits for
 * an edit of the manifest that is under way, and so for its sync.
 */
#ifndef ESTREAT_STORAGE_CHECKPOINT_H
#define ESTREAT_STORAGE_CHECKPOINT_H

#include "storage/engine.h"

#define CHECKPOINT_NAME_BYTES 32

struct checkpoint;

struct checkpoint_file {
    char name[CHECKPOINT_NAME_BYTES]; /* in the store's directory, without a '/' */
    uint64_t bytes;
    bool immutable; /* a table: a file of this name has this content as long as the store lives */
};

/* Takes the content as of the last flushed seal and what has been merged since. Returns owned: to
 * be released before engine_close(). */
enum status checkpoint_take(struct engine *engine, struct checkpoint **out,
                            struct error *err) MUST_USE;
void checkpoint_release(struct checkpoint *checkpoint); /* NULL is allowed */

/* The owner's blob of the seal; empty if there was none. Valid until release. */
struct slice checkpoint_state(const struct checkpoint *checkpoint);

/* Tables first; the manifest and CURRENT are the last two. */
size_t checkpoint_file_count(const struct checkpoint *checkpoint);
void checkpoint_file_at(const struct checkpoint *checkpoint, size_t index,
                        struct checkpoint_file *out);

/* Reads [offset, offset + length) of file `index`, which must lie within it. Past the block cache.
 * CORRUPT if the file on disk is shorter, or gone. */
enum status checkpoint_read(struct checkpoint *checkpoint, size_t index, uint64_t offset, void *out,
                            size_t length, struct error *err) MUST_USE;

/* Reads table `index` whole and checks all of it, as engine_verify(); the last two files are OK. */
enum status checkpoint_verify(struct checkpoint *checkpoint, size_t index,
                              struct error *err) MUST_USE;

#endif
