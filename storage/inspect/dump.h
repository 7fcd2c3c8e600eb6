/* SPDX-License-Identifier: Apache-2.0
 *
 * Dump: what files hold, a line for each thing, with the file and the offset where it lies:
 *
 *   segment file=F number=N salt=X identity="..." bytes=N
 *   group file=F offset=N synced_file=F synced_offset=N bytes=N records=N
 *   entry file=F offset=N index=N term=N type=N data="..."
 *   hard_state file=F offset=N term=N vote=N
 *   truncate|reset file=F offset=N index=N term=N
 *   synced file=F offset=N
 *   record file=F offset=N synced_through=N       and what it says, in lines of their own:
 *   full|keyspace|add|remove|next_file|last_sequence|seal|floor file=F offset=N ...
 *   properties file=F ...
 *   partition file=F offset=N bytes=N data_begin=N last_key="..."     of an index of two levels
 *   block file=F offset=N bytes=N last_key="..."
 *   put|delete file=F block=N key="..." sequence=N value="..."
 *
 * What is damaged is told, and passed over.
 */
#ifndef ESTREAT_STORAGE_INSPECT_DUMP_H
#define ESTREAT_STORAGE_INSPECT_DUMP_H

#include "storage/inspect/place.h"
#include "storage/inspect/report.h"

/* The manifest, the live tables, the log. */
enum status inspect_dump(const struct store_place *place, struct report *report,
                         struct error *err) MUST_USE;

/* One file, whose name says what it is: *.sst, MANIFEST-*, *.wal. INVALID_ARGUMENT: none of these.
 * NOT_FOUND: it is not there. */
enum status inspect_dump_file(struct fs *fs, struct alloc *alloc, const char *path,
                              struct report *report, struct error *err) MUST_USE;

#endif
