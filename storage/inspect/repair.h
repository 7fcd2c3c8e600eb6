/* SPDX-License-Identifier: Apache-2.0
 *
 * Repair: what can be put right with proof that nothing is lost by it, and no more:
 *
 * - what the next start does anyway: the torn tail of the manifest is cut, files that
 *   nothing names and temporary ones are removed, what is found is synced;
 * - a lost CURRENT, if there is one manifest, whole, with all its tables whole, and no
 *   table that it does not know of: then it is the one that was named.
 *
 * A directory in which there is damage is left as it is, for whoever looks into it; what
 * to do is said instead.
 */
#ifndef ESTREAT_STORAGE_INSPECT_REPAIR_H
#define ESTREAT_STORAGE_INSPECT_REPAIR_H

#include "storage/inspect/place.h"
#include "storage/inspect/report.h"

/* Requires the lock. The report's counts are those of what is still wrong in the end; the status is
 * OK even so. */
enum status inspect_repair(const struct store_place *place, struct report *report,
                           struct error *err) MUST_USE;

#endif
