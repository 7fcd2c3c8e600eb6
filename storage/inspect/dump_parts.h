/* SPDX-License-Identifier: Apache-2.0
 *
 * Dump parts: what inspect_dump() is put together from, one for each kind of file.
 */
#ifndef ESTREAT_STORAGE_INSPECT_DUMP_PARTS_H
#define ESTREAT_STORAGE_INSPECT_DUMP_PARTS_H

#include "storage/inspect/place.h"
#include "storage/inspect/report.h"

/* Segment `only` of the log, 0: all. */
enum status dump_log(struct fs *fs, struct alloc *alloc, const char *dir, uint64_t only,
                     struct report *report, struct error *err) MUST_USE;

/* MANIFEST-<number> in `dir`. */
enum status dump_manifest(struct fs *fs, struct alloc *alloc, const char *dir, uint64_t number,
                          struct report *report, struct error *err) MUST_USE;

/* The table at `path`; `name` is what its lines call it. */
enum status dump_table(struct fs *fs, struct alloc *alloc, const char *path, const char *name,
                       struct report *report, struct error *err) MUST_USE;

#endif
