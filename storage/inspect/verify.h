/* SPDX-License-Identifier: Apache-2.0
 *
 * Verify: reads every byte that a store rests on, and tells each fault with file, offset
 * and cause: CURRENT, the manifest, each block of each live table, each record of the log.
 * What is only left over (files that nothing names, the torn tail of a write) is a note:
 * the next start deals with it. Nothing is changed.
 *
 * Not looked at: whether log and tables fit each other, which only their owner can tell.
 */
#ifndef ESTREAT_STORAGE_INSPECT_VERIFY_H
#define ESTREAT_STORAGE_INSPECT_VERIFY_H

#include "storage/inspect/place.h"
#include "storage/inspect/report.h"
#include "storage/wal/walk.h"

struct verified {
    uint64_t tables;       /* read whole */
    uint64_t table_bytes;  /* of them */
    uint64_t table_faults; /* of the tables' directory */
    uint64_t log_faults;
    bool current_lost;  /* CURRENT is missing or names nothing, though there are tables */
    uint64_t leftovers; /* files that the next start removes */
    struct wal_walk log;
};

/* Faults are counted in the report; the status is OK even so, and an error only if the look itself
 * could not go on. */
enum status inspect_verify(const struct store_place *place, struct report *report,
                           struct verified *out, struct error *err) MUST_USE;

#endif
