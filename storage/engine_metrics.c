/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/engine_metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "storage/engine_internal.h"

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

/* --- lines --------------------------------------------------------------------------------- */

static void put(struct buf *out, const char *format, ...)
{
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    CHECK(length > 0 && (size_t)length < sizeof line);
    buf_append_slice(out, slice_of("estreat_storage_", strlen("estreat_storage_")));
    buf_append_slice(out, slice_of(line, (size_t)length));
    buf_put_u8(out, '\n');
}

static void put_count(struct buf *out, const char *name, uint64_t value)
{
    put(out, "%s %" PRIu64, name, value);
}

/* Nanoseconds, shown as seconds. `label` is empty or ends in a comma. */
static void put_histogram(struct buf *out, const char *name, const char *label,
                          struct histogram *histogram)
{
    static const double quantiles[] = {0.5, 0.99, 0.999, 1};
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
        put(out, "%s_seconds{%squantile=\"%g\"} %.9f", name, label, quantiles[i],
            (double)histogram_quantile(histogram, quantiles[i]) / (double)NS_PER_S);
    }
    char braces[64];
    (void)snprintf(braces, sizeof braces, label[0] == '\0' ? "%s" : "{%s}", label);
    uint64_t sum_ns = atomic_load_explicit(&histogram->sum, memory_order_relaxed);
    put(out, "%s_seconds_sum%s %.9f", name, braces, (double)sum_ns / (double)NS_PER_S);
    put(out, "%s_seconds_count%s %" PRIu64, name, braces,
        (uint64_t)atomic_load_explicit(&histogram->total, memory_order_relaxed));
}

/* --- what is put together ------------------------------------------------------------------ */

static double ratio(uint64_t of, uint64_t to)
{
    return to == 0 ? 0.0 : (double)of / (double)to;
}

/* Places that a lookup or a scan of the keyspace has to look at: each table of level 0, and each
 * level below that is not empty. */
static size_t sorted_runs(const struct version *version, unsigned keyspace)
{
    size_t runs = version_count(version, keyspace, 0);
    for (unsigned level = 1; level < TREE_LEVELS; level++) {
        runs += version_count(version, keyspace, level) > 0 ? 1 : 0;
    }
    return runs;
}

/* The lowest level has each key once, so what lies above it is what a merge of all could save. */
static uint64_t lowest_bytes(const struct version *version, unsigned keyspace)
{
    unsigned level = TREE_LEVELS - 1;
    while (level > 0 && version_count(version, keyspace, level) == 0) {
        level--;
    }
    return version_bytes(version, keyspace, level);
}

static void put_shape(struct engine *engine, struct buf *out)
{
    struct view *view = engine_view_acquire(engine);
    size_t runs_most = 0;
    uint64_t lowest = 0;
    uint64_t all = 0;
    for (unsigned keyspace = 0; keyspace < engine->options.keyspace_count; keyspace++) {
        size_t runs = sorted_runs(view->version, keyspace);
        runs_most = runs > runs_most ? runs : runs_most;
        bool leveled = engine->keyspaces[keyspace].layout == KEYSPACE_LEVELED;
        lowest += leveled ? lowest_bytes(view->version, keyspace) : 0;
        if (!leveled) {
            put(out, "dead_bytes{keyspace=\"%s\"} %" PRIu64, engine->keyspaces[keyspace].name,
                pick_dead_bytes(view->version, keyspace, version_floor(view->version, keyspace)));
        }
        for (unsigned level = 0; level < TREE_LEVELS; level++) {
            uint64_t bytes = version_bytes(view->version, keyspace, level);
            all += leveled ? bytes : 0;
            if (bytes > 0) {
                put(out, "level_bytes{keyspace=\"%s\",level=\"%u\"} %" PRIu64,
                    engine->keyspaces[keyspace].name, level, bytes);
                put(out, "level_tables{keyspace=\"%s\",level=\"%u\"} %zu",
                    engine->keyspaces[keyspace].name, level,
                    version_count(view->version, keyspace, level));
            }
        }
    }
    view_unref(view);
    put(out, "read_amplification %zu", runs_most);
    put(out, "space_amplification %.3f", ratio(all, lowest));
}

static void put_work(struct engine_metrics *metrics, struct buf *out)
{
    put_count(out, "lookups_total", counter_get(&metrics->lookups));
    put_count(out, "lookups_found_total", counter_get(&metrics->lookups_found));
    put_count(out, "iterators_total", counter_get(&metrics->iterators));
    put_count(out, "writes_total", counter_get(&metrics->writes));
    put_count(out, "written_entries_total", counter_get(&metrics->written_entries));
    put_count(out, "written_bytes_total", counter_get(&metrics->written_bytes));
    put_count(out, "flushes_total", counter_get(&metrics->flushes));
    put_count(out, "flush_bytes_written_total", counter_get(&metrics->flush_bytes_written));
    put_count(out, "compactions_total", counter_get(&metrics->compactions));
    put_count(out, "compaction_bytes_read_total", counter_get(&metrics->compaction_bytes_read));
    put_count(out, "compaction_bytes_written_total",
              counter_get(&metrics->compaction_bytes_written));
    put_count(out, "background_retries_total", counter_get(&metrics->background_retries));
    put_count(out, "partitions_dropped_total", counter_get(&metrics->partitions_dropped));
    put_count(out, "partition_bytes_dropped_total", counter_get(&metrics->partition_bytes_dropped));
    put_count(out, "partitions_rewritten_total", counter_get(&metrics->partitions_rewritten));
    put_count(out, "partition_bytes_rewritten_total",
              counter_get(&metrics->partition_bytes_rewritten));
    put(out, "write_amplification %.3f",
        ratio(counter_get(&metrics->flush_bytes_written) +
                  counter_get(&metrics->compaction_bytes_written),
              counter_get(&metrics->written_bytes)));
}

static void put_times(struct engine_metrics *metrics, struct buf *out)
{
    put_histogram(out, "lookup", "", &metrics->lookup_ns);
    put_histogram(out, "write", "", &metrics->write_ns);
    put_histogram(out, "flush", "", &metrics->flush_ns);
    put_histogram(out, "compaction", "", &metrics->compaction_ns);
    for (unsigned i = 0; i < ENGINE_STALLS; i++) {
        char label[48];
        (void)snprintf(label, sizeof label, "why=\"%s\",", engine_stall_name(i));
        put_histogram(out, "stall", label, &metrics->stall_ns[i]);
    }
}

/* One direction of one codec; `ratio` is raw over stored bytes. */
static void put_codec(struct buf *out, const char *direction, const char *name,
                      const struct codec_figures *figures)
{
    put(out, "codec_%s_blocks_total{codec=\"%s\"} %" PRIu64, direction, name, figures->blocks);
    put(out, "codec_%s_raw_bytes_total{codec=\"%s\"} %" PRIu64, direction, name,
        figures->raw_bytes);
    put(out, "codec_%s_stored_bytes_total{codec=\"%s\"} %" PRIu64, direction, name,
        figures->stored_bytes);
    put(out, "codec_%s_seconds_total{codec=\"%s\"} %.9f", direction, name,
        (double)figures->ns / (double)NS_PER_S);
    put(out, "codec_%s_ratio{codec=\"%s\"} %.3f", direction, name,
        ratio(figures->raw_bytes, figures->stored_bytes));
}

/* Of the codecs that were used. */
static void put_codecs(const struct engine_stats *stats, struct buf *out)
{
    for (unsigned codec = 0; codec < CODEC_COUNT; codec++) {
        const struct engine_codec_stats *one = &stats->codecs[codec];
        if (one->compress.blocks > 0) {
            put_codec(out, "compress", codec_name(codec), &one->compress);
            put(out, "codec_compress_kept_blocks_total{codec=\"%s\"} %" PRIu64, codec_name(codec),
                one->kept_blocks);
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
    put_count(out, "block_cache_bytes", stats.bytes);
    put_count(out, "block_cache_bytes_max", stats.bytes_max);
    put_count(out, "block_cache_hits_total", stats.all.hits);
    put_count(out, "block_cache_misses_total", stats.all.misses);
    put_count(out, "block_cache_evictions_total", stats.all.evictions);
    for (unsigned kind = 0; kind < BLOCK_KINDS; kind++) {
        put(out, "block_cache_insertions_total{kind=\"%s\"} %" PRIu64, kinds[kind],
            stats.kinds[kind].insertions);
        put(out, "block_cache_pinned_bytes{kind=\"%s\"} %" PRIu64, kinds[kind],
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
    put_count(out, "memtable_bytes", stats.memtable_bytes);
    put_count(out, "immutable_bytes", stats.immutable_bytes);
    put_count(out, "compaction_debt_bytes", stats.compaction_debt);
    put_count(out, "compactions_now", stats.compactions_now);
    put_cache(engine->cache, out);
    put_count(out, "bloom_asked_total", counter_get(&engine->bloom_counters.asked));
    put_count(out, "bloom_absent_total", counter_get(&engine->bloom_counters.absent));
    put_count(out, "bloom_wrong_total", counter_get(&engine->bloom_counters.wrong));
    put_codecs(&stats, out);
}
