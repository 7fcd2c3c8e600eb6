/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/table_reader.h"

#include "base/check.h"
#include "storage/table/block.h"
#include "storage/table/bloom.h"
#include "storage/table/table_internal.h"

enum status table_corrupt(const struct table *table, uint64_t offset, const char *what,
                          struct error *err)
{
    return error_set(err, STATUS_CORRUPT, "table %s: block at %llu: %s", table->path,
                     (unsigned long long)offset, what);
}

/* --- life ------------------------------------------------------------------------------------ */

static enum status check_size(struct table *table, uint64_t expected, struct error *err)
{
    enum status status = file_size(table->file.file, &table->file.file_bytes, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (expected != 0 && table->file.file_bytes != expected) {
        return error_set(err, STATUS_CORRUPT, "table %s: at 0: has %llu bytes, expected %llu",
                         table->path, (unsigned long long)table->file.file_bytes,
                         (unsigned long long)expected);
    }
    return STATUS_OK;
}

static size_t filter_bytes(const struct table *table)
{
    const struct cached_block *filter = table->meta.filter;
    return filter == NULL ? 0 : sizeof *filter + filter->length;
}

/* What the table holds counts in the cache's budget: the filter, and with the index all else. */
static void pin_memory(struct table *table)
{
    struct block_cache *cache = table->file.cache;
    if (cache != NULL) {
        block_cache_pin(cache, BLOCK_FILTER, filter_bytes(table));
        block_cache_pin(cache, BLOCK_INDEX, table_pinned_bytes(table) - filter_bytes(table));
    }
    table->is_pinned = cache != NULL;
}

static void unpin_memory(struct table *table)
{
    if (table->is_pinned) {
        struct block_cache *cache = table->file.cache;
        block_cache_unpin(cache, BLOCK_FILTER, filter_bytes(table));
        block_cache_unpin(cache, BLOCK_INDEX, table_pinned_bytes(table) - filter_bytes(table));
    }
}

enum status table_open(const struct table_open_options *options, struct table **out,
                       struct error *err)
{
    size_t path_bytes = strlen(options->path) + 1;
    struct table *table = alloc_zeroed(options->alloc, 1, sizeof *table + path_bytes);
    if (table == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to open table %s",
                         options->path);
    }
    memcpy(table->path, options->path, path_bytes);
    table->fs = options->fs;
    table->bloom_counters = options->bloom_counters;
    atomic_init(&table->references, 1);
    table->file = (struct table_file){.path = table->path,
                                      .file_number = options->file_number,
                                      .alloc = options->alloc,
                                      .cache = options->cache,
                                      .counters = options->counters};
    enum status status = fs_open(options->fs, options->path, FS_READ, &table->file.file, err);
    if (status != STATUS_OK) {
        table->file.file = NULL;
    } else {
        status = check_size(table, options->file_bytes, err);
    }
    if (status == STATUS_OK) {
        status = table_meta_read(&table->file, false, &table->meta, err);
    }
    if (status != STATUS_OK) {
        table_unref(table);
        return status;
    }
    pin_memory(table);
    *out = table;
    return STATUS_OK;
}

void table_ref(struct table *table)
{
    uint32_t before = atomic_fetch_add_explicit(&table->references, 1, memory_order_relaxed);
    CHECK(before > 0);
}

void table_unref(struct table *table)
{
    if (table == NULL) {
        return;
    }
    uint32_t before = atomic_fetch_sub_explicit(&table->references, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before > 1) {
        return;
    }
    if (atomic_load_explicit(&table->unlink_when_unused, memory_order_relaxed)) {
        /* A file that stays is an orphan, which the engine removes when it opens. */
        struct error ignored = ERROR_INIT;
        if (fs_unlink(table->fs, table->path, &ignored) != STATUS_OK) {
            ignored.status = STATUS_OK;
        }
        if (table->file.cache != NULL) {
            block_cache_erase_file(table->file.cache, table->file.file_number);
        }
    }
    unpin_memory(table);
    file_close(table->file.file);
    table_meta_release(&table->meta);
    alloc_free(table->file.alloc, table);
}

void table_unlink_when_unused(struct table *table)
{
    atomic_store_explicit(&table->unlink_when_unused, true, memory_order_relaxed);
}

const struct table_info *table_get_info(const struct table *table)
{
    return &table->meta.info;
}

const struct time_runs *table_get_time_runs(const struct table *table)
{
    return &table->meta.time_runs;
}

const char *table_path(const struct table *table)
{
    return table->path;
}

size_t table_pinned_bytes(const struct table *table)
{
    return sizeof *table + strlen(table->path) + 1 + table_meta_bytes(&table->meta);
}

/* A lookup reads what is stored of a block into so much of its stack: those of 16 KiB, compressed
 * or not. Larger ones into a window that is allocated. */
enum { SCRATCH_BYTES = 20 * KIB };

/* --- lookup ---------------------------------------------------------------------------------- */

static bool lies_within(const struct table *table, struct slice user_key)
{
    const struct table_info *info = &table->meta.info;
    return slice_compare(user_key, internal_key_user(info->smallest)) >= 0 &&
           slice_compare(user_key, internal_key_user(info->largest)) <= 0;
}

/* No filter: true. */
static bool pass_filter(const struct table *table, struct slice user_key)
{
    const struct cached_block *filter = table->meta.filter;
    if (filter == NULL) {
        return true;
    }
    bool perhaps = bloom_may_contain(cached_block_slice(filter), bloom_hash(user_key));
    if (table->bloom_counters != NULL) {
        counter_add(&table->bloom_counters->asked, 1);
        counter_add(&table->bloom_counters->absent, perhaps ? 0 : 1);
    }
    return perhaps;
}

/* The filter said "perhaps" of a key that is not there. */
static void note_wrong(const struct table *table)
{
    if (table->meta.filter != NULL && table->bloom_counters != NULL) {
        counter_add(&table->bloom_counters->wrong, 1);
    }
}

bool table_may_contain(const struct table *table, struct slice user_key)
{
    return lies_within(table, user_key) && pass_filter(table, user_key);
}

/* Looks for `target` in the block that the index says. */
static enum status get_from_block(const struct table *table, uint64_t offset, struct slice raw,
                                  struct slice target, enum lookup *result, struct buf *value,
                                  struct error *err)
{
    struct block_iter iter;
    if (!block_iter_init(&iter, raw)) {
        return table_corrupt(table, offset, iter.damage, err);
    }
    block_iter_seek(&iter, target);
    if (!block_iter_valid(&iter)) {
        /* The index says that the block's last key is not before the target. */
        return table_corrupt(table, offset,
                             iter.damage != NULL ? iter.damage : "index and block disagree", err);
    }
    if (!slice_equal(internal_key_user(iter.key), internal_key_user(target))) {
        *result = LOOKUP_ABSENT;
        return STATUS_OK;
    }
    if (internal_key_type(iter.key) == KEY_DELETE) {
        *result = LOOKUP_DELETED;
        return STATUS_OK;
    }
    if (value != NULL) {
        buf_clear(value);
        buf_append_slice(value, iter.value);
        if (buf_failed(value)) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no room for a value of %zu bytes",
                             iter.value.length);
        }
    }
    *result = LOOKUP_FOUND;
    return STATUS_OK;
}

/* Finds the block by the index, and loads it; `*block` NULL: there is none. */
static enum status load_block_of(struct block_loader *loader, const struct table_index *index,
                                 struct slice target, struct cached_block **block, uint64_t *offset,
                                 struct error *err)
{
    struct index_iter iter;
    index_iter_init(&iter, index, loader);
    enum status status = index_iter_seek(&iter, target, err);
    *block = NULL;
    if (status == STATUS_OK && index_iter_valid(&iter)) {
        *offset = iter.entry.handle.offset;
        status = block_loader_load(loader, iter.entry.handle, block, err);
    }
    index_iter_release(&iter);
    return status;
}

enum status table_get(struct table *table, struct slice user_key, uint64_t sequence,
                      const struct table_read_options *options, enum lookup *result,
                      struct buf *value, struct error *err)
{
    CHECK(sequence <= SEQUENCE_MAX);
    if (user_key.length > USER_KEY_BYTES_MAX || !lies_within(table, user_key) ||
        !pass_filter(table, user_key)) {
        *result = LOOKUP_ABSENT;
        return STATUS_OK;
    }
    uint8_t target_bytes[INTERNAL_KEY_BYTES_MAX];
    size_t target_length = internal_key_put(target_bytes, user_key, sequence, KEY_SEEK);
    struct slice target = slice_of(target_bytes, target_length);
    struct block_loader loader;
    uint8_t scratch[SCRATCH_BYTES];
    block_loader_init(&loader, &table->file, options, 0);
    block_loader_lend(&loader, scratch, sizeof scratch);
    struct cached_block *block = NULL;
    uint64_t offset = 0;
    enum status status = load_block_of(&loader, &table->meta.index, target, &block, &offset, err);
    if (status == STATUS_OK && block == NULL) {
        *result = LOOKUP_ABSENT;
    } else if (status == STATUS_OK) {
        status =
            get_from_block(table, offset, cached_block_slice(block), target, result, value, err);
        cached_block_unref(block);
    }
    if (status == STATUS_OK && *result == LOOKUP_ABSENT) {
        note_wrong(table);
    }
    block_loader_release(&loader);
    return status;
}
