/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics: what a log has done since it was opened (struct wal_metrics), as lines of the Prometheus
 * text format: entries and bytes, the sizes of its groups, and how long its syncs took. Any thread.
 */
#ifndef ESTREAT_STORAGE_WAL_METRICS_H
#define ESTREAT_STORAGE_WAL_METRICS_H

#include "base/buf.h"
#include "storage/wal/wal.h"

/* Appends all of it. */
void wal_metrics_write(struct wal_metrics *metrics, struct buf *out);

#endif
