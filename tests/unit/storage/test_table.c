/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sync.h"
#include "table_file_fixture.h"
#include "testlib/fail_alloc.h"
#include "testlib/fs_faulty.h"

static void assert_gets_match(struct table *table, const struct reference *reference,
                              const struct table_read_options *options, struct rng *rng,
                              int lookups)
{
    struct buf value;
    buf_init(&value, alloc_default(), VALUE_BYTES_MAX);
    for (int i = 0; i < lookups; i++) {
        struct error err = ERROR_INIT;
        uint8_t user[FIXTURE_KEY_BYTES_MAX];
        struct slice key = slice_of(user, random_user_key(rng, user));
        uint64_t sequence = rng_below(rng, FIXTURE_SEQUENCE_MAX);
        struct slice expected = slice_of(NULL, 0);
        enum lookup result = LOOKUP_ABSENT;
        assert_ok(table_get(table, key, sequence, options, &result, &value, &err), &err);
        assert_int_equal(result, reference_get(reference, key, sequence, &expected));
        if (result == LOOKUP_FOUND) {
            assert_slice_equal(buf_slice(&value), expected);
        }
        assert_true(result == LOOKUP_ABSENT || table_may_contain(table, key));
    }
    buf_release(&value);
}

static void assert_info_matches(const struct table_info *info, const struct reference *reference)
{
    uint64_t deletions = 0;
    uint64_t raw_bytes = 0;
    uint64_t smallest = SEQUENCE_MAX;
    uint64_t largest = 0;
    for (size_t i = 0; i < reference->count; i++) {
        const struct entry *entry = &reference->entries[i];
        uint64_t sequence = internal_key_sequence(entry->key);
        deletions += internal_key_type(entry->key) == KEY_DELETE ? 1 : 0;
        raw_bytes += entry->key.length + entry->value.length;
        smallest = sequence < smallest ? sequence : smallest;
        largest = sequence > largest ? sequence : largest;
    }
    assert_int_equal(info->file_number, FIXTURE_FILE_NUMBER);
    assert_int_equal(info->entries, reference->count);
    assert_int_equal(info->deletions, deletions);
    assert_int_equal(info->raw_bytes, raw_bytes);
    assert_int_equal(info->sequence_smallest, smallest);
    assert_int_equal(info->sequence_largest, largest);
    assert_slice_equal(info->smallest, reference->entries[0].key);
    assert_slice_equal(info->largest, reference->entries[reference->count - 1].key);
}

/* One table with the settings given: everything that was added is found in every way. */
static void check_table(struct temp_dir *dir, struct table_writer_options *options,
                        struct block_cache *cache, struct rng *rng)
{
    struct error err = ERROR_INIT;
    struct reference reference;
    reference_make(&reference, rng, 1 + (size_t)rng_below(rng, 1200), 60);
    options->path = temp_dir_path(dir, "table");
    struct table_info info;
    assert_ok(write_reference(options, &reference, &info, &err), &err);
    assert_info_matches(&info, &reference);

    struct table_open_options open = open_options(options->path);
    open.file_number = FIXTURE_FILE_NUMBER;
    open.file_bytes = info.file_bytes;
    open.cache = cache;
    struct table *table = NULL;
    assert_ok(table_open(&open, &table, &err), &err);
    assert_info_matches(table_get_info(table), &reference);
    assert_int_equal(table_get_info(table)->file_bytes, info.file_bytes);
    assert_int_equal(table_get_info(table)->data_bytes, info.data_bytes);
    assert_int_equal(table_get_info(table)->codec, options->codec);
    assert_string_equal(table_path(table), open.path);

    struct table_read_options reads[] = {
        {.fill_cache = true},
        {.readahead_bytes = 5000},
        {.past_cache = true, .readahead_bytes = 1UL << 30},
    };
    for (size_t i = 0; i <= sizeof reads / sizeof reads[0]; i++) {
        const struct table_read_options *read = i == 0 ? NULL : &reads[i - 1];
        assert_gets_match(table, &reference, read, rng, 100);
        struct iter *iter = NULL;
        assert_ok(table_iter_new(table, read, &iter, &err), &err);
        assert_false(iter_valid(iter));
        assert_iter_walks(iter, &reference, rng, 200);
        iter_close(iter);
    }
    uint64_t bytes_read = 0;
    assert_ok(table_verify(table, &bytes_read, &err), &err);
    assert_int_equal(bytes_read, info.file_bytes);
    table_unlink_when_unused(table);
    table_unref(table);
    bool exists = true;
    assert_ok(fs_exists(fs_posix(), options->path, &exists, &err), &err);
    assert_false(exists);
    table_info_release(&info);
    reference_release(&reference);
}

/* Tables of any codec, block size, restart interval, filter and index yield what was added, with
 * and without cache and readahead, and pass their verification. */
static void test_yields_what_was_added(void **state)
{
    struct temp_dir *dir = *state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    static const uint32_t block_bytes[] = {1, 200, 4096, 0};
    static const uint32_t intervals[] = {1, 2, 0, 100};
    static const uint32_t bloom_bits[] = {0, 1, 10};
    static const uint32_t partition_bytes[] = {0, 1, 100, 0, 300};
    for (uint32_t i = 0; i < 36; i++) {
        struct table_writer_options options = fixture_options(NULL, (enum codec)(i % 3));
        options.zstd_level = (int)(i % 4);
        options.block_bytes = block_bytes[i / 2 % 4];
        options.restart_interval = intervals[i / 3 % 4];
        options.bloom_bits_per_key = bloom_bits[i / 4 % 3];
        options.index_partition_bytes = partition_bytes[i % 5];
        struct block_cache *cache = NULL;
        if (i % 5 != 0) {
            cache = block_cache_new(alloc_default(), i % 5 == 1 ? 1UL << 15 : 1UL << 22);
            assert_non_null(cache);
        }
        check_table(dir, &options, cache, &seeded.rng);
        block_cache_free(cache);
    }
}

/* Entries of the largest size go through a table and come back. */
static void test_largest_entries(void **state)
{
    struct temp_dir *dir = *state;
    struct error err = ERROR_INIT;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    uint8_t *memory = alloc_new(alloc_default(), VALUE_BYTES_MAX + 1);
    assert_non_null(memory);
    rng_fill(&seeded.rng, memory, VALUE_BYTES_MAX + 1);
    static uint8_t key[INTERNAL_KEY_BYTES_MAX + 1];
    struct table_writer_options options = fixture_options(temp_dir_path(dir, "t"), CODEC_ZSTD);
    struct table_writer *writer = NULL;
    assert_ok(table_writer_open(&options, &writer, &err), &err);
    for (uint8_t i = 0; i < 3; i++) {
        memset(key, i, USER_KEY_BYTES_MAX);
        size_t length = internal_key_put(key, slice_of(key, USER_KEY_BYTES_MAX), i, KEY_PUT);
        assert_ok(table_writer_add(writer, slice_of(key, length),
                                   slice_of(memory, VALUE_BYTES_MAX - i), &err),
                  &err);
    }
    struct table_info info;
    assert_ok(table_writer_finish(writer, &info, &err), &err);
    struct table *table = open_table(options.path);
    assert_ok(table_verify(table, NULL, &err), &err);
    struct buf value;
    buf_init(&value, alloc_default(), VALUE_BYTES_MAX);
    for (uint8_t i = 0; i < 3; i++) {
        memset(key, i, USER_KEY_BYTES_MAX);
        enum lookup result = LOOKUP_ABSENT;
        assert_ok(
            table_get(table, slice_of(key, USER_KEY_BYTES_MAX), 5, NULL, &result, &value, &err),
            &err);
        assert_int_equal(result, LOOKUP_FOUND);
        assert_slice_equal(buf_slice(&value), slice_of(memory, VALUE_BYTES_MAX - i));
    }
    buf_release(&value);
    table_unref(table);
    table_info_release(&info);
    alloc_free(alloc_default(), memory);
}

static enum status add_key(struct table_writer *writer, const char *user, uint64_t sequence,
                           struct error *err)
{
    uint8_t key[64];
    size_t length = internal_key_put(key, slice_of_string(user), sequence, KEY_PUT);
    return table_writer_add(writer, slice_of(key, length), slice_of_string("v"), err);
}

/* Entries out of order, no keys at all or too long are refused for good, and no file stays. */
static void test_wrong_entries_are_refused(void **state)
{
    struct temp_dir *dir = *state;
    static uint8_t bytes[INTERNAL_KEY_BYTES_MAX + 1];
    const struct slice malformed[] = {slice_of(bytes, 7), slice_of(bytes, sizeof bytes),
                                      slice_of(bytes, 0), slice_of(bytes, 20)};
    for (size_t i = 0; i < 7; i++) {
        struct error err = ERROR_INIT;
        struct table_writer_options options = fixture_options(temp_dir_path(dir, "t"), CODEC_LZ4);
        struct table_writer *writer = NULL;
        assert_ok(table_writer_open(&options, &writer, &err), &err);
        assert_ok(add_key(writer, "m", 5, &err), &err);
        enum status status = STATUS_OK;
        if (i < 4) {
            status = table_writer_add(writer, malformed[i], slice_of(NULL, 0), &err);
        } else if (i == 4) {
            status = add_key(writer, "m", 5, &err);
        } else if (i == 5) {
            status = add_key(writer, "m", 6, &err);
        } else {
            status = add_key(writer, "a", 4, &err);
        }
        assert_status(status, STATUS_INVALID_ARGUMENT, &err);
        assert_status(add_key(writer, "z", 1, &err), STATUS_INVALID_ARGUMENT, &err);
        struct table_info info = {.entries = 42};
        assert_status(table_writer_finish(writer, &info, &err), STATUS_INVALID_ARGUMENT, &err);
        assert_int_equal(info.entries, 42);
        bool exists = true;
        assert_ok(fs_exists(fs_posix(), options.path, &exists, &err), &err);
        assert_false(exists);
    }
}

/* A table has at least one entry; abandoning removes the file; settings are checked. */
static void test_a_writer_that_makes_no_table(void **state)
{
    struct temp_dir *dir = *state;
    struct error err = ERROR_INIT;
    struct table_info info;
    struct table_writer_options options = fixture_options(temp_dir_path(dir, "t"), CODEC_LZ4);
    struct table_writer *writer = NULL;
    assert_ok(table_writer_open(&options, &writer, &err), &err);
    assert_status(table_writer_finish(writer, &info, &err), STATUS_FAILED_PRECONDITION, &err);
    assert_ok(table_writer_open(&options, &writer, &err), &err);
    struct table_writer *second = NULL;
    assert_status(table_writer_open(&options, &second, &err), STATUS_ALREADY_EXISTS, &err);
    table_writer_abandon(writer);
    table_writer_abandon(NULL);
    bool exists = true;
    assert_ok(fs_exists(fs_posix(), options.path, &exists, &err), &err);
    assert_false(exists);

    struct table_writer_options wrong[6];
    for (size_t i = 0; i < 6; i++) {
        wrong[i] = options;
    }
    wrong[0].file_number = 0;
    wrong[1].zstd_level = CODEC_ZSTD_LEVEL_MAX + 1;
    wrong[2].block_bytes = TABLE_BLOCK_BYTES_MAX + 1;
    wrong[3].restart_interval = TABLE_RESTART_INTERVAL_MAX + 1;
    wrong[4].bloom_bits_per_key = BLOOM_BITS_PER_KEY_MAX + 1;
    wrong[5].index_partition_bytes = TABLE_BLOCK_BYTES_MAX + 1;
    for (size_t i = 0; i < 6; i++) {
        assert_status(table_writer_open(&wrong[i], &writer, &err), STATUS_INVALID_ARGUMENT, &err);
    }
}

/* Compressible values make a smaller file with a codec than without. */
static void test_codecs_save_space(void **state)
{
    struct temp_dir *dir = *state;
    struct error err = ERROR_INIT;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct reference reference;
    reference_make(&reference, &seeded.rng, 2000, 200);
    uint64_t file_bytes[3];
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"none", "lz4", "zstd"};
        struct codec_counters counters = {.clock = NULL};
        struct table_writer_options options =
            fixture_options(temp_dir_path(dir, names[i]), (enum codec)i);
        options.counters = &counters;
        struct table_info info;
        assert_ok(write_reference(&options, &reference, &info, &err), &err);
        file_bytes[i] = info.file_bytes;
        /* The data, and the index as well. */
        struct codec_figures figures = codec_counter_read(&counters.compress[i]);
        assert_true(figures.raw_bytes > info.raw_bytes / 2);
        assert_true(figures.stored_bytes > 0 && figures.stored_bytes < info.file_bytes);
        assert_int_equal(figures.stored_bytes == figures.raw_bytes, i == 0);
        table_info_release(&info);
    }
    assert_true(file_bytes[1] < file_bytes[0] * 9 / 10);
    assert_true(file_bytes[2] < file_bytes[0] * 9 / 10);
    reference_release(&reference);
}

/* Reads fill the cache when told to, are served from it, and leave it alone when told to. */
static void test_cache_is_filled_and_used(void **state)
{
    struct temp_dir *dir = *state;
    struct error err = ERROR_INIT;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct reference reference;
    reference_make(&reference, &seeded.rng, 1000, 60);
    struct table_writer_options options = fixture_options(temp_dir_path(dir, "t"), CODEC_LZ4);
    struct table_info info;
    assert_ok(write_reference(&options, &reference, &info, &err), &err);
    struct fs_faulty faulty;
    fs_faulty_init(&faulty, fs_posix());
    struct table_open_options open = open_options(options.path);
    open.fs = &faulty.fs;
    open.cache = block_cache_new(alloc_default(), 16UL << 20);
    struct table *table = NULL;
    assert_ok(table_open(&open, &table, &err), &err);

    const struct table_read_options reads[] = {{.past_cache = true, .fill_cache = true},
                                               {.fill_cache = false},
                                               {.fill_cache = true},
                                               {.fill_cache = false},
                                               {.past_cache = true}};
    static const bool from_file[] = {true, true, true, false, true};
    for (size_t i = 0; i < 5; i++) {
        fs_faulty_disarm(&faulty);
        uint64_t before = fs_faulty_calls(&faulty, FS_CALL_READ);
        struct iter *iter = NULL;
        assert_ok(table_iter_new(table, &reads[i], &iter, &err), &err);
        for (iter_seek_to_first(iter); iter_valid(iter); iter_next(iter)) {
        }
        assert_ok(iter_status(iter, &err), &err);
        iter_close(iter);
        assert_int_equal(fs_faulty_calls(&faulty, FS_CALL_READ) > before, from_file[i]);
    }
    table_unref(table);
    block_cache_free(open.cache);
    fs_faulty_release(&faulty);
    table_info_release(&info);
    reference_release(&reference);
}

/* --- dropped pages ------------------------------------------------------------------------------
 */

/* Passes reads on and counts what is dropped: the fs of one open file. */
struct counting_file {
    struct file file;
    struct file *under;
    int dropped;
};

static struct counting_file counting;

static enum status counting_read(struct file *file, uint64_t offset, void *out, size_t length,
                                 size_t *length_read, struct error *err)
{
    (void)file;
    return file_read(counting.under, offset, out, length, length_read, err);
}

static enum status counting_size(struct file *file, uint64_t *bytes, struct error *err)
{
    (void)file;
    return file_size(counting.under, bytes, err);
}

static void counting_drop_cache(struct file *file)
{
    (void)file;
    counting.dropped++;
    file_drop_cache(counting.under);
}

static void counting_close(struct file *file)
{
    (void)file;
    file_close(counting.under);
}

static const struct file_ops counting_file_ops = {.read = counting_read,
                                                  .size = counting_size,
                                                  .drop_cache = counting_drop_cache,
                                                  .close = counting_close};

static enum status counting_open(struct fs *fs, const char *path, int flags, struct file **out,
                                 struct error *err)
{
    (void)fs;
    counting = (struct counting_file){.file.ops = &counting_file_ops};
    enum status status = fs_open(fs_posix(), path, flags, &counting.under, err);
    *out = &counting.file;
    return status;
}

/* Reads past the cache, and verification, have the kernel drop its pages first; others do not. */
static void test_reading_past_the_cache_drops_pages(void **state)
{
    struct temp_dir *dir = *state;
    struct error err = ERROR_INIT;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct reference reference;
    reference_make(&reference, &seeded.rng, 50, 40);
    struct table_writer_options options = fixture_options(temp_dir_path(dir, "t"), CODEC_LZ4);
    struct table_info info;
    assert_ok(write_reference(&options, &reference, &info, &err), &err);
    const struct fs_ops counting_fs_ops = {.open = counting_open};
    struct fs counting_fs = {.ops = &counting_fs_ops};
    struct table_open_options open = open_options(options.path);
    open.fs = &counting_fs;
    struct table *table = NULL;
    assert_ok(table_open(&open, &table, &err), &err);
    assert_int_equal(counting.dropped, 0);

    const struct table_read_options past = {.past_cache = true};
    struct slice user = internal_key_user(reference.entries[0].key);
    for (int i = 0; i < 2; i++) {
        const struct table_read_options *read = i == 0 ? NULL : &past;
        enum lookup result = LOOKUP_ABSENT;
        assert_ok(table_get(table, user, SEQUENCE_MAX, read, &result, NULL, &err), &err);
        struct iter *iter = NULL;
        assert_ok(table_iter_new(table, read, &iter, &err), &err);
        iter_close(iter);
        assert_int_equal(counting.dropped, 2 * i);
    }
    assert_ok(table_verify(table, NULL, &err), &err);
    assert_true(counting.dropped > 2);
    table_unref(table);
    table_info_release(&info);
    reference_release(&reference);
}

/* --- what may fail ------------------------------------------------------------------------------
 */

/* Writes, opens, looks up, iterates and verifies; the first failure ends it. */
static enum status use_all(struct fs *fs, struct alloc *alloc, const char *path, bool two_levels,
                           const struct reference *reference, struct error *err)
{
    struct table_writer_options options = fixture_options(path, CODEC_LZ4);
    options.block_bytes = 200;
    options.index_partition_bytes = two_levels ? 70 : 0;
    options.fs = fs;
    options.alloc = alloc;
    struct table_info info = {.entries = 0};
    enum status status = write_reference(&options, reference, &info, err);
    if (status != STATUS_OK) {
        return status;
    }
    table_info_release(&info);
    struct table_open_options open = open_options(path);
    open.fs = fs;
    open.alloc = alloc;
    struct table *table = NULL;
    status = table_open(&open, &table, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct iter *iter = NULL;
    struct buf value;
    buf_init(&value, alloc, VALUE_BYTES_MAX);
    const struct entry *middle = &reference->entries[reference->count / 2];
    enum lookup result = LOOKUP_ABSENT;
    status =
        table_get(table, internal_key_user(middle->key), SEQUENCE_MAX, NULL, &result, &value, err);
    if (status == STATUS_OK) {
        assert_int_not_equal(result, LOOKUP_ABSENT);
        status = table_iter_new(table, NULL, &iter, err);
    }
    if (status == STATUS_OK) {
        size_t seen = 0;
        for (iter_seek_to_first(iter); iter_valid(iter); iter_next(iter)) {
            seen++;
        }
        status = iter_status(iter, err);
        assert_true(status != STATUS_OK || seen == reference->count);
    }
    iter_close(iter);
    if (status == STATUS_OK) {
        status = table_verify(table, NULL, err);
    }
    buf_release(&value);
    table_unref(table);
    return status;
}

static void fail_each_allocation(struct temp_dir *dir, bool two_levels)
{
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct reference reference;
    reference_make(&reference, &seeded.rng, 120, 40);
    const char *path = temp_dir_path(dir, "t");
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    for (uint64_t n = 0;; n++) {
        struct error err = ERROR_INIT;
        fail_alloc_arm(&fail, n);
        enum status status = use_all(fs_posix(), &fail.alloc, path, two_levels, &reference, &err);
        assert_int_equal(fail_alloc_blocks(&fail), 0);
        struct error ignored = ERROR_INIT;
        (void)!fs_unlink(fs_posix(), path, &ignored);
        if (!fail_alloc_hit(&fail)) {
            assert_ok(status, &err);
            break;
        }
        assert_status(status, STATUS_RESOURCE_EXHAUSTED, &err);
    }
    fail_alloc_release(&fail);
    reference_release(&reference);
}

/* Whichever allocation fails: RESOURCE_EXHAUSTED, and nothing leaks. */
static void test_each_allocation_may_fail(void **state)
{
    fail_each_allocation(*state, false);
    fail_each_allocation(*state, true);
}

static void fail_each_file_call(struct temp_dir *dir, bool two_levels)
{
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct reference reference;
    reference_make(&reference, &seeded.rng, 120, 40);
    const char *path = temp_dir_path(dir, "t");
    struct fs_faulty faulty;
    fs_faulty_init(&faulty, fs_posix());
    for (uint64_t n = 0;; n++) {
        struct error err = ERROR_INIT;
        fs_faulty_arm(&faulty, (struct fs_fault){.call = FS_CALL_ANY, .at = n});
        enum status status =
            use_all(&faulty.fs, alloc_default(), path, two_levels, &reference, &err);
        struct error ignored = ERROR_INIT;
        (void)!fs_unlink(fs_posix(), path, &ignored);
        if (fs_faulty_hit(&faulty) == 0) {
            assert_ok(status, &err);
            break;
        }
        assert_status(status, STATUS_INTERNAL, &err);
        assert_non_null(strstr(err.text, path));
    }
    fs_faulty_release(&faulty);
    reference_release(&reference);
}

/* Whichever call of the file system fails: its error comes back, with the path, and nothing is
 * left open. Where only removing a file fails, the file stays. */
static void test_each_file_call_may_fail(void **state)
{
    fail_each_file_call(*state, false);
    fail_each_file_call(*state, true);
}

/* A table that was not synced in full is not announced: finish fails when fdatasync does. */
static void test_a_failed_sync_fails_the_table(void **state)
{
    struct temp_dir *dir = *state;
    struct error err = ERROR_INIT;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct reference reference;
    reference_make(&reference, &seeded.rng, 50, 40);
    struct fs_faulty faulty;
    fs_faulty_init(&faulty, fs_posix());
    fs_faulty_arm(&faulty, (struct fs_fault){.call = FS_CALL_SYNC});
    struct table_writer_options options = fixture_options(temp_dir_path(dir, "t"), CODEC_LZ4);
    options.fs = &faulty.fs;
    struct table_info info;
    assert_status(write_reference(&options, &reference, &info, &err), STATUS_INTERNAL, &err);
    assert_int_equal(fs_faulty_hit(&faulty), 1);
    bool exists = true;
    assert_ok(fs_exists(fs_posix(), options.path, &exists, &err), &err);
    assert_false(exists);
    fs_faulty_release(&faulty);
    reference_release(&reference);
}

/* --- many threads --------------------------------------------------------------------------------
 */

enum { THREADS = 3 };

struct shared {
    struct table *table;
    const struct reference *reference;
    _Atomic bool wrong;
};

static void *read_table(void *context)
{
    struct shared *shared = context;
    struct buf value;
    buf_init(&value, alloc_default(), VALUE_BYTES_MAX);
    for (size_t i = 0; i < 2 * shared->reference->count; i++) {
        const struct entry *entry =
            &shared->reference->entries[i * 7919 % shared->reference->count];
        enum lookup result = LOOKUP_ABSENT;
        struct error err = ERROR_INIT;
        if (table_get(shared->table, internal_key_user(entry->key),
                      internal_key_sequence(entry->key), NULL, &result, &value,
                      &err) != STATUS_OK ||
            result == LOOKUP_ABSENT ||
            (internal_key_type(entry->key) == KEY_PUT &&
             !slice_equal(buf_slice(&value), entry->value))) {
            atomic_store(&shared->wrong, true);
        }
    }
    buf_release(&value);
    struct iter *iter = NULL;
    struct error err = ERROR_INIT;
    size_t seen = 0;
    if (table_iter_new(shared->table, NULL, &iter, &err) == STATUS_OK) {
        for (iter_seek_to_last(iter); iter_valid(iter); iter_prev(iter)) {
            seen++;
        }
        iter_close(iter);
    }
    if (seen != shared->reference->count) {
        atomic_store(&shared->wrong, true);
    }
    table_unref(shared->table);
    return NULL;
}

/* Many open tables and the blocks that are read of them: all the memory that they and the cache
 * hold together is within the budget and a tenth. */
static void test_open_tables_keep_the_budget(void **state)
{
    enum { TABLES = 60 };
    const uint64_t budget = 4UL << 20;
    struct temp_dir *dir = *state;
    struct error err = ERROR_INIT;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct reference reference;
    reference_make(&reference, &seeded.rng, 3000, 100);
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    struct block_cache *cache = block_cache_new(&fail.alloc, budget);
    assert_non_null(cache);
    struct table *tables[TABLES];
    for (size_t i = 0; i < TABLES; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "t%zu", i);
        struct table_writer_options options = fixture_options(temp_dir_path(dir, name), CODEC_LZ4);
        options.file_number = i + 1;
        options.block_bytes = 256;
        struct table_info info;
        assert_ok(write_reference(&options, &reference, &info, &err), &err);
        table_info_release(&info);
        struct table_open_options open = open_options(options.path);
        open.alloc = &fail.alloc;
        open.cache = cache;
        assert_ok(table_open(&open, &tables[i], &err), &err);
        struct iter *iter = NULL;
        assert_ok(table_iter_new(tables[i], NULL, &iter, &err), &err);
        for (iter_seek_to_first(iter); iter_valid(iter); iter_next(iter)) {
        }
        assert_ok(iter_status(iter, &err), &err);
        iter_close(iter);

        struct block_cache_stats stats;
        block_cache_stats(cache, &stats);
        size_t pinned = 0;
        for (size_t open_table = 0; open_table <= i; open_table++) {
            pinned += table_pinned_bytes(tables[open_table]);
        }
        assert_int_equal(stats.all.pinned_bytes, pinned);
        assert_true(stats.kinds[BLOCK_FILTER].pinned_bytes > 0);
        assert_true(pinned < budget);
        assert_true(fail_alloc_bytes(&fail) <= budget + budget / 10);
    }
    struct block_cache_stats stats;
    block_cache_stats(cache, &stats);
    assert_true(stats.all.pinned_bytes > budget / 3); /* enough to matter */
    assert_true(stats.all.evictions > 0);
    for (size_t i = 0; i < TABLES; i++) {
        table_unref(tables[i]);
    }
    block_cache_stats(cache, &stats);
    assert_int_equal(stats.all.pinned_bytes, 0);
    block_cache_free(cache);
    fail_alloc_release(&fail);
    reference_release(&reference);
}

/* Threads share a table and a small cache; the last one to let go closes the table. */
static void test_many_threads(void **state)
{
    struct temp_dir *dir = *state;
    struct error err = ERROR_INIT;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct reference reference;
    reference_make(&reference, &seeded.rng, 2000, 60);
    /* Keys and sequences that occur both as put and as deletion are looked up as put. */
    struct table_writer_options options = fixture_options(temp_dir_path(dir, "t"), CODEC_ZSTD);
    options.index_partition_bytes = 200;
    struct table_info info;
    assert_ok(write_reference(&options, &reference, &info, &err), &err);
    struct table_open_options open = open_options(options.path);
    open.cache = block_cache_new(alloc_default(), 200UL << 10);
    struct shared shared = {.reference = &reference};
    assert_ok(table_open(&open, &shared.table, &err), &err);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        table_ref(shared.table);
        assert_true(thread_start(&threads[i], "table", read_table, &shared));
    }
    table_unref(shared.table);
    for (int i = 0; i < THREADS; i++) {
        thread_join(threads[i]);
    }
    assert_false(atomic_load(&shared.wrong));
    block_cache_free(open.cache);
    table_info_release(&info);
    reference_release(&reference);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, temp_dir_setup, temp_dir_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(test_yields_what_was_added),
        IN_DIR(test_largest_entries),
        IN_DIR(test_wrong_entries_are_refused),
        IN_DIR(test_a_writer_that_makes_no_table),
        IN_DIR(test_codecs_save_space),
        IN_DIR(test_cache_is_filled_and_used),
        IN_DIR(test_reading_past_the_cache_drops_pages),
        IN_DIR(test_each_allocation_may_fail),
        IN_DIR(test_each_file_call_may_fail),
        IN_DIR(test_a_failed_sync_fails_the_table),
        IN_DIR(test_open_tables_keep_the_budget),
        IN_DIR(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
