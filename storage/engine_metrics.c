/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/engine_metrics.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "storage/engine_internal.h"
#include "storage/metrics_text.h"
#include "storage/tree/shape.h"

static const char *const stall_names[ENGINE_STALLS] = {
    [STALL_LEVEL0_SLOWDOWN] = "level0_slowdown",
    [STALL_LEVEL0_STOP] = "level0_stop",
    [STALL_SEALS] = "seals",
};

const char *engine_stall_name(enum engine_stall stall)
{
    CHECK(stall < ENGINE_STALLS);
    return stall_names[stall];
}

static void put_levels(const struct version *version, unsigned keyspace, const char *name,
                       struct buf *out)
{
    for (unsigned level = 0; level < TREE_LEVELS; level++) {
        uint64_t bytes = version_bytes(version, keyspace, level);
        if (bytes > 0) {
            metrics_text_put(out, "level_bytes{keyspace=\"%s\",level=\"%u\"} %" PRIu64, name, level,
                             bytes);
            metrics_text_put(out, "level_tables{keyspace=\"%s\",level=\"%u\"} %zu", name, level,
                             version_count(version, keyspace, level));
        }
    }
}

/* Space amplification is that of the leveled keyspaces; dead bytes tell of the others. */
static void put_shape(struct engine *engine, struct buf *out)
{
    struct view *view = engine_view_acquire(engine);
    struct shape leveled = {.runs = 0};
    size_t runs_most = 0;
    for (unsigned keyspace = 0; keyspace < engine->options.keyspace_count; keyspace++) {
        const struct keyspace_options *options = &engine->keyspaces[keyspace];
        struct shape shape = shape_of(view->version, keyspace, options->layout);
        runs_most = shape.runs > runs_most ? shape.runs : runs_most;
        if (options->layout == KEYSPACE_LEVELED) {
            leveled.bytes += shape.bytes;
            leveled.live_bytes += shape.live_bytes;
        } else {
            metrics_text_put(out, "dead_bytes{keyspace=\"%s\"} %" PRIu64, options->name,
                             shape.bytes - shape.live_bytes);
        }
        put_levels(view->version, keyspace, options->name, out);
    }
    view_unref(view);
    metrics_text_put(out, "read_amplification %zu", runs_most);
    metrics_text_put(out, "space_amplification %.3f",
                     metrics_ratio(leveled.bytes, leveled.live_bytes));
}

static void put_work(struct engine_metrics *metrics, struct buf *out)
{
    metrics_text_count(out, "lookups_total", counter_get(&metrics->lookups));
    metrics_text_count(out, "lookups_found_total", counter_get(&metrics->lookups_found));
    metrics_text_count(out, "lookup_bytes_total", counter_get(&metrics->lookup_bytes));
    metrics_text_count(out, "iterators_total", counter_get(&metrics->iterators));
    metrics_text_count(out, "iterator_entries_total", counter_get(&metrics->iterator_entries));
    metrics_text_count(out, "iterator_bytes_total", counter_get(&metrics->iterator_bytes));
    metrics_text_count(out, "seeks_total", counter_get(&metrics->seeks));
    metrics_text_count(out, "writes_total", counter_get(&metrics->writes));
    metrics_text_count(out, "written_entries_total", counter_get(&metrics->written_entries));
    metrics_text_count(out, "written_bytes_total", counter_get(&metrics->written_bytes));
    metrics_text_count(out, "flushes_total", counter_get(&metrics->flushes));
    metrics_text_count(out, "flush_bytes_written_total",
                       counter_get(&metrics->flush_bytes_written));
    metrics_text_count(out, "compactions_total", counter_get(&metrics->compactions));
    metrics_text_count(out, "compaction_bytes_read_total",
                       counter_get(&metrics->compaction_bytes_read));
    metrics_text_count(out, "compaction_bytes_written_total",
                       counter_get(&metrics->compaction_bytes_written));
    metrics_text_count(out, "background_retries_total", counter_get(&metrics->background_retries));
    metrics_text_count(out, "partitions_dropped_total", counter_get(&metrics->partitions_dropped));
    metrics_text_count(out, "partition_bytes_dropped_total",
                       counter_get(&metrics->partition_bytes_dropped));
    metrics_text_count(out, "partitions_rewritten_total",
                       counter_get(&metrics->partitions_rewritten));
    metrics_text_count(out, "partition_bytes_rewritten_total",
                       counter_get(&metrics->partition_bytes_rewritten));
    metrics_text_put(out, "write_amplification %.3f",
                     metrics_ratio(counter_get(&metrics->flush_bytes_written) +
                                       counter_get(&metrics->compaction_bytes_written),
                                   counter_get(&metrics->written_bytes)));
}

static void put_times(struct engine_metrics *metrics, struct buf *out)
{
    metrics_text_seconds(out, "lookup", "", &metrics->lookup_ns);
    metrics_text_seconds(out, "seek", "", &metrics->seek_ns);
    metrics_text_seconds(out, "write", "", &metrics->write_ns);
    metrics_text_seconds(out, "flush", "", &metrics->flush_ns);
    metrics_text_seconds(out, "compaction", "", &metrics->compaction_ns);
    for (unsigned i = 0; i < ENGINE_STALLS; i++) {
        char label[48];
        (void)snprintf(label, sizeof label, "why=\"%s\",", engine_stall_name(i));
        metrics_text_seconds(out, "stall", label, &metrics->stall_ns[i]);
    }
}

/* One direction of one codec; `ratio` is raw over stored bytes. */
static void put_codec(struct buf *out, const char *direction, const char *name,
                      const struct codec_figures *figures)
{
    metrics_text_put(out, "codec_%s_blocks_total{codec=\"%s\"} %" PRIu64, direction, name,
                     figures->blocks);
    metrics_text_put(out, "codec_%s_raw_bytes_total{codec=\"%s\"} %" PRIu64, direction, name,
                     figures->raw_bytes);
    metrics_text_put(out, "codec_%s_stored_bytes_total{codec=\"%s\"} %" PRIu64, direction, name,
                     figures->stored_bytes);
    metrics_text_put(out, "codec_%s_seconds_total{codec=\"%s\"} %.9f", direction, name,
                     (double)figures->ns / (double)NS_PER_S);
    metrics_text_put(out, "codec_%s_ratio{codec=\"%s\"} %.3f", direction, name,
                     metrics_ratio(figures->raw_bytes, figures->stored_bytes));
}

/* Of the codecs that were used. */
static void put_codecs(const struct engine_stats *stats, struct buf *out)
{
    for (unsigned codec = 0; codec < CODEC_COUNT; codec++) {
        const struct engine_codec_stats *one = &stats->codecs[codec];
        if (one->compress.blocks > 0) {
            put_codec(out, "compress", codec_name(codec), &one->compress);
            metrics_text_put(out, "codec_compress_kept_blocks_total{codec=\"%s\"} %" PRIu64,
                             codec_name(codec), one->kept_blocks);
        }
        if (one->decompress.blocks > 0) {
            put_codec(out, "decompress", codec_name(codec), &one->decompress);
        }
    }
}

static void put_cache(struct block_cache *cache, struct buf *out)
{
    static const char *const kinds[BLOCK_KINDS] = {
        [BLOCK_DATA] = "data", [BLOCK_INDEX] = "index", [BLOCK_FILTER] = "filter"};
    struct block_cache_stats stats;
    block_cache_stats(cache, &stats);
    metrics_text_count(out, "block_cache_bytes", stats.bytes);
    metrics_text_count(out, "block_cache_bytes_max", stats.bytes_max);
    metrics_text_count(out, "block_cache_hits_total", stats.all.hits);
    metrics_text_count(out, "block_cache_misses_total", stats.all.misses);
    metrics_text_count(out, "block_cache_evictions_total", stats.all.evictions);
    for (unsigned kind = 0; kind < BLOCK_KINDS; kind++) {
        metrics_text_put(out, "block_cache_insertions_total{kind=\"%s\"} %" PRIu64, kinds[kind],
                         stats.kinds[kind].insertions);
        metrics_text_put(out, "block_cache_pinned_bytes{kind=\"%s\"} %" PRIu64, kinds[kind],
                         stats.kinds[kind].pinned_bytes);
    }
}

void engine_metrics_write(struct engine *engine, struct buf *out)
{
    struct engine_stats stats;
    engine_stats(engine, &stats);
    put_work(&engine->metrics, out);
    put_times(&engine->metrics, out);
    put_shape(engine, out);
    metrics_text_count(out, "memtable_bytes", stats.memtable_bytes);
    metrics_text_count(out, "immutable_bytes", stats.immutable_bytes);
    metrics_text_count(out, "compaction_debt_bytes", stats.compaction_debt);
    metrics_text_count(out, "compactions_now", stats.compactions_now);
    put_cache(engine->cache, out);
    metrics_text_count(out, "bloom_asked_total", counter_get(&engine->bloom_counters.asked));
    metrics_text_count(out, "bloom_absent_total", counter_get(&engine->bloom_counters.absent));
    metrics_text_count(out, "bloom_wrong_total", counter_get(&engine->bloom_counters.wrong));
    put_codecs(&stats, out);
}
