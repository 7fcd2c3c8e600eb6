/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/metrics.h"

#include "base/clock.h"
#include "storage/engine.h"
#include "storage/engine_internal.h"
#include "storage/metrics_text.h"
#include "storage/wal/metrics.h"

void storage_metrics_write(struct engine *engine, struct wal_metrics *wal, uint64_t now_ns,
                           struct buf *out)
{
    struct engine_metrics *metrics = &engine->metrics;
    char when[CLOCK_TEXT_BYTES];
    buf_append_slice(out, slice_of_string(STORAGE_METRICS_AS_OF));
    buf_append_slice(out, slice_of_string(clock_text(when, now_ns)));
    buf_put_u8(out, '\n');
    engine_metrics_write(engine, out);
    wal_metrics_write(wal, out);
    uint64_t disk = counter_get(&metrics->flush_bytes_written) +
                    counter_get(&metrics->compaction_bytes_written) + counter_get(&wal->bytes) +
                    counter_get(&wal->zero_bytes);
    metrics_text_put(out, "write_amplification_with_log %.3f",
                     metrics_ratio(disk, counter_get(&metrics->written_bytes)));
}
