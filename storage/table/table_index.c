/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/table_index.h"

#include "base/check.h"

/* --- what an open table holds ---------------------------------------------------------------- */

void table_index_release(struct table_index *index)
{
    cached_block_unref(index->block);
    if (index->alloc != NULL) {
        alloc_free(index->alloc, index->entries);
    }
    *index = (struct table_index){.alloc = NULL};
}

size_t table_index_bytes(const struct table_index *index)
{
    return sizeof *index->block + index->block->length + index->count * sizeof *index->entries;
}

static enum status corrupt(const struct block_loader *loader, uint64_t offset, const char *what,
                           struct error *err)
{
    return error_set(err, STATUS_CORRUPT, "table %s: at %llu: %s", loader->file->path,
                     (unsigned long long)offset, what);
}

/* Adds the entry that the iterator is at. Its key must lie in the index block itself, and what it
 * names begin at `*next`, where the one before ended. NULL: it was added; else what is wrong. */
static const char *add_entry(struct table_index *index, const struct block_iter *iter,
                             uint64_t *next)
{
    struct index_entry *entry = &index->entries[index->count];
    if (iter->key.data == iter->key_bytes) {
        return "index key is not whole";
    }
    struct cursor value = cursor_of(iter->value);
    entry->handle.offset = cursor_varint(&value);
    entry->handle.length = cursor_varint(&value);
    entry->data_begin = index->two_levels ? cursor_varint(&value) : entry->handle.offset;
    if (!cursor_done(&value)) {
        return "index entry has no place of a block";
    }
    if (entry->handle.offset != *next || entry->handle.length > TABLE_STORED_BYTES_MAX) {
        return "index has a gap between blocks";
    }
    uint64_t before = index->count > 0 ? entry[-1].data_begin : 0;
    if (entry->handle.length <= TABLE_BLOCK_TRAILER_BYTES ||
        (index->count > 0 ? entry->data_begin <= before : entry->data_begin != 0)) {
        return "index has an entry of no bytes";
    }
    if (index->count > 0 && internal_key_compare(entry[-1].last_key, iter->key) >= 0) {
        return "index keys do not rise";
    }
    entry->last_key = iter->key;
    *next += entry->handle.length;
    index->count++;
    return NULL;
}

/* Takes the index block apart into an array that is searched without decoding. */
static enum status parse(struct block_loader *loader, struct block_iter *iter, uint64_t offset,
                         uint64_t *next, struct table_index *index, struct error *err)
{
    if (!block_iter_init(iter, cached_block_slice(index->block))) {
        return corrupt(loader, offset, iter->damage, err);
    }
    size_t count_max = iter->restarts_count; /* every index key is a restart point */
    index->entries = alloc_zeroed(index->alloc, count_max, sizeof *index->entries);
    if (index->entries == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "table %s: no memory for the index",
                         loader->file->path);
    }
    const char *wrong = NULL;
    block_iter_seek_to_first(iter);
    while (wrong == NULL && block_iter_valid(iter)) {
        wrong = index->count < count_max ? add_entry(index, iter, next)
                                         : "index has too few restart points";
        if (wrong == NULL) {
            block_iter_next(iter);
        }
    }
    if (wrong == NULL) {
        wrong = iter->damage;
    }
    if (wrong != NULL || index->count == 0) {
        return corrupt(loader, offset, wrong != NULL ? wrong : "index is empty", err);
    }
    return STATUS_OK;
}

static enum status read_index(struct block_loader *loader, const struct table_footer *footer,
                              uint64_t data_bytes, struct slice largest, struct table_index *index,
                              struct error *err)
{
    uint64_t offset = footer->index.offset;
    enum status status = block_loader_load(loader, footer->index, &index->block, err);
    if (status != STATUS_OK) {
        index->block = NULL;
        return status;
    }
    /* Where what the entries name begins, and must end. */
    uint64_t next = footer->two_levels ? footer->filter.offset + footer->filter.length : 0;
    uint64_t end = footer->two_levels ? footer->index.offset : data_bytes;
    struct block_iter iter;
    status = parse(loader, &iter, offset, &next, index, err);
    if (status != STATUS_OK) {
        return status;
    }
    const struct index_entry *last = &index->entries[index->count - 1];
    if (next != end || data_bytes != footer->dictionary.offset || last->data_begin >= data_bytes) {
        return corrupt(loader, offset, "index does not cover the data", err);
    }
    if (!slice_equal(last->last_key, largest)) {
        return corrupt(loader, offset, "index and properties disagree", err);
    }
    return STATUS_OK;
}

enum status table_index_read(struct block_loader *loader, const struct table_footer *footer,
                             uint64_t data_bytes, struct slice largest, struct table_index *out,
                             struct error *err)
{
    struct table_index index = {
        .alloc = loader->file->alloc, .two_levels = footer->two_levels, .data_end = data_bytes};
    enum status status = read_index(loader, footer, data_bytes, largest, &index, err);
    if (status != STATUS_OK) {
        table_index_release(&index);
        return status;
    }
    *out = index;
    return STATUS_OK;
}

/* The first entry whose last key is not before `target`; the count if none. */
static size_t find(const struct table_index *index, struct slice target)
{
    size_t low = 0;
    size_t high = index->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (internal_key_compare(index->entries[middle].last_key, target) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    CHECK(low <= index->count);
    return low;
}

/* --- a partition ----------------------------------------------------------------------------- */

/* Where the data of the partition at `at` end. */
static uint64_t data_end_of(const struct table_index *index, size_t at)
{
    return at + 1 < index->count ? index->entries[at + 1].data_begin : index->data_end;
}

/* One entry against the key before it, and the place where the block before it ended. */
static const char *check_entry(const struct block_iter *iter, struct slice previous, uint64_t *next,
                               uint64_t end)
{
    struct block_handle handle;
    if (!table_handle_decode(iter->value, &handle)) {
        return "index entry has no place of a block";
    }
    if (handle.offset != *next || handle.length > end - *next) {
        return "index has a gap between blocks";
    }
    if (handle.length <= TABLE_BLOCK_TRAILER_BYTES) {
        return "index has an entry of no bytes"; /* the cache could have another block there */
    }
    if (previous.length > 0 && internal_key_compare(previous, iter->key) >= 0) {
        return "index keys do not rise";
    }
    *next += handle.length;
    return NULL;
}

/* NULL: the partition that the index_iter is about to enter is right, and so is all that lookups
 * in it rest on; else what is wrong. */
static const char *check_partition(void *context, struct slice raw)
{
    struct index_iter *self = context;
    struct block_iter *iter = &self->entries;
    const struct index_entry *top = &self->index->entries[self->at];
    uint64_t next = top->data_begin;
    uint64_t end = data_end_of(self->index, self->at);
    uint32_t restarts = 0; /* met so far: lookups rest on each being at a whole key, in order */
    uint8_t key[INTERNAL_KEY_BYTES_MAX];
    struct slice previous = self->at > 0 ? top[-1].last_key : slice_of(NULL, 0);
    if (!block_iter_init(iter, raw)) {
        return iter->damage;
    }
    for (block_iter_seek_to_first(iter); block_iter_valid(iter); block_iter_next(iter)) {
        const char *wrong = check_entry(iter, previous, &next, end);
        if (wrong != NULL) {
            return wrong;
        }
        if (block_iter_at_restart(iter, restarts)) {
            restarts++;
            if (!block_iter_key_is_whole(iter)) {
                return "restart point is not at a whole key";
            }
        }
        memcpy(key, iter->key.data, iter->key.length);
        previous = slice_of(key, iter->key.length);
    }
    if (iter->damage != NULL) {
        return iter->damage;
    }
    if (restarts != iter->restarts_count) {
        return "restart point is not at an entry";
    }
    bool ends = next == end && slice_equal(previous, top->last_key);
    return ends ? NULL : "partition and top level of the index disagree";
}

/* --- walking --------------------------------------------------------------------------------- */

void index_iter_init(struct index_iter *iter, const struct table_index *index,
                     struct block_loader *loader)
{
    iter->index = index;
    iter->loader = loader;
    iter->at = index->count;
    iter->failed = index->count;
    iter->partition = NULL;
}

static void leave(struct index_iter *iter)
{
    cached_block_unref(iter->partition);
    iter->partition = NULL;
    iter->at = iter->index->count;
}

void index_iter_release(struct index_iter *iter)
{
    leave(iter);
}

/* Makes the partition at `at` the one whose entries are walked; of one level, nothing. */
static enum status hold(struct index_iter *iter, size_t at, struct error *err)
{
    const struct table_index *index = iter->index;
    CHECK(at < index->count);
    if (!index->two_levels || (iter->partition != NULL && iter->at == at)) {
        iter->at = at;
        return STATUS_OK;
    }
    leave(iter);
    iter->at = at;
    enum status status = block_loader_load_index(iter->loader, index->entries[at].handle,
                                                 check_partition, iter, &iter->partition, err);
    if (status != STATUS_OK) {
        iter->partition = NULL;
        leave(iter);
        iter->failed = at;
        return status;
    }
    CHECK(block_iter_init(&iter->entries, cached_block_slice(iter->partition)));
    return STATUS_OK;
}

/* Makes the entry that was moved to the iterator's own. */
static void take(struct index_iter *iter)
{
    if (!iter->index->two_levels) {
        iter->entry = iter->index->entries[iter->at];
        return;
    }
    /* Partitions are checked before anybody walks them. */
    CHECK(block_iter_valid(&iter->entries));
    CHECK(table_handle_decode(iter->entries.value, &iter->entry.handle));
    iter->entry.last_key = iter->entries.key;
    iter->entry.data_begin = iter->entry.handle.offset;
}

/* To the first or the last block of entry `at`, or nowhere, if that is the count. */
static enum status enter(struct index_iter *iter, size_t at, void (*move)(struct block_iter *iter),
                         struct error *err)
{
    if (at == iter->index->count) {
        leave(iter);
        return STATUS_OK;
    }
    enum status status = hold(iter, at, err);
    if (status == STATUS_OK) {
        if (iter->partition != NULL) {
            move(&iter->entries);
        }
        take(iter);
    }
    return status;
}

enum status index_iter_seek(struct index_iter *iter, struct slice target, struct error *err)
{
    size_t at = find(iter->index, target);
    if (at == iter->index->count) {
        leave(iter);
        return STATUS_OK;
    }
    enum status status = hold(iter, at, err);
    if (status == STATUS_OK) {
        if (iter->partition != NULL) {
            block_iter_seek(&iter->entries, target);
        }
        take(iter);
    }
    return status;
}

enum status index_iter_seek_to_first(struct index_iter *iter, struct error *err)
{
    return enter(iter, 0, block_iter_seek_to_first, err);
}

enum status index_iter_seek_to_last(struct index_iter *iter, struct error *err)
{
    return enter(iter, iter->index->count - 1, block_iter_seek_to_last, err);
}

enum status index_iter_next(struct index_iter *iter, struct error *err)
{
    CHECK(index_iter_valid(iter));
    if (iter->partition != NULL) {
        block_iter_next(&iter->entries);
        if (block_iter_valid(&iter->entries)) {
            take(iter);
            return STATUS_OK;
        }
    }
    return enter(iter, iter->at + 1, block_iter_seek_to_first, err);
}

enum status index_iter_skip(struct index_iter *iter, struct error *err)
{
    CHECK(!index_iter_valid(iter));
    CHECK(iter->failed < iter->index->count);
    return enter(iter, iter->failed + 1, block_iter_seek_to_first, err);
}

enum status index_iter_prev(struct index_iter *iter, struct error *err)
{
    CHECK(index_iter_valid(iter));
    if (iter->partition != NULL) {
        block_iter_prev(&iter->entries);
        if (block_iter_valid(&iter->entries)) {
            take(iter);
            return STATUS_OK;
        }
    }
    if (iter->at == 0) {
        leave(iter);
        return STATUS_OK;
    }
    return enter(iter, iter->at - 1, block_iter_seek_to_last, err);
}

/* --- making ---------------------------------------------------------------------------------- */

struct cutter {
    size_t partition_bytes;
    const struct index_sink *sink;
    struct block_builder *top;
    struct block_builder partition;
    struct buf value;
    uint64_t data_begin; /* of the partition */
};

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the index");
}

/* Puts what was gathered, which ends in `last_key`; the next data block begins at `data_end`. */
static enum status put_partition(struct cutter *cutter, struct slice last_key, uint64_t data_end,
                                 struct error *err)
{
    struct slice raw = block_builder_finish(&cutter->partition);
    if (raw.length == 0) {
        return no_memory(err);
    }
    struct block_handle handle;
    enum status status = cutter->sink->put(cutter->sink->context, raw, &handle, err);
    if (status != STATUS_OK) {
        return status;
    }
    buf_clear(&cutter->value);
    table_handle_encode(&cutter->value, handle);
    buf_put_varint(&cutter->value, cutter->data_begin);
    if (buf_failed(&cutter->value) ||
        !block_builder_add(cutter->top, last_key, buf_slice(&cutter->value))) {
        return no_memory(err);
    }
    cutter->data_begin = data_end;
    block_builder_reset(&cutter->partition);
    return STATUS_OK;
}

static enum status cut(struct cutter *cutter, struct slice single, struct error *err)
{
    struct block_iter iter;
    CHECK(block_iter_init(&iter, single));
    block_iter_seek_to_first(&iter);
    while (block_iter_valid(&iter)) {
        struct block_handle handle;
        CHECK(table_handle_decode(iter.value, &handle));
        if (!block_builder_add(&cutter->partition, iter.key, iter.value)) {
            return no_memory(err);
        }
        struct slice last_key = iter.key; /* whole, so it stays where it is */
        block_iter_next(&iter);
        if (!block_iter_valid(&iter) ||
            block_builder_bytes(&cutter->partition) >= cutter->partition_bytes) {
            enum status status =
                put_partition(cutter, last_key, handle.offset + handle.length, err);
            if (status != STATUS_OK) {
                return status;
            }
        }
    }
    CHECK(iter.damage == NULL);
    return STATUS_OK;
}

enum status table_index_cut(struct slice single, size_t partition_bytes, struct alloc *alloc,
                            const struct index_sink *sink, struct block_builder *top,
                            struct error *err)
{
    struct cutter cutter = {.partition_bytes = partition_bytes, .sink = sink, .top = top};
    block_builder_init(&cutter.partition, alloc, INDEX_PARTITION_RESTARTS);
    buf_init(&cutter.value, alloc, 64);
    enum status status = cut(&cutter, single, err);
    block_builder_release(&cutter.partition);
    buf_release(&cutter.value);
    return status;
}
