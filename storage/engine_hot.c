/* SPDX-License-Identifier: Apache-2.0
 *
 * Hot tables: the newest ones of each keyspace that is timed, fresh ones and partitions, which have
 * a share of the block cache of their own. What is new is what is asked for most, and a long walk
 * through old partitions must not cost it its blocks.
 */
#include "base/check.h"
#include "storage/engine_internal.h"

struct hot_tables {
    uint64_t numbers[BLOCK_CACHE_HOT_MAX];
    size_t count;
};

/* From the newest on, until those can fill the share alone, or there are `most`: more would only
 * displace each other. */
static void add_newest(const struct engine *engine, const struct version *version,
                       unsigned keyspace, size_t most, struct hot_tables *out)
{
    static const unsigned levels[] = {KEYSPACE_FRESH_LEVEL, KEYSPACE_PARTITION_LEVEL};
    const uint64_t share = engine->options.block_cache_bytes / BLOCK_CACHE_HOT_PART;
    uint64_t bytes = 0;
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        size_t left = version_count(version, keyspace, levels[i]);
        for (; left > 0 && out->count < most && bytes < share; left--) {
            const struct table_file *file = version_at(version, keyspace, levels[i], left - 1);
            out->numbers[out->count++] = file->number;
            bytes += file->bytes;
        }
    }
}

void engine_mark_hot(struct engine *engine, const struct version *version)
{
    struct hot_tables hot = {.count = 0};
    size_t timed = 0;
    size_t seen = 0;
    for (unsigned i = 0; i < engine->options.keyspace_count; i++) {
        timed += keyspace_is_timed(&engine->keyspaces[i]) ? 1 : 0;
    }
    for (unsigned i = 0; i < engine->options.keyspace_count; i++) {
        if (keyspace_is_timed(&engine->keyspaces[i])) {
            seen++;
            add_newest(engine, version, i, BLOCK_CACHE_HOT_MAX * seen / timed, &hot);
        }
    }
    if (timed > 0) {
        block_cache_set_hot(engine->cache, hot.numbers, hot.count);
    }
}
