/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "storage/table/block.h"
#include "storage/table/bloom.h"
#include "storage/table/table_internal.h"

#define VERIFY_READAHEAD_BYTES (1024UL * 1024UL)

/* What is counted on the way through, to be held against the properties at the end. */
struct verifier {
    const struct table *table;
    const struct table_meta *meta; /* read anew */
    struct buf previous;           /* internal key */
    uint64_t entries;
    uint64_t deletions;
    uint64_t raw_bytes;
    uint64_t sequence_smallest;
    uint64_t sequence_largest;
    struct times_check times;
    void (*on_fault)(void *context, const struct error *fault); /* NULL: the first one ends it */
    void *context;
    bool faulty;
    struct index_iter index;
    struct block_iter iter;
};

/* Checks the entry that the iterator is at. NULL: it is right; else what is wrong. */
static const char *check_entry(struct verifier *verifier)
{
    struct slice key = verifier->iter.key;
    struct slice previous = buf_slice(&verifier->previous);
    if (previous.length == 0) {
        if (!slice_equal(key, verifier->meta->info.smallest)) {
            return "first key is not the smallest one of the properties";
        }
    } else if (internal_key_compare(previous, key) >= 0) {
        return "keys do not rise";
    }
    const struct cached_block *filter = verifier->meta->filter;
    if (filter != NULL &&
        !bloom_may_contain(cached_block_slice(filter), bloom_hash(internal_key_user(key)))) {
        return "filter denies a key";
    }
    uint64_t sequence = internal_key_sequence(key);
    verifier->entries++;
    verifier->deletions += internal_key_type(key) == KEY_DELETE ? 1 : 0;
    verifier->raw_bytes += key.length + verifier->iter.value.length;
    if (sequence < verifier->sequence_smallest) {
        verifier->sequence_smallest = sequence;
    }
    if (sequence > verifier->sequence_largest) {
        verifier->sequence_largest = sequence;
    }
    buf_clear(&verifier->previous);
    buf_append_slice(&verifier->previous, key);
    return verifier->meta->info.times.known
               ? times_check_add(&verifier->times, key, verifier->iter.value)
               : NULL;
}

static enum status check_block(struct verifier *verifier, const struct index_entry *entry,
                               struct slice raw, struct error *err)
{
    struct block_iter *iter = &verifier->iter;
    const char *wrong = NULL;
    uint32_t restarts = 0; /* met so far: lookups rest on each being at a whole key, in order */
    if (!block_iter_init(iter, raw)) {
        return table_corrupt(verifier->table, entry->handle.offset, iter->damage, err);
    }
    block_iter_seek_to_first(iter);
    while (wrong == NULL && block_iter_valid(iter)) {
        wrong = check_entry(verifier);
        if (wrong == NULL && block_iter_at_restart(iter, restarts)) {
            restarts++;
            wrong = block_iter_key_is_whole(iter) ? NULL : "restart point is not at a whole key";
        }
        if (buf_failed(&verifier->previous)) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to verify table %s",
                             verifier->table->path);
        }
        if (wrong == NULL) {
            block_iter_next(iter);
        }
    }
    if (wrong == NULL) {
        wrong = iter->damage;
    }
    if (wrong == NULL && restarts != iter->restarts_count) {
        wrong = "restart point is not at an entry";
    }
    if (wrong == NULL && !slice_equal(buf_slice(&verifier->previous), entry->last_key)) {
        wrong = "last key is not the one of the index";
    }
    return wrong == NULL ? STATUS_OK
                         : table_corrupt(verifier->table, entry->handle.offset, wrong, err);
}

/* CORRUPT is told, if somebody wants to hear of it, and then no error. */
static enum status pass_over(struct verifier *verifier, enum status status,
                             const struct error *fault, struct error *err)
{
    if (status == STATUS_CORRUPT && verifier->on_fault != NULL) {
        verifier->faulty = true;
        verifier->on_fault(verifier->context, fault);
        return STATUS_OK;
    }
    if (status != STATUS_OK && err != NULL) {
        *err = *fault;
    }
    return status;
}

/* The next block's keys are above `last_key`, which the index says of what was passed over. */
static void go_on_above(struct verifier *verifier, struct slice last_key)
{
    buf_clear(&verifier->previous);
    buf_append_slice(&verifier->previous, last_key);
}

/* The index has moved, with `status`. Goes on behind partitions that are damaged. */
static enum status pass_partitions(struct verifier *verifier, enum status status,
                                   struct error *fault, struct error *err)
{
    struct index_iter *index = &verifier->index;
    while (status != STATUS_OK) {
        status = pass_over(verifier, status, fault, err);
        if (status != STATUS_OK) {
            return status;
        }
        go_on_above(verifier, index->index->entries[index->failed].last_key);
        status = index_iter_skip(index, fault);
    }
    return STATUS_OK;
}

/* The block that the index is at. */
static enum status check_block_at(struct verifier *verifier, struct block_loader *loader,
                                  struct error *err)
{
    const struct index_entry *entry = &verifier->index.entry;
    struct cached_block *block = NULL;
    struct error fault = ERROR_INIT;
    enum status status = block_loader_load(loader, entry->handle, &block, &fault);
    if (status == STATUS_OK) {
        status = check_block(verifier, entry, cached_block_slice(block), &fault);
        cached_block_unref(block);
    }
    if (status == STATUS_CORRUPT) {
        go_on_above(verifier, entry->last_key);
    }
    return pass_over(verifier, status, &fault, err);
}

static enum status check_all_blocks(struct verifier *verifier, const struct table_file *file,
                                    struct error *err)
{
    struct table_read_options options = {.past_cache = true,
                                         .readahead_bytes = VERIFY_READAHEAD_BYTES};
    struct block_loader loader;
    block_loader_init(&loader, file, &options, verifier->meta->index.data_end);
    struct block_loader index_loader;
    block_loader_init_beside(&index_loader, &loader);
    index_iter_init(&verifier->index, &verifier->meta->index, &index_loader);
    struct error fault = ERROR_INIT;
    enum status status = index_iter_seek_to_first(&verifier->index, &fault);
    status = pass_partitions(verifier, status, &fault, err);
    while (status == STATUS_OK && index_iter_valid(&verifier->index)) {
        status = check_block_at(verifier, &loader, err);
        if (status == STATUS_OK) {
            status = index_iter_next(&verifier->index, &fault);
            status = pass_partitions(verifier, status, &fault, err);
        }
    }
    index_iter_release(&verifier->index);
    block_loader_release(&index_loader);
    block_loader_release(&loader);
    return status;
}

static bool counts_match(const struct verifier *verifier)
{
    const struct table_info *info = &verifier->meta->info;
    return verifier->entries == info->entries && verifier->deletions == info->deletions &&
           verifier->raw_bytes == info->raw_bytes &&
           verifier->sequence_smallest == info->sequence_smallest &&
           verifier->sequence_largest == info->sequence_largest;
}

static enum status verify(struct verifier *verifier, struct table_file *file, struct error *err)
{
    struct error fault = ERROR_INIT;
    struct table_meta meta;
    enum status status = table_meta_read(file, true, &meta, &fault);
    if (status != STATUS_OK) {
        return pass_over(verifier, status, &fault, err);
    }
    verifier->meta = &meta;
    verifier->sequence_smallest = SEQUENCE_MAX;
    verifier->times = (struct times_check){.runs = &meta.time_runs, .place = meta.info.time_place};
    buf_init(&verifier->previous, file->alloc, INTERNAL_KEY_BYTES_MAX);
    status = check_all_blocks(verifier, file, err);
    const char *wrong = NULL;
    if (!counts_match(verifier)) {
        wrong = "properties do not count the entries";
    } else if (meta.info.times.known && !times_check_ends(&verifier->times)) {
        wrong = "properties say wider bounds of times than there are";
    }
    if (status == STATUS_OK && !verifier->faulty && wrong != NULL) {
        status = table_corrupt(verifier->table, meta.index.data_end, wrong, &fault);
        status = pass_over(verifier, status, &fault, err);
    }
    buf_release(&verifier->previous);
    table_meta_release(&meta);
    return status;
}

/* On the heap: a block's iterator holds a key. */
static struct verifier *new_verifier(struct table *table, struct error *err)
{
    struct verifier *verifier = alloc_zeroed(table->file.alloc, 1, sizeof *verifier);
    if (verifier == NULL) {
        (void)error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to verify table %s",
                        table->path);
        return NULL;
    }
    verifier->table = table;
    return verifier;
}

enum status table_verify(struct table *table, uint64_t *bytes_read, struct error *err)
{
    struct table_file file = table->file;
    struct verifier *verifier = new_verifier(table, err);
    if (verifier == NULL) {
        return STATUS_RESOURCE_EXHAUSTED;
    }
    enum status status = verify(verifier, &file, err);
    if (status == STATUS_OK && bytes_read != NULL) {
        *bytes_read += file.file_bytes;
    }
    alloc_free(file.alloc, verifier);
    return status;
}

enum status table_find_faults(struct table *table,
                              void (*on_fault)(void *context, const struct error *fault),
                              void *context, struct error *err)
{
    CHECK(on_fault != NULL);
    struct table_file file = table->file;
    struct verifier *verifier = new_verifier(table, err);
    if (verifier == NULL) {
        return STATUS_RESOURCE_EXHAUSTED;
    }
    verifier->on_fault = on_fault;
    verifier->context = context;
    enum status status = verify(verifier, &file, err);
    alloc_free(file.alloc, verifier);
    return status;
}
