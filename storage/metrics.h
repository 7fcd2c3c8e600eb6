/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics: what an engine and the log that it is fed from have done, as one text for an operator:
 * a comment that says when, then lines of the Prometheus text format.
 *
 *   # as of 2026-11-26T14:25:17Z
 *   estreat_storage_lookups_total 12
 *
 * A node keeps it in its data directory as STORAGE_METRICS_FILE (node/metrics_file.h), a store
 * alone leaves it there at its close; `estreat-store stats` finds it. Nothing depends on the file.
 */
#ifndef ESTREAT_STORAGE_METRICS_H
#define ESTREAT_STORAGE_METRICS_H

#include "base/buf.h"
#include "base/limits.h"

#define STORAGE_METRICS_FILE "metrics"
#define STORAGE_METRICS_BYTES_MAX (1 * MIB)
#define STORAGE_METRICS_AS_OF "# as of "

struct engine;
struct wal_metrics;

/* Appends all of it, and the write amplification that only both together tell: what log, flushes
 * and merges wrote over the keys and values that were written. `now_ns` is the time of day. Any
 * thread, as engine_metrics_write(). */
void storage_metrics_write(struct engine *engine, struct wal_metrics *wal, uint64_t now_ns,
                           struct buf *out);

#endif
