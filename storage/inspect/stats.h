/* SPDX-License-Identifier: Apache-2.0
 *
 * Stats: what a store is made of, as lines: the manifest, each keyspace, level and table
 * with sizes, keys, times, floors and what compression made of them; the log, its segments and how
 * large the writes were that made it; and what the node has done, if it left its metrics.
 */
#ifndef ESTREAT_STORAGE_INSPECT_STATS_H
#define ESTREAT_STORAGE_INSPECT_STATS_H

#include "storage/inspect/place.h"
#include "storage/inspect/report.h"

/* Faults that are met are counted in the report. */
enum status inspect_stats(const struct store_place *place, struct report *report,
                          struct error *err) MUST_USE;

#endif
