/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/wal/metrics.h"

#include "storage/metrics_text.h"

void wal_metrics_write(struct wal_metrics *metrics, struct buf *out)
{
    metrics_text_count(out, "wal_entries_total", counter_get(&metrics->entries));
    metrics_text_count(out, "wal_bytes_total", counter_get(&metrics->bytes));
    metrics_text_count(out, "wal_zero_bytes_total", counter_get(&metrics->zero_bytes));
    metrics_text_count(out, "wal_segments_made_total", counter_get(&metrics->segments_made));
    metrics_text_count(out, "wal_segments_recycled_total",
                       counter_get(&metrics->segments_recycled));
    metrics_text_histogram(out, "wal_group_entries", "", &metrics->group_entries);
    metrics_text_histogram(out, "wal_group_bytes", "", &metrics->group_bytes);
    metrics_text_seconds(out, "wal_fdatasync", "", &metrics->fdatasync_ns);
}
