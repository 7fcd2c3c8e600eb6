/* SPDX-License-Identifier: Apache-2.0
 *
 * Lineage: which store a table is of. Numbers of tables are never used twice in the life of
 * one directory, but a store that was restored, or pulled as a snapshot, goes on from the
 * same numbers with tables of its own. So the first backup of a directory draws a random
 * number for it, and only tables of the same lineage are taken for the same.
 *
 *   DIR/LINEAGE    32 hexadecimal digits and a newline
 *
 * Nothing else rests on the file, so nobody is told of damage to it: without it, or if it is
 * not whole, the next backup draws another number; a digit that is not what it was is another
 * number, too. That backup copies everything, and those after it are increments of it.
 */
#ifndef ESTREAT_STORAGE_BACKUP_LINEAGE_H
#define ESTREAT_STORAGE_BACKUP_LINEAGE_H

#include "base/fs.h"
#include "base/rng.h"
#include "storage/backup/format.h"

/* The lineage of the store in `dir`, durably drawn if there is none yet. */
enum status lineage_of(struct fs *fs, struct rng *rng, const char *dir,
                       uint8_t out[BACKUP_LINEAGE_BYTES], struct error *err) MUST_USE;

#endif
