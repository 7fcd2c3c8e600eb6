/* SPDX-License-Identifier: Apache-2.0
 *
 * Start: what a start makes of a directory, and nothing after it: no flush, no compaction.
 */
#ifndef ESTREAT_STORAGE_INSPECT_START_H
#define ESTREAT_STORAGE_INSPECT_START_H

#include "storage/engine.h"
#include "storage/inspect/tables.h"

/* Opens an engine on tables as they were read, with the keyspaces that they name. The engine is the
 * caller's to close, and borrows `tables` until then. FAILED_PRECONDITION: no keyspace was ever
 * made there. */
enum status inspect_start(const struct inspect_tables *tables, struct engine **engine,
                          struct error *err) MUST_USE;

#endif
