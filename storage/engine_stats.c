/* SPDX-License-Identifier: Apache-2.0
 *
 * Looking at the engine: figures, tables, verification.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "storage/engine_internal.h"

static void count_tables(const struct engine *engine, const struct version *version,
                         struct engine_stats *out)
{
    for (unsigned keyspace = 0; keyspace < engine->options.keyspace_count; keyspace++) {
        for (unsigned level = 0; level < TREE_LEVELS; level++) {
            size_t count = version_count(version, keyspace, level);
            uint64_t bytes = version_bytes(version, keyspace, level);
            out->level_tables[level] += count;
            out->level_bytes[level] += bytes;
            out->tables += count;
            out->bytes += bytes;
        }
        if (engine->keyspaces[keyspace].layout == KEYSPACE_APPEND) {
            out->partitions += version_count(version, keyspace, KEYSPACE_PARTITION_LEVEL);
            out->dead_bytes += pick_dead_bytes(version, keyspace, version_floor(version, keyspace));
        }
    }
}

static void read_codecs(struct codec_counters *counters, struct engine_stats *out)
{
    for (size_t codec = 0; codec < CODEC_COUNT; codec++) {
        out->codecs[codec] = (struct engine_codec_stats){
            .compress = codec_counter_read(&counters->compress[codec]),
            .kept_blocks = counter_get(&counters->kept_blocks[codec]),
            .decompress = codec_counter_read(&counters->decompress[codec])};
    }
}

void engine_stats(struct engine *engine, struct engine_stats *out)
{
    *out = (struct engine_stats){.tables = 0};
    struct view *view = engine_view_acquire(engine);
    count_tables(engine, view->version, out);
    out->memtable_bytes = mem_set_bytes(view->active);
    out->immutable_count = view->immutable_count;
    for (size_t i = 0; i < view->immutable_count; i++) {
        out->immutable_bytes += mem_set_bytes(view->immutables[i]);
    }
    struct pick pick;
    /* In this order: tables that are taken are given back after the version without them is there.
     */
    out->compactions_now = atomic_load(&engine->compacting);
    out->compaction_debt = pick_debt(view->version, &engine->pick_options);
    struct floor floors[KEYSPACES_MAX];
    struct pick_options options = engine_pick_options(engine, view->version, floors);
    out->compaction_due =
        out->compactions_now > 0 || pick_compaction(view->version, &options, &pick);
    view_unref(view);
    struct engine_metrics *metrics = &engine->metrics;
    for (unsigned i = 0; i < ENGINE_STALLS; i++) {
        out->stall_ns += atomic_load_explicit(&metrics->stall_ns[i].sum, memory_order_relaxed);
        out->stalls += atomic_load_explicit(&metrics->stall_ns[i].total, memory_order_relaxed);
    }
    out->writes = counter_get(&metrics->writes);
    out->flushes = counter_get(&metrics->flushes);
    out->flush_bytes_written = counter_get(&metrics->flush_bytes_written);
    out->compactions = counter_get(&metrics->compactions);
    out->compaction_bytes_read = counter_get(&metrics->compaction_bytes_read);
    out->compaction_bytes_written = counter_get(&metrics->compaction_bytes_written);
    out->background_retries = counter_get(&metrics->background_retries);
    read_codecs(&engine->codec_counters, out);
    out->partitions_dropped = counter_get(&metrics->partitions_dropped);
    out->partition_bytes_dropped = counter_get(&metrics->partition_bytes_dropped);
    out->partitions_rewritten = counter_get(&metrics->partitions_rewritten);
    out->partition_bytes_rewritten = counter_get(&metrics->partition_bytes_rewritten);
    struct block_cache_stats cache;
    block_cache_stats(engine->cache, &cache);
    out->block_cache_bytes = cache.bytes;
    out->block_cache_hits = cache.all.hits;
    out->block_cache_misses = cache.all.misses;
    out->last_sequence = atomic_load_explicit(&engine->last_sequence, memory_order_acquire);
}

enum status engine_for_each_table(struct engine *engine, unsigned keyspace, engine_table_fn each,
                                  void *context, struct error *err)
{
    CHECK(keyspace < engine->options.keyspace_count);
    enum status status = STATUS_OK;
    struct view *view = engine_view_acquire(engine);
    for (unsigned level = 0; level < TREE_LEVELS; level++) {
        size_t count = version_count(view->version, keyspace, level);
        for (size_t i = 0; status == STATUS_OK && i < count; i++) {
            const struct table_file *file = version_at(view->version, keyspace, level, i);
            struct engine_table table = {.number = file->number,
                                         .level = level,
                                         .smallest = internal_key_user(file->smallest),
                                         .largest = internal_key_user(file->largest),
                                         .entries = file->entries,
                                         .bytes = file->bytes,
                                         .times = file->times};
            _Static_assert(sizeof table.name >= TABLE_FILE_NAME_BYTES, "a file's name fits");
            (void)table_file_name(table.name, file->number);
            status = each(context, &table, err);
        }
    }
    view_unref(view);
    return status;
}

/* What the manifest says of times, if anything, is exact. */
static bool times_are(const struct time_bounds *said, const struct time_bounds *are)
{
    return !said->known ||
           (are->known && said->smallest == are->smallest && said->largest == are->largest);
}

enum status engine_check_table_is(const struct table_file *file, const struct table *table,
                                  struct error *err)
{
    const struct table_info *info = table_get_info(table);
    if (info->entries != file->entries || !slice_equal(info->smallest, file->smallest) ||
        !slice_equal(info->largest, file->largest) || !times_are(&file->times, &info->times)) {
        return error_set(err, STATUS_CORRUPT, "%s at 0: not the table that the manifest means",
                         table_path(table));
    }
    return STATUS_OK;
}

enum status engine_verify_table(struct table_file *file, struct error *err)
{
    struct table *table = NULL;
    enum status status = table_file_open(file, &table, err);
    if (status == STATUS_OK) {
        status = table_verify(table, NULL, err);
    }
    return status == STATUS_OK ? engine_check_table_is(file, table, err) : status;
}

enum status engine_verify(struct engine *engine, struct error *err)
{
    enum status status = STATUS_OK;
    struct view *view = engine_view_acquire(engine);
    for (unsigned keyspace = 0; keyspace < engine->options.keyspace_count; keyspace++) {
        for (unsigned level = 0; level < TREE_LEVELS; level++) {
            size_t count = version_count(view->version, keyspace, level);
            for (size_t i = 0; status == STATUS_OK && i < count; i++) {
                status = engine_verify_table(version_at(view->version, keyspace, level, i), err);
            }
        }
    }
    view_unref(view);
    return status;
}
